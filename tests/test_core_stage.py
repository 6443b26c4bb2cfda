"""A home is its owner's alone, and somebody else's is refused in a sentence."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from roles import ROOT, USER, as_user

from tasks.core.stage import private


def test_a_home_is_closed_to_others(tmp_path: Path) -> None:
    """It is made so, and one that was open is closed."""
    (tmp_path / "open").mkdir(mode=0o755)
    for name in ("open", "new/home"):
        assert private(tmp_path / name).stat().st_mode & 0o777 == 0o700


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
