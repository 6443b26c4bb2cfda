"""A certificate holds, or there is none."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.calibrate.hop import (
    Certificate,
    certify,
    confidence,
    exchangeable,
    held_out,
    schedule,
    threshold,
    walk,
)
from tasks.core.params import Calibrate
from tasks.evaluate.answers import Answered, Answers
from tasks.evaluate.metrics import binomial_tail, grouped_tail

ALPHA, DELTA = 0.05, 0.1

rows_of = st.lists(st.tuples(st.integers(-40, 0).map(lambda s: s / 4), st.booleans()), max_size=250)


def answers(rows: Sequence[tuple[float, bool]], *, weight: float = 1.0) -> Answers:
    made = [
        Answered(
            id=str(i),
            expected="a",
            answer="a" if right else "b",
            agrees=right,
            valid=True,
            weight=weight,
            at=0.0,
            logprobs=(score,),
            finish_reason="stop",
        )
        for i, (score, right) in enumerate(rows)
    ]
    return Answers(
        rows=made,
        adapter_digest="d",
        rows_digest="r",
        latency_ms=1.0,
        prompt_tokens=1.0,
        completion_tokens=1.0,
    )


@given(rows_of, st.sampled_from([0.02, 0.05, 0.2]), st.sampled_from([0.05, 0.1, 0.2]))
def test_a_threshold_is_proven_by_its_counts(
    rows: list[tuple[float, bool]], alpha: float, delta: float
) -> None:
    """What is accepted is exactly what scores at least the threshold, and its test rejects."""
    step = threshold([s for s, _ in rows], [c for _, c in rows], alpha, delta)
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


def test_a_daring_delta_still_has_a_schedule() -> None:
    """Where even the last count that can prove anything is below half of the rows, it is tested."""
    assert schedule(38, 0.05, 0.4) == [18, 38]
    assert schedule(17, 0.05, 0.4) == []


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
        step = threshold([-u for u in ranks], right, ALPHA, DELTA)
        if step:
            inside = [-step.threshold * (i + 0.5) / 200 for i in range(200)]
            broken += sum(map(wrong, inside)) / 200 > ALPHA
    slack = 2 * math.sqrt(DELTA * (1 - DELTA) / 300)
    assert broken / 300 <= DELTA + slack


def test_a_certificate_carries_its_proof() -> None:
    """Good answers are certified with counts, coverage, floor and the place where it ends."""
    rng = random.Random(1)
    good = [(-0.01 * i / 200, True) for i in range(200)]
    bad = [(-3 - i / 100, rng.random() < 0.3) for i in range(100)]
    found = certify(answers(good + bad), "t", Calibrate(alpha=ALPHA, delta=DELTA))
    assert isinstance(found, Certificate)
    assert found.n == 300
    assert 150 <= found.accepted <= 215
    assert found.coverage == pytest.approx(found.accepted / 300, abs=1e-4)
    risk = sum(not right for _, right in good + bad) / 300
    assert found.floor == pytest.approx((risk - ALPHA) / (1 - ALPHA), abs=1e-3)
    assert found.breaks is not None
    assert found.breaks.threshold < found.threshold


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([(-0.1, True)] * 30, "at least 45"),
        ([(-0.1, i % 4 > 0) for i in range(200)], "not proven"),
        ([], "at least 45"),
    ],
)
def test_without_a_proof_there_is_a_reason(rows: list[tuple[float, bool]], reason: str) -> None:
    """Too few or too poor answers give no certificate, and the sentence says which."""
    found = certify(answers(rows), "t", Calibrate(alpha=ALPHA, delta=DELTA))
    assert isinstance(found, str)
    assert reason in found


def test_a_proof_has_rows_enough_or_none() -> None:
    """Where (1 - alpha)^n is delta but for rounding there is a reason, too, and no crash."""
    for n in (2, 3, 4):
        found = certify(answers([(-0.1, True)] * n), "t", Calibrate(alpha=0.5, delta=0.125))
        assert isinstance(found, str | Certificate)


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


def test_a_certificate_knows_of_conversations() -> None:
    """Sixty right calls prove something, those of ten conversations nothing, and it says so."""
    rows = answers([(-0.01 * i, True) for i in range(60)])
    together = [replace(row, group=str(i // 6)) for i, row in enumerate(rows.rows)]
    params = Calibrate(alpha=ALPHA, delta=DELTA)
    assert isinstance(certify(rows, "t", params), Certificate)
    assert "of 10 groups, at least 45" in str(certify(replace(rows, rows=together), "t", params))


def test_several_tasks_make_the_proof_harder() -> None:
    """The correction for tests never accepts more."""
    rows = [(-i / 100, i % 40 > 0 or i == 0) for i in range(300)]
    one = certify(answers(rows), "t", Calibrate(alpha=ALPHA, delta=DELTA))
    ten = certify(answers(rows), "t", Calibrate(alpha=ALPHA, delta=DELTA), tests=10)
    assert isinstance(one, Certificate)
    assert isinstance(ten, str) or ten.accepted <= one.accepted


def test_the_best_of_several_students_holds_what_it_promises() -> None:
    """Of two students at the very risk the wider certificate is kept: still seldom loose."""
    rng, loose, rounds = random.Random(5), 0, 300
    for _ in range(rounds):
        found = []
        for _ in range(2):
            rows = [(-rng.random(), rng.random() > ALPHA * 1.02) for _ in range(150)]
            found.append(certify(answers(rows), "t", Calibrate(alpha=ALPHA, delta=DELTA), tests=2))
        loose += any(isinstance(one, Certificate) for one in found)
    assert loose / rounds < DELTA + 0.03


def test_rows_that_stand_for_more_calls_stay_more_often() -> None:
    """Within a day the kept rows are an even sample of the traffic; equal weights all stay."""
    weights = [10.0] * 50 + [1.0] * 1000 + [1.0] * 70
    days = [2] * 1050 + [1] * 70
    kept = exchangeable(weights, days, seed=0)
    assert sum(i < 50 for i in kept) == 50
    assert 70 <= sum(50 <= i < 1050 for i in kept) <= 130
    assert sum(i >= 1050 for i in kept) == 70


def test_held_out_answers_are_counted_as_served() -> None:
    """Coverage and agreement at the threshold speak about the servable answers above it."""
    certificate = Certificate(
        task="t",
        adapter_digest="d",
        threshold=-0.5,
        alpha=ALPHA,
        delta=DELTA,
        n=100,
        accepted=50,
        wrong=0,
        coverage=0.5,
        floor=0.0,
        p=0.01,
    )
    found = held_out(certificate, answers([(-0.1, True)] * 6 + [(-0.5, False)] + [(-1, True)] * 3))
    assert (found.n, found.served, found.coverage) == (10, 7, 0.7)
    assert found.agreement == pytest.approx(6 / 7, abs=1e-4)
    assert found.low < found.agreement < found.high


def test_nothing_said_is_no_confidence() -> None:
    """An answer without log-probabilities is never sure enough."""
    assert confidence(()) == -math.inf
    assert confidence((-0.5, -0.25)) == -0.75
