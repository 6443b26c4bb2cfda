"""The `flywheel` command: bad input gets one clear sentence and exit status 2."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def flywheel(*args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "flows.cli", *args]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["down", "--home", "nowhere"], "nothing runs on"),
        (["report", "--home", "nowhere"], "has no journal to report on"),
        (["ingest", "--dry-run", "missing.jsonl"], "missing.jsonl"),
        (["pii", "missing.jsonl"], "a terminal only"),
        (["data", "get", "routing"], "one is called task/number"),
    ],
)
def test_bad_input_gets_one_sentence(tmp_path: Path, args: list[str], sentence: str) -> None:
    """It goes to the terminal without a traceback."""
    ended = flywheel(*args, cwd=tmp_path)
    said = " ".join((ended.stdout + ended.stderr).split())
    assert ended.returncode == 2
    assert sentence in said
    assert "Traceback" not in said


def test_dry_run_tells_what_a_log_holds() -> None:
    """Dialect, calls and models of the shipped sample."""
    ended = flywheel("ingest", "--dry-run", "examples/calls.jsonl.gz", cwd=ROOT)
    assert ended.returncode == 0
    assert "2,000" in ended.stdout
