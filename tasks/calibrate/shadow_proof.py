"""Shadow: how a student that only lacks proof earns its certificate on live traffic.

Before its first call is seen, thresholds are written down (`ShadowPlan`); then each labelled call
moves the evidence for each of them. They are tested in a fixed order, strictest first, so that the
whole δ is there for each; the certificate's is the loosest that is proven with all those before it.
Calls of one conversation are wrong together: one of each counts, drawn by its id, once the
conversation has been quiet for a while. What training saw counts for nothing. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from tasks.cluster.signatures import user_text
from tasks.core.certificate import Certificate, Risk, spent
from tasks.core.records import Json, digest
from tasks.core.sequential_tests import LOWER, Proof, bet
from tasks.core.task import Task

TENTHS = 10
HALF = 0.5  # of alpha: the risk at which, by the rows that choose, the first threshold stands
FEW = 5  # servable rows under which nothing is said about thresholds
LIVE = 10  # calls since the loading without which nothing is certified
QUIET = 600.0  # seconds without a call after which a conversation is over


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowAnswer:
    """A call that the teacher answered and the shadow was asked: `score` None when unservable.

    `conversation` is the call's own id where it belongs to none. `share` is the calls that it
    stands for, of the most that one may stand for: 1 while no other student answers.
    """

    call: str
    at: float
    conversation: str
    score: float | None
    agrees: bool
    share: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowPlan:
    """A shadow's task: to prove one of these `thresholds`, in the order of their tests.

    `loaded` is when they were written down (seconds since the epoch); `learned` are the
    conversations that its training saw. `before` are calls that it did not see, of the time before,
    asked as they came in. `largest` is how many calls of its conversation one may stand for.
    `attempt` is 0 for one that is only proven with others (`joint_proof.py`). Of `guides`, answers
    that chose the first threshold, `slips` were wrong there; `nightly` calls are expected a night,
    a `share` of which it would answer.
    """

    task: str
    adapter_digest: str
    alpha: float
    delta: float
    attempt: int
    thresholds: tuple[float, ...]
    loaded: float = 0.0
    tests: int = 1
    risk: Risk = "selective"
    learned: tuple[str, ...] = ()
    before: tuple[ShadowAnswer, ...] = ()
    largest: int = 1
    guides: int = 0
    slips: int = 0
    share: float = 0.0
    nightly: float = 0.0

    @property
    def level(self) -> float:
        """The part of delta that this attempt is tested at."""
        return spent(self.delta, max(1, self.attempt)) / self.tests


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The state of a shadow's proof: its best proven threshold, or the first that is not.

    `n` calls counted, `live` of them since it was loaded, `accepted` at the threshold, `wrong` of
    those. `lacking` is how many more right answers are the least that prove the first threshold;
    one that is not `alone` is only proven with others.
    """

    n: int
    live: int
    accepted: int
    wrong: int
    share: float
    unaided: float
    threshold: float
    evidence: float
    proven: bool
    lacking: int
    alone: bool = True


def conversation_of(call: str, named: str, request: Json, task: Task) -> str:
    """Return what a call belongs to: the conversation that the agent names, or that begins like it.

    Its own id where the task's calls are no turns of anything.
    """
    if named:
        return digest(named)
    return digest(user_text(request)) if task.template.turns else call


