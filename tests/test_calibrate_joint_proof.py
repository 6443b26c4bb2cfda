"""Tasks that are proven together: what their calls prove, and what none of them may hide."""

from __future__ import annotations

import random
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tasks.calibrate import joint_proof, shadow_proof
from tasks.calibrate.joint_proof import JointPlan, Seen, draft, member, nights_needed, standing
from tasks.calibrate.shadow_proof import ShadowAnswer, ShadowPlan
from tasks.core.certificate import JointCounts

TASKS = ("address", "orders", "triage")


def own(task: str, *, guides: int = 40, slips: int = 0, attempt: int = 0) -> ShadowPlan:
    """A task whose student serves all that it is sure of, in 20 of its calls a night."""
    return ShadowPlan(
        task=task,
        adapter_digest="1a2b3c4d",
        alpha=0.05,
        delta=0.1,
        attempt=attempt,
        thresholds=(-0.5,),
        loaded=100.0,
        guides=guides,
        slips=slips,
        share=1.0,
        nightly=20.0,
    )


def said(task: str, n: int, *, wrong: int = 0, since: float = 100.0) -> list[ShadowAnswer]:
    """So many confident answers from a second on, the first of them wrong."""
    names = [f"{task}-{since:g}-{place}" for place in range(n)]
    return [
        ShadowAnswer(call=name, at=since + at, conversation=name, score=-0.1, agrees=at >= wrong)
        for at, name in enumerate(names)
    ]


def together(*plans: ShadowPlan, attempt: int = 1, fresh: bool = True) -> JointPlan:
    """What some tasks have to prove together."""
    members = [member(1, plan, (), fresh) for plan in plans]
    made = draft(members, alpha=0.05, delta=0.1, attempt=attempt, loaded=100.0)
    assert made is not None
    return made


def seen(**answers: list[ShadowAnswer]) -> Seen:
    """What each task's shadow said."""
    return {(task, 1): (own(task), some) for task, some in answers.items()}


def test_tasks_prove_together_what_none_proves_alone() -> None:
    """Thirty right answers of each of three tasks; each certificate says whose they are."""
    plan = together(*map(own, TASKS))
    told = seen(**{task: said(task, 30) for task in TASKS})
    assert not any(shadow_proof.standing(*one).proven for one in told.values())
    now = standing(plan, told)
    assert (now.proven, now.accepted, now.wrong, now.lacking) == (True, 90, 0, 0)
    name = ("orders", 1)
    made = joint_proof.certificate(plan, now, told[name][0], shadow_proof.standing(*told[name]))
    assert made is not None
    assert (made.method, made.task, made.threshold, made.n) == ("joint", "orders", -0.5, 30)
    assert made.joint == JointCounts(tasks=3, accepted=90, wrong=0)
    assert made.p <= plan.level


def test_the_countdown_says_how_many_right_answers_prove_it() -> None:
    """With as many as it says they are proven, with one less they are not."""
    plan = together(own("address"), own("orders"))
    few = seen(address=said("address", 20), orders=said("orders", 20))
    lacking = standing(plan, few).lacking
    more = seen(address=said("address", 20 + lacking), orders=said("orders", 20))
    assert standing(plan, more).proven
    less = seen(address=said("address", 19 + lacking), orders=said("orders", 20))
    assert (standing(plan, less).proven, standing(plan, less).lacking) == (False, 1)


def test_the_least_risky_are_proven_first() -> None:
    """One that is expected to be often wrong comes last, and keeps nobody from a proof."""
    plan = together(own("triage", slips=3), own("address"), own("orders"))
    assert [one.task for one in plan.members] == ["address", "orders", "triage"]
    assert plan.groups[0] == 2
    told = seen(
        address=said("address", 60), orders=said("orders", 60), triage=said("triage", 60, wrong=30)
    )
    now = standing(plan, told)
    assert now.proven
    assert {task for task, _ in now.names} == {"address", "orders"}
    assert (now.accepted, now.wrong) == (120, 0)


