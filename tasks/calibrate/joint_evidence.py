"""The evidence of tasks that are proven together: it grows by rounds.

In a round every member of a group has as many calls as its traffic has beside the others': else the
task of the morning would prove that of the afternoon. A round's gain is at most 1 in the mean where
the group's risk is above alpha, however it differs between members (of numbers with one sum the
product is largest where they are equal); it may be looked at after each. Calls of a conversation
are wrong together: those to one of its tasks are one bet, and where it goes through several tasks
all bets are that much smaller. `plainly` counts every call for one, as a second opinion. Pure.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.calibrate.shadow_proof import QUIET, ShadowAnswer, ShadowPlan
from tasks.core.certificate import Risk, spent
from tasks.core.records import digest
from tasks.core.sequential_tests import LOWER
from tasks.evaluate.significance import LARGEST

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


@dataclass(frozen=True, slots=True)
class Said:
    """What counts of a member's answers, a line for each conversation, in the order of their ends.

    `calls` of it, `accepted` of those, `wrong` of these. Of a conversation `largest` calls count,
    and it goes through `tasks` of the plan's tasks, at most. `every` and `errors` are all answers
    that are accepted and those of them that are wrong, each call for one.
    """

    calls: NDArray[np.int_]
    accepted: NDArray[np.int_]
    wrong: NDArray[np.int_]
    largest: int
    tasks: int
    every: int
    errors: int

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


def stakes(alpha: float, largest: int = 1) -> Floats:
    """What is bet on each call: less where more calls of one conversation may be wrong at once."""
    most = (1 - LEFT) / (largest * (1 - alpha))
    return np.array([min((1 - part) / (1 - alpha), most) for part in LOWER])


def rounds(plan: JointPlan, told: Sequence[Said], places: Collection[int]) -> Rounds:
    """Return what some members' answers say together, round by round.

    In a round the member of fewest calls has one, the others as many as they have beside it. What
    is there beyond that, as calls and conversations are whole, gains nothing at best.
    """
    nightly = [plan.members[place].nightly for place in places]
    some = [(told[place], own / min(nightly)) for place, own in zip(places, nightly, strict=True)]
    staked = stakes(plan.alpha, max(one.largest for one, _ in some))
    whole = min(int(one.calls.sum() / quota) for one, quota in some)
    if not whole:
        return Rounds(0, 0, 0.0, [0.0] * len(LOWER))
    ends, accepted, wrong = np.arange(1, whole + 1), 0, 0
    logs = np.zeros((whole, len(LOWER)))
    for one, quota in some:
        calls = one.calls.cumsum()
        at = np.searchsorted(calls, ends * quota - ROUNDING)
        beyond = np.maximum(0.0, calls[at] - ends * quota)
        logs += one.gains(plan, staked)[at] - beyond[:, None] * staked * plan.alpha
        counted = one.calls if plan.risk == "marginal" else one.accepted
        accepted += int(counted[: at[-1] + 1].sum())
        wrong += int(one.wrong[: at[-1] + 1].sum())
    logs /= max(one.tasks for one, _ in some)  # Hoelder: of bets that are won and lost together
    peak = float(np.logaddexp.reduce(logs, axis=1).max()) - math.log(len(LOWER))
    return Rounds(accepted, wrong, max(0.0, peak), logs[-1].tolist())


def plainly(plan: JointPlan, told: Sequence[Said], places: Collection[int]) -> float:
    """The evidence, as a logarithm, of all calls since the plan, as if each were on its own.

    No proof by itself. It knows what the proof's rules leave out: late turns, long conversations,
    and traffic that has changed its proportions since.
    """
    n, wrong = (sum(getattr(told[place], name) for place in places) for name in ("every", "errors"))
    staked = stakes(plan.alpha)
    logs = (n - wrong) * np.log1p(staked * plan.alpha) + wrong * np.log1p(staked * (plan.alpha - 1))
    return float(np.logaddexp.reduce(logs)) - math.log(len(LOWER))


def said(plan: JointPlan, seen: Seen) -> list[Said]:
    """What counts of the answers of each member: those since the plan, of new conversations.

    No call that training saw, and none of a conversation that went into order or thresholds; none
    of one that may still go on.
    """
    live = [_live(plan, *seen[one.name]) for one in plan.members]
    known = {name for one in plan.members for name in _known(plan, *seen[one.name])}
    last = dict[str, float]()
    for answers in live:
        for answer in answers:
            last[answer.conversation] = max(answer.at, last.get(answer.conversation, answer.at))
    now = max(last.values(), default=0.0)
    over = {name for name, at in last.items() if now - at > QUIET} - known
    through = Counter(name for answers in live for name in {a.conversation for a in answers})
    return [
        _counted(plan, one, seen[one.name][0], answers, over, through)
        for one, answers in zip(plan.members, live, strict=True)
    ]


def _live(plan: JointPlan, own: ShadowPlan, told: Sequence[ShadowAnswer]) -> list[ShadowAnswer]:
    """The oldest answers since a plan, each call once, in the order of their calls."""
    learned, since = set(own.learned), max(plan.loaded, own.loaded)
    whole = {a.call: a for a in told if a.at >= since and a.conversation not in learned}
    ordered = sorted(whole.values(), key=lambda a: (a.at, a.call))
    return [answer for answer in ordered if _even(answer)][:MOST]


def _known(plan: JointPlan, own: ShadowPlan, told: Sequence[ShadowAnswer]) -> set[str]:
    """The conversations that were under way before a plan."""
    since = max(plan.loaded, own.loaded)
    early = {answer.conversation for answer in told if answer.at < since}
    return early | {answer.conversation for answer in own.before}


def _even(answer: ShadowAnswer) -> bool:
    """Return whether an answer is in an even sample of the calls."""
    if answer.share >= 1:
        return True
    return int(digest(answer.call, "even", length=12), 16) < answer.share * 16**12


def _counted(
    plan: JointPlan,
    one: JointMember,
    own: ShadowPlan,
    answers: Sequence[ShadowAnswer],
    over: Set[str],
    through: Mapping[str, int],
) -> Said:
    """What counts of a member's answers, by conversations that are over."""
    units = dict[str, list[ShadowAnswer]]()
    for answer in answers:
        if answer.conversation in over:
            units.setdefault(answer.conversation, []).append(answer)
    most = max((len(some) for some in units.values()), default=1)
    largest = min(LARGEST, max(one.largest, most))
    turns = sorted((_first_turns(some) for some in units.values()), key=lambda some: some[-1].at)
    drawn = [_drawn(some, largest) for some in turns]
    served = [[answer for answer in some if accepts(own, answer)] for some in drawn]
    every = [answer for answer in answers if accepts(own, answer)]
    return Said(
        calls=np.array([len(some) for some in drawn], dtype=int),
        accepted=np.array([len(some) for some in served], dtype=int),
        wrong=np.array([sum(not a.agrees for a in some) for some in served], dtype=int),
        largest=largest,
        tasks=max((through[name] for name in units), default=1),
        every=len(answers if plan.risk == "marginal" else every),
        errors=sum(not answer.agrees for answer in every),
    )


def _drawn(turns: Sequence[ShadowAnswer], largest: int) -> Sequence[ShadowAnswer]:
    """As many calls of a conversation as count, drawn by their ids."""
    if len(turns) <= largest:
        return turns
    return sorted(turns, key=lambda answer: digest(answer.call, "shadow"))[:largest]


def _first_turns(turns: Sequence[ShadowAnswer]) -> Sequence[ShadowAnswer]:
    """The calls of a conversation until it is quiet for a while: then it has had its turn."""
    for place, (turn, before) in enumerate(zip(turns[1:], turns, strict=False), 1):
        if turn.at - before.at > QUIET:
            return turns[:place]
    return turns


def accepts(own: ShadowPlan, answer: ShadowAnswer) -> bool:
    """Return whether an answer clears the first threshold of its shadow's plan."""
    return answer.score is not None and answer.score >= own.thresholds[0]
