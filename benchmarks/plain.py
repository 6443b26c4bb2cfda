"""Nights, promotions and the watch as plain functions: what the flows do, without Prefect.

There are no retries and no time limits, and a task that fails ends the night.
"""

from __future__ import annotations

from flows import console
from flows.night import (
    hops,
    ladder,
    leak_guard,
    pool_update,
    registration,
    revocation,
    shadow_promotion,
)
from flows.night.champions import champion
from flows.night.folders import Night, open_night
from flows.night.outcome import Outcome
from flows.night.savings import trainable
from registry.choice import JudgedStudent
from tasks.core.stage import Refused


def night(day: str, home: str) -> None:
    """Learn from the calls of a day."""
    one = open_night(home, day)
    for hop in (hops.ingest, hops.validate, hops.deidentify, hops.cluster, hops.dataset):
        console.hop(hop(one))
    for note in leak_guard.left_out(one):
        console.say(f"    {note}")
    ladder.close(one, [student(one, task) for task in trainable(one)])
    promote(home)


def student(night: Night, task: str) -> Outcome:
    """Train, prove, judge and register a task's student."""
    serving, tries, refused = champion(night, task), list[JudgedStudent](), list[Refused]()
    for rung in ladder.rungs(night, task, serving, tries):
        with ladder.aside(refused, tries):
            ladder.train(night, task, rung, serving)
            card = ladder.evaluate(night, task, rung, serving)
            proof = ladder.calibrate(night, task, rung, serving)
            verdict = ladder.judge(night, task, rung, card, proof, serving)
            tries.append(JudgedStudent(rung, card, proof, verdict))
    if refused and not tries:
        raise refused[-1]
    outcome = registration.register(night, task, tries, serving)
    console.outcome(outcome)
    return outcome


def promote(home: str) -> None:
    """Promote what is proven, and make the pool match the registry."""
    console.shadows(shadow_promotion.prove(home))
    console.changes(pool_update.promote(home))


def look(home: str) -> None:
    """Take out what broke its certificate, then promote: what is done every minute."""
    for sentence in revocation.watch(home):
        console.say(f"  {sentence}")
    promote(home)
