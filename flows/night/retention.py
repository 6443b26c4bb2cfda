"""Retention of a home's data: raw calls leave after days; counts, fingerprints and proofs stay.

Raw calls are in the journal, in what each night read and validated (with what it quarantined
there), and, as far as they repeat the payload, in the answers of shadows. Nothing else in a home
holds them: what follows `deidentify` is clean.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import msgspec

from flows.night.folders import Night
from serving.shadow import FOLDER as SHADOW
from tasks.core import encryption
from tasks.core.records import Json
from tasks.core.stage import MANIFEST, counts, write_atomic
from tasks.ingest.shards import SEEN
from tasks.report import days as report

RAW = ("ingest", "validate")
STAYS = frozenset({MANIFEST, SEEN, "checks.json"})  # counts, fingerprints and sentences: no text


@dataclass(frozen=True, slots=True)
class Forgotten:
    """Files and bytes of raw calls that were removed, from before a day (`YYYY-MM-DD`)."""

    before: str
    files: int
    bytes: int


def forget(night: Night) -> Forgotten | None:
    """Remove the raw calls of days too long before this night's; None where they may stay for ever.

    Goes by the night's day, not by the clock, so that a replayed month is forgotten as a lived one.
    """
    days = night.params.retention.days
    if not days:
        return None
    before = (date.fromisoformat(night.day) - timedelta(days=days)).isoformat()
    report.keep(night.home / "journal", before, night.params.economics)
    paths = [p for p in _raw(night.home) if _day(night.home, p) < before]
    sizes = [path.stat().st_size for path in paths]
    for path in paths:
        path.unlink()
    for folder in (night.home / "nights").glob("*"):
        if folder.name < before:
            shutil.rmtree(folder / "validate" / "data_docs", ignore_errors=True)
    for path in (night.home / SHADOW).glob("*/*.jsonl"):
        if path.name[:10] < before:
            _without_answers(path)
    gone = Forgotten(before, len(paths), sum(sizes))
    write_atomic(night.out("retention.json"), msgspec.json.encode(gone))
    return gone


def _raw(home: Path) -> Iterator[Path]:
    """The files of a home that hold raw calls."""
    yield from (home / "journal").glob("*.jsonl*")
    for night in home.glob("nights/*"):
        stays = STAYS if counts(night / "deidentify") else ()  # else it begins anew, if ever
        for folder in (f for name in RAW for f in night.glob(f"*{name}*")):  # a killed one's too
            yield from (p for p in folder.rglob("*") if p.is_file() and p.name not in stays)


def _day(home: Path, path: Path) -> str:
    """The day that a file is of: a journal's is its name, a night's its folder."""
    inside = path.relative_to(home)
    return path.name[:10] if inside.parts[0] == "journal" else inside.parts[1]


def _without_answers(path: Path) -> None:
    """Empty the answers in a shadow's file; whether they agreed, and how sure they were, stays.

    Without them there is nothing to encrypt: it is read when the key is another one, too.
    """
    lines = (line.strip() for line in encryption.lines(path))
    kept = b"".join(_emptied(line) + b"\n" for line in lines if line)
    if kept != path.read_bytes():
        write_atomic(path, kept)


def _emptied(line: bytes) -> bytes:
    try:
        entry: Json = msgspec.json.decode(line)
    except msgspec.DecodeError:  # torn by a crash: nobody reads it
        return b"{}"
    return msgspec.json.encode(entry | {"answer": ""}) if entry.get("answer") else line
