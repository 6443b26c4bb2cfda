"""A home is its owner's alone, and somebody else's is refused in a sentence."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from roles import ROOT, USER, as_user
from test_serving_journal import full_at

from tasks.core.stage import Refused, fresh, no_room, private, room, write_atomic, write_secret

FULL = OSError(28, "No space left on device")


def test_a_home_is_closed_to_others(tmp_path: Path) -> None:
    """It is made so, and one that was open is closed."""
    (tmp_path / "open").mkdir(mode=0o755)
    for name in ("open", "new/home"):
        assert private(tmp_path / name).stat().st_mode & 0o777 == 0o700


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    """It names the home and what takes most of it; any other error stays what it is."""
    (tmp_path / "nights").mkdir()
    (tmp_path / "nights" / "calls").write_bytes(bytes(3_000_000))
    (tmp_path / "small").write_bytes(b"x")
    for told in (FULL, RuntimeError("disk I/O error: database or disk is full")):
        wrapped = ValueError("it cannot be saved")
        wrapped.__cause__ = told
        with pytest.raises(Refused) as refused, room(tmp_path):
            raise wrapped
        assert str(refused.value) == (
            f"the disk that holds {tmp_path} is full, most of it by {tmp_path}/nights (3 MB): "
            "make room there and run this again; nothing is half written"
        )
    with pytest.raises(OSError, match="Input/output error"), room(tmp_path):
        raise OSError(5, "Input/output error")
    assert not no_room(None)


@pytest.mark.parametrize("write", [write_atomic, write_secret])
def test_what_finds_no_room_leaves_nothing_behind(
    tmp_path: Path, write: Callable[[Path, bytes], None]
) -> None:
    """No part of a file under its name or a temporary one, and no folder of a hop."""
    with full_at(100), pytest.raises(OSError, match="File too large"):
        write(tmp_path / "file", bytes(1_000))
    with pytest.raises(OSError, match="No space left"), fresh(tmp_path / "hop"):
        raise FULL
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not as_user(), reason="only root can run a process as another user")
def test_a_gateway_does_not_start_on_a_volume_that_is_not_its_own() -> None:
    """A fresh volume of a cluster may be root's: one sentence with both users, before any call."""
    with tempfile.TemporaryDirectory() as volume:
        Path(volume).chmod(0o755)
        env = {**os.environ, "TEACHER_BASE_URL": "http://127.0.0.1:9/v1", "HOME": "/tmp"}
        command = [*as_user(), sys.executable, "-m", "serving.gateway", "--home", volume]
        ended = subprocess.run(
            [*command, "--port", "0"], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60
        )
    said = f"flywheel: {volume} belongs to uid 0; uid {USER} may not write\n"
    assert (ended.returncode, ended.stderr) == (2, said)


@pytest.mark.parametrize(("said", "threads"), [(None, "1 10000"), ("3", "3 3")])
def test_a_process_starts_no_more_threads_than_it_has_cores(said: str | None, threads: str) -> None:
    """By its affinity, as by a container's quota, and they wait asleep; what is said stands."""
    script = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from tasks.core.stage import limit_threads; limit_threads()\n"
        "print(*(os.environ[name] for name in ('OMP_NUM_THREADS', 'GOMP_SPINCOUNT')))"
    )
    names = ("OMP_NUM_THREADS", "GOMP_SPINCOUNT")
    env = {k: v for k, v in os.environ.items() if k not in names}
    env |= dict.fromkeys(names, said) if said else {}
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == threads
