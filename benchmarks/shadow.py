"""Shadows by simulation: how many calls a proof takes, and how often one promises too much.

    python -m benchmarks.shadow [--streams 2000] [--nights 30] [--calls 50]

Students of known risk are looked at after every call, by our evidence and by an exact binomial test
that is repeated each time (what forbids a second look). Then seeded streams go through nights,
shadows and promotion: each night a new student is put to the proof on held-out rows, one that only
lacks proof becomes the shadow, and the first certificate serves. Counted is how often the served
answers are wrong more often than alpha. Prints tables; the last line is JSON. Exit status 1 when a
share is above delta by more than chance.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
from collections.abc import Callable

from rich.console import Console
from rich.table import Table

from tasks.calibrate import shadow_proof
from tasks.calibrate.shadow_proof import ShadowAnswer, ShadowPlan
from tasks.calibrate.threshold import choose, walk
from tasks.calibrate.threshold import plan as planned
from tasks.core.certificate import spent
from tasks.core.sequential_tests import Proof
from tasks.evaluate.significance import binomial_tail, wilson

ALPHA, DELTA = 0.05, 0.1
LIKELY = 0.25  # as in tasks.calibrate: an attempt is not spent on what is less likely
STAY = 5  # nights that a shadow stays before another takes its place
Risk = Callable[[float], float]  # the risk of an answer by how unsure it is, 0..1
STUDENTS: dict[str, Risk] = {
    "easy, .03 in all": lambda u: 0.06 * u,
    "flat at alpha": lambda u: ALPHA,
    "flat .055": lambda u: 0.055,
    "rising, .10 in all": lambda u: 0.2 * u,
    "right on 40 %": lambda u: 0.005 if u < 0.4 else 0.5,
}


def until(risk: float, rng: random.Random, most: int) -> tuple[int | None, int | None]:
    """After how many calls a risk was proven: by our evidence, by a repeated binomial test."""
    proof, wrong = Proof(ALPHA), 0
    ours: int | None = None
    peeked: int | None = None
    for n in range(1, most + 1):
        bad = rng.random() < risk
        proof.see(bad)
        wrong += bad
        if ours is None and proof.proven(DELTA):
            ours = n
        if peeked is None and binomial_tail(wrong, n, ALPHA) <= DELTA:
            peeked = n
        if ours and peeked:
            break
    return ours, peeked


def calls(curve: Risk, n: int, rng: random.Random) -> list[tuple[float, bool]]:
    """Answers of a student: the score, and whether it was right."""
    drawn = [rng.random() for _ in range(n)]
    return [(-u, rng.random() >= curve(u)) for u in drawn]


def risk_at(curve: Risk, threshold: float) -> float:
    """The true risk of the answers above a threshold."""
    reach = min(1.0, -threshold)
    steps = [curve(reach * (place + 0.5) / 200) for place in range(200)]
    return statistics.fmean(steps)


def by_night(curve: Risk, nights: int, each: int, rng: random.Random) -> tuple[str, float] | None:
    """Return how the first certificate of a stream came about, and its threshold.

    None without one.
    """
    attempts, held, pilot = 0, list[tuple[float, bool]](), list[tuple[float, bool]]()
    waiting: tuple[int, ShadowPlan, list[ShadowAnswer]] | None = None
    for night in range(nights):
        today = calls(curve, each, rng)
        held, pilot = held + today[: each // 4], pilot + today[each // 4 : each // 2]
        level = spent(DELTA, attempts + 1)
        hope = planned(pilot, len(held), ALPHA, level)
        if hope and hope.chance >= LIKELY:
            attempts += 1
            scores, right = zip(*held, strict=True)
            step = choose(walk(scores, right, ALPHA, level, start=hope.start), level)
            if step:
                return "held out", step.threshold
        if waiting and night - waiting[0] < STAY:
            waiting[2].extend(_seen(night, today))
        else:
            chosen = shadow_proof.thresholds([s for s, _ in pilot], [r for _, r in pilot], ALPHA)
            attempts += bool(chosen)
            waiting = (night, _plan(chosen, attempts, held), []) if chosen else None
            continue
        found = shadow_proof.standing(waiting[1], waiting[2])
        if found.proven:
            return "shadow", found.threshold
    return None


def _plan(
    thresholds: tuple[float, ...], attempt: int, held: list[tuple[float, bool]]
) -> ShadowPlan:
    return ShadowPlan(
        task="simulated",
        adapter_digest="",
        alpha=ALPHA,
        delta=DELTA,
        attempt=attempt,
        thresholds=thresholds,
        before=tuple(_seen(-1, held)),
    )


def _seen(night: int, some: list[tuple[float, bool]]) -> list[ShadowAnswer]:
    return [
        ShadowAnswer(
            call=f"{night}-{n}", at=n, conversation=f"{night}-{n}", score=score, agrees=right
        )
        for n, (score, right) in enumerate(some)
    ]


def proofs(streams: int) -> list[dict[str, float]]:
    """Calls until proven and loose proofs, by true risk."""
    rows = []
    for risk in (0.01, 0.02, 0.03, ALPHA, 0.06):
        most = 3_000 if risk >= ALPHA else 2_000
        found = [until(risk, random.Random(seed), most) for seed in range(streams)]
        ours = sorted(ours or most for ours, _ in found)
        rows.append(
            {
                "risk": risk,
                "median": ours[len(ours) // 2],
                "80 %": ours[len(ours) * 4 // 5],
                "proven": sum(ours is not None for ours, _ in found) / streams,
                "binomial, looked at again": sum(p is not None for _, p in found) / streams,
            }
        )
    return rows


def loops(streams: int, nights: int, each: int) -> list[dict[str, float | str]]:
    """Over all streams of each kind of student: how many got a certificate, and how many lie."""
    rows: list[dict[str, float | str]] = []
    for name, curve in STUDENTS.items():
        found = [by_night(curve, nights, each, random.Random(seed)) for seed in range(streams)]
        made = [one for one in found if one]
        loose = sum(risk_at(curve, threshold) > ALPHA + 1e-9 for _, threshold in made)
        rows.append(
            {
                "student": name,
                "certified": len(made) / streams,
                "by shadow": sum(how == "shadow" for how, _ in made) / streams,
                "share served": statistics.fmean(-t for _, t in made) if made else 0.0,
                "over alpha": loose / streams,
            }
        )
    return rows


def show(title: str, rows: list[dict[str, float]] | list[dict[str, float | str]]) -> None:
    """A table of figures."""
    table = Table(*rows[0], title=title)
    for row in rows:
        table.add_row(*(v if isinstance(v, str) else f"{v:,.3g}" for v in row.values()))
    Console().print(table)


def main() -> None:
    """Simulate, print, and fail where the promise is broken."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--streams", type=int, default=2_000)
    parser.add_argument("--nights", type=int, default=30)
    parser.add_argument("--calls", type=int, default=50, help="of the task, a day")
    chosen = parser.parse_args()
    single = proofs(chosen.streams)
    show(f"calls until a risk of at most {ALPHA:g} is proven (delta {DELTA:g})", single)
    whole = loops(chosen.streams, chosen.nights, chosen.calls)
    show(f"{chosen.nights} nights of {chosen.calls} calls: the first certificate", whole)
    print(json.dumps({"streams": chosen.streams, "proofs": single, "nights": whole}))
    shares = [float(row["over alpha"]) for row in whole]
    shares += [row["proven"] for row in single if row["risk"] >= ALPHA]
    if any(wilson(share, chosen.streams)[0] > DELTA for share in shares):
        sys.exit(f"a share of {max(shares):.3f} is above delta = {DELTA:g}")


if __name__ == "__main__":
    main()
