"""Small disks of their own, which can be filled."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

BLOCK = 1 << 12


@dataclass(slots=True)
class Disk:
    """A file system in memory."""

    root: Path

    def fill(self, _: str = "", but: int = 0) -> None:
        """Leave no room, or so many bytes."""
        with self._ballast.open("ab", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(16 * BLOCK))
        size = self._ballast.stat().st_size
        with self._ballast.open("r+b") as file:
            file.truncate(max(0, size - but))

    def empty(self) -> None:
        """Make room again."""
        self._ballast.unlink(missing_ok=True)

    @property
    def _ballast(self) -> Path:
        return self.root / "ballast"


@contextmanager
def mounted(root: Path, megabytes: int) -> Iterator[Disk]:
    """A disk of this size at `root`, for as long as the body runs; skips where none may be made."""
    root.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "flywheel", str(root)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root can mount a small disk")
    try:
        yield Disk(root)
    finally:
        subprocess.run(["umount", "--lazy", str(root)], check=True)
