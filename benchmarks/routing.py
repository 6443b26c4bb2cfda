"""Where later calls are routed, beside where their kind of work was learned (for `cluster`)."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from serving.route import Route, Router
from tasks.cluster.discover import TemplateRouter, discover, mark_routable
from tasks.core.records import CleanCall
from tasks.core.task import Task
from tasks.core.template import Template


def learned_in(places: Mapping[str, int], task_of: Mapping[str, str]) -> dict[str, int]:
    """The group that most earlier calls of each task were found in, by the group of each call."""
    seen: defaultdict[str, Counter[int]] = defaultdict(Counter)
    for name, place in places.items():
        if name in task_of:
            seen[task_of[name]][place] += 1
    return {task: counts.most_common(1)[0][0] for task, counts in seen.items()}


def router(
    calls: Sequence[CleanCall], task_of: Mapping[str, str], tasks: Sequence[Task], least: int
) -> dict[str, float]:
    """Templates alone, found in the first half, on the second half.

    `agrees`: a call is routed to the group that its task's earlier calls were learned in. A group
    may have become several tasks since (`split since`, of the routed calls): its student knows
    that work, and answers it until the new task's own one does (`own first`, of those calls).
    """
    half = len(calls) // 2
    groups = [g for g in discover(calls[:half], least, 0) if len(g.ids) >= least]
    mark_routable(groups)
    usable = [place for place, group in enumerate(groups) if group.routable]
    routes = TemplateRouter([groups[place] for place in usable])
    start = time.perf_counter()
    found = [routes.find(call.request) for call in calls[half:]]
    micros = (time.perf_counter() - start) / len(found) * 1e6
    home = learned_in({name: n for n, g in enumerate(groups) for name in g.ids}, task_of)
    pairs = [(c, usable[n]) for c, n in zip(calls[half:], found, strict=True) if n is not None]
    right = [(c, n) for c, n in pairs if home.get(task_of.get(c.id, "")) == n]
    heir = [Counter(task_of.get(name, "") for name in g.ids).most_common(1)[0][0] for g in groups]
    split = [c for c, n in right if task_of[c.id] != heir[n]]
    own_first = _own_first(split, task_of, tasks, [groups[place].template for place in usable])
    return {
        "agrees": len(right) / len(pairs),
        "routed": len(pairs) / len(found),
        "split since": len(split) / len(pairs),
        "own first": own_first,
        "µs": micros,
    }


def _own_first(
    calls: Sequence[CleanCall],
    task_of: Mapping[str, str],
    tasks: Sequence[Task],
    former: Sequence[Template],
) -> float:
    """The share of calls that go to the task's own route where the former ones still stand."""
    own = [
        Route(task=task, adapter="", version=1, threshold=0.0)
        for task in tasks
        if task.fitness["routable"]
    ]
    old = [replace(own[0], task=replace(tasks[0], id="", template=one)) for one in former]
    routes = Router([*old, *own])
    found = [(call, routes.find(call.request)) for call in calls]
    right = sum(m is not None and m.route.task.id == task_of[call.id] for call, m in found)
    return right / len(found) if found else 1.0
