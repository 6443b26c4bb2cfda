"""Shadows: what they prove by live calls, and what may not count."""

from __future__ import annotations

import math
import random
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tasks.calibrate.shadow_proof import (
    QUIET,
    ShadowAnswer,
    ShadowPlan,
    calls_needed,
    certificate,
    once,
    standing,
    thresholds,
)
from tasks.core.certificate import Certificate

PLAN = ShadowPlan(
    task="route-abc123",
    adapter_digest="1a2b3c4d",
    alpha=0.05,
    delta=0.1,
    attempt=1,
    thresholds=(-0.1, -0.5, -2.0),
)


def seen(
    place: int, *, agrees: bool = True, score: float | None = -0.05, **more: str
) -> ShadowAnswer:
    """One call of a conversation of its own."""
    name = f"call-{place}"
    return ShadowAnswer(
        call=name,
        at=float(place),
        conversation=more.get("conversation", name),
        score=score,
        agrees=agrees,
    )


def stream(seed: int, n: int, risk: float) -> list[ShadowAnswer]:
    """Calls that are wrong at this rate, however sure the student is."""
    rng = random.Random(seed)
    return [seen(place, agrees=rng.random() >= risk, score=-3 * rng.random()) for place in range(n)]


def test_right_answers_prove_and_the_countdown_says_how_many() -> None:
    """As many right answers as the countdown of the first moment says make the certificate."""
    lacking = standing(PLAN, []).lacking
    calls = [seen(place) for place in range(lacking)]
    assert standing(PLAN, calls[:-1]).lacking == 1
    assert certificate(PLAN, standing(PLAN, calls[:-1])) is None
    made = certificate(PLAN, standing(PLAN, calls))
    assert isinstance(made, Certificate)
    assert (made.method, made.n, made.accepted, made.wrong) == ("shadow", lacking, lacking, 0)
    assert made.p <= PLAN.level
    assert made.threshold == PLAN.thresholds[-1]


def test_no_attempt_is_spent_on_a_proof_that_would_take_too_long() -> None:
    """Few answers say little, one in ten of the calls takes ten times as many, some never will."""
    sure, unsure = [(-0.05, True)] * 40, [(-3.0, False)] * 360
    assert 100 < calls_needed(PLAN, sure) < 200
    assert calls_needed(PLAN, sure[:5]) > 1.5 * calls_needed(PLAN, sure)
    assert calls_needed(PLAN, sure + unsure) > 9 * calls_needed(PLAN, sure)
    assert calls_needed(PLAN, [*sure, *[(-0.05, False)] * 4]) == math.inf


def test_the_loosest_threshold_that_is_proven_serves() -> None:
    """Where the unsure answers are wrong, the certificate stops at the threshold before them."""
    calls = [
        seen(place, agrees=place % 3 != 0, score=-1.0) if place % 2 else seen(place)
        for place in range(600)
    ]
    made = certificate(PLAN, standing(PLAN, calls))
    assert made
    assert made.threshold == -0.5
    assert made.wrong == 0
    assert made.coverage == 0.5


def test_a_student_over_alpha_is_hardly_ever_proven() -> None:
    """Looked at after every call, a risk of alpha gets a certificate in at most delta."""
    loose = sum(standing(PLAN, stream(seed, 800, 0.05)).proven for seed in range(60))
    assert loose <= 60 * PLAN.level + 3


def test_one_call_of_each_conversation_counts() -> None:
    """A hundred calls of one conversation are one call, drawn by its id, when it is over."""
    talk = [seen(place, conversation="one") for place in range(100)]
    assert list(once(talk)) == []
    over = [*talk, seen(10_000)]
    assert len(list(once(over))) == 2
    assert list(once(over)) == list(once(reversed(over)))
    woken = [*over, seen(20_000, conversation="one"), seen(40_000)]
    assert len(list(once(woken))) == 3


def test_what_training_saw_does_not_count() -> None:
    """Calls of a conversation that the training saw prove nothing, before the loading or after."""
    taught = [seen(place, conversation=f"talk-{place % 5}") for place in range(400)]
    plan = replace(PLAN, learned=tuple(f"talk-{n}" for n in range(5)), before=tuple(taught))
    assert standing(plan, taught).n == 0


def test_calls_before_the_loading_count_once() -> None:
    """A conversation that was counted before the loading does not count again."""
    calls = tuple(seen(place) for place in range(50))
    assert standing(replace(PLAN, before=calls), calls).n == 50
    assert standing(replace(PLAN, before=calls), calls).live == 0


@given(
    st.lists(st.tuples(st.floats(-5, 0), st.booleans(), st.integers(0, 5)), min_size=1, max_size=80)
)
def test_a_proof_is_not_lost_by_looking_again(rows: list[tuple[float, bool, int]]) -> None:
    """What was proven stays proven as further calls come in, and no count exceeds the calls."""
    calls = [
        ShadowAnswer(
            call=str(place), at=place * QUIET, conversation=str(who), score=score, agrees=right
        )
        for place, (score, right, who) in enumerate(rows)
    ]
    proven = False
    for end in range(len(calls) + 1):
        found = standing(replace(PLAN, alpha=0.4, delta=0.5), calls[:end])
        assert found.proven or not proven
        assert found.wrong <= found.accepted <= found.n <= end
        proven = found.proven


def test_thresholds_start_where_the_student_is_sure() -> None:
    """A student that is right on its most confident half starts there; a hopeless one has none."""
    scores = [-place / 100 for place in range(100)]
    right = [place < 50 or place % 2 == 0 for place in range(100)]
    found = thresholds(scores, right, 0.05)
    assert found[0] == scores[49]
    assert found[-1] == scores[99]
    assert list(found) == sorted(found, reverse=True)
    assert thresholds(scores, [False] * 100, 0.05) == ()
    assert thresholds([-math.inf] * 9, [True] * 9, 0.05) == ()


def test_long_conversations_that_are_harder_break_few_proofs() -> None:
    """One to five calls each; of those of four or five 9 % are wrong, and so 5.4 % of all calls."""
    plan = replace(PLAN, thresholds=(-3.0,), delta=0.2, largest=5)
    proven = {1: 0, 5: 0}
    for seed in range(100):
        rng, calls = random.Random(seed), list[ShadowAnswer]()
        for number in range(400):
            size = rng.randint(1, 5)
            for turn in range(size):
                call = seen(0, agrees=size < 4 or rng.random() >= 0.09, conversation=f"c{number}")
                name, at = f"{number}-{turn}", 10_000.0 * number + turn
                calls.append(replace(call, call=name, at=at))
        for largest in proven:
            proven[largest] += standing(replace(plan, largest=largest), calls).proven
    assert proven[5] / 100 <= plan.level
    assert proven[1] > 2 * proven[5]
