"""Joint proof: tasks of few calls earn their certificates together (`calibrate.scope: all`).

Where alpha is of the answers to all tasks, what their shadows say to live calls is evidence for one
promise: of what they would answer together, at most alpha is wrong (`joint_evidence.py`). A night
writes down which of them are proven together (`JointPlan`): the least risky first, by what is no
part of the proof, in groups of which each holds the one before. They are tested in that order, so
that the whole δ is there for each. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tasks.calibrate import shadow_proof
from tasks.calibrate.joint_evidence import (
    JointMember,
    JointPlan,
    Name,
    Rounds,
    Said,
    accepts,
    rounds,
    stakes,
)
from tasks.calibrate.shadow_proof import (
    LIVE,
    ShadowAnswer,
    ShadowPlan,
    Standing,
    median_risk,
)
from tasks.core.certificate import Certificate, JointCounts
from tasks.core.sequential_tests import log_mean, next_true
from tasks.evaluate.significance import binomial_tail

AGAINST = 0.1  # chance of so many wrong answers at alpha, under which they speak against a student
GROUPS = 6  # of a plan at most
DAY = 86_400.0  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class JointStanding:
    """The state of a joint proof: its largest proven group, or the first that is not.

    `names` are those of the group; `accepted` of their answers counted, `wrong` of those. `lacking`
    is about how many more right answers are the least that prove it; `now` is the evidence after
    the last round, `evidence` its peak, as logarithms.
    """

    names: tuple[Name, ...]
    accepted: int
    wrong: int
    evidence: float
    now: float
    proven: bool
    lacking: int


def member(version: int, own: ShadowPlan, told: Sequence[ShadowAnswer], now: float) -> JointMember:
    """A shadow with a plan of its own; what it `told` so far is a guide, and no part of a proof.

    One that was asked nothing for a day has no calls.
    """
    served = [answer for answer in told if accepts(own, answer)]
    last = max((answer.at for answer in told), default=own.loaded)
    return JointMember(
        task=own.task,
        version=version,
        guides=own.guides + len(served),
        slips=own.slips + sum(not answer.agrees for answer in served),
        nightly=own.nightly if now - last < DAY else 0.0,
        share=1.0 if own.risk == "marginal" else own.share,
        largest=own.largest,
    )


def draft(members: Sequence[JointMember], plan: JointPlan) -> JointPlan | None:
    """Complete a plan: shadows in their order, first the group that is expected to be proven first.

    None where there is no such group of two or more.
    """
    able = [one for one in members if one.nightly > 0]
    ordered = sorted(able, key=lambda one: (median_risk(one.guides, one.slips), one.name))
    sizes = range(2, len(ordered) + 1)
    plans = [replace(plan, members=tuple(ordered), groups=(size,)) for size in sizes]
    soonest = min(plans, key=nights_needed, default=None)
    if soonest is None or nights_needed(soonest) == math.inf:
        return None
    steps = np.linspace(soonest.groups[0], len(ordered), GROUPS).round().astype(int)
    return replace(soonest, groups=tuple(dict.fromkeys(steps.tolist())))


def nights_needed(plan: JointPlan, evidence: float = 0.0) -> float:
    """Return about how many nights' calls prove the first group; infinity for no hope.

    `evidence` is what there is already, as a logarithm.
    """
    group = plan.members[: plan.groups[0]]
    nightly = sum(one.nightly * one.share for one in group)
    risk = median_risk(sum(one.guides for one in group), sum(one.slips for one in group))
    staked = stakes(plan.alpha, max(one.largest for one in group))
    gains = np.log1p(staked * plan.alpha) * (1 - risk) + np.log1p(staked * (plan.alpha - 1)) * risk
    growth = float(gains.max()) * nightly
    left = math.log(len(staked) / plan.level) - evidence
    return max(0.0, left) / growth if growth > 0 else math.inf


def standing(plan: JointPlan, told: Sequence[Said]) -> JointStanding:
    """Return what the answers so far prove together, of each member by its own plan."""
    goal, passed = -math.log(plan.level), 0
    found = rounds(plan, told, range(plan.groups[0]))
    while found.peak >= goal and passed < len(plan.groups):
        passed += 1
        further = plan.groups[passed] if passed < len(plan.groups) else 0
        more = rounds(plan, told, range(further)) if further else None
        if more is None or more.peak < goal:
            break
        found = more
    size = plan.groups[max(0, passed - 1)]
    return JointStanding(
        names=tuple(one.name for one in plan.members[:size]),
        accepted=found.accepted,
        wrong=found.wrong,
        evidence=found.peak,
        now=log_mean(list(found.now)),
        proven=passed > 0,
        lacking=0 if passed else _lacking(plan, found),
    )


def _lacking(plan: JointPlan, found: Rounds) -> int:
    """Return how many more right answers prove a group, were every round full."""
    largest = max(one.largest for one in plan.members[: plan.groups[0]])
    gains = np.log1p(stakes(plan.alpha, largest) * plan.alpha)

    def enough(more: int) -> bool:
        return log_mean((np.array(found.now) + more * gains).tolist()) >= -math.log(plan.level)

    most = 1
    while not enough(most):
        most *= 2
    return next_true(most // 2, most, enough)


def fit(plan: JointPlan, own_plan: ShadowPlan, live: Iterable[ShadowAnswer]) -> Standing | None:
    """A member's own standing at the threshold that was tested with the others'.

    None where it has said too little, or that speaks against it: so many wrong answers have a
    chance of less than a tenth at alpha.
    """
    own = shadow_proof.standing(replace(own_plan, thresholds=own_plan.thresholds[:1]), live)
    calls = own.n if plan.risk == "marginal" else own.accepted
    likely = 1 - binomial_tail(own.wrong - 1, calls, plan.alpha) if own.wrong else 1.0
    return own if own.accepted >= LIVE and likely >= AGAINST else None


def certificate(
    plan: JointPlan, evidence: JointStanding, own_plan: ShadowPlan, own: Standing
) -> Certificate:
    """The certificate of a member of a proven group that is fit."""
    made = shadow_proof.certificate(own_plan, replace(own, proven=True))
    assert made is not None  # as it is said to be proven
    return replace(
        made,
        delta=plan.delta,
        p=math.exp(-evidence.evidence),
        method="joint",
        attempt=plan.attempt,
        tests=1,
        joint=JointCounts(len(evidence.names), evidence.accepted, evidence.wrong),
    )
