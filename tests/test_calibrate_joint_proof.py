"""Tasks that are proven together: what their calls prove, and what none of them may hide."""

from __future__ import annotations

import math
import random
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tasks.calibrate import joint_evidence, joint_proof, shadow_proof
from tasks.calibrate.joint_evidence import JointPlan, Seen
from tasks.calibrate.joint_proof import JointStanding, draft, member, nights_needed
from tasks.calibrate.shadow_proof import ShadowAnswer, ShadowPlan
from tasks.core.certificate import JointCounts

TASKS = ("address", "orders", "triage")


def own(
    task: str, *, guides: int = 40, slips: int = 0, nightly: float = 20.0, largest: int = 1
) -> ShadowPlan:
    """A task whose student serves all that it is sure of."""
    return ShadowPlan(
        task=task,
        adapter_digest="1a2b3c4d",
        alpha=0.05,
        delta=0.1,
        attempt=0,
        thresholds=(-0.5, -1.0),
        loaded=100.0,
        guides=guides,
        slips=slips,
        share=1.0,
        nightly=nightly,
        largest=largest,
    )


def said(task: str, n: int, *, wrong: int = 0, since: float = 100.0) -> list[ShadowAnswer]:
    """So many confident answers from a second on, the first of them wrong."""
    names = [f"{task}-{since:g}-{place}" for place in range(n)]
    return [
        ShadowAnswer(call=name, at=since + at, conversation=name, score=-0.1, agrees=at >= wrong)
        for at, name in enumerate(names)
    ]


BEGUN = JointPlan(alpha=0.05, delta=0.1, attempt=1, loaded=100.0, members=(), groups=())


def together(*plans: ShadowPlan) -> JointPlan:
    """What some tasks have to prove together, the whole of them first."""
    members = [member(1, plan, (), 100.0) for plan in plans]
    made = draft(members, BEGUN)
    assert made is not None
    return made


LATER = ShadowAnswer(call="later", at=1e6, conversation="later", score=None, agrees=True)


def seen(plan: JointPlan, **answers: list[ShadowAnswer]) -> Seen:
    """What each task's shadow said, and a call that comes when all conversations are over."""
    nightly = {one.task: one.nightly for one in plan.members}
    told = {task: [*some, LATER] for task, some in answers.items()}
    return {(task, 1): (own(task, nightly=nightly[task]), some) for task, some in told.items()}


def now(plan: JointPlan, **answers: list[ShadowAnswer]) -> JointStanding:
    """What that proves."""
    return joint_proof.standing(plan, joint_evidence.said(plan, seen(plan, **answers)))


def test_tasks_prove_together_what_none_proves_alone() -> None:
    """Thirty right answers of each of three tasks; each certificate says whose they are."""
    plan = together(*map(own, TASKS))
    told = {task: said(task, 30) for task in TASKS}
    each = seen(plan, **told)
    assert not any(shadow_proof.standing(*one).proven for one in each.values())
    found = now(plan, **told)
    assert (found.proven, found.accepted, found.wrong, found.lacking) == (True, 90, 0, 0)
    own_plan, live = each["orders", 1]
    fit = joint_proof.fit(plan, own_plan, live)
    assert fit is not None
    made = joint_proof.certificate(plan, found, own_plan, fit)
    assert (made.method, made.task, made.threshold, made.n) == ("joint", "orders", -0.5, 31)
    assert made.joint == JointCounts(tasks=3, accepted=90, wrong=0)
    assert made.p <= plan.level


