"""One program with one contract is one task; what users ask for tells tasks apart."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from random import Random

import pytest

from benchmarks.layouts import RULES, TOLD, stream
from tasks.cluster.discover import discover, mark_routable
from tasks.core.records import CleanCall

LONG = "You are the assistant of a shop. You are honest and short, and never name other shops."
JOBS: dict[str, tuple[str, Callable[[Random], str]]] = {
    "summary": ("Summarise the following text:\n\n{}", lambda rng: f"It tells of {words(rng)}"),
    "feeling": (
        "Classify the feeling of the review.\n\n{}",
        lambda rng: rng.choice(("good", "bad")),
    ),
    "names": (
        "Extract label and score as JSON.\n\n{}",
        lambda rng: json.dumps({"label": rng.choice("abc"), "score": rng.randint(1, 5)}),
    ),
    "rating": (
        "Rate the tone of it.\n\n{}",
        lambda rng: json.dumps({"label": rng.choice("xyz"), "score": rng.randint(6, 9)}),
    ),
}


def words(rng: Random) -> str:
    return " ".join(rng.choices(("fine", "late", "box", "broken", "slow"), k=12))


def jobs(system: str, count: int) -> Iterator[CleanCall]:
    """Calls of four kinds of work under one prompt."""
    rng = Random(3)
    for number in range(count):
        kind, (told, answer) = rng.choice(list(JOBS.items()))
        messages = [{"role": "system", "content": system}] if system else []
        messages.append({"role": "user", "content": told.format(words(rng))})
        yield CleanCall(
            id=f"{kind}-{number}",
            at=number,
            source="",
            request={"messages": messages},
            reply={"role": "assistant", "content": answer(rng)},
        )


@pytest.mark.parametrize("prompt", ["none", "short", "long"])
@pytest.mark.parametrize("kind", ["invoices", "mails"])
def test_documents_of_many_layouts_are_one_task(kind: str, prompt: str) -> None:
    """Letterheads, signatures and forwarded headers are the documents', not the program's."""
    system = {"none": "", "short": TOLD[kind], "long": TOLD[kind] + RULES}[prompt]
    calls = list(stream(kind, 240, system=system, layouts=12))
    (group,) = discover(calls, 20, 0)
    mark_routable([group])
    assert len(group.ids) == 240
    assert group.routable


@pytest.mark.parametrize("system", ["", "You are a helpful assistant.", LONG])
def test_what_users_ask_for_tells_tasks_apart(system: str) -> None:
    """One general prompt, or none: each order is a task, however alike the answers are."""
    groups = discover(list(jobs(system, 240)), 30, 0)
    kinds = [{name.split("-")[0] for name in group.ids} for group in groups]
    assert sorted(map(len, kinds)) == [1] * len(JOBS)
