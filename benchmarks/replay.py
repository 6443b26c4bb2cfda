"""A recorded log as if it were live: day by day through gateway, pool and nights, all of them real.

    python -m benchmarks.replay --data calls.jsonl.gz [--nights 2,4,8 | every:2] [--days 14]
        [--more others.jsonl.gz ...]
        [--home FOLDER] [--shift TASK:DAY] [--no-shadow] [--no-oracle] [--offline]

The recorded reply is the teacher. For each day: the calls, the share that still went to the
teacher and why, how many of *all* served answers are what the teacher would have said, and the
share that an oracle would serve with the same students. With --shift the teacher renames the
answers of one task (by the beginning of its id) from that day on. Draws a plot; the last line is
JSON, with each night's calls that are in datasets, and why others are not. Days are numbered from
1; --home is emptied first, but for what de-identification has read. --offline leaves Prefect and
MLflow's server out: nights are called as plain functions, retries and time limits do not exist, and
the registry is a database file. Gateway and pool stay the real ones.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import shutil
import statistics
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import gettempdir

import msgspec
from rich.table import Table

from benchmarks import oracle, plain, recorded, sets
from benchmarks.recorded import Sent, Teacher
from flows import console
from flows.cli import stack as local
from tasks.core import params, stage
from tasks.core.contract import agree, answer
from tasks.core.params import load
from tasks.core.records import Call
from tasks.core.stage import Refused
from tasks.core.task import Task
from tasks.core.task import load as load_tasks
from tasks.evaluate.significance import wilson

WIDE = 50
TICKS = 24  # of a day, at which shadows are looked at


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """One day: counts of calls; `agreed` of the `served` answers are what the teacher says."""

    number: int
    day: str
    calls: int
    served: int
    agreed: int
    reasons: dict[str, int]
    student_ms: float
    teacher_ms: float
    oracle: int | None = None

    @property
    def escalation(self) -> float:
        """The share that the teacher answered."""
        return 1 - self.served / self.calls


@dataclass(frozen=True, slots=True)
class Plan:
    """A replay: the days of traffic, those with a night after them, and the shift."""

    nights: frozenset[int]
    shift: tuple[str, int] | None = None
    offline: bool = False


def replay(
    home: Path, days: Sequence[tuple[str, list[Call]]], plan: Plan
) -> tuple[list[Day], Teacher]:
    """Send the days, with a night after those of the plan; the figures of each day."""
    teacher = Teacher({call.id: call for _, calls in days for call in calls})
    _empty(home)
    found = []
    with (
        local.lock(home),
        recorded.served(teacher) as url,
        recorded.services(home, url, plan.offline) as gateway,
    ):
        night, look = _flows(plan.offline)
        for number, (day, calls) in enumerate(days, 1):
            if plan.shift and plan.shift[1] == number:
                _shift(teacher, home, plan.shift[0])
            sent = _day(home, gateway, f"day {number} · {day}", calls, look)
            found.append(_figures(number, day, sent, home, teacher))
            console.say(f"  {found[-1].escalation:.1%} escalated; {_reasons(found[-1])}")
            if number in plan.nights and number < len(days):
                night(day, str(home))
    return found, teacher


def _empty(home: Path) -> None:
    """Remove what an earlier replay left, but for the texts that de-identification has read."""
    for path in home.glob("*"):
        if path.name == "scanned.gz":
            continue
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _flows(offline: bool) -> tuple[Callable[[str, str], object], Callable[[str], object]]:
    """Return what runs a night, and what looks: the flows, or the same as plain functions."""
    if offline:
        return plain.night, plain.look
    from flows.nightly import nightly
    from flows.promote import promote
    from flows.watch import watch

    def look(home: str) -> None:
        watch(home, return_state=True)
        promote(home, return_state=True)

    return partial(nightly, return_state=True), look


def _day(
    home: Path,
    gateway: str,
    name: str,
    calls: Sequence[Call],
    look: Callable[[str], object],
) -> list[Sent]:
    """Send a day's calls; look some times, as is done every minute of a live day."""
    sent: list[Sent] = []
    each = math.ceil(len(calls) / TICKS)
    with console.bar(name, len(calls)) as advance:
        for part in range(0, len(calls), each):
            sent += asyncio.run(recorded.send(gateway, calls[part : part + each]))
            advance(len(sent))
            if _tasks(home):
                recorded.drain(gateway)
                look(str(home))
    return sent


def _tasks(home: Path) -> dict[str, Task]:
    """The tasks that the last night found."""
    nights = sorted((home / "nights").glob("*/cluster/tasks.json"))
    return {task.id: task for task in load_tasks(nights[-1])} if nights else {}


def _shift(teacher: Teacher, home: Path, name: str) -> None:
    mine = [task for key, task in _tasks(home).items() if key.startswith(name)]
    if not mine:
        raise Refused(f"--shift: no task begins with {name!r}; there are {', '.join(_tasks(home))}")
    console.say(
        f"The teacher renames its answers to {teacher.shift(mine[0])} calls of {mine[0].id}"
    )


def _figures(number: int, day: str, sent: list[Sent], home: Path, teacher: Teacher) -> Day:
    known, served = _tasks(home), [one for one in sent if one.served]
    agreed = 0
    for one in served:
        contract = known[one.task].contract
        said = answer(one.reply, contract), answer(teacher.reply(one.call.id), contract)
        agreed += agree(*said, contract)
    return Day(
        number=number,
        day=day,
        calls=len(sent),
        served=len(served),
        agreed=agreed,
        reasons=dict(Counter(one.reason for one in sent if not one.served).most_common()),
        student_ms=_median(one.seconds for one in served),
        teacher_ms=_median(one.seconds for one in sent if not one.served),
    )


