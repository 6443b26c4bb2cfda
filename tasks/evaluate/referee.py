"""Referee: the teacher says whose answer is better, its own on record or the student's.

Each pair is shown in both orders, and only what it says both times counts: a teacher that likes
what it reads first calls nothing but ties. Equal answers are ties unasked. Verdicts are kept in a
file and never asked for twice; what got none is counted, and is no win.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from tasks.core.records import Json, digest
from tasks.core.stage import write_atomic
from tasks.core.task import Task
from tasks.evaluate.answers import Answered
from tasks.evaluate.significance import wilson

Ask = Callable[[list[Json]], str]  # a conversation to what the teacher says. Raises Silent
Verdict = tuple[str, str]  # who won in each order: student, teacher or tie
AT_ONCE = 4
SIDES = {"A": ("student", "teacher"), "B": ("teacher", "student"), "tie": ("tie", "tie")}
SYSTEM = """You compare two answers to the same request, A and B. The order says nothing.
{rubric}
What the answers are for: {about}
Reply with one of {{"better": "A"}}, {{"better": "B"}} and {{"better": "tie"}}, and nothing else."""


class Silent(Exception):  # noqa: N818 - it says what the teacher was
    """The teacher gave no answer."""


def compared(
    task: Task,
    prompted: Sequence[tuple[str, Answered]],
    rubric: str,
    ask: Ask,
    cache: Path | None = None,
) -> dict[str, float]:
    """Return how the student's answers stand beside the teacher's, as metrics.

    `referee_not_worse` is the share of wins and ties, with Wilson's 95 % interval. Of the verdicts
    `referee_flipped` were ties because they changed with the order; `referee_failed` are none.
    """
    system = SYSTEM.format(rubric=rubric, about=about(task))
    pairs = [_pair(system, prompt, row) for prompt, row in prompted if not row.agrees]
    cached = _known(cache)
    fresh = {digest(*pair): pair for pair in pairs if digest(*pair) not in cached}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        verdicts = pool.map(lambda pair: _verdict(pair, ask), fresh.values())
        new = {key: verdict for key, verdict in zip(fresh, verdicts, strict=True) if verdict}
    cached |= new
    if cache and new:
        write_atomic(cache, msgspec.json.encode(cached))
    verdict = [cached.get(digest(*pair)) for pair in pairs]
    return _metrics([*verdict, *[("tie", "tie")] * (len(prompted) - len(pairs))])


def about(task: Task) -> str:
    """Return what a task's prompts always say, as the student does not read it."""
    patterns = [pattern for head in task.template.heads for pattern in head.patterns]
    return "\n".join([task.description, *(p.fill(["…"] * len(p.slots)) for p in patterns)])


def _pair(system: str, prompt: str, row: Answered) -> tuple[str, str, str, str]:
    return system, prompt, row.answer, row.expected


def _verdict(pair: tuple[str, str, str, str], ask: Ask) -> Verdict | None:
    """Return who won when the student's answer stood first, and when it stood second."""
    system, prompt, student, teacher = pair
    won = []
    for place, (a, b) in enumerate(((student, teacher), (teacher, student))):
        shown = json.dumps({"request": prompt, "A": a, "B": b}, ensure_ascii=False, indent=1)
        asked = [{"role": "system", "content": system}, {"role": "user", "content": shown}]
        try:
            better = _better(ask(asked))
        except Silent:
            return None
        if better is None:
            return None
        won.append(SIDES[better][place])
    return won[0], won[1]


def _better(text: str) -> str | None:
    """Return what a reply says, perhaps in a code fence; None when it says nothing."""
    start, end = text.find("{"), text.rfind("}")
    try:
        value: object = json.loads(text[start : end + 1])
    except ValueError:
        return None
    better = value.get("better") if isinstance(value, dict) else None
    return better if isinstance(better, str) and better in SIDES else None


def _metrics(replies: Sequence[Verdict | None]) -> dict[str, float]:
    verdicts = [one for one in replies if one]
    flipped = sum(first != second for first, second in verdicts)
    counts = Counter(first if first == second else "tie" for first, second in verdicts)
    result: dict[str, float] = {
        "referee_wins": counts["student"],
        "referee_ties": counts["tie"],
        "referee_losses": counts["teacher"],
        "referee_flipped": flipped,
        "referee_failed": len(replies) - len(verdicts),
    }
    if verdicts:
        share = 1 - counts["teacher"] / len(verdicts)
        low, high = wilson(share, len(verdicts))
        result |= {"referee_not_worse": share, "referee_low": low, "referee_high": high}
    return {name: round(value, 4) for name, value in result.items()}


def _known(cache: Path | None) -> dict[str, Verdict]:
    if not cache or not cache.exists():
        return {}
    return msgspec.json.decode(cache.read_bytes(), type=dict[str, Verdict])