def thresholds(
    scores: Sequence[float], right: Sequence[bool], alpha: float, least: float = 0.0
) -> tuple[float, ...]:
    """The thresholds to test, in their order, chosen on rows that will be no part of the proof.

    Tenths of the servable answers, from the loosest whose risk is at most half of alpha there (the
    least risky where there is none) to the last. `least` is the share of all rows that is asked
    for. Empty when every one is hopeless.
    """
    pairs = zip(scores, right, strict=True)
    ranked = sorted((pair for pair in pairs if pair[0] > -math.inf), reverse=True)
    tenths = {max(1, len(ranked) * tenth // TENTHS) for tenth in range(1, TENTHS + 1)}
    counts = sorted(count for count in tenths if count >= least * len(scores))
    if len(ranked) < FEW or not counts:
        return ()
    risks = [sum(not good for _, good in ranked[:count]) / count for count in counts]
    sound = [place for place, risk in enumerate(risks) if risk <= HALF * alpha]
    first = max(sound, default=min(range(len(risks)), key=risks.__getitem__))
    if risks[first] > alpha:
        return ()
    return tuple(dict.fromkeys(ranked[count - 1][0] for count in counts[first:]))


def calls_needed(plan: ShadowPlan, guide: Sequence[tuple[float, bool]]) -> float:
    """Return about how many calls it takes to prove the first threshold; infinity for no hope.

    `guide` are scores of rows that are no part of the proof, and whether the answers were right:
    the risk is taken to be the median of what they leave possible.
    """
    taken = [right for sure, right in guide if sure >= plan.thresholds[0]]
    needed = answers_needed(plan.alpha, plan.level, median_risk(len(taken), taken.count(False)))
    share = 1.0 if plan.risk == "marginal" else len(taken) / max(1, len(guide))
    return needed / share if share else math.inf


def median_risk(n: int, wrong: int) -> float:
    """About the median of the risks that so many wrong answers leave possible."""
    return (wrong + 1 / 6) / (n + 1 / 3)


def answers_needed(alpha: float, level: float, risk: float) -> float:
    """Return about how many answers that are wrong at a risk of `risk` prove one of at most alpha.

    Infinity for no hope.
    """
    goal = math.log(len(LOWER) / level)
    gains = [
        (1 - risk) * bet(alpha, part * alpha, wrong=False)
        + risk * bet(alpha, part * alpha, wrong=True)
        for part in LOWER
    ]
    return goal / max(gains) if max(gains) > 0 else math.inf


def once(
    calls: Iterable[ShadowAnswer], learned: Iterable[str] = (), largest: int = 1
) -> Iterator[ShadowAnswer]:
    """One call of each conversation that is over, drawn by its id; none that training saw.

    It stands for all of its conversation's, up to `largest`: long conversations may be harder, and
    have more calls. A conversation that wakes again after a quiet time has had its turn.
    """
    counted, begun = set(learned), dict[str, list[ShadowAnswer]]()
    ordered = sorted(calls, key=lambda call: (call.at, call.call))
    now = ordered[-1].at if ordered else 0.0
    for call in ordered:
        mine = begun.setdefault(call.conversation, [])
        if call.conversation not in counted and (not mine or call.at - mine[-1].at <= QUIET):
            mine.append(call)
        else:
            counted.add(call.conversation)
    ended = [
        mine
        for name, mine in begun.items()
        if mine and (name == mine[0].call or now - mine[-1].at > QUIET)
    ]
    for mine in sorted(ended, key=lambda mine: (mine[-1].at, mine[-1].call)):
        drawn = min(mine, key=lambda call: digest(call.call, "shadow"))
        yield replace(drawn, share=drawn.share * min(len(mine), largest) / largest)


def standing(plan: ShadowPlan, live: Iterable[ShadowAnswer]) -> Standing:
    """Return what the calls seen so far prove; those of the time that training saw do not count."""
    before = list(once(plan.before, plan.learned, plan.largest))
    later = (seen for seen in live if seen.at >= plan.loaded)
    earlier = (*plan.learned, *(seen.conversation for seen in plan.before))
    after = list(once(later, earlier, plan.largest))
    counted, proofs = [*before, *after], [Proof(plan.alpha) for _ in plan.thresholds]
    _see(plan, proofs, before)
    for proof in proofs:
        proof.peak = max(0.0, proof.log)  # one look: of a mixture's heads each had a part of these
    _see(plan, proofs, after)
    passed = 0
    while passed < len(proofs) and proofs[passed].proven(plan.level):
        passed += 1
    place = max(0, passed - 1)
    return _standing(plan, place, passed > 0, proofs, counted, len(after))


def _see(plan: ShadowPlan, proofs: Sequence[Proof], calls: Iterable[ShadowAnswer]) -> None:
    """Show calls to the proofs of the plan's thresholds."""
    for seen in calls:
        for threshold, proof in zip(plan.thresholds, proofs, strict=True):
            accepted = seen.score is not None and seen.score >= threshold
            if accepted or plan.risk == "marginal":
                proof.see(accepted and not seen.agrees, seen.share)


def _standing(
    plan: ShadowPlan,
    place: int,
    proven: bool,
    proofs: list[Proof],
    counted: list[ShadowAnswer],
    live: int,
) -> Standing:
    threshold, best = plan.thresholds[place], proofs[place]
    served = [seen for seen in counted if seen.score is not None and seen.score >= threshold]
    whole = sum(seen.share for seen in counted)
    right = sum(seen.share for seen in counted if seen.agrees and seen.score is not None)
    return Standing(
        n=len(counted),
        live=live,
        accepted=len(served),
        wrong=sum(not seen.agrees for seen in served),
        share=sum(seen.share for seen in served) / whole if whole else 0.0,
        unaided=right / whole if whole else 0.0,
        threshold=threshold,
        evidence=best.peak,
        proven=proven and live >= LIVE and plan.attempt > 0,
        lacking=max(LIVE - live, 0 if proven else best.lacking(plan.level)),
        alone=plan.attempt > 0,
    )


def certificate(plan: ShadowPlan, evidence: Standing) -> Certificate | None:
    """The certificate that the calls prove; None while they do not."""
    if not evidence.proven:
        return None
    over = 1 - evidence.unaided - plan.alpha
    floor = max(0.0, over / (1 - plan.alpha if plan.risk == "selective" else 1))
    return Certificate(
        task=plan.task,
        adapter_digest=plan.adapter_digest,
        threshold=evidence.threshold,
        alpha=plan.alpha,
        delta=plan.delta,
        n=evidence.n,
        accepted=evidence.accepted,
        wrong=evidence.wrong,
        coverage=round(evidence.share, 4),
        floor=round(floor, 4),
        p=math.exp(-evidence.evidence),
        method="shadow",
        risk=plan.risk,
        attempt=plan.attempt,
        tests=plan.tests,
    )
