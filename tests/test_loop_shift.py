"""The certificate is kept, every service real: the teacher changes, and the loop follows."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import date, datetime
from pathlib import Path

import msgspec
import pytest

from examples import teacher
from examples.desk import kind_of
from flows.cli.demo import SHIFT
from registry import ledger, rulings
from tasks.core.contract import agree, answer_of

pytestmark = pytest.mark.soak
ROOT = Path(__file__).parents[1]
CALLS, DAYS = 2_400, 5
AFTER = datetime.fromisoformat(SHIFT).timestamp()
CHANGED = ("route", "address")


class Line(msgspec.Struct):
    """What is needed of a journal line."""

    at: float
    request: dict[str, object]
    reply: dict[str, object]
    answered_by: str
    reason: str
    task: str | None = None


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five days with a night between each; on the third morning two kinds of answers change."""
    if "FLYWHEEL_SHIFT_HOME" in os.environ:  # a home that `flywheel run --shift` has left
        return Path(os.environ["FLYWHEEL_SHIFT_HOME"])
    folder = tmp_path_factory.mktemp("shift") / "home"
    command = [sys.executable, "-m", "flows.cli", "run", "--shift", "--home", str(folder)]
    run = subprocess.run(
        [*command, "--calls", str(CALLS), "--days", str(DAYS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    return folder


def calls(home: Path) -> list[Line]:
    """All calls, oldest first."""
    lines = (line for f in (home / "journal").glob("*.jsonl") for line in f.open("rb"))
    found = [msgspec.json.decode(line, type=Line) for line in lines]
    return sorted(found, key=lambda line: line.at)


def wrong(line: Line) -> bool:
    """Whether a student served what the teacher would not have said."""
    truth = teacher.complete(line.request, shifted=line.at >= AFTER)["choices"][0]["message"]
    return not agree(answer_of(line.reply), answer_of(truth))


def test_the_changed_kinds_are_revoked_and_come_back(home: Path) -> None:
    """Few wrong answers are served, none of the kind after the revocation; students come back."""
    found = calls(home)
    revoked = {e.task: e for e in ledger.entries(home) if e.breach}
    changed = [name for name in revoked if name in rulings.changes(ledger.entries(home))]
    for kind in CHANGED:
        mine = [line for line in found if kind_of(line.request) == kind]
        task = next(line.task for line in mine if line.task)
        before = [line for line in mine if line.at < AFTER and line.answered_by != "teacher"]
        if not before:
            continue  # this kind had no champion yet
        late = [line for line in mine if line.at >= AFTER]
        day = [line for line in late if line.at < AFTER + 18 * 3600]
        served = [line for line in day if line.answered_by != "teacher"]
        wrongly = sum(map(wrong, served))
        print(f"{kind}: {len(served)} answers served after the change, {wrongly} of them wrong")
        assert task in changed
        assert wrongly <= 150
        assert any(line.reason == "revoked" for line in day)
        assert revoked[task].breach
        assert abs(revoked[task].breach.changed - AFTER) < 6 * 3600
        last = [line for line in late if line.at >= AFTER + 42 * 3600]
        back = [line for line in last if line.answered_by != "teacher"]
        print(f"{kind}: {len(back)} of {len(last)} answers served on the last day")
        assert sum(map(wrong, back)) <= 0.1 * len(back) + 2
    assert changed


def test_the_others_serve_on(home: Path) -> None:
    """Kinds that did not change lose no champion."""
    others = {
        line.task for line in calls(home) if line.task and kind_of(line.request) not in CHANGED
    }
    assert not others & {e.task for e in ledger.entries(home) if e.breach}


def test_the_curve_rises_and_falls(home: Path) -> None:
    """Escalation falls, rises on the day of the change, and falls again."""
    share: dict[date, list[bool]] = {}
    for line in calls(home):
        share.setdefault(datetime.fromtimestamp(line.at).date(), []).append(
            line.answered_by == "teacher"
        )
    days = [sum(day) / len(day) for _, day in sorted(share.items())]
    print(" → ".join(f"{day:.1%}" for day in days))
    assert days[1] < days[0]
    assert days[-1] < max(days[2:])
