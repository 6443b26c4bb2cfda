"""A roll-out by simulation: wrong answers of a bad student, and how long a good one takes.

    python -m benchmarks.rollout [--streams 400]

Calls of one task come one after the other; a new student answers its share of them, and audits are
drawn at the rate of a new student (all in its steps, then `watch.raised`, down to `serve.audit`).
It is taken back by the verdict of its roll-out or revoked by its evidence, as the gateway does.
`at once` is a champion that answers all calls from the first on, audited at the base rate. Prints a
table; the last line is JSON.
"""

from __future__ import annotations

import argparse
import json
from functools import cache

import numpy as np
from rich.console import Console
from rich.table import Table

from tasks.core import rollout
from tasks.core.params import load
from tasks.core.rollout import Steps
from tasks.core.sequential_tests import ChangeDetector

ALPHA, CALLS = 0.05, 4_000
GOOD = (0.01, 0.025, 0.04, 0.05)
BAD = (0.15, 0.25, 0.5, 1.0)
PLANS: dict[str, Steps] = {
    "at once": (),
    ".1: 10, .5: 20": ((0.1, 10), (0.5, 20)),
    ".25: 5, .5: 15": ((0.25, 5), (0.5, 15)),
    ".5: 5, 1: 15": ((0.5, 5), (1.0, 15)),
    "1: 20": ((1.0, 20),),
    ".25: 10, .5: 20": ((0.25, 10), (0.5, 20)),
    ".25: 20, .5: 40": ((0.25, 20), (0.5, 40)),
    ".5: 10": ((0.5, 10),),
    ".5: 20": ((0.5, 20),),
}
verdict = cache(rollout.verdict)


def stream(steps: Steps, risk: float, seed: int) -> tuple[int, float, float]:
    """One student: wrong answers until it is stopped, calls until then, calls until it has all.

    Infinite where that does not come.
    """
    new, base, alarm = settings()
    rng, detector = np.random.default_rng(seed), ChangeDetector(ALPHA)
    draws, errors, audits = rng.random((3, CALLS))
    n = wrong = done = served_wrong = 0
    whole = float("inf") if rollout.share(steps, 0) < 1 else 0.0
    for call in range(CALLS):
        if draws[call] >= rollout.share(steps, done):
            continue
        bad = bool(errors[call] < risk)
        served_wrong += bad
        if audits[call] >= max(base, rollout.audit_rate(steps, done, n, new)):
            continue
        n, wrong = n + 1, wrong + bad
        detector.see(bad)
        said = "wait"
        if done < len(steps):
            said = verdict(wrong, n, rollout.needed(steps, done), ALPHA)
            done += said == "go on"
            all_at = call + 1.0 if rollout.share(steps, done) >= 1 else whole
            whole = min(whole, all_at)
        if said == "take back" or detector.alarm(alarm):
            return served_wrong, call + 1.0, whole
    return served_wrong, float("inf"), whole


@cache
def settings() -> tuple[float, float, float]:
    """The share of a new student's answers that is audited, of any, and the alarm's threshold."""
    params = load()
    return params.watch.raised, params.serve.audit, params.watch.audits_per_false_alarm


def figures(steps: Steps, streams: int) -> dict[str, float]:
    """What a plan costs: shares and medians over many streams."""
    found: dict[str, float] = {}
    for risk in GOOD:
        ends = [stream(steps, risk, seed) for seed in range(streams)]
        stopped = [end < min(whole, CALLS) for _, end, whole in ends]
        found[f"stopped at {risk:g}"] = float(np.mean(stopped)) if steps else 0.0
        found[f"calls until all at {risk:g}"] = float(np.median([whole for *_, whole in ends]))
    for risk in BAD:
        ends = [stream(steps, risk, seed) for seed in range(streams)]
        found[f"wrong at {risk:g}"] = float(np.mean([served for served, *_ in ends]))
    return found


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--streams", type=int, default=400)
    chosen = parser.parse_args()
    plans = {**PLANS, "params.yaml": load().serve.rollout}
    found = {name: figures(steps, chosen.streams) for name, steps in plans.items()}
    made = Table("plan", *(f"calls until all, {r:g}" for r in GOOD[:3]), "stopped, α/2 / .8 α / α",
        *(f"wrong, {r:g}" for r in BAD))  # fmt: skip
    for name, of in found.items():
        until = [f"{of[f'calls until all at {risk:g}']:,.0f}" for risk in GOOD[:3]]
        stopped = " / ".join(f"{of[f'stopped at {risk:g}']:.1%}" for risk in GOOD[1:])
        made.add_row(name, *until, stopped, *(f"{of[f'wrong at {risk:g}']:.1f}" for risk in BAD))
    Console(width=140).print(made)
    print(json.dumps({"streams": chosen.streams, "calls": CALLS, "plans": found}))


if __name__ == "__main__":
    main()
