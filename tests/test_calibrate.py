"""A certificate holds, or there is none."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from tasks.calibrate.calibrate import CertificateRequest, certify, confidence, even, held_out
from tasks.core.certificate import Certificate, Refusal
from tasks.core.params import Calibrate
from tasks.evaluate.answers import Answered, Answers
from tasks.evaluate.significance import binomial_tail, grouped_tail

ALPHA, DELTA = 0.05, 0.1


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
        ([(-0.1, True)] * 30, "at least 59"),
        ([(-0.1, i % 4 > 0) for i in range(200)], "not proven"),
        ([], "at least 59"),
    ],
)
def test_without_a_proof_there_is_a_reason(rows: list[tuple[float, bool]], reason: str) -> None:
    """Too few or too poor answers give no certificate, and the sentence says which."""
    found = certify(answers(rows), "t", Calibrate(alpha=ALPHA, delta=DELTA))
    assert isinstance(found, Refusal)
    assert reason in found.refused
    assert found.attempt == ("not proven" in reason)  # where no answers were looked at, none


def test_a_proof_has_rows_enough_or_none() -> None:
    """Where (1 - alpha)^n is delta but for rounding there is a reason, too, and no crash."""
    for n in (2, 3, 4):
        found = certify(answers([(-0.1, True)] * n), "t", Calibrate(alpha=0.5, delta=0.125))
        assert isinstance(found, Refusal | Certificate)


def test_large_conversations_break_few_certificates() -> None:
    """200 of 1 to 60 calls, most of them short, at the very risk, whole ones mostly right or wrong.

    As one row each but for the least number of rows, 28 % of such were certified.
    """
    rng, broken = np.random.default_rng(1), 0
    for _ in range(300):
        sizes = np.minimum(60, np.ceil(rng.pareto(1.1, 200) + 0.01)).astype(int)
        risk = rng.beta(ALPHA / 9, (1 - ALPHA) / 9, 200)  # within a conversation they agree at .9
        groups = np.repeat(np.arange(200), sizes)
        broken += grouped_tail(rng.random(len(groups)) < risk[groups], groups, ALPHA) <= DELTA
    assert broken / 300 <= DELTA + 2 * math.sqrt(DELTA * (1 - DELTA) / 300)


@pytest.mark.parametrize("risks", [(0.051,) * 4, (0.13, 0.06, 0.012, 0.005)])
def test_a_mixture_of_heads_over_alpha_is_seldom_proven(risks: Sequence[float]) -> None:
    """Each head answers a block, and shares of it; together they are over alpha, however."""
    rng, loose = np.random.default_rng(0), 0
    shares = np.array([0.55, 0.65, 0.8, 0.9])
    over = np.array(risks) * ALPHA * 1.02 * shares.sum() / (np.array(risks) @ shares)
    for _ in range(4_000):
        taken = rng.binomial(80, shares)
        loose += (
            binomial_tail(int(rng.binomial(taken, over).sum()), int(taken.sum()), ALPHA) <= DELTA
        )
    assert loose / 4_000 <= DELTA + 2 * math.sqrt(DELTA * (1 - DELTA) / 4_000)


def _worst(n: int, errors: int, blocks: int = 4, parts: int = 4) -> float:
    """The chance of so few errors when each block's risk is chosen knowing the errors before it.

    By dynamic programming over the errors that are left and the risk that is still to be spent for
    a mean of alpha; risks are multiples of alpha / `parts`.
    """
    left = np.zeros((errors + 1, n * parts + 1))
    left[:, 0] = 1
    for block in np.array_split(np.arange(n), blocks):
        best, size = np.zeros_like(left), len(block)
        for risk in range(6 * parts + 1):
            rest = np.maximum(np.arange(n * parts + 1) - risk * size, 0)
            chance = risk * ALPHA / parts
            seen = [
                math.comb(size, k) * chance**k * (1 - chance) ** (size - k)
                for k in range(errors + 1)
            ]
            for allowed in range(errors + 1):
                made = sum(seen[k] * left[allowed - k, rest] for k in range(allowed + 1))
                best[allowed] = np.maximum(best[allowed], made)
        left = best
    return float(left[errors, n * parts])


@pytest.mark.parametrize(("n", "errors"), [(59, 0), (93, 1), (124, 2), (181, 4)])
def test_heads_that_depend_on_earlier_blocks_prove_nothing_more(n: int, errors: int) -> None:
    """The binomial test of one risk is that of the worst four heads, each chosen by the past."""
    assert _worst(n, errors) == pytest.approx(binomial_tail(errors, n, ALPHA), rel=1e-9)


def test_a_certificate_knows_of_conversations() -> None:
    """Sixty right calls prove something, those of ten conversations nothing, and it says so."""
    rows = answers([(-0.01 * i, True) for i in range(60)])
    together = [replace(row, group=str(i // 6)) for i, row in enumerate(rows.rows)]
    params = Calibrate(alpha=ALPHA, delta=DELTA)
    assert isinstance(certify(rows, "t", params), Certificate)
    found = certify(replace(rows, rows=together), "t", params)
    assert isinstance(found, Refusal)
    assert "of 10 groups, at least 59" in found.refused


def test_later_attempts_and_more_tasks_make_the_proof_harder() -> None:
    """Neither ever accepts more."""
    rows, params = [(-i / 100, i % 40 > 0 or i == 0) for i in range(300)], Calibrate(delta=DELTA)
    first = certify(answers(rows), "t", params)
    assert isinstance(first, Certificate)
    for asked in (CertificateRequest(attempt=4), CertificateRequest(tests=10)):
        found = certify(answers(rows), "t", params, asked)
        assert isinstance(found, Refusal) or found.accepted <= first.accepted


def test_the_best_of_several_students_holds_what_it_promises() -> None:
    """Of two students at the very risk the wider certificate is kept: still seldom loose."""
    rng, loose, rounds = random.Random(5), 0, 300
    for _ in range(rounds):
        found = []
        for attempt in (1, 2):
            rows = [(-rng.random(), rng.random() > ALPHA * 1.02) for _ in range(150)]
            params = Calibrate(alpha=ALPHA, delta=DELTA)
            found.append(certify(answers(rows), "t", params, CertificateRequest(attempt)))
        loose += any(isinstance(one, Certificate) for one in found)
    assert loose / rounds < DELTA + 0.03


def test_no_attempt_is_spent_where_the_champion_would_stay() -> None:
    """A student that by its validation rows serves less than it has to is not put to the proof."""
    good, bad = [(-i / 1000, True) for i in range(150)], [(-1.0, False)] * 150
    pilot = answers(good[::4] + bad[::4]).rows
    params = Calibrate(alpha=ALPHA, delta=DELTA)
    found = certify(answers(good + bad), "t", params, CertificateRequest(least=0.9, pilot=pilot))
    assert isinstance(found, Refusal)
    assert found.attempt == 0
    assert "at least 90% of the calls" in found.refused
    assert isinstance(
        certify(answers(good + bad), "t", params, CertificateRequest(pilot=pilot)), Certificate
    )


def test_marginal_risk_serves_more_than_selective() -> None:
    """Few answers, one in twelve wrong: too many of those served, few of all calls."""
    rows = [(-i / 1000, i % 12 > 0) for i in range(120)] + [(-math.inf, False)] * 280
    selective = certify(answers(rows), "t", Calibrate(alpha=ALPHA))
    marginal = certify(answers(rows), "t", Calibrate(alpha=ALPHA, risk="marginal"))
    assert isinstance(selective, Refusal)
    assert isinstance(marginal, Certificate)
    assert marginal.accepted == 120
    assert marginal.marginal == 10 / 400
    assert marginal.selective == 10 / 120


def test_alpha_may_differ_by_task() -> None:
    """The first pattern that fits the task's id or its program counts, else the default."""
    params = Calibrate(alpha={"default": 0.05, "refund-*": 0.01, "desk": 0.02})
    assert params.accepted("refund-3f") == 0.01
    assert params.accepted("route-3f", "desk") == 0.02
    assert params.accepted("route-3f") == params.accepted() == 0.05


def test_escalated_rows_are_thinned_to_the_audits_rate() -> None:
    """Audited rows all stay, escalated ones as the rate says that was in force, others all."""
    row = answers([(-0.1, True)]).rows[0]
    made = {
        "audited": [replace(row, id=f"a{i}", weight=10.0, rate=0.1) for i in range(50)],
        "escalated": [replace(row, id=f"e{i}", rate=0.1) for i in range(1000)],
        "before": [replace(row, id=f"b{i}") for i in range(70)],
    }
    kept = {kind: len(even(rows, seed=0)) for kind, rows in made.items()}
    assert (kept["audited"], kept["before"]) == (50, 70)
    assert 70 <= kept["escalated"] <= 130


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
