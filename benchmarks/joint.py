"""Tasks of few calls by simulation: proven alone, and proven together (`calibrate.scope: all`).

    python -m benchmarks.joint [--streams 400] [--nights 14]

Seeded streams of several tasks whose students' risks are known go through nights and shadows: each
task is proven by its own calls, or by those of all. Counted is what share of the calls is served,
how often the answers that are served together are wrong more often than alpha, and how often a
single task's are. Prints a table; the last line is JSON. Exit status 1 where the share of streams
that are ever certified together for more than alpha is above delta by more than chance.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.shadow import ALPHA, DELTA, Risk, calls, risk_at, show
from flows.night.shadow_plan import SOON
from tasks.calibrate import joint_evidence, joint_proof, shadow_proof
from tasks.calibrate.joint_evidence import JointPlan, Said, Seen
from tasks.calibrate.shadow_proof import ShadowAnswer, ShadowPlan
from tasks.evaluate.significance import wilson

DAY = 86_400.0
GUIDES = 40  # answers that choose a student's thresholds


def flat(risk: float) -> Risk:
    """The same risk for each answer."""
    return lambda u: risk


def rising(risk: float) -> Risk:
    """A mean risk of `risk`, the higher the less sure the answer is."""
    return lambda u: min(1.0, 2 * risk * u)


PROGRAMS: dict[str, tuple[tuple[Risk, int], ...]] = {  # with calls a day
    "nine good, 30 a day": tuple((flat(risk), 30) for risk in (0.01, 0.02, 0.03) * 3),
    "nine mixed, 30 a day": tuple(
        (rising(risk), 30) for risk in (0.01, 0.01, 0.02, 0.02, 0.03, 0.03, 0.06, 0.1, 0.2)
    ),
    "thirty mixed, 10 a day": tuple(
        (rising(risk), 10) for risk in (0.01, 0.02, 0.03, 0.06, 0.1, 0.2) * 5
    ),
    "all at .055": tuple((flat(0.055), 30) for _ in range(9)),
    "half at .02, half at .09": tuple((flat(risk), 30) for risk in (0.02, 0.09) * 5),
}


@dataclass(slots=True)
class Stream:
    """Some tasks' students, what each has to prove, what they said, and who serves from where."""

    program: Sequence[tuple[Risk, int]]
    rng: random.Random
    own: list[ShadowPlan | None] = field(default_factory=list)
    said: list[list[ShadowAnswer]] = field(default_factory=list)
    serving: dict[int, float] = field(default_factory=dict)
    plans: list[JointPlan] = field(default_factory=list)
    together: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Choose thresholds by answers that are no part of the proof."""
        for place, (curve, nightly) in enumerate(self.program):
            guide = calls(curve, GUIDES, self.rng)
            chosen = shadow_proof.thresholds([s for s, _ in guide], [r for _, r in guide], ALPHA)
            served = [right for sure, right in guide if chosen and sure >= chosen[0]]
            self.said.append([])
            self.own.append(
                ShadowPlan(
                    task=str(place),
                    adapter_digest="",
                    alpha=ALPHA,
                    delta=DELTA,
                    attempt=1,
                    thresholds=chosen,
                    guides=len(served),
                    slips=served.count(False),
                    share=len(served) / GUIDES,
                    nightly=nightly,
                )
                if chosen
                else None
            )

    def day(self, number: int, joint: bool) -> float:
        """One day's calls and what they prove; the share of them that students answer."""
        if joint:
            self._plan(number)
        answered = 0.0
        for place, (curve, nightly) in enumerate(self.program):
            if place in self.serving:
                answered += -self.serving[place] * nightly
            for n, (score, right) in enumerate(calls(curve, nightly, self.rng)):
                call, at = f"{place}-{number}-{n}", (number + self.rng.random()) * DAY
                self.said[place].append(
                    ShadowAnswer(call=call, at=at, conversation=call, score=score, agrees=right)
                )
        self._prove(joint)
        return answered / sum(nightly for _, nightly in self.program)

    def _plan(self, number: int) -> None:
        at = number * DAY
        members = [
            joint_proof.member(0, own, self.said[place], at)
            for place, own in enumerate(self.own)
            if own and place not in self.serving
        ]
        if any(not joint_proof.standing(*one).proven for one in map(self._told, self.plans)):
            return
        begun = JointPlan(
            alpha=ALPHA,
            delta=DELTA,
            attempt=len(self.plans) + 1,
            loaded=at,
            members=(),
            groups=(),
        )
        drafted = joint_proof.draft(members, begun)
        if drafted and joint_proof.nights_needed(drafted) < SOON:
            self.plans.append(drafted)

    def _told(self, plan: JointPlan) -> tuple[JointPlan, list[Said]]:
        return plan, joint_evidence.said(plan, self._seen(plan))

    def _seen(self, plan: JointPlan) -> Seen:
        seen: Seen = {}
        for one in plan.members:
            own = self.own[int(one.task)]
            assert own is not None  # else it would not be a member
            seen[one.name] = own, self.said[int(one.task)]
        return seen

    def _prove(self, joint: bool) -> None:
        for place, own in enumerate(self.own):
            if own and place not in self.serving:
                found = shadow_proof.standing(own, self.said[place])
                if found.proven:
                    self.serving[place] = found.threshold
        for plan in self.plans if joint else ():
            seen, told = self._seen(plan), self._told(plan)[1]
            now = joint_proof.standing(plan, told)
            group = [int(task) for task, _ in now.names] if now.proven else []
            fit = {
                place
                for place, name in zip(group, now.names, strict=False)
                if place not in self.serving and joint_proof.fit(plan, *seen[name])
            }
            kept = [at for at, place in enumerate(group) if place in fit | self.serving.keys()]
            least = -math.log(plan.level)
            stands = fit and joint_evidence.rounds(plan, told, kept).peak >= least
            if stands and joint_evidence.plainly(plan, told, kept) >= least:
                for place in fit:
                    own = self.own[place]
                    assert own is not None  # else it would not be a member
                    self.serving[place] = own.thresholds[0]
                self.together |= fit

    def risk(self, places: set[int]) -> float:
        """The true risk of what some tasks' students answer together."""
        shares = {p: -self.serving[p] * self.program[p][1] for p in places}
        wrong = sum(
            part * risk_at(self.program[place][0], self.serving[place])
            for place, part in shares.items()
        )
        return wrong / sum(shares.values()) if shares else 0.0