def _median(seconds: Iterator[float]) -> float:
    found = list(seconds)
    return round(1000 * statistics.median(found), 1) if found else 0.0


def _reasons(day: Day) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in day.reasons.items())


def table(days: Sequence[Day]) -> Table:
    """The days for people."""
    made = Table("day", "calls", "escalated", "served", "agreed", "oracle", "why escalated")
    for day in days:
        agreed = f"{day.agreed / day.served:.1%}" if day.served else "–"
        best = "–" if day.oracle is None else f"{day.oracle / day.calls:.1%}"
        why = _reasons(day)
        made.add_row(
            f"{day.number}", f"{day.calls}", f"{day.escalation:.1%}", f"{day.served}", agreed,
            best, why,
        )  # fmt: skip
    return made


def plot(days: Sequence[Day]) -> None:
    """A bar of each day's escalation; `|` is where the oracle's would end."""
    console.say("\nShare that the teacher answers (| the oracle's)")
    for day in days:
        bar = list("█" * round(WIDE * day.escalation) + " " * WIDE)[: WIDE + 1]
        if day.oracle is not None:
            bar[round(WIDE * (1 - day.oracle / day.calls))] = "|"
        console.say(f"{day.number:>4} {''.join(bar)} {day.escalation:.1%}")


def summary(days: Sequence[Day]) -> dict[str, object]:
    """All that the last line says."""
    served, agreed = sum(day.served for day in days), sum(day.agreed for day in days)
    low, high = wilson(agreed / served if served else 0.0, served)
    best = [day.oracle for day in days if day.oracle is not None]
    return {
        "calls": sum(day.calls for day in days),
        "served": served,
        "agreement": round(agreed / served, 4) if served else None,
        "interval": [round(low, 4), round(high, 4)] if served else None,
        "of_oracle": round(served / sum(best), 4) if sum(best) else None,
        "escalation": {day.number: round(day.escalation, 4) for day in days},
        "days": [asdict(day) for day in days],
    }


def numbers(said: str, last: int) -> frozenset[int]:
    """`2,4,8` or `every:2` as the numbers of days. Raises Refused."""
    try:
        if said.startswith("every:"):
            step = int(said.removeprefix("every:"))
            return frozenset(range(step, last + 1, step))
        return frozenset(int(part) for part in said.split(","))
    except ValueError:
        raise Refused(f"--nights is {said!r}; say 2,4,8 or every:2") from None


def run(chosen: argparse.Namespace) -> dict[str, object]:
    """Replay, and show what came of it."""
    if chosen.no_shadow:
        _without_shadows()
    days = recorded.days(chosen.data, chosen.more)[: chosen.days]
    name, _, since = chosen.shift.rpartition(":") if chosen.shift else ("", "", "")
    if chosen.shift and not (name and since.isdecimal()):
        raise Refused(f"--shift is {chosen.shift!r}; say TASK:DAY, such as route-1a2b3c:5")
    shift = (name, int(since)) if name else None
    plan = Plan(numbers(chosen.nights, len(days)), shift, chosen.offline)
    found, teacher = replay(chosen.home.resolve(), days, plan)
    if not chosen.no_oracle:
        with console.stage("asking the oracle"):
            best = oracle.share(chosen.home, days, teacher.reply, load().calibrate.accepted())
        found = [replace(day, oracle=best[day.day]) for day in found]
    console.console.print(table(found))
    plot(found)
    return summary(found) | {"funnel": funnel(chosen.home)}


def funnel(home: Path) -> dict[str, dict[str, int]]:
    """By night, the clean calls in the window, those in datasets, and why others are in none."""
    folders = sorted((home / "nights").glob("*/dataset"))
    counts = {folder.parent.name: stage.counts(folder) for folder in folders}
    return {
        night: {"clean": one.read, "in a dataset": one.kept, **one.dropped}
        for night, one in counts.items()
        if one
    }


def _without_shadows() -> None:
    """Let all services read params in which no shadow is asked."""
    known = msgspec.yaml.decode((params.DEFAULT).read_bytes())
    known["serve"]["shadow"] = 0.0
    file = Path(gettempdir()) / "flywheel-replay-params.yaml"
    file.write_bytes(msgspec.yaml.encode(known))
    os.environ["FLYWHEEL_PARAMS"] = str(file)


def main() -> None:
    """Read the arguments and print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=sets.home() / "mixes" / "visible.jsonl.gz")
    parser.add_argument(
        "--more", type=Path, nargs="*", default=[], help="files of calls that come in between"
    )
    parser.add_argument("--nights", default="every:1", help="2,4,8 or every:2 (default: every day)")
    parser.add_argument("--days", type=int, default=None, help="the first of them only")
    parser.add_argument("--home", type=Path, default=Path(gettempdir()) / "flywheel-replay")
    parser.add_argument("--shift", default="", help="TASK:DAY")
    parser.add_argument("--no-shadow", action="store_true", help="certify at night only")
    parser.add_argument("--offline", action="store_true", help="without Prefect and MLflow")
    parser.add_argument("--no-oracle", action="store_true", help="leave the oracle out")
    try:
        print(json.dumps(run(parser.parse_args())))
    except Refused as error:
        print(f"flywheel: {error}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
