"""The chain of hashes: a changed line is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry import hash_chain
from tasks.core.stage import Refused


def made(path: Path, count: int, old: int = 0) -> Path:
    """A file of so many lines, the first of which are of a release without hashes."""
    path.write_bytes(b"".join(b'{"old":%d}\n' % n for n in range(old)))
    for number in range(count):
        hash_chain.append(path, b'{"n":%d}' % number)
    return path


@pytest.mark.parametrize("old", [0, 2])
def test_an_untouched_file_is_whole(tmp_path: Path, old: int) -> None:
    """Each line vouches for all before it, those of an early release included."""
    path = made(tmp_path / "l", 3, old)
    count, last = hash_chain.verify(path)
    assert count == 3 + old
    assert last.encode() in path.read_bytes().split(b"\n")[-2]


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [(b'"n":1', b'"n":7', 4), (b'"old":0', b'"old":9', 3), (b'{"n":0', b'{"m":0', 3)],
)
def test_a_changed_line_is_found(tmp_path: Path, old: bytes, new: bytes, line: int) -> None:
    """The first line that does not fit is named."""
    path = made(tmp_path / "l", 3, old=2)
    path.write_bytes(path.read_bytes().replace(old, new))
    with pytest.raises(Refused, match=f"line {line}, or one before it, was changed"):
        hash_chain.verify(path)


def test_a_line_that_is_taken_out_or_put_in_is_found(tmp_path: Path) -> None:
    """So is one that somebody wrote without a hash."""
    path = made(tmp_path / "l", 3)
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([lines[0], *lines[2:]]))
    with pytest.raises(Refused, match="line 2"):
        hash_chain.verify(path)
    path.write_bytes(b"\n".join([*lines[:-1], b'{"n":3}', b""]))
    with pytest.raises(Refused, match="line 4 has no hash"):
        hash_chain.verify(path)


def test_a_torn_end_is_cut_off(tmp_path: Path) -> None:
    """What a crash left of a line is no line."""
    path = made(tmp_path / "l", 2)
    path.write_bytes(path.read_bytes() + b'{"n":')
    assert hash_chain.verify(path)[0] == 2
    hash_chain.append(path, b'{"n":2}')
    assert hash_chain.verify(path)[0] == 3
