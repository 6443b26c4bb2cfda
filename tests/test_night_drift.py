"""Drift of a task's day: what differs is said, what is the same is not; nobody is revoked."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import served

from flows.night import day_drift
from flows.night.folders import Night
from registry.bundle import ComparedAnswer, Lineage
from tasks.core.params import Params
from tasks.core.rows import Row, write_rows
from tasks.core.stage import write_atomic
from tasks.report.drift import DriftFile, counts, numbers, section

DAY, BEFORE = "2026-03-03", "2026-03-02"
ROUTE = replace(served.route("route"), adapter="route-abc123-v3-1a2b3c4d")
ASKED = served.requests("route", 200)


def prompts(shift: str = "") -> list[dict[str, Any]]:
    """Requests of the task; longer and of other words where something is put before them."""
    if not shift:
        return ASKED
    long = msgspec.json.decode(msgspec.json.encode(ASKED))
    for request in long:
        user = request["messages"][-1]
        user["content"] = user["content"].replace("Message: ", f"Message: {shift}")
        if shift not in user["content"]:
            user["content"] += shift
    return list(long)


def line(request: dict[str, Any], confidence: float, reason: str) -> dict[str, Any]:
    """A line of the journal."""
    student = {"confidence": confidence, "adapter": ROUTE.adapter, "version": 3, "since": 0.0}
    return {"task": ROUTE.task.id, "reason": reason, "request": request, "student": student}


def journal(home: Path, day: str, asked: list[dict[str, Any]], sure: float) -> None:
    """A day whose students are so sure on average."""
    drawn = random.Random(day)
    lines = []
    for request in asked:
        confidence = -drawn.expovariate(1 / sure)
        reason = "served" if confidence >= ROUTE.threshold else "not confident"
        lines.append(msgspec.json.encode(line(request, confidence, reason)))
    (home / "journal").mkdir(exist_ok=True)
    (home / "journal" / f"{day}.jsonl").write_bytes(b"\n".join(lines) + b"\n")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home whose champion learned from the same kind of calls, and a usual day."""
    served.write_routes(tmp_path, ROUTE)
    folder, drawn = tmp_path / "adapters" / ROUTE.adapter, random.Random(1)
    template = ROUTE.task.template
    found = [template.payload(request) for request in served.requests("route", 200, seed=5)]
    texts = [template.prompt(payload) for payload in found if payload is not None]
    same = {"prompt": "", "expected": "", "given": "", "agrees": True, "weight": 1.0}
    answers = [ComparedAnswer(**same, score=-drawn.expovariate(1 / 0.3)) for _ in range(200)]
    write_atomic(folder / "answers.json", msgspec.json.encode(answers))
    lineage = Lineage(night=BEFORE, dataset="none")
    write_atomic(folder / "lineage.json", msgspec.json.encode(lineage))
    learned = tmp_path / "nights" / BEFORE / "dataset" / ROUTE.task.id / "train.parquet"
    learned.parent.mkdir(parents=True)
    made = [Row(f"r{n}", 1.0, f"g{n}", text, "a", 1.0) for n, text in enumerate(texts)]
    write_rows(learned, made)
    journal(tmp_path, BEFORE, ASKED, 0.3)
    day_drift.measure(Night(tmp_path, BEFORE, Params()))
    return tmp_path


def measured(home: Path) -> DriftFile:
    """The day's drift."""
    return day_drift.measure(Night(home, DAY, Params()))


def test_a_usual_day_warns_of_nothing(home: Path) -> None:
    """Four comparisons, none of them odd; the report says nothing."""
    journal(home, DAY, served.requests("route", 200, seed=9), 0.3)
    file = measured(home)
    assert len(file.found) == 4
    assert (file.odd, section(file)) == ([], "")


def test_students_that_are_less_sure(home: Path) -> None:
    """Their confidence, and why they escalate."""
    journal(home, DAY, ASKED, 1.0)
    file = measured(home)
    assert {one.what for one in file.odd} == {"confidence", "reasons for escalation"}
    assert f"{ROUTE.task.id}: the confidence has changed" in section(file)


def test_other_payloads(home: Path) -> None:
    """Longer ones, of words that nobody has learned."""
    journal(home, DAY, prompts(" zugehörige Unterlagen liegen seit gestern leider nicht vor"), 0.3)
    odd = {one.what for one in measured(home).odd}
    assert odd == {"length of the payload", "unknown words in the payload"}


def test_a_new_version_is_not_compared_with_the_one_before(home: Path) -> None:
    """Its reasons are its own."""
    served.write_routes(home, replace(ROUTE, version=4))
    journal(home, DAY, ASKED, 1.0)
    assert measured(home).found == []


def test_little_says_nothing() -> None:
    """Below thirty of either, or of one value, there is no test."""
    assert numbers("t", "x", [1.0] * 29, [2.0] * 500) == []
    assert counts("t", "x", {"served": 500}, {"served": 400}) == []
    assert counts("t", "x", {"a": 10}, {"b": 500}) == []
    (found,) = numbers("t", "x", [1.0] * 30, [2.0] * 30)
    assert found.odd(100)
    assert not replace(found, p=1e-4).odd(100)
