"""The embedded stack's processes: ports, locks, start and stop."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from flows.cli import stack
from tasks.core.stage import Refused


def test_a_port_in_use_is_refused_by_name() -> None:
    """The sentence names the port and the option that changes it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Refused, match=f"port {port} .* --gateway-port"):
            stack.claim_port(port, "gateway")
    assert stack.claim_port(0, "gateway") > 0


def test_two_stacks_do_not_share_a_home(tmp_path: Path) -> None:
    """The second one is refused; a home is free again when the first has ended."""
    home = tmp_path / "home"
    with stack.lock(home):
        if os.fork() == 0:  # flock excludes other open files, so try from another process
            try:
                with stack.lock(home):
                    os._exit(1)
            except Refused:
                os._exit(0)
        _, status = os.wait()
        assert os.waitstatus_to_exitcode(status) == 0
    with stack.lock(home):
        pass


def test_a_stack_that_was_killed_is_forgotten(tmp_path: Path) -> None:
    """Its process id may be somebody else's by now."""
    home = tmp_path / "home"
    home.mkdir()
    (home / stack.STACK).write_text('{"FLYWHEEL_PID": "1"}')
    with stack.lock(home):
        assert stack.stack(home) == {"FLYWHEEL_PID": "1"}
    assert stack.stack(home) == {}
    assert not (home / stack.STACK).exists()


def test_only_its_owner_may_look_into_a_home(tmp_path: Path) -> None:
    """A new one is made private, and one that was open to others is closed."""
    for home in (tmp_path / "new", tmp_path / "old"):
        if home.name == "old":
            home.mkdir(mode=0o755)
        with stack.lock(home):
            assert home.stat().st_mode & 0o777 == 0o700
