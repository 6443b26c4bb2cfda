"""A roll-out: a new champion takes its task's traffic over in steps. Pure.

A step is a share of the conversations and how many more audited answers it takes to go on from
there. A task without traffic waits: nothing is ever gone on from because time has passed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from tasks.core.records import digest
from tasks.core.sequential_tests import interval

Verdict = Literal["go on", "take back", "wait"]
Steps = Sequence[tuple[float, int]]

DOUBT = 0.01  # chance that a student which keeps its promise is ever taken back in its roll-out


def verdict(wrong: int, n: int, needed: int, alpha: float) -> Verdict:
    """Return what `n` audited answers, `wrong` of them, say about a student that may err on alpha.

    Taken back is one whose risk is surely higher, however often that is asked.
    """
    if wrong and interval(wrong, n, DOUBT)[0] > alpha:
        return "take back"
    return "go on" if n >= needed and wrong <= alpha * n else "wait"


def share(steps: Steps, done: int) -> float:
    """The share of the conversations that are answered when so many steps are done."""
    return steps[done][0] if done < len(steps) else 1.0


def needed(steps: Steps, done: int | None = None) -> int:
    """The audited answers after which a step, counted from 0, is done; by default all are."""
    return sum(more for _, more in steps[: None if done is None else done + 1])


def audit_rate(steps: Steps, done: int, n: int, new: float) -> float:
    """The share of a student's answers that is audited, by the `n` that were.

    All until its steps are done: they take the same number of audits at any rate, and so fewer
    wrong answers. Then `new`, and less as evidence grows.
    """
    return 1.0 if done < len(steps) else min(1.0, new * needed(steps) / max(1, n))


def at_once(steps: Steps, done: int) -> float:
    """The most answers that may wait for their audits: what no audit has seen yet may be wrong."""
    return steps[done][1] if done < len(steps) else float("inf")


def chosen(conversation: str, adapter: str, part: float) -> bool:
    """Return whether a conversation is in the share that an adapter answers.

    Those in a smaller share are also in a larger one.
    """
    return int(digest(conversation, adapter, "roll-out", length=12), 16) < part * 16**12
