"""A certificate holds, or there is none."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.calibrate.calibrate import CertificateRequest, certify, confidence, even, held_out
from tasks.calibrate.threshold import plan, schedule, threshold, walk
from tasks.core.certificate import Certificate, Refusal, spent
from tasks.core.params import Calibrate
from tasks.evaluate.answers import Answered, Answers
from tasks.evaluate.significance import binomial_tail, effective, grouped_tail

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
    assert threshold(scores, right, ALPHA, DELTA) is None
    step = threshold(scores, right, ALPHA, DELTA, begin.start)
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
