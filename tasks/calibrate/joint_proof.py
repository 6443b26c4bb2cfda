"""Joint proof: tasks of few calls earn their certificates together (`calibrate.scope: all`).

Where alpha is of the answers to all tasks, the calls of all shadows are evidence for one promise:
of what they would have answered together, at most alpha is wrong. A night writes down which of them
are proven together (`JointPlan`): the least risky first, by what is no part of the proof, in groups
of which each holds the one before it. They are tested in that order, so that the whole δ is there
for each; whoever is in the largest proven group gets a certificate, but for those whose own answers
speak against them. One call of each conversation counts, whichever its task is. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from tasks.calibrate import shadow_proof
from tasks.calibrate.shadow_proof import (
    LIVE,
    ShadowAnswer,
    ShadowPlan,
    Standing,
    answers_needed,
    median_risk,
    once,
)
from tasks.core.certificate import Certificate, JointCounts, Risk, spent
from tasks.core.sequential_tests import Proof
from tasks.evaluate.significance import binomial_tail

AGAINST = 0.1  # chance of so many wrong answers at alpha, under which they speak against a student

Name = tuple[str, int]  # a shadow: its task and its version
Seen = dict[Name, tuple[ShadowPlan, Sequence[ShadowAnswer]]]  # own plans, and all that they said


@dataclass(frozen=True, slots=True, kw_only=True)
class JointMember:
    """A shadow that is proven with others, at the first threshold of its own plan.

    Of `guides`, answers that are no part of the proof, `slips` were wrong there. Expected to count
    are `held` answers to calls of the time before, and `nightly` a night. Those of the time before
    are there only of one whose plan is as new as this (`fresh`): others were looked at.
    """

    task: str
    version: int
    guides: int
    slips: int
    held: float
    nightly: float
    fresh: bool

    @property
    def name(self) -> Name:
        """The task and the version."""
        return self.task, self.version


@dataclass(frozen=True, slots=True, kw_only=True)
class JointPlan:
    """What shadows have to prove together: `groups` are how many of the `members`, in test order.

    `loaded` is when that was written down, in seconds since the epoch.
    """

    alpha: float
    delta: float
    attempt: int
    loaded: float
    members: tuple[JointMember, ...]
    groups: tuple[int, ...]
    risk: Risk = "selective"

    @property
    def level(self) -> float:
        """The part of delta that this attempt is tested at."""
        return spent(self.delta, self.attempt)


@dataclass(frozen=True, slots=True, kw_only=True)
class JointStanding:
    """The state of a joint proof: its largest proven group, or the first that is not.

    `names` are those of the group; `accepted` of their answers counted, `wrong` of those. `lacking`
    is how many more right answers are the least that prove it.
    """

    names: tuple[Name, ...]
    accepted: int
    wrong: int
    evidence: float
    proven: bool
    lacking: int


def member(version: int, own: ShadowPlan, told: Sequence[ShadowAnswer], fresh: bool) -> JointMember:
    """A shadow with a plan of its own; what it `told` so far is a guide, and no part of a proof."""
    served = [a for a in told if a.score is not None and a.score >= own.thresholds[0]]
    share = 1.0 if own.risk == "marginal" else own.share
    return JointMember(
        task=own.task,
        version=version,
        guides=own.guides + len(served),
        slips=own.slips + sum(not answer.agrees for answer in served),
        held=share * len(own.before) if fresh else 0.0,
        nightly=share * own.nightly,
        fresh=fresh,
    )


def draft(
    members: Sequence[JointMember],
    *,
    alpha: float,
    delta: float,
    attempt: int,
    loaded: float,
    risk: Risk = "selective",
) -> JointPlan | None:
    """Order some shadows and begin with the group that is expected to be proven soonest.

    None where there is no such group of two or more.
    """
    ordered = sorted(members, key=lambda one: (median_risk(one.guides, one.slips), one.task))
    whole = JointPlan(
        alpha=alpha,
        delta=delta,
        attempt=attempt,
        loaded=loaded,
        members=tuple(ordered),
        groups=tuple(range(2, len(ordered) + 1)),
        risk=risk,
    )
    plans = [replace(whole, groups=whole.groups[first:]) for first in range(len(whole.groups))]
    soonest = min(plans, key=nights_needed, default=None)
    return soonest if soonest and nights_needed(soonest) < math.inf else None


def nights_needed(plan: JointPlan, evidence: float = 0.0) -> float:
    """Return about how many nights' calls prove the first group; infinity for no hope.

    `evidence` is what there is already, as a logarithm.
    """
    group = plan.members[: plan.groups[0]]
    nightly = sum(one.nightly for one in group)
    risk = median_risk(sum(one.guides for one in group), sum(one.slips for one in group))
    needed = answers_needed(plan.alpha, plan.level, risk, evidence)
    live = max(0.0, needed - sum(one.held for one in group))
    return live / nightly if nightly else math.inf


def standing(plan: JointPlan, seen: Seen) -> JointStanding:
    """Return what the answers seen so far prove together, of each member by its own plan."""
    places = {one.name: place for place, one in enumerate(plan.members)}
    known = [(places[name], own, live) for name, (own, live) in seen.items()]
    fresh = [one for one in known if plan.members[one[0]].fresh]
    before = _drawn((place, own, own.before) for place, own, _ in fresh)
    earlier = {answer.conversation for _, answer in before}
    later = (
        (place, own, [answer for answer in live if answer.at >= max(plan.loaded, own.loaded)])
        for place, own, live in known
    )
    after = _drawn(later, earlier)
    proofs = [Proof(plan.alpha) for _ in plan.groups]
    _see(plan, proofs, before)
    for proof in proofs:
        proof.peak = max(0.0, proof.log)  # one look: of a mixture's heads each had a part of these
    _see(plan, proofs, after)
    passed = 0
    while passed < len(proofs) and proofs[passed].proven(plan.level):
        passed += 1
    best = proofs[max(0, passed - 1)]
    return JointStanding(
        names=tuple(one.name for one in plan.members[: plan.groups[max(0, passed - 1)]]),
        accepted=best.right + best.wrong,
        wrong=best.wrong,
        evidence=best.peak,
        proven=passed > 0 and len(after) >= LIVE,
        lacking=max(LIVE - len(after), 0 if passed else best.lacking(plan.level)),
    )


def _drawn(
    answers: Iterable[tuple[int, ShadowPlan, Sequence[ShadowAnswer]]],
    earlier: Collection[str] = (),
) -> list[tuple[int, ShadowAnswer]]:
    """One answer of each conversation, with its member's place; its score is None if not served."""
    owners, every = dict[str, int](), list[ShadowAnswer]()
    for place, own, some in answers:
        learned = set(own.learned)
        for answer in some:
            if answer.conversation not in learned:
                served = answer.score is not None and answer.score >= own.thresholds[0]
                every.append(answer if served else replace(answer, score=None))
                owners[answer.call] = place
    return [(owners[answer.call], answer) for answer in once(every, earlier)]


