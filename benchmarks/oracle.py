"""The oracle: what the students that were trained could serve if the future were known.

Each night's students, passed or not, are asked all later calls of their task; of each task the
student and the threshold that serve the most of them at the accepted risk are the oracle's.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from serving.escalate import decide, unsupported
from serving.route import Route, Router
from tasks.calibrate.calibrate import confidence
from tasks.core.contract import agree, answer
from tasks.core.records import Call, Json
from tasks.core.task import Task, load_one
from tasks.students.adapters import open_student

Said = tuple[float, bool]  # an answer's confidence, and whether it is the teacher's
Reply = Callable[[str], Json]


def share(
    home: Path, days: Sequence[tuple[str, Sequence[Call]]], reply: Reply, alpha: float
) -> dict[str, int]:
    """Return how many calls of each day the oracle serves.

    `days` with their calls, `reply` by call id.
    """
    nights = [path.name for path in sorted((home / "nights").iterdir())]
    served: dict[str, int] = {day: 0 for day, _ in days}
    for place, night in enumerate(nights):
        until = nights[place + 1] if place + 1 < len(nights) else "9999"
        later = [(day, call) for day, calls in days if day > night for call in calls]
        for chosen in _chosen(home / "nights" / night, later, reply, alpha):
            for day in chosen:
                served[day] += night < day <= until
    return served


def _chosen(
    night: Path, later: Sequence[tuple[str, Call]], reply: Reply, alpha: float
) -> Iterator[list[str]]:
    """Of each task of a night, the days of the calls that its best student serves."""
    trained: defaultdict[str, list[Path]] = defaultdict(list)
    for adapter in sorted(night.glob("train/*/*/adapter")):
        trained[adapter.parents[1].name].append(adapter)
    found = {name: load_one(night / "dataset" / name) for name in trained}
    router = Router(
        [
            Route(task=task, adapter=name, version=0, threshold=-math.inf)
            for name, task in found.items()
        ]
    )
    asked: defaultdict[str, list[tuple[str, Call, str]]] = defaultdict(list)
    for day, call in later:
        match = router.find(call.request)
        if match and not unsupported(call.request):
            asked[match.route.task.id].append((day, call, match.prompt))
    for name, rows in asked.items():
        options = (_best(adapter, found[name], rows, reply, alpha) for adapter in trained[name])
        yield max(options, key=len)


def _best(
    adapter: Path,
    task: Task,
    rows: Sequence[tuple[str, Call, str]],
    reply: Reply,
    alpha: float,
) -> list[str]:
    """The days of the calls that a student serves at its best threshold in hindsight."""
    said = open_student(adapter).answer([prompt for *_, prompt in rows])
    ranked = []
    for (day, call, _), given in zip(rows, said, strict=True):
        if decide(task, -math.inf, call.request, given).serve:
            right = agree(answer(reply(call.id), task.contract), given.text, task.contract)
            ranked.append((confidence(given.logprobs), day, right))
    ranked.sort(reverse=True)
    wrong = most = 0
    for place, (_, _, right) in enumerate(ranked, 1):
        wrong += not right
        if wrong <= alpha * place:
            most = place
    return [day for _, day, _ in ranked[:most]]