def test_the_countdown_says_how_many_right_answers_prove_it() -> None:
    """With as many as it says they are proven, a round before they are not."""
    plan = together(own("address"), own("orders"))
    few = now(plan, address=said("address", 20), orders=said("orders", 20))
    more = 20 + -(-few.lacking // 2)
    assert now(plan, address=said("address", more), orders=said("orders", more)).proven
    less = now(plan, address=said("address", more - 1), orders=said("orders", more - 1))
    assert not less.proven
    assert less.lacking <= 2


def test_the_least_risky_are_proven_first() -> None:
    """One that is expected to be often wrong comes last, and keeps nobody from a proof."""
    plan = together(own("triage", slips=3), own("address"), own("orders"))
    assert [one.task for one in plan.members] == ["address", "orders", "triage"]
    assert plan.groups == (2, 3)
    told = {"triage": said("triage", 60, wrong=30)}
    found = now(plan, address=said("address", 60), orders=said("orders", 60), **told)
    assert found.proven
    assert {task for task, _ in found.names} == {"address", "orders"}
    assert (found.accepted, found.wrong) == (120, 0)
    found = now(
        plan, address=said("address", 80), orders=said("orders", 80), triage=said("triage", 80)
    )
    assert len(found.names) == 3


def test_one_that_is_often_wrong_is_not_fit() -> None:
    """Nor one that has hardly said anything: its own answers must not speak against it."""
    plan = together(*map(own, TASKS))
    assert joint_proof.fit(plan, own("address"), said("address", 40, wrong=4)) is not None
    assert joint_proof.fit(plan, own("triage"), said("triage", 20, wrong=4)) is None
    assert joint_proof.fit(plan, own("orders"), said("orders", 9)) is None


def test_every_task_has_its_part_in_the_proof() -> None:
    """Whatever one says, the others' answers are missing; in their proportion they count."""
    plan = together(own("address", nightly=60.0), own("orders"))
    assert not now(plan, address=said("address", 900), orders=[]).proven
    assert now(plan, address=said("address", 900), orders=said("orders", 9)).accepted == 36
    late = [replace(a, agrees=n % 8 != 3) for n, a in enumerate(said("orders", 110, since=9e3))]
    even = together(own("address"), own("orders"))
    morning = said("address", 110)
    assert not now(even, address=morning, orders=late).proven  # 14 of 220 are wrong


@given(st.floats(1, 90), st.floats(1, 90), st.integers(0, 300), st.integers(0, 300))
def test_no_proportion_of_calls_is_rounded_away(a: float, b: float, m: int, n: int) -> None:
    """Whatever the tasks' calls, as many count of each as its proportion says, and one at most."""
    plan = together(own("address", nightly=a), own("orders", nightly=b))
    told = joint_evidence.said(
        plan, seen(plan, address=said("address", m), orders=said("orders", n))
    )
    found = joint_evidence.rounds(plan, told, (0, 1))
    share = min(m / a, n / b)
    assert found.accepted <= share * (a + b) + 2
    assert found.accepted >= share * (a + b) - 2 - (a + b) / min(a, b)


def test_only_calls_after_the_plan_count() -> None:
    """Nor those of conversations that training saw, or that were under way before."""
    plan = together(own("address"), own("orders"))
    early, later = said("address", 50, since=0.0), said("orders", 50)
    assert now(plan, address=early, orders=later).accepted == 0
    going_on = [
        replace(a, conversation=e.conversation)
        for a, e in zip(said("address", 50, since=200.0), early, strict=True)
    ]
    assert now(plan, address=[*early, *going_on], orders=later).accepted == 0
    learned = replace(own("address"), learned=tuple(a.conversation for a in going_on))
    told = {("address", 1): (learned, going_on), ("orders", 1): (own("orders"), later)}
    assert joint_proof.standing(plan, joint_evidence.said(plan, told)).accepted == 0
    assert now(plan, address=said("address", 50), orders=later).accepted == 100


def test_bets_on_a_conversation_of_several_tasks_are_smaller() -> None:
    """They are won and lost together; and it counts when it is over."""
    plan = together(own("address"), own("orders"))
    address, orders = said("address", 50), said("orders", 50)
    apart = joint_evidence.said(plan, seen(plan, address=address, orders=orders))
    talks = [
        [replace(answer, conversation=f"talk-{n}") for n, answer in enumerate(some)]
        for some in (address, orders)
    ]
    told = seen(plan, address=talks[0], orders=talks[1])
    shared = joint_evidence.said(plan, told)
    assert [one.tasks for one in (*apart, *shared)] == [1, 1, 2, 2]
    whole, half = (joint_evidence.rounds(plan, some, (0, 1)) for some in (apart, shared))
    assert half.accepted == whole.accepted == 100
    assert half.now == [log / 2 for log in whole.now]
    on = {name: (own_plan, some[:-1]) for name, (own_plan, some) in told.items()}
    assert [len(one.calls) for one in joint_evidence.said(plan, on)] == [0, 0]


def test_every_call_counts_for_the_second_opinion() -> None:
    """Late turns and all of a long conversation, too: where they are wrong it says no."""
    plan = together(own("address"), own("orders"))
    good = seen(plan, address=said("address", 60), orders=said("orders", 60))
    told = joint_evidence.said(plan, good)
    assert joint_evidence.plainly(plan, told, (0, 1)) >= -math.log(plan.level)
    late = [
        replace(answer, conversation=f"address-100-{n}", agrees=False)
        for n, answer in enumerate(said("address", 20, since=9_000.0))
    ]
    bad = seen(plan, address=[*said("address", 60), *late], orders=said("orders", 60))
    told = joint_evidence.said(plan, bad)
    assert joint_evidence.rounds(plan, told, (0, 1)).wrong == 0
    assert joint_evidence.plainly(plan, told, (0, 1)) < 0


def test_long_conversations_count_for_what_they_are() -> None:
    """Up to five of their calls are one bet, so that all of them may be wrong at once."""
    plan, rest = together(own("address"), own("orders")), said("address", 60, since=2_000.0)
    for length in (1, 3, 12):
        talk = [replace(a, conversation="talk", agrees=False) for a in said("address", length)]
        told = joint_evidence.said(plan, seen(plan, address=[*talk, *rest], orders=[]))[0]
        assert (int(told.wrong.sum()), told.largest) == (min(5, length), min(5, length))
        gains = told.gains(plan, joint_evidence.stakes(plan.alpha, told.largest))
        assert all(math.isfinite(gain) for gain in gains.ravel())


def test_unsure_answers_count_only_where_all_calls_do() -> None:
    """Those below the threshold are evidence for a marginal risk alone, as right ones."""
    unsure = [replace(answer, score=-3.0, agrees=False) for answer in said("address", 20)]
    plan = together(own("address"), own("orders"))
    assert now(plan, address=unsure, orders=said("orders", 20)).accepted == 20
    marginal = now(replace(plan, risk="marginal"), address=unsure, orders=said("orders", 20))
    assert (marginal.accepted, marginal.wrong) == (40, 0)


def test_who_has_few_calls_waits_longer() -> None:
    """Expected nights follow the calls; no calls and too many mistakes never prove anything."""
    plan = together(own("address"), own("orders"))
    slow = [replace(one, nightly=one.nightly / 2) for one in plan.members]
    assert nights_needed(replace(plan, members=tuple(slow))) == 2 * nights_needed(plan)
    assert nights_needed(plan, evidence=100.0) == 0
    bad = [member(1, own(task, slips=8), (), 100.0) for task in TASKS]
    assert draft(bad, BEGUN) is None
    assert draft(bad[:1], BEGUN) is None
    silent = [member(1, own(task), (), 100.0 + 2 * joint_proof.DAY) for task in TASKS]
    assert draft(silent, BEGUN) is None


def test_tasks_over_alpha_are_hardly_ever_proven_together() -> None:
    """At a risk of alpha in their sum, each task at its own hours, in at most delta."""
    plan, loose = together(*map(own, TASKS)), 0
    for seed in range(60):
        rng = random.Random(seed)
        told = {
            task: [
                replace(answer, agrees=rng.random() >= risk)
                for answer in said(task, 250, since=since)
            ]
            for task, risk, since in zip(TASKS, (0.02, 0.05, 0.08), (1e3, 1e4, 2e4), strict=True)
        }
        found = now(plan, **told)
        loose += found.proven and len(found.names) == 3
    assert loose <= 60 * plan.level + 3


@given(st.lists(st.tuples(st.sampled_from(TASKS), st.booleans(), st.booleans()), max_size=60))
def test_evidence_is_what_was_said_in_any_order_of_reading(
    answers: list[tuple[str, bool, bool]],
) -> None:
    """No more counts than was said, and the order of reading is nothing."""
    told: dict[str, list[ShadowAnswer]] = {task: [] for task in TASKS}
    for at, (task, right, sure) in enumerate(answers):
        told[task].append(
            ShadowAnswer(
                call=f"c{at}",
                at=101.0 + at,
                conversation=f"c{at}",
                score=-0.1 if sure else None,
                agrees=right,
            )
        )
    plan = together(*map(own, TASKS))
    found = now(plan, **told)
    served = [right for _, right, sure in answers if sure]
    assert found.accepted <= len(served)
    assert found.wrong <= served.count(False)
    least = min(len(some) for some in told.values())
    assert found.accepted <= 3 * least
    assert now(plan, **{task: some[::-1] for task, some in reversed(told.items())}) == found
