"""What tells that the teacher became another: its model, its fingerprint, several tasks at once."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
import served

from flows.night import teacher_change
from flows.night.folders import Night
from registry import ledger
from registry.ledger import Breach
from serving import audit_history
from serving.evidence import EvidenceKey, Observation, RiskTest
from tasks.core.params import Params

ROUTE = served.route("route")
DAY = 86_400.0
Seen = tuple[str, str]  # the model that was asked for, and what the reply names


@pytest.fixture
def night(tmp_path: Path) -> Night:
    """A night in an empty home."""
    return Night(tmp_path, "2026-03-02", Params())


def observations(*seen: Seen, start: int = 0) -> list[Observation]:
    """Audited answers, one a minute."""
    return [
        Observation(
            id=f"c{start + n}",
            at=60.0 * (start + n),
            key=EvidenceKey.of(ROUTE),
            wrong=False,
            conversation=f"c{start + n}",
            opening="",
            request="",
            teacher=teacher,
            asked=asked,
        )
        for n, (asked, teacher) in enumerate(seen)
    ]


OLD, NEW = ("large", "large-2026 fp_1"), ("large", "large-2026 fp_2")


def test_another_fingerprint_is_an_event(night: Night) -> None:
    """Once, with the time of its first reply, however often it is looked at."""
    seen = observations(*[OLD] * 5, *[NEW] * 3)
    (said,) = teacher_change.events(night, seen)
    assert said == "Calls for large are answered by large-2026 fp_2, no longer by large-2026 fp_1"
    (entry,) = ledger.entries(night.home)
    assert (entry.changed, entry.moved, entry.who) == (300.0, False, "watch")
    assert teacher_change.events(night, seen) == []
    back = observations(*[OLD] * 5, start=20)
    assert teacher_change.events(night, [*seen, *back]) == []  # two servers that take turns


@pytest.mark.parametrize(
    "seen",
    [
        [OLD] * 5 + [NEW] * 2,  # two slips
        [NEW] * 5,  # nothing was known before
        [OLD] * 5 + [("small", "small-2026 fp_9")] * 5,  # callers ask for two models
        [OLD] * 5 + [("large", "")] * 5,  # replies that do not say who they are from
    ],
)
def test_no_change_is_no_event(night: Night, seen: list[Seen]) -> None:
    """Nothing is written, nobody is told."""
    assert teacher_change.events(night, observations(*seen)) == []
    assert ledger.entries(night.home) == []


class Registry:
    """A registry in memory."""

    def __init__(self) -> None:
        self.champions: dict[str, int | None] = {}

    def champion(self, name: str) -> int | None:
        """The number of a task's champion."""
        return self.champions.get(name, 1)

    def set_champion(self, name: str, number: int | None) -> None:
        """Move the alias."""
        self.champions[name] = number


def revoke(home: Path, revoked: Iterable[tuple[str, float, bool]]) -> None:
    """Take champions out: task, when its answers changed, and whether no earlier version stood."""
    store = Registry()
    for task, changed, teacher in revoked:
        breach = Breach(audits=9, wrong=5, alpha=0.05, e=1e4, changed=changed, teacher=teacher)
        out = {"expected": store.champion(task), "reason": "Revoked", "now": changed + 60}
        ledger.promote(home, store, task, None, who=ledger.WATCH, breach=breach, **out)


def test_several_tasks_within_a_day_are_an_event(night: Night) -> None:
    """The teacher is what they have in common; it is said once, and all champions are in doubt."""
    revoke(night.home, [("routing", 1_000.0, True), ("triage", 5_000.0, True)])
    (said,) = teacher_change.events(night, [])
    assert said == "The teacher answers routing and triage otherwise within a day: it has changed"
    assert teacher_change.events(night, []) == []
    assert teacher_change.raise_audits(night, [RiskTest(ROUTE, 3_000)], [])
    assert audit_history.raised(night.home) == {ROUTE.task.id: 0.5}


@pytest.mark.parametrize(
    "revoked",
    [
        [("routing", 1_000.0, True)],
        [("routing", 1_000.0, True), ("triage", 1_000.0 + 2 * DAY, True)],
        [("routing", 1_000.0, True), ("triage", 5_000.0, False)],  # an earlier version stands
    ],
)
def test_single_tasks_are_no_event(night: Night, revoked: list[tuple[str, float, bool]]) -> None:
    """One task's student may be at fault."""
    revoke(night.home, revoked)
    assert teacher_change.events(night, []) == []


def test_several_gateways_share_the_false_alarms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each audit is in its gateway's test and in that of all: half of the budget for each."""
    journal = tmp_path / "journal"
    journal.mkdir()
    (journal / "2026-03-02.jsonl").touch()
    (journal / "2026-03-01.jsonl.1").touch()
    assert audit_history.alarm(tmp_path, 3_000) == 3_000
    (journal / "2026-03-02.gateway-7f.jsonl").touch()
    assert audit_history.alarm(tmp_path, 3_000) == 6_000
    (journal / "2026-03-02.gateway-7f.jsonl").unlink()
    monkeypatch.setenv("JOURNAL_WRITER", "gateway-7f")  # which has not written yet
    assert audit_history.alarm(tmp_path, 3_000) == 6_000
