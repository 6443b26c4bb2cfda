"""Shadows that are proven together, where alpha is of the answers to all tasks (`scope: all`).

At its end a night writes down which of them, in `nights/<day>/joint/<alpha>.json`, unless an
earlier plan is expected to be proven sooner. `promote` looks every minute at what is proven.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from flows import console
from flows.night import shadow_plan
from flows.night.folders import Night, ended
from registry import bundle
from registry.store import Store, Version
from serving.shadow import seen
from tasks.calibrate import joint_proof, shadow_proof
from tasks.calibrate.joint_proof import JointPlan, JointStanding, Name, Seen
from tasks.calibrate.shadow_proof import ShadowPlan
from tasks.core import stage
from tasks.core.certificate import Certificate

SOON = shadow_plan.SOON  # nights' calls within which a proof has to be likely


@dataclass(frozen=True, slots=True)
class Member:
    """A shadow that waits for its proof: its version, its own plan, and the night that made it."""

    version: Version
    plan: ShadowPlan
    night: str

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


def waiting(home: Path, store: Store) -> list[Member]:
    """The shadows of tasks that nobody serves and whose proof is still to come."""
    serving, members = store.serving(), list[Member]()
    for version in store.shadows():
        if version.name in serving or version.certificate or shadow_plan.anew(home, version):
            continue
        with suppress(stage.Refused, OSError, msgspec.MsgspecError):  # said where it is looked at
            folder = store.fetch(version, home / "adapters" / version.bundle)
            lineage = msgspec.convert(bundle.read(folder, "lineage"), bundle.Lineage)
            members.append(Member(version, shadow_plan.plan_of(folder), lineage.night))
    return members


def write(night: Night) -> None:
    """Write down what tonight's shadows have to prove together, a plan for each alpha."""
    if night.params.calibrate.scope != "all":
        return
    members = waiting(night.home, night.store)
    for alpha in sorted({one.plan.alpha for one in members}):
        out = night.out("joint", f"{alpha:g}.json")
        alike = [one for one in members if one.plan.alpha == alpha]
        plan = None if out.exists() else _drafted(night, alike)
        if plan:
            stage.write_atomic(out, msgspec.json.encode(plan))


def _drafted(night: Night, members: Sequence[Member]) -> JointPlan | None:
    """Return what some shadows have to prove; None where that takes too long, or is under way."""
    known = list(plans(night.home, members[0].plan.alpha))
    told = {one.name: list(seen(night.home, *one.name)) for one in members}
    times = [answer.at for some in told.values() for answer in some]
    loaded = max([ended(night.day), *(math.nextafter(at, math.inf) for at in times)])
    drafted = joint_proof.draft(
        [
            joint_proof.member(one.version.number, one.plan, told[one.name], one.night == night.day)
            for one in members
        ],
        alpha=members[0].plan.alpha,
        delta=night.params.calibrate.delta,
        attempt=len(known) + 1,
        loaded=loaded,
        risk=members[0].plan.risk,
    )
    if drafted is None:
        return None
    names = {one.name for one in members}
    under_way = [_nights_left(night.home, night.store, plan, names) for plan in known]
    needed = joint_proof.nights_needed(drafted)
    return drafted if needed < min([SOON, *under_way]) else None


def _nights_left(home: Path, store: Store, plan: JointPlan, names: set[Name]) -> float:
    """Return how many more nights a plan is expected to take; infinity where it is decided."""
    told = answers(home, store, plan)
    now = joint_proof.standing(plan, told) if told else None
    if now is None or now.proven:
        return math.inf
    still = [
        replace(one, held=0.0, nightly=one.nightly if one.name in names else 0.0)
        for one in plan.members
    ]
    return joint_proof.nights_needed(replace(plan, members=tuple(still)), now.evidence)


def plans(home: Path, alpha: float | None = None) -> Iterator[JointPlan]:
    """All that was written down, or that for an alpha, the oldest night's first."""
    name = "*" if alpha is None else f"{alpha:g}"
    for file in sorted(home.glob(f"nights/*/joint/{name}.json")):
        yield msgspec.json.decode(file.read_bytes(), type=JointPlan)


def answers(home: Path, store: Store, plan: JointPlan) -> Seen:
    """What the members of a plan have to prove by themselves, and all that they said.

    Nothing where a member is gone from the registry: what it said wrongly is evidence, too.
    """
    result: Seen = {}
    try:
        for one in plan.members:
            version = store.version(*one.name)
            folder = store.fetch(version, home / "adapters" / version.bundle)
            result[one.name] = shadow_plan.plan_of(folder), list(seen(home, *one.name))
    except (stage.Refused, OSError, msgspec.MsgspecError) as error:
        console.say(f"what {plan.members[0].task} and others were to prove is lost: {error}")
        return {}
    return result


def proven(home: Path, store: Store) -> Iterator[Joint]:
    """Each waiting shadow that a plan would prove next, or has proven."""
    known = list(plans(home))
    members = {one.name: one for one in waiting(home, store)} if known else {}
    looked = dict[Name, Joint]()
    for plan in known:
        if members.keys().isdisjoint(one.name for one in plan.members):
            continue
        if not (told := answers(home, store, plan)):
            continue
        now = joint_proof.standing(plan, told)
        for name in (name for name in now.names if name in members):
            own = shadow_proof.standing(*told[name])
            made = joint_proof.certificate(plan, now, told[name][0], own)
            if made or name not in looked or not looked[name].certificate:
                looked[name] = Joint(members[name], now, made)
    yield from looked.values()
