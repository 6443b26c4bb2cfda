"""HomeShadows that are proven together, where alpha is of the answers to all tasks (`scope: all`).

At its end a night writes down which of them, in `nights/<day>/joint/<alpha>-<risk>.json`, unless an
earlier plan is expected to be proven sooner. `promote` looks every minute at what is proven.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import msgspec

from flows import console
from flows.night import shadow_plan
from flows.night.folders import Night, ended
from registry.store import Store, Version
from serving.shadow import seen
from tasks.calibrate import joint_evidence, joint_proof
from tasks.calibrate.joint_evidence import JointPlan, Name, Said, Seen
from tasks.calibrate.joint_proof import JointStanding
from tasks.calibrate.shadow_proof import ShadowAnswer, ShadowPlan
from tasks.core import stage
from tasks.core.certificate import Certificate
from tasks.core.params import Calibrate, load
from tasks.core.task import load_one

SOON = shadow_plan.SOON  # nights' calls within which a proof has to be likely
KEPT = 14  # nights whose plans are looked at


@dataclass(frozen=True, slots=True)
class Member:
    """A shadow that waits for its proof: its version, and its own plan."""

    version: Version
    plan: ShadowPlan

    @property
    def name(self) -> Name:
        """The task and the version's number."""
        return self.version.name, self.version.number


@dataclass(frozen=True, slots=True)
class Joint:
    """A member of a joint plan with what is proven, or nearest to it, and what it has earned."""

    member: Member
    standing: JointStanding
    certificate: Certificate | None


@dataclass(slots=True)
class HomeShadows:
    """The shadows of a home and all that they said, each read once."""

    home: Path
    store: Store
    params: Calibrate
    _known: dict[Name, tuple[ShadowPlan, list[ShadowAnswer]]] = field(default_factory=dict)

    def waiting(self) -> list[Member]:
        """Those of tasks that nobody serves, whose proof is still to come, at today's alpha."""
        serving, members = self.store.serving(), list[Member]()
        for version in self.store.shadows() if self.params.scope == "all" else ():
            try:
                taken = version.name in serving or version.certificate
                if taken or shadow_plan.anew(self.home, version):
                    continue
                plan = self.of((version.name, version.number))[0]
                family = load_one(self.home / "adapters" / version.bundle).family
                same = plan.alpha == self.params.accepted(version.name, family)
                if same and plan.risk == self.params.risk:
                    members.append(Member(version, plan))
            except Exception as error:  # whatever is wrong with one concerns no other
                console.say(f"{version.bundle} is proven with no others: {error}")
        return members

    def of(self, name: Name) -> tuple[ShadowPlan, list[ShadowAnswer]]:
        """A shadow's own plan and its answers. Raises Refused where it has none any more."""
        if name not in self._known:
            version = self.store.version(*name)
            if shadow_plan.anew(self.home, version):
                raise stage.Refused("it was taken out of service")
            folder = self.store.fetch(version, self.home / "adapters" / version.bundle)
            self._known[name] = shadow_plan.plan_of(folder), list(seen(self.home, *name))
        return self._known[name]

    def told(self, plan: JointPlan) -> tuple[Seen, list[Said]]:
        """What the members of a plan said. Raises Refused where one is gone: it may have erred."""
        answers: Seen = {one.name: self.of(one.name) for one in plan.members}
        return answers, joint_evidence.said(plan, answers)


def write(night: Night) -> None:
    """Write down what tonight's shadows have to prove together, a plan for each alpha.

    A night that is begun again ends the same: where there is no plan, that is written down, too.
    """
    shadows = HomeShadows(night.home, night.store, night.params.calibrate)
    ordered = sorted(shadows.waiting(), key=lambda one: one.plan.alpha)
    for alpha, members in groupby(ordered, key=lambda one: one.plan.alpha):
        out = night.out("joint", f"{alpha!r}-{night.params.calibrate.risk}.json")
        if not out.exists():
            plan = _drafted(night, shadows, list(members))
            stage.write_atomic(out, msgspec.json.encode(plan))


