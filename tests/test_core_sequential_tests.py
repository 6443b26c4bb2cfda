"""Tests of a risk that may be looked at after every answer."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.sequential_tests import ALARM, ChangeDetector, Proof, interval

ALPHA, DELTA = 0.05, 0.1


def stream(seed: int, n: int, risk: float) -> list[bool]:
    """Answers that are wrong at this rate."""
    rng = random.Random(seed)
    return [rng.random() < risk for _ in range(n)]


def proof(answers: list[bool], alpha: float = ALPHA) -> Proof:
    """The evidence after these answers."""
    made = Proof(alpha)
    for wrong in answers:
        made.see(wrong)
    return made


def alarmed(answers: list[bool]) -> int | None:
    """After how many answers a detector raised the alarm."""
    detector = ChangeDetector(ALPHA)
    for place, wrong in enumerate(answers, 1):
        detector.see(wrong)
        if detector.alarm():
            return place
    return None


def test_a_risk_of_alpha_is_hardly_ever_proven() -> None:
    """Looked at after each of 1,000 answers, at most delta of the streams at alpha are proven."""
    proven = sum(proof(stream(seed, 1_000, ALPHA)).proven(DELTA) for seed in range(200))
    assert proven <= 200 * DELTA


def test_a_small_risk_is_proven_soon() -> None:
    """A student that is wrong in one of 100 is proven within 250 answers most of the time."""
    proven = sum(proof(stream(seed, 250, 0.01)).proven(DELTA) for seed in range(50))
    assert proven >= 40


@given(st.lists(st.booleans(), max_size=60), st.floats(0.01, 0.5), st.floats(0.01, 0.5))
def test_what_is_lacking_proves(answers: list[bool], alpha: float, delta: float) -> None:
    """So many more right answers as are lacking prove the risk, and one fewer does not."""
    made = proof(answers, alpha)
    lacking = made.lacking(delta)
    for _ in range(lacking - 1):
        made.see(wrong=False)
    assert lacking == 0 or not made.proven(delta)
    if lacking:
        made.see(wrong=False)
    assert made.proven(delta)


@given(st.floats(0.001, 0.9), st.floats(0.0, 1.0))
def test_no_bet_gains_where_alpha_are_wrong(alpha: float, share: float) -> None:
    """The mean of what one answer adds to the evidence is 1 at a risk of alpha."""
    right, wrong = Proof(alpha), Proof(alpha)
    right.see(wrong=False, share=share)
    wrong.see(wrong=True, share=share)
    mean = (1 - alpha) * math.exp(right.log) + alpha * math.exp(wrong.log)
    assert mean == pytest.approx(1.0)


def test_a_change_is_found_after_many_good_answers() -> None:
    """After 2,000 good answers, a student that is wrong in half is found within 30."""
    for seed in range(10):
        found = alarmed(stream(seed, 2_000, 0.01) + stream(seed + 100, 100, 0.5))
        assert found
        assert 2_000 < found <= 2_030


def test_the_change_is_placed_where_it_was() -> None:
    """The detector says from which answer on the student was worse, within a few."""
    detector = ChangeDetector(ALPHA)
    for wrong in stream(3, 1_000, 0.02) + [True] * 8:
        detector.see(wrong)
    assert detector.alarm()
    assert abs(detector.changed - 1_000) <= 20


def test_false_alarms_are_rare() -> None:
    """At the accepted risk there is at most one false alarm in as many answers as promised."""
    alarms = sum(alarmed(stream(seed, 500, ALPHA)) is not None for seed in range(100))
    assert alarms <= 100 * 500 / ALARM
    assert sum(alarmed(stream(seed, 500, 0.03)) is not None for seed in range(100)) <= 5


def test_the_interval_holds_at_all_times() -> None:
    """Looked at after each of 200 answers, the interval hardly ever misses the true risk."""
    missed = 0
    for seed in range(30):
        wrong = 0
        for n, bad in enumerate(stream(seed, 200, ALPHA), 1):
            wrong += bad
            low, high = interval(wrong, n, DELTA)
            if not low <= ALPHA <= high:
                missed += 1
                break
    assert missed <= 30 * DELTA


def test_the_interval_is_that_of_another_library() -> None:
    """`ville`, which others wrote, gives the same confidence sequence."""
    ville = pytest.importorskip("ville")
    answers = stream(1, 200, 0.2)
    low, high = interval(sum(answers), 200, DELTA)
    other = ville.BernoulliCS(alpha=DELTA, prior=(0.5, 0.5), intersect=False)
    other.update([float(wrong) for wrong in answers])
    assert other.interval() == pytest.approx((low, high), abs=1e-6)
