"""Calls that are routed later land where their kind of work was learned."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pyarrow.parquet as pq
import pytest

from benchmarks.routing import learned_in, router
from tasks.cluster.cluster import cluster
from tasks.cluster.template_mining import pattern_of
from tasks.core.params import Cluster
from tasks.core.records import CleanCall
from tasks.core.task import load
from tests.traffic import call, tickets, write

LEAST = 30
RULES = "You are the assistant of a town. Ask for what is missing, then call one of the services.\n"
SERVICES = {
    "buses": "Buses_1: find a bus to any place that you like",
    "events": "Events_2: seats in the best halls and clubs around",
    "homes": "Homes_1: flats to rent and when to look at them",
    "music": "Music_3: play songs of your favourite singers",
    "banks": "Banks_1: look at accounts and send some money",
    "films": "Films_2: what is on and in which cinema tonight",
}
PAIRS = [(a, b) for a in SERVICES for b in SERVICES if a < b]
GROWN = ("buses", "events")


def town(pairs: list[tuple[str, str]], start: int) -> Iterator[CleanCall]:
    """Calls of one program; each declares the tools of two services and names them in any order."""
    rng = Random(start)
    for number, pair in enumerate(pairs, start):
        told = "\n".join(f"- {SERVICES[name]}" for name in rng.sample(pair, 2))
        tools = [
            {"type": "function", "function": {"name": f"{do}_{name}", "parameters": {}}}
            for name in pair
            for do in ("find", "book")
        ]
        made = call(number, RULES + told, f"number {rng.randint(1, 999)} for {pair[0]}", "")
        function = {"name": f"find_{pair[0]}", "arguments": json.dumps({"n": number})}
        reply = {"role": "assistant", "tool_calls": [{"id": "1", "function": function}]}
        yield CleanCall(
            id=made.id,
            at=made.at,
            source=made.source,
            request={**made.request, "tools": tools},
            reply=reply,
        )


@pytest.fixture(scope="module")
def growing() -> list[CleanCall]:
    """A hundred and twenty calls of fifteen rare kinds, then as many, half of them of one kind."""
    early = town(PAIRS * 8, 0)
    late = town((PAIRS * 4 + [GROWN] * 60), 1_000)
    return [*early, *late]


def figures(folder: Path, calls: list[CleanCall]) -> dict[str, float]:
    """The benchmark's figures after a night with all of the calls."""
    folder.mkdir(exist_ok=True)
    cluster([write(folder / "calls.parquet", calls)], folder, Cluster(min_calls=LEAST))
    table = pq.read_table(folder / "assignment.parquet").to_pydict()
    task_of = dict(zip(table["call_id"], table["task_id"], strict=True))
    return router(calls, task_of, load(folder), LEAST)


def test_work_that_becomes_a_task_of_its_own_was_routed_where_it_was_learned(
    tmp_path: Path, growing: list[CleanCall]
) -> None:
    """Its calls are no mistakes of the router; and the new task's template is the closer one."""
    found = figures(tmp_path, growing)
    assert found["agrees"] == found["routed"] == found["own first"] == 1.0
    assert found["split since"] > 0.3


def test_a_task_was_learned_in_one_group() -> None:
    """A task was learned where most of its earlier calls were; unknown work was learned nowhere."""
    places = {"a": 0, "b": 0, "c": 1, "d": 1, "e": 1, "lost": 1}
    task_of = {"a": "x", "b": "y", "c": "y", "d": "y", "e": "z", "later": "new"}
    assert learned_in(places, task_of) == {"x": 0, "y": 1, "z": 1}


def test_work_that_was_learned_nowhere_counts_against_the_router(tmp_path: Path) -> None:
    """Calls that the clustering gives to a task that had none before are routed to a wrong one."""
    calls = list(tickets(160))
    task_of = {c.id: "new" if n >= 120 else "old" for n, c in enumerate(calls)}
    cluster([write(tmp_path / "calls.parquet", calls)], tmp_path, Cluster(min_calls=LEAST))
    assert router(calls, task_of, load(tmp_path), LEAST)["agrees"] == 0.5


def test_what_all_prompts_begin_with_stays_constant_when_what_follows_varies() -> None:
    """Lists in any order, longer or shorter, take no instructions before them along."""
    items = list(SERVICES.values())
    texts = [f"{RULES}- {items[0]}"] * 30 + [f"{RULES}- {items[1]}\n- {items[0]}"] * 10
    swapped = [f"{RULES}- {a}\n- {b}" for a, b in [items[:2], items[1::-1]] for _ in range(20)]
    assert pattern_of(texts, user=False).constants[0].startswith(RULES)
    assert pattern_of(texts, user=False).constants[-1].endswith(items[0])
    assert pattern_of(swapped, user=False).constants[0].startswith(RULES)


def test_a_constant_of_which_nothing_is_shared_goes() -> None:
    """Two prompts that have nothing in common leave one free text."""
    texts = ["one two three four five six"] * 20 + ["seven eight nine ten eleven twelve"] * 20
    assert pattern_of(texts, user=False).constants == ("", "")
