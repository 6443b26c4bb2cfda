"""The embedded stack's processes: started, started again, ended, and found when left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import httpx
import psutil
import pytest

from flows.cli import processes, stack
from tasks.core.stage import Refused

T = TypeVar("T")
# Writes down its process and has another process listen, as servers with workers do.
PARENT = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-m", "http.server", sys.argv[1], "--bind", "127.0.0.1"])
with open("pids", "a") as file:
    file.write(f"{os.getpid()}\\n")
child.wait()
"""
# Holds a service until it is killed.
OWNER = """
import sys, time
from pathlib import Path
from typing import TypeVar
from flows.cli import processes
home = Path(sys.argv[1])
command = [sys.executable, "parent.py", sys.argv[2]]
with processes.running([processes.Service("pool", command, int(sys.argv[2]), "/")], home):
    print("ready", flush=True)
    time.sleep(600)
"""


def server(port: int) -> processes.Service:
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    return processes.Service("files", command, port, "/")


def silent(url: str) -> bool:
    """Whether nothing listens there."""
    try:
        httpx.get(url)
    except httpx.ConnectError:
        return True
    except httpx.TransportError:  # it was ended while it answered
        return False
    return False


def until(found: Callable[[], T]) -> T:
    """Wait for something true, and return it."""
    deadline = time.monotonic() + 20
    while not (value := found()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return value


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the two programs, and the current one."""
    (tmp_path / "parent.py").write_text(PARENT)
    (tmp_path / "owner.py").write_text(OWNER)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_service_runs_only_inside_its_context(tmp_path: Path) -> None:
    """It answers inside; afterwards nothing listens there any more."""
    service = server(stack.free_port())
    with processes.running([service], tmp_path):
        assert httpx.get(service.url).status_code == 200
    assert silent(service.url)


def test_a_service_that_does_not_start_says_why(tmp_path: Path) -> None:
    """The last line of its log is part of the sentence, and the others are stopped."""
    good = server(stack.free_port())
    bad = processes.Service("pool", [sys.executable, "-c", "raise SystemExit('no weights')"], 1)
    with (
        pytest.raises(Refused, match=r"the pool did not start: no weights .*pool\.log"),
        processes.running([good, bad], tmp_path),
    ):
        pass
    assert silent(good.url)


def test_a_service_that_dies_starts_again(here: Path) -> None:
    """One line says so; what it had started is ended first, as that holds its port."""
    port = stack.free_port()
    service = processes.Service("pool", [sys.executable, "parent.py", str(port)], port, "/")
    with processes.running([service], here) as look:
        os.kill(int((here / "pids").read_text()), signal.SIGKILL)
        (said,) = until(lambda: look(0.0))
        assert (
            said == f"the pool died (SIGKILL) and starts again in 1 s (log: {here}/logs/pool.log)"
        )
        until(lambda: silent(service.url))
        assert look(0.9) == []
        assert silent(service.url)
        assert look(1.0) == []
        until(lambda: not silent(service.url))
    assert silent(service.url)


def test_a_service_that_hangs_starts_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It lives and takes calls, but answers none: a line says so, and it is killed."""
    monkeypatch.setattr(processes, "ASK_SECONDS", 0.05)
    service = server(stack.free_port())
    with processes.running([service], tmp_path) as look:
        monkeypatch.setattr(processes, "ANSWER_SECONDS", 0.05)
        (found,) = (p for p in processes.left(f"{tmp_path}#") if "http.server" in p.cmdline())
        found.suspend()
        (said,) = until(lambda: look(0.0))
        assert "the files died (it did not answer for a minute) and starts again in 1 s" in said
        assert look(1.0) == []
        until(lambda: not silent(service.url))


def test_a_service_that_dies_on_ends_the_stack(tmp_path: Path) -> None:
    """Each time it starts later, and the sixth death within ten minutes is the last."""
    service = processes.Service("pool", ["sh", "-c", "echo out of memory; exit 1"], 1)
    kept = processes.Kept.start(service, f"{tmp_path}#", tmp_path / "pool.log")

    def death(now: float) -> str:
        kept.process.wait()
        said = kept.look(now)
        kept.look(now + 20)
        return said or ""

    said = [death(20.0 * number) for number in range(5)]
    assert [sentence.split(" again in ")[1][:4].strip() for sentence in said] == [
        *("1 s", "2 s", "4 s", "8 s", "16 s")
    ]
    with pytest.raises(Refused, match=r"the pool died 6 times within 10 minutes: .* out of memory"):
        death(100.0)


@pytest.mark.flow
def test_nothing_outlives_a_command_that_is_killed(here: Path) -> None:
    """Its services end, and what these had started; those of another home go on."""
    port, other = stack.free_port(), server(stack.free_port())
    command = [sys.executable, "owner.py", str(here / "home"), str(port)]
    owner = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert owner.stdout
    with processes.running([other], here / "home2"):
        assert owner.stdout.readline() == b"ready\n"
        owner.kill()
        owner.communicate()
        until(lambda: silent(f"http://127.0.0.1:{port}"))
        until(lambda: not processes.left(f"{here}/home#"))
        assert not silent(other.url)


@pytest.mark.flow
def test_what_is_left_without_a_guard_is_found(here: Path) -> None:
    """Where the guard was killed as well, `left` names exactly the processes of that home."""
    port = stack.free_port()
    command = [sys.executable, "owner.py", str(here / "home"), str(port)]
    owner = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert owner.stdout
    assert owner.stdout.readline() == b"ready\n"
    guard = next(p for p in psutil.Process(owner.pid).children() if "processes" in p.cmdline()[2])
    guard.kill()
    owner.kill()
    owner.communicate()
    assert not silent(f"http://127.0.0.1:{port}")
    found = processes.left(f"{here}/home#")
    assert sorted(" ".join(p.cmdline()[1:3]) for p in found) == [
        "-m http.server",
        f"parent.py {port}",
    ]
    assert processes.left(f"{here}/hom#") == []
    processes.end(found)
    until(lambda: silent(f"http://127.0.0.1:{port}"))