def _drafted(night: Night, shadows: HomeShadows, members: Sequence[Member]) -> JointPlan | None:
    """Return what some shadows have to prove; None where that takes too long, or is under way."""
    known, attempts = _plans(night.home, members[0].plan.alpha, members[0].plan.risk)
    told = {one.name: shadows.of(one.name)[1] for one in members}
    last = max((answer.at for some in told.values() for answer in some), default=0.0)
    begun = JointPlan(
        alpha=members[0].plan.alpha,
        delta=night.params.calibrate.delta,
        attempt=attempts + 1,
        loaded=max(ended(night.day), min(math.nextafter(last, math.inf), time.time())),
        members=(),
        groups=(),
        risk=members[0].plan.risk,
    )
    able = [
        joint_proof.member(one.version.number, one.plan, told[one.name], begun.loaded)
        for one in members
    ]
    drafted = joint_proof.draft(able, begun)
    if drafted is None:
        return None
    names = {one.name for one in members}
    under_way = [_nights_left(shadows, plan, names) for plan in known]
    return drafted if joint_proof.nights_needed(drafted) < min([SOON, *under_way]) else None


def _nights_left(shadows: HomeShadows, plan: JointPlan, waiting: set[Name]) -> float:
    """Return how many more nights a plan is expected to take; infinity where it is decided."""
    try:
        answers, told = shadows.told(plan)
    except Exception:  # a plan that cannot be read proves nothing
        return math.inf
    now = joint_proof.standing(plan, told)
    if now.proven or not waiting.issuperset(now.names):
        return math.inf
    newest = [max((a.at for a in answers[name][1]), default=plan.loaded) for name in now.names]
    if max(newest) - min(newest) > joint_proof.DAY:  # the others wait for one that is not asked
        return math.inf
    return joint_proof.nights_needed(plan, now.now)


def _plans(home: Path, alpha: float, risk: str) -> tuple[list[JointPlan], int]:
    """The plans of the last nights, oldest first, and how many attempts there were in all."""
    files = sorted(home.glob(f"nights/*/joint/{alpha!r}-{risk}.json"))
    plans, attempts = list[JointPlan](), 0
    for file in files:
        try:
            plan = msgspec.json.decode(file.read_bytes(), type=JointPlan | None)
            attempts = max(attempts, plan.attempt) if plan else attempts
        except (OSError, ValueError, msgspec.MsgspecError) as error:
            console.say(f"what was to be proven by {file} is lost: {error}")
            plan, attempts = None, attempts + 1
        if plan and file in files[-KEPT:]:
            plans.append(plan)
    return plans, attempts


def proven(home: Path, store: Store) -> Iterator[Joint]:
    """Each waiting shadow that a plan would prove next, or has proven."""
    shadows = HomeShadows(home, store, load().calibrate)
    if not any(home.glob("nights/*/joint")):
        return
    members = {one.name: one for one in shadows.waiting()}
    looked = dict[Name, Joint]()
    for alpha in sorted({one.plan.alpha for one in members.values()}):
        for plan in _plans(home, alpha, shadows.params.risk)[0]:
            if members.keys().isdisjoint(one.name for one in plan.members):
                continue
            try:
                found = list(_looked_at(shadows, plan, members))
            except stage.Refused:  # a member is gone: the others are proven by a later plan
                continue
            except Exception as error:  # whatever is wrong with one plan concerns no other
                first = plan.members[0].task
                console.say(f"what {first} and others were to prove is lost: {error}")
                continue
            for joint in found:
                if joint.certificate or joint.member.name not in looked:
                    looked[joint.member.name] = joint
    yield from looked.values()


def _looked_at(
    shadows: HomeShadows, plan: JointPlan, members: dict[Name, Member]
) -> Iterator[Joint]:
    """What a plan says about those of its members that wait.

    Those who get a certificate have to stand without the others: with who serves by it already, and
    without who left, or whose own answers speak against it.
    """
    answers, told = shadows.told(plan)
    now = joint_proof.standing(plan, told)
    fit = {
        name: own
        for name in now.names
        if name in members and (own := joint_proof.fit(plan, *answers[name]))
    }
    kept = [
        place
        for place, one in enumerate(plan.members[: len(now.names)])
        if one.name in fit or _serves(shadows.store, one.name)
    ]
    least, stands = -math.log(plan.level), False
    if now.proven and kept:
        stands = joint_evidence.rounds(plan, told, kept).peak >= least
        stands = stands and joint_evidence.plainly(plan, told, kept) >= least
    for name in (name for name in now.names if name in members):
        earned = None
        if stands and name in fit:
            earned = joint_proof.certificate(plan, now, answers[name][0], fit[name])
        yield Joint(members[name], now, earned)


def _serves(store: Store, name: Name) -> bool:
    """Return whether a shadow serves by now, as a version of the same adapter."""
    number = store.champion(name[0])
    if number is None:
        return False
    return store.version(name[0], number).adapter_digest == store.version(*name).adapter_digest
