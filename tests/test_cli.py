"""The `flywheel` command: bad input gets one clear sentence and exit status 2."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import patch

import pytest

from flows.cli.main import main
from flows.night.folders import open_night
from tasks.core.stage import Refused

ROOT = Path(__file__).parents[1]
Command = Callable[..., tuple[object, str]]


def flywheel(*args: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "flows.cli", *args]
    env = {**os.environ, **env}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=60)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """The command in this process: its exit status, and what it prints in one line."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    mask = os.umask(0o077)

    def run(*args: str, cwd: Path, **env: str) -> tuple[object, str]:
        monkeypatch.setattr(sys, "argv", ["flywheel", *args])
        monkeypatch.chdir(cwd)
        with pytest.raises(SystemExit) as ended, patch.dict(os.environ, env):
            main()
        return ended.value.code, " ".join("".join(capsys.readouterr()).split())

    with warnings.catch_warnings():
        yield run
    os.umask(mask)
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["down", "--home", "nowhere"], "nothing runs on"),
        (["report", "--home", "nowhere"], "has no journal and no night to report on"),
        (["ingest", "--dry-run", "missing.jsonl"], "missing.jsonl"),
        (["pii", "missing.jsonl"], "a terminal only"),
        (["data", "get", "routing"], "expected task/number"),
    ],
)
def test_bad_input_gets_one_sentence(
    here: Command, tmp_path: Path, args: list[str], sentence: str
) -> None:
    """It goes to the terminal without a traceback."""
    status, said = here(*args, cwd=tmp_path)
    assert status == 2
    assert sentence in said
    assert "Traceback" not in said


def test_the_command_of_a_shell_says_the_same(tmp_path: Path) -> None:
    """In a process of its own: on the standard output, in red where that is a terminal."""
    ended = flywheel("down", "--home", "nowhere", cwd=tmp_path)
    assert ended.returncode == 2
    assert " ".join(ended.stdout.split()).startswith("flywheel: nothing runs on ")
    assert not ended.stderr


@pytest.mark.parametrize(
    ("args", "env", "sentence"),
    [
        (["up", "--home", "file"], {}, "cannot be used as a home: "),
        (["up", "--home", "file/below"], {}, "cannot be used as a home: Not a directory"),
        (["promote"], {"MLFLOW_TRACKING_URI": "mlruns"}, "MLFLOW_TRACKING_URI is 'mlruns'; set it"),
        (["promote"], {"MLFLOW_TRACKING_URI": "http://[::1"}, "MLflow at http://[::1 cannot be"),
        (
            ["promote"],
            {"PREFECT_API_URL": "http://127.0.0.1:9/api"},
            "Prefect at http://127.0.0.1:9",
        ),
        (["promote"], {"FLYWHEEL_PARAMS": "file"}, "file: "),
        (["promote"], {"FLYWHEEL_PARAMS": "."}, "no params file at . (Is a directory)"),
    ],
)
def test_surroundings_that_cannot_be_used_get_one_sentence(
    here: Command, tmp_path: Path, args: list[str], env: dict[str, str], sentence: str
) -> None:
    """Addresses, homes and params that are none; nothing is started."""
    (tmp_path / "file").write_text("a: [")
    status, said = here(*args, cwd=tmp_path, **env)
    assert status == 2, said
    assert sentence in said
    assert "Traceback" not in said


def test_a_day_is_written_in_one_way(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="'yesterday' is no day; one is written 2026-03-02"):
        open_night(tmp_path, "yesterday")


@pytest.mark.flow  # processes of their own, which wait for an answer
@pytest.mark.parametrize("listens", [False, True])
def test_a_registry_that_is_away_is_said_within_seconds(listens: bool, tmp_path: Path) -> None:
    """In one sentence, by each command that needs it, also where a port takes calls for ever."""
    commands = (["promote"], ["nightly"], ["data", "get", "routing/1"])
    with socket.socket() as port:
        port.bind(("127.0.0.1", 0))
        if listens:
            port.listen()
        url = f"http://127.0.0.1:{port.getsockname()[1]}"
        began, env = time.monotonic(), {**os.environ, "MLFLOW_TRACKING_URI": url}
        started = [
            subprocess.Popen(
                [sys.executable, "-m", "flows.cli", *words, "--home", str(tmp_path / words[0])],
                cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            )
            for words in commands
        ]  # fmt: skip
        ended = [one.communicate(timeout=60)[0] for one in started]
    crowd = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))  # what this machine does beside
    assert time.monotonic() - began < 15 * crowd
    assert [one.returncode for one in started] == [2, 2, 2], ended
    for said in ended:
        assert " ".join(said.split()).startswith(f"flywheel: MLflow at {url} cannot be reached ")
        assert "Traceback" not in said


@pytest.mark.flow  # Prefect and MLflow start for it
def test_a_night_without_calls_says_so_in_one_sentence(tmp_path: Path) -> None:
    """Without the traceback of the engine that ran it."""
    ended = flywheel("nightly", "--home", "home", cwd=tmp_path)
    assert ended.returncode == 2
    assert " ".join(ended.stdout.split()).startswith("flywheel: no calls to learn from: ")
    assert "Traceback" not in ended.stdout + ended.stderr
    assert "ERROR" not in ended.stdout + ended.stderr


def test_dry_run_tells_what_a_log_holds() -> None:
    """Dialect, calls and models of the shipped sample."""
    ended = flywheel("ingest", "--dry-run", "examples/calls.jsonl.gz", cwd=ROOT)
    assert ended.returncode == 0
    assert "2,000" in ended.stdout
