"""How a day's calls differ from what its champions learned from, by task (see `tasks.report`)."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from flows.night.folders import Night
from registry import bundle
from serving.escalate import NOT_CONFIDENT, ROLLOUT, SERVED
from serving.route import Route, RouteFile
from tasks.core import encryption
from tasks.core.records import Json
from tasks.core.rows import rows
from tasks.core.stage import write_atomic
from tasks.report import drift
from tasks.report.drift import Drift, DriftFile, TaskDay

log = logging.getLogger("flywheel")

NIGHTS = 7  # whose reasons are the usual ones
MOST = 2_000  # calls of a task that are compared


class _StudentsWord(msgspec.Struct):
    confidence: float | None = None
    version: int = 0


class _ComparedLine(msgspec.Struct):
    task: str | None = None
    reason: str = ""
    request: Json | None = None
    student: _StudentsWord | None = None


@dataclass(slots=True)
class _ChampionsDay:
    """What a day's journal says of a task's champion."""

    route: Route
    reasons: Counter[str] = field(default_factory=Counter)
    confidences: list[float] = field(default_factory=list)
    payloads: list[str] = field(default_factory=list)

    def see(self, line: _ComparedLine) -> None:
        if line.reason == ROLLOUT:
            return
        self.reasons[line.reason] += 1
        said = line.student
        if said and said.confidence is not None and line.reason in (SERVED, NOT_CONFIDENT):
            self.confidences.append(said.confidence)
        if line.request and len(self.payloads) < MOST:
            payload = self.route.task.template.payload(line.request)
            if payload is not None:
                self.payloads.append(self.route.task.template.prompt(payload))


def measure(night: Night) -> DriftFile:
    """Compare the day with its champions' training, and write it down; warnings are logged."""
    seen = _seen(night)
    usual = _usual(night)
    found = [one for of in seen.values() for one in _of(night.home, of, usual)]
    days = {
        task: TaskDay(version=of.route.version, reasons=dict(of.reasons))
        for task, of in seen.items()
    }
    file = DriftFile(tasks=days, found=found)
    write_atomic(night.out(drift.FILE), msgspec.json.encode(file))
    for one in file.odd:
        log.warning("%s", one)
    return file


def _seen(night: Night) -> dict[str, _ChampionsDay]:
    """The day's calls of each task that is served; those of another version are left out."""
    current = RouteFile(night.home / "routes.json").current().routes
    seen = {route.task.id: _ChampionsDay(route) for route in current}
    for line in _lines(night):
        of = seen.get(line.task or "")
        if of and (line.student is None or line.student.version == of.route.version):
            of.see(line)
    return {task: of for task, of in seen.items() if of.reasons}


def _lines(night: Night) -> Iterator[_ComparedLine]:
    decode = msgspec.json.Decoder(_ComparedLine).decode
    for file in sorted((night.home / "journal").glob(f"{night.day}*.jsonl")):
        for line in encryption.lines(file):
            with suppress(msgspec.DecodeError):
                yield decode(line)


def _usual(night: Night) -> dict[tuple[str, int], Counter[str]]:
    """Why calls were answered as they were in the last nights, by task and version."""
    nights = sorted(p for p in (night.home / "nights").glob("????-??-??") if p.name < night.day)
    usual: dict[tuple[str, int], Counter[str]] = {}
    for folder in nights[-NIGHTS:]:
        file = drift.read(folder)
        for task, of in file.tasks.items() if file else ():
            usual.setdefault((task, of.version), Counter()).update(of.reasons)
    return usual


def _of(
    home: Path, seen: _ChampionsDay, usual: dict[tuple[str, int], Counter[str]]
) -> Iterator[Drift]:
    """Yield what is known of a task's day beside its champion's past."""
    task, number = seen.route.task.id, seen.route.version
    yield from drift.counts(task, drift.REASONS, seen.reasons, usual.get((task, number), Counter()))
    folder = next((home / "adapters").glob(f"{task}-v{number}-*"), None)
    if folder is None:
        return
    tested = [one.score for one in bundle.answers(folder) if one.score is not None]
    yield from drift.numbers(task, drift.CONFIDENCE, seen.confidences, tested)
    of = (bundle.read(folder, "lineage") or {}).get("night", "")
    learned = home / "nights" / of / "dataset" / task / "train.parquet"
    if learned.exists():
        yield from drift.texts(task, seen.payloads, [row.prompt for row in rows(learned)][:MOST])