def measure(
    program: Sequence[tuple[Risk, int]], streams: int, nights: int, joint: bool
) -> dict[str, float]:
    """Shares over all streams of a program."""
    served, loose, single = list[list[float]](), 0, list[float]()
    for seed in range(streams):
        stream = Stream(program, random.Random(seed))
        served.append([stream.day(number, joint) for number in range(nights)])
        loose += stream.risk(stream.together) > ALPHA + 1e-9
        over = [p for p in stream.serving if stream.risk({p}) > ALPHA + 1e-9]
        single.append(len(over) / len(program))
    days = [statistics.fmean(day) for day in zip(*served, strict=True)]
    return {
        "day 2": days[1],
        "day 4": days[min(3, nights - 1)],
        "day 8": days[min(7, nights - 1)],
        "last": days[-1],
        "together over alpha": loose / streams,
        "tasks over alpha": statistics.fmean(single),
    }


def main() -> None:
    """Simulate, print, and fail where the promise is broken."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--streams", type=int, default=400)
    parser.add_argument("--nights", type=int, default=14)
    chosen = parser.parse_args()
    rows: list[dict[str, float | str]] = []
    for name, program in PROGRAMS.items():
        for joint in (False, True):
            row = measure(program, chosen.streams, chosen.nights, joint)
            rows.append({"program": name, "proven": "together" if joint else "alone", **row})
    show(f"share of the calls served, {chosen.nights} nights", rows)
    print(json.dumps({"streams": chosen.streams, "programs": rows}))
    worst = max(float(row["together over alpha"]) for row in rows)
    if wilson(worst, chosen.streams)[0] > DELTA:
        sys.exit(f"a share of {worst:.3f} is above delta = {DELTA:g}")


if __name__ == "__main__":
    main()