def _see(
    plan: JointPlan, proofs: Sequence[Proof], answers: Iterable[tuple[int, ShadowAnswer]]
) -> None:
    """Show answers to the proofs of the plan's groups."""
    for place, answer in answers:
        served = answer.score is not None
        if served or plan.risk == "marginal":
            for size, proof in zip(plan.groups, proofs, strict=True):
                if place < size:
                    proof.see(served and not answer.agrees, answer.share)


def certificate(
    plan: JointPlan, evidence: JointStanding, own_plan: ShadowPlan, own: Standing
) -> Certificate | None:
    """The certificate of a member; None while nothing is proven, or its own answers are too few.

    Or speak against it: so many wrong ones have a chance of less than a tenth at alpha.
    """
    calls = own.n if plan.risk == "marginal" else own.accepted
    likely = 1 - binomial_tail(own.wrong - 1, calls, plan.alpha) if own.wrong else 1.0
    if not evidence.proven or own.accepted < LIVE or likely < AGAINST:
        return None
    made = shadow_proof.certificate(own_plan, replace(own, proven=True))
    return made and replace(
        made,
        delta=plan.delta,
        p=math.exp(-evidence.evidence),
        method="joint",
        attempt=plan.attempt,
        tests=1,
        joint=JointCounts(len(evidence.names), evidence.accepted, evidence.wrong),
    )
