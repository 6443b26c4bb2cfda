"""The evidence of tasks that are proven together: it grows by rounds.

In a round every member of a group has as many calls as its traffic has beside the others': else the
task of the morning would prove that of the afternoon. A round's gain is at most 1 in the mean where
the group's risk is above alpha, however it differs between members (of numbers with one sum the
product is largest where they are equal); it may be looked at after each. Calls of a conversation
are wrong together: those to one of its tasks are one bet. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.calibrate.shadow_proof import QUIET, ShadowAnswer, ShadowPlan
from tasks.core.certificate import Risk, spent
from tasks.core.records import digest
from tasks.core.sequential_tests import LOWER

MOST = 5_000  # calls of a member that count, the oldest
ROUNDING = 1e-6  # of a call
LEFT = 0.01  # of what is there, that a bet leaves whatever happens

Name = tuple[str, int]  # a shadow: its task and its version
Seen = dict[Name, tuple[ShadowPlan, Sequence[ShadowAnswer]]]  # own plans, and all that they said
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class JointMember:
    """A shadow that is proven with others, at the first threshold of its own plan.

    Of `guides`, answers that are no part of the proof, `slips` were wrong there. It has `nightly`
    calls a night, a `share` of which it would answer; of a conversation `largest` count.
    """

    task: str
    version: int
    guides: int
    slips: int
    nightly: float
    share: float
    largest: int = 1

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

    def stakes(self, members: Sequence[JointMember]) -> Floats:
        """What is bet on each call: less where more calls of one conversation may be wrong."""
        largest = max(one.largest for one in members)
        most = (1 - LEFT) / (largest * (1 - self.alpha))
        wanted = ((1 - part) / (1 - self.alpha) for part in LOWER)
        return np.array([min(stake, most) for stake in wanted])


@dataclass(frozen=True, slots=True)
class Said:
    """What counts of a member's answers, a line for each conversation, in the order of their ends.

    `calls` of it, `accepted` of those, `wrong` of these.
    """

    calls: NDArray[np.int_]
    accepted: NDArray[np.int_]
    wrong: NDArray[np.int_]

    def gains(self, plan: JointPlan, stakes: Floats) -> Floats:
        """The logarithms of what bets have gained after each, a column for each stake."""
        counted = self.calls if plan.risk == "marginal" else self.accepted
        return np.log1p(stakes * (plan.alpha * counted - self.wrong)[:, None]).cumsum(axis=0)


@dataclass(frozen=True, slots=True)
class Rounds:
    """The evidence of some members: its `peak` and what it is `now`, as logarithms."""

    accepted: int
    wrong: int
    peak: float
    now: Sequence[float]


def rounds(plan: JointPlan, told: Sequence[Said], places: Collection[int]) -> Rounds:
    """Return what some members' answers say together, round by round.

    In a round the member of fewest calls has one, the others as many as they have beside it. What
    is there beyond that, as calls and conversations are whole, gains nothing at best.
    """
    nightly = [plan.members[place].nightly for place in places]
    some = [
        (told[place], calls / min(nightly)) for place, calls in zip(places, nightly, strict=True)
    ]
    stakes = plan.stakes([plan.members[place] for place in places])
    whole = min(int(one.calls.sum() / quota) for one, quota in some)
    if not whole:
        return Rounds(0, 0, 0.0, [0.0] * len(LOWER))
    ends, accepted, wrong = np.arange(1, whole + 1), 0, 0
    logs = np.zeros((whole, len(LOWER)))
    for one, quota in some:
        calls = one.calls.cumsum()
        at = np.searchsorted(calls, ends * quota - ROUNDING)
        beyond = np.maximum(0.0, calls[at] - ends * quota)
        logs += one.gains(plan, stakes)[at] - beyond[:, None] * stakes * plan.alpha
        counted = one.calls if plan.risk == "marginal" else one.accepted
        accepted += int(counted[: at[-1] + 1].sum())
        wrong += int(one.wrong[: at[-1] + 1].sum())
    peak = float(np.logaddexp.reduce(logs, axis=1).max()) - math.log(len(LOWER))
    return Rounds(accepted, wrong, max(0.0, peak), logs[-1].tolist())


def said(plan: JointPlan, seen: Seen) -> list[Said]:
    """What counts of the answers of each member: those since the plan, of new conversations.

    No call that training saw, and none of a conversation that went into order or thresholds. Of a
    conversation whose calls are of several tasks those of one count, drawn by their ids.
    """
    parts = dict[str, list[tuple[float, str, int, ShadowAnswer]]]()
    known, now = set[str](), -math.inf
    for place, one in enumerate(plan.members):
        own, told = seen[one.name]
        learned, since = set(own.learned), max(plan.loaded, own.loaded)
        known |= {answer.conversation for answer in own.before}
        known |= {answer.conversation for answer in told if answer.at < since}
        whole = {a.call: a for a in told if a.at >= since and _even(a)}
        for answer in sorted(whole.values(), key=lambda a: (a.at, a.call))[:MOST]:
            now = max(now, answer.at)
            if answer.conversation not in learned:
                part = answer.at, answer.call, place, answer
                parts.setdefault(answer.conversation, []).append(part)
    units: list[list[tuple[float, list[ShadowAnswer]]]] = [[] for _ in plan.members]
    for name in parts.keys() - known:
        turns = _first_turns(sorted(parts[name], key=lambda part: part[:2]))
        if name != turns[0][1] and now - turns[-1][0] <= QUIET:
            continue  # it goes on
        drawn = sorted(turns, key=lambda part: digest(part[1], "shadow"))
        mine = [answer for *_, place, answer in drawn if place == drawn[0][2]]
        units[drawn[0][2]].append((turns[-1][0], mine[: plan.members[drawn[0][2]].largest]))
    return [_counted(seen[one.name][0], own) for one, own in zip(plan.members, units, strict=True)]


def accepts(own: ShadowPlan, answer: ShadowAnswer) -> bool:
    """Return whether an answer clears the first threshold of its shadow's plan."""
    return answer.score is not None and answer.score >= own.thresholds[0]


def _even(answer: ShadowAnswer) -> bool:
    """Return whether an answer is in an even sample of the calls."""
    return int(digest(answer.call, "even", length=12), 16) < answer.share * 16**12


def _first_turns(
    turns: Sequence[tuple[float, str, int, ShadowAnswer]],
) -> Sequence[tuple[float, str, int, ShadowAnswer]]:
    """The calls of a conversation until it is quiet for a while: then it has had its turn."""
    for place, (turn, before) in enumerate(zip(turns[1:], turns, strict=False), 1):
        if turn[0] - before[0] > QUIET:
            return turns[:place]
    return turns


def _counted(own: ShadowPlan, units: Iterable[tuple[float, list[ShadowAnswer]]]) -> Said:
    """A member's conversations, in the order of their ends."""
    ordered = [some for _, some in sorted(units, key=lambda unit: (unit[0], unit[1][0].call))]
    served = [[answer for answer in some if accepts(own, answer)] for some in ordered]
    return Said(
        np.array([len(some) for some in ordered], dtype=int),
        np.array([len(some) for some in served], dtype=int),
        np.array([sum(not answer.agrees for answer in some) for some in served], dtype=int),
    )
