"""The journals of several gateways, read bit by bit and put together."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import msgspec
import served
from served import requests, write_routes

from serving import audit_history

ROUTE = served.route("route")
ASKED = requests("route", 5)
AT = 1_772_409_600.0  # 2026-03-02


def line(number: int, agrees: bool = False) -> bytes:
    """A journal line of an audited answer."""
    found: dict[str, Any] = {
        "id": f"c{number}",
        "at": AT + number,
        "task": ROUTE.task.id,
        "request": {**ASKED[0], "seed": number},
        "answered_by": ROUTE.adapter,
        "student": {"adapter": ROUTE.adapter, "version": 3, "since": 0.0},
        "audit": {"agrees": agrees, "model": "large", "fingerprint": "fp_1"},
    }
    return msgspec.json.encode(found) + b"\n"


def write(home: Path, name: str, *found: bytes) -> Path:
    """Add lines to a file of the journal."""
    file = home / "journal" / name
    file.parent.mkdir(exist_ok=True)
    with file.open("ab") as opened:
        opened.write(b"".join(found))
    return file


def ids(home: Path) -> list[str]:
    return [found.id for found in audit_history.gather(home)]


def test_gateways_are_pooled(tmp_path: Path) -> None:
    """Each sees too little, both together enough: the champion is found out."""
    write_routes(tmp_path, ROUTE)
    write(tmp_path, "2026-03-02.a.jsonl", *(line(n) for n in range(3)))
    (alone,) = audit_history.tests(tmp_path, 3_000, audit_history.gather(tmp_path))
    assert (alone.n, alone.alarm) == (3, None)
    write(tmp_path, "2026-03-02.b.jsonl", *(line(n) for n in range(3, 6)))
    (both,) = audit_history.tests(tmp_path, 3_000, audit_history.gather(tmp_path))
    assert both.alarm == 5


def test_each_line_counts_once_wherever_it_lies(tmp_path: Path) -> None:
    """Also where a file is renamed, packed, or read while a line is being written."""
    whole = line(2)
    write(tmp_path, "2026-03-02.jsonl", line(0), line(1), whole[:40])
    assert ids(tmp_path) == ["c0", "c1"]
    file = write(tmp_path, "2026-03-02.jsonl", whole[40:])
    assert ids(tmp_path) == ["c0", "c1", "c2"]
    moved = file.rename(f"{file}.1")
    write(tmp_path, "2026-03-02.jsonl", line(3))
    assert ids(tmp_path) == ["c0", "c1", "c2", "c3"]
    Path(f"{moved}.gz").write_bytes(gzip.compress(moved.read_bytes() + line(4)))
    moved.unlink()
    assert ids(tmp_path) == ["c0", "c1", "c2", "c3", "c4"]
    for file in (tmp_path / "journal").iterdir():
        file.unlink()
    assert ids(tmp_path) == ["c0", "c1", "c2", "c3", "c4"]


def test_what_a_crash_tore_is_read_again(tmp_path: Path) -> None:
    """A look that died before it wrote down how far it came costs nothing."""
    write(tmp_path, "2026-03-02.jsonl", line(0), line(1))
    audit_history.gather(tmp_path)
    (tmp_path / audit_history.FOLDER / audit_history.READ).unlink()
    kept = tmp_path / audit_history.FOLDER / "2026-03-02.jsonl"
    kept.write_bytes(kept.read_bytes()[:-30])
    assert ids(tmp_path) == ["c0", "c1"]
    assert ids(tmp_path) == ["c0", "c1"]
