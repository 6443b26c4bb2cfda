"""A roll-out's three verdicts, and who is in a share of the conversations."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.core.rollout import audit_rate, chosen, needed, share, verdict

STEPS = ((0.25, 10), (0.5, 20))
ALPHA = 0.05


@pytest.mark.parametrize(
    ("wrong", "n", "said"),
    [
        (0, 0, "wait"),
        (0, 9, "wait"),
        (0, 10, "go on"),
        (1, 10, "wait"),  # one in ten is more than one in twenty, but may be bad luck
        (1, 20, "go on"),
        (1, 1, "wait"),
        (2, 2, "take back"),
        (6, 20, "take back"),
    ],
)
def test_three_verdicts(wrong: int, n: int, said: str) -> None:
    """Go on when enough was seen and it is good, take back what is surely bad, else wait."""
    assert verdict(wrong, n, 10, ALPHA) == said


def test_a_good_student_is_hardly_ever_taken_back() -> None:
    """Of 500 students exactly at their risk, each asked after every of 60 audits."""
    rng = np.random.default_rng(0)
    taken = 0
    for wrong in rng.random((500, 60)) < ALPHA:
        counts = np.cumsum(wrong)
        asked = {(int(k), n) for n, k in enumerate(counts, 1) if wrong[n - 1]}
        taken += any(verdict(k, n, 10, ALPHA) == "take back" for k, n in asked)
    assert taken <= 10


def test_steps_add_up() -> None:
    """Each step asks for its own audits; behind the last one everything is answered."""
    assert [share(STEPS, done) for done in range(4)] == [0.25, 0.5, 1.0, 1.0]
    assert [needed(STEPS, done) for done in range(2)] == [10, 30]
    assert share((), 0) == 1.0


def test_more_is_audited_of_a_new_student() -> None:
    """All while it takes over, then less as evidence grows; one without steps as ever."""
    assert [audit_rate(STEPS, done, 40, 0.5) for done in (0, 1)] == [1, 1]
    assert [audit_rate(STEPS, 2, n, 0.5) for n in (0, 15, 30, 60, 300)] == [1, 1, 0.5, 0.25, 0.05]
    assert audit_rate((), 0, 0, 0.5) == audit_rate((), 0, 9, 0.5) == 0.0


def test_a_conversation_stays() -> None:
    """A smaller share is part of a larger one, and each is as large as it says."""
    names = [f"conversation {n}" for n in range(2_000)]
    small, large = ({n for n in names if chosen(n, "a-v2", part)} for part in (0.25, 0.5))
    assert small < large
    assert abs(len(small) / len(names) - 0.25) < 0.04
    assert abs(len(large) / len(names) - 0.5) < 0.04
    assert small != {n for n in names if chosen(n, "a-v3", 0.25)}