def test_one_that_is_often_wrong_is_not_carried_by_the_others() -> None:
    """Nor one that has hardly said anything: its own answers must not speak against it."""
    plan = together(*map(own, TASKS))
    told = seen(
        address=said("address", 400), orders=said("orders", 9), triage=said("triage", 20, wrong=4)
    )
    now = standing(plan, told)
    assert now.proven
    assert len(now.names) == 3
    made = {
        name[0]: joint_proof.certificate(plan, now, one[0], shadow_proof.standing(*one))
        for name, one in told.items()
    }
    assert [task for task, proof in made.items() if proof] == ["address"]


def test_only_calls_after_the_plan_count() -> None:
    """Those of before count where nobody has looked at them, and none that training saw."""
    plan = together(own("address"), own("orders"), fresh=False)
    early = said("address", 50, since=0.0)
    held = replace(own("address"), before=tuple(early))
    told = {("address", 1): (held, early), ("orders", 1): (own("orders"), said("orders", 20))}
    assert standing(plan, told).accepted == 20
    assert standing(together(own("address"), own("orders")), told).accepted == 70
    learned = replace(held, learned=tuple(answer.conversation for answer in early))
    told["address", 1] = learned, early
    assert standing(together(own("address"), own("orders")), told).accepted == 20


def test_a_conversation_counts_once_whichever_tasks_it_goes_through() -> None:
    """Its calls are wrong together; one of them is drawn, when it is over."""
    talks = [
        [replace(a, conversation=f"talk-{n}") for n, a in enumerate(said(task, 50))]
        for task in ("address", "orders")
    ]
    plan, last = together(own("address"), own("orders")), said("orders", 1, since=5_000.0)
    told = seen(address=talks[0], orders=[*talks[1], *last])
    now = standing(plan, told)
    assert now.accepted == 51


def test_unsure_answers_count_only_where_all_calls_do() -> None:
    """Those below the threshold are evidence for a marginal risk alone, as right ones."""
    plan = together(own("address"), own("orders"))
    unsure = [replace(answer, score=-3.0, agrees=False) for answer in said("address", 50)]
    told = seen(address=unsure, orders=said("orders", 20))
    assert standing(plan, told).accepted == 20
    marginal = standing(replace(plan, risk="marginal"), told)
    assert (marginal.accepted, marginal.wrong) == (70, 0)


def test_who_has_few_calls_waits_longer() -> None:
    """Expected nights follow the calls; no calls and too many mistakes never prove anything."""
    plan = together(own("address"), own("orders"))
    slow = [replace(one, nightly=one.nightly / 2) for one in plan.members]
    assert nights_needed(replace(plan, members=tuple(slow))) == 2 * nights_needed(plan)
    assert nights_needed(plan, evidence=100.0) == 0
    bad = [member(1, own(task, slips=8), (), fresh=True) for task in TASKS]
    assert draft(bad, alpha=0.05, delta=0.1, attempt=1, loaded=0.0) is None
    assert draft(bad[:1], alpha=0.05, delta=0.1, attempt=1, loaded=0.0) is None


def test_tasks_over_alpha_are_hardly_ever_proven_together() -> None:
    """At a risk of alpha in their sum, looked at after every call, in at most delta."""
    plan, loose = together(*map(own, TASKS), attempt=1), 0
    for seed in range(60):
        rng = random.Random(seed)
        told = seen(
            **{
                task: [replace(a, agrees=rng.random() >= risk) for a in said(task, 250)]
                for task, risk in zip(TASKS, (0.02, 0.05, 0.08), strict=True)
            }
        )
        now = standing(plan, told)
        loose += now.proven and len(now.names) == 3
    assert loose <= 60 * plan.level + 3


@given(st.lists(st.tuples(st.sampled_from(TASKS), st.booleans(), st.booleans()), max_size=60))
def test_evidence_is_what_was_said_in_any_order_of_reading(
    answers: list[tuple[str, bool, bool]],
) -> None:
    """Counts add up, a right answer more is never less evidence, and reading order is nothing."""
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
    now = standing(plan, seen(**told))
    inside = {task for task, _ in now.names}
    served = [right for task, right, sure in answers if sure and task in inside]
    assert (now.accepted, now.wrong) == (len(served), served.count(False))
    backwards = {task: some[::-1] for task, some in reversed(told.items())}
    assert standing(plan, seen(**backwards)) == now
    told[plan.members[0].task] += said(plan.members[0].task, 1, since=9_999.0)
    assert standing(plan, seen(**told)).evidence >= now.evidence
