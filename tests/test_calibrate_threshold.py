"""A threshold is proven by exact tests of the most confident answers, walked from a start."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.calibrate.threshold import choose, plan, schedule, walk
from tasks.core.certificate import spent
from tasks.evaluate.significance import binomial_tail, effective, grouped_tail

ALPHA, DELTA = 0.05, 0.1

rows_of = st.lists(st.tuples(st.integers(-40, 0).map(lambda s: s / 4), st.booleans()), max_size=250)


@given(rows_of, st.sampled_from([0.02, 0.05, 0.2]), st.sampled_from([0.05, 0.1, 0.2]))
def test_a_threshold_is_proven_by_its_counts(
    rows: list[tuple[float, bool]], alpha: float, delta: float
) -> None:
    """What is accepted is exactly what scores at least the threshold, and its test rejects."""
    step = choose(walk([s for s, _ in rows], [c for _, c in rows], alpha, delta), delta)
    if step is None:
        return
    accepted = [right for score, right in rows if score >= step.threshold]
    assert step.accepted == len(accepted)
    assert step.wrong == sum(not right for right in accepted)
    assert binomial_tail(step.wrong, step.accepted, alpha) <= delta
    assert step.accepted >= math.log(delta) / math.log1p(-alpha)


@given(rows_of, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(
    rows: list[tuple[float, bool]], rng: random.Random
) -> None:
    """Equal scores are one step, so that no luck of the sort decides."""
    mixed = rng.sample(rows, len(rows))
    one, other = (walk([s for s, _ in r], [c for _, c in r], 0.2, 0.2) for r in (rows, mixed))
    assert one == other


@given(st.integers(0, 400), st.sampled_from([0.02, 0.05, 0.2]), st.sampled_from([0.05, 0.2]))
def test_the_walk_is_fixed_before_an_answer_is_seen(n: int, alpha: float, delta: float) -> None:
    """Every count on the schedule can be proven with some number of errors, and they rise."""
    counts = schedule(n, alpha, delta)
    assert counts == sorted(set(counts))
    assert all(binomial_tail(0, count, alpha) <= delta for count in counts)
    assert all(n // 3 <= count <= n for count in counts)


def test_a_schedule_starts_where_it_is_told_to() -> None:
    """A stricter start adds tests; where none that proves anything is late enough, one is kept."""
    assert schedule(100, 0.05, 0.1, start=0.0) == [45, 77, 100]
    assert schedule(100, 0.05, 0.1) == [77, 100]
    assert schedule(38, 0.05, 0.4) == [18, 38]
    assert schedule(17, 0.05, 0.4) == []


def pilot(right: int, wrong: int) -> list[tuple[float, bool]]:
    """Answers of which the most confident ones are right and all others are wrong."""
    return [(-i / 1000, i < right) for i in range(right + wrong)]


def test_a_minority_of_sure_answers_is_certified() -> None:
    """Of a student that is right on its most confident 40 % about those 40 % are certified."""
    begin = plan(pilot(80, 120), 500, ALPHA, DELTA)
    assert begin is not None
    assert begin.start < 0.4
    assert begin.chance > 0.9
    scores, right = zip(*pilot(200, 300), strict=True)
    assert choose(walk(scores, right, ALPHA, DELTA), DELTA) is None
    step = choose(walk(scores, right, ALPHA, DELTA, start=begin.start), DELTA)
    assert step is not None
    assert 170 <= step.accepted <= 210


def test_hopeless_students_are_known_before_an_attempt() -> None:
    """Wrong everywhere, the chance of a proof is nil; with a handful of answers nobody can say."""
    hopeless = plan([(-i, i % 2 > 0) for i in range(100)], 500, ALPHA, DELTA)
    assert hopeless is not None
    assert hopeless.chance == 0.0
    assert plan(pilot(5, 1), 500, ALPHA, DELTA) is None
    assert plan(pilot(80, 0), 30, ALPHA, DELTA) is None


def test_the_attempts_of_a_task_share_its_delta() -> None:
    """However many attempts there are, their parts of delta sum up to less than all of it."""
    assert spent(0.1, 1) == 0.05
    assert sum(spent(0.1, attempt) for attempt in range(1, 5000)) < 0.1


def test_binomial_tail_is_exact() -> None:
    """The tail agrees with the sum of binomial terms, and its limits are right."""
    for n, k, p in [(45, 0, 0.05), (100, 3, 0.05), (10, 10, 0.3), (7, 3, 0.5)]:
        exact = sum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k + 1))
        assert binomial_tail(k, n, p) == pytest.approx(exact)
    assert binomial_tail(0, 10, 0.0) == 1.0
    assert binomial_tail(0, 10, 1.0) == 0.0


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("at the limit everywhere", lambda u: ALPHA + 0.001),
        ("rising", lambda u: 0.02 + 0.3 * u * u),
        ("a cliff", lambda u: 0.0 if u < 0.5 else 0.4),
    ],
)
def test_the_served_risk_seldom_exceeds_alpha(name: str, wrong: object) -> None:
    """In 300 seeded replays the true risk above the threshold exceeds α in at most δ of them."""
    assert callable(wrong)
    broken = 0
    for seed in range(300):
        rng = random.Random(f"{name} {seed}")
        ranks = [rng.random() for _ in range(200)]
        right = [rng.random() >= wrong(u) for u in ranks]
        step = choose(walk([-u for u in ranks], right, ALPHA, DELTA), DELTA)
        if step:
            inside = [-step.threshold * (i + 0.5) / 200 for i in range(200)]
            broken += sum(map(wrong, inside)) / 200 > ALPHA
    slack = 2 * math.sqrt(DELTA * (1 - DELTA) / 300)
    assert broken / 300 <= DELTA + slack


def test_the_effective_number_of_groups() -> None:
    """Groups of equal size count in full, of unequal ones fewer; large ones count as five rows."""
    assert effective(["a", "a", "b", "b"]) == 2.0
    assert effective(["a", "b", "b", "b"]) == pytest.approx(16 / 10)
    assert effective(["a"] * 50 + ["b"] * 5) == 2.0


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 30)), min_size=1, max_size=120),
    st.sampled_from([0.02, 0.05, 0.2]),
)
def test_answers_of_one_conversation_prove_less(rows: list[tuple[bool, int]], p: float) -> None:
    """Never more than as many of different ones would, and the same where each stands alone."""
    wrong, groups = [bad for bad, _ in rows], [str(group) for _, group in rows]
    alone = binomial_tail(sum(wrong), len(wrong), p)
    assert grouped_tail(wrong, groups, p) >= alone - 1e-9
    assert grouped_tail(wrong, list(map(str, range(len(rows)))), p) == alone


def test_conversations_that_are_wrong_as_a_whole_break_few_certificates() -> None:
    """80 of 5 calls, at the very risk: counted as 400 calls, a quarter of them are certified."""
    rng = random.Random(0)
    groups = [str(i // 5) for i in range(400)]
    plain = ours = 0
    for _ in range(400):
        bad = [rng.random() < ALPHA for _ in range(80)]
        wrong = [bad[i // 5] for i in range(400)]
        plain += binomial_tail(sum(wrong), 400, ALPHA) <= DELTA
        ours += grouped_tail(wrong, groups, ALPHA) <= DELTA
    assert plain / 400 > 2 * DELTA
    assert ours / 400 <= DELTA + 2 * math.sqrt(DELTA * (1 - DELTA) / 400)
