"""Revocation by simulation: how often a good student is stopped, and how soon a bad one is.

    python -m benchmarks.watch [--streams 2000] [--audits 5000]

Seeded streams of audited answers go through the test that the gateway and the watch use (at
`watch.audits_per_false_alarm`), through a rule of windows (of the last 500 audits, at least 200,
every 20, the 95 % Clopper-Pearson bound is above alpha) and through its point estimate. False
alarms are counted over whole streams, a rule begins anew after each; the audits to detection are
medians.
Prints tables; the last line is JSON, with the aims that were missed. Exit status 1 when a student
at its risk is stopped more often than the parameter says.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.stats import beta

from tasks.core.params import load
from tasks.core.sequential_tests import ChangeDetector

ALPHA = 0.05
WINDOW, LEAST, EVERY = 500, 200, 20
GOOD = {"α/2": ALPHA / 2, ".8 α": 0.8 * ALPHA, "α": ALPHA}
BAD = (0.08, 0.10, 0.15, 0.25, 0.5, 1.0)
BEFORE = (0, 300, 2_000)  # good answers before the change
AIMS = {0.08: 300, 0.10: 160, 0.15: 60, 0.25: 21, 0.5: 12}  # audits, after 300 good ones
FALSE = 0.22  # false alarms per 1,000 audits at a risk of alpha
Flags = NDArray[np.bool_]


class Rule(Protocol):
    """A rule over many streams at once."""

    def see(self, wrong: Flags) -> Flags:
        """Take in one answer of each stream; return which streams it stops."""

    def begin(self, streams: Flags) -> None:
        """Forget what was seen of some streams."""


class Evidence:
    """`tasks.core.sequential_tests.ChangeDetector`, for many streams at once."""

    def __init__(self, streams: int, threshold: float) -> None:
        risks = np.array(ChangeDetector(ALPHA).risks)
        self.up, self.down = risks / ALPHA, (1 - risks) / (1 - ALPHA)
        self.evidence, self.threshold = np.zeros((streams, len(risks))), threshold

    def see(self, wrong: Flags) -> Flags:
        """Take in one answer of each stream."""
        self.evidence = (self.evidence + 1) * np.where(wrong[:, None], self.up, self.down)
        found: Flags = self.evidence.mean(1) >= self.threshold
        return found

    def begin(self, streams: Flags) -> None:
        """Forget some streams."""
        self.evidence[streams] = 0


class Window:
    """The share of the last answers, or what is surely below it, is above alpha."""

    def __init__(self, streams: int, *, sure: bool) -> None:
        self.seen = np.zeros((streams, WINDOW), bool)
        self.n, self.at = np.zeros(streams, int), 0
        counts = np.arange(WINDOW + 1)
        self.low = np.array(
            [
                np.nan_to_num(beta.ppf(0.05, counts, n - counts + 1))
                if sure
                else counts / max(n, 1)
                for n in range(WINDOW + 1)
            ]
        )

    def see(self, wrong: Flags) -> Flags:
        """Take in one answer of each stream."""
        self.seen[:, self.at % WINDOW] = wrong
        self.at, self.n = self.at + 1, np.minimum(self.n + 1, WINDOW)
        if self.at % EVERY:
            return np.zeros(len(wrong), bool)
        above: Flags = self.low[self.n, self.seen.sum(1)] > ALPHA
        return above & (self.n >= LEAST)

    def begin(self, streams: Flags) -> None:
        """Forget some streams."""
        self.seen[streams], self.n[streams] = False, 0


def rules(streams: int, threshold: float) -> dict[str, Rule]:
    """Return what is compared."""
    return {
        "evidence": Evidence(streams, threshold),
        "window, Clopper-Pearson": Window(streams, sure=True),
        "window, point estimate": Window(streams, sure=False),
    }


def wrongly(
    streams: int, audits: int, risk: float, threshold: float
) -> dict[str, dict[str, float]]:
    """Return how often each rule stops a student of this risk.

    Share of streams, and per 1,000 audits.
    """
    rng, found = np.random.default_rng(1), rules(streams, threshold)
    ever = {name: np.zeros(streams, bool) for name in found}
    alarms = dict.fromkeys(found, 0)
    for _ in range(audits):
        wrong = rng.random(streams) < risk
        for name, rule in found.items():
            stopped = rule.see(wrong)
            rule.begin(stopped)
            ever[name] |= stopped
            alarms[name] += int(stopped.sum())
    return {
        name: {
            "streams": round(float(ever[name].mean()), 4),
            "per 1,000": round(1_000 * alarms[name] / streams / audits, 4),
        }
        for name in found
    }


def until(streams: int, before: int, risk: float, threshold: float, most: int) -> dict[str, float]:
    """The median audits from a change to this risk until each rule stops the student."""
    rng, found = np.random.default_rng(2), rules(streams, threshold)
    first = {name: np.full(streams, most, float) for name in found}
    for place in range(before + most):
        wrong = rng.random(streams) < (risk if place >= before else ALPHA / 2)
        for name, rule in found.items():
            stopped = rule.see(wrong)
            if place < before:
                rule.begin(stopped)
            else:
                first[name][stopped] = np.minimum(first[name][stopped], place - before + 1)
        if place >= before and all((times < most).mean() > 0.5 for times in first.values()):
            break
    return {name: float(np.median(times)) for name, times in first.items()}


def same(threshold: float) -> None:
    """Raise ValueError where the simulation and the detector that serves differ."""
    wrong = np.random.default_rng(3).random((400, 1)) < 4 * ALPHA
    many, one = Evidence(1, threshold), ChangeDetector(ALPHA)
    for answer in wrong:
        stopped = many.see(answer)
        one.see(bool(answer[0]))
        if bool(stopped[0]) != one.alarm(threshold):
            raise ValueError("the simulated evidence is not the one that serves")


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table."""
    made = Table(*head, title=title)
    for row in rows:
        made.add_row(*row)
    Console().print(made)


def missed(
    false: dict[str, dict[str, dict[str, float]]], found: dict[str, dict[str, float]]
) -> list[str]:
    """The aims that were missed, a sentence each."""
    rate = false["α"]["evidence"]["per 1,000"]
    ours = {risk: found[f"{risk:g} after 300"]["evidence"] for risk in AIMS}
    late = [
        f"a risk of {risk:g} is found after {ours[risk]:.0f} audits, not {aim}"
        for risk, aim in AIMS.items()
        if ours[risk] > aim
    ]
    return late + ([f"{rate} false alarms per 1,000 audits, not {FALSE}"] if rate > FALSE else [])


def main() -> None:
    """Simulate, print, and fail where the promise is broken."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--streams", type=int, default=2_000)
    parser.add_argument("--audits", type=int, default=5_000)
    chosen = parser.parse_args()
    threshold, names = load().watch.audits_per_false_alarm, list(rules(1, 1.0))
    same(threshold)
    false = {
        name: wrongly(chosen.streams, chosen.audits, risk, threshold) for name, risk in GOOD.items()
    }
    table(
        f"stopped wrongly in {chosen.audits:,} audits: share of the streams (alarms per 1,000)",
        ("true risk", *names),
        [
            (risk, *(f"{of[n]['streams']:.1%} ({of[n]['per 1,000']:.3f})" for n in names))
            for risk, of in false.items()
        ],
    )
    found = {
        f"{risk:g} after {before}": until(chosen.streams, before, risk, threshold, 3_000)
        for before in BEFORE
        for risk in BAD
    }
    rows = [(what, *(f"{of[n]:,.0f}" for n in names)) for what, of in found.items()]
    table("median audits until a change is found", ("risk from then on", *names), rows)
    late = missed(false, found)
    print(json.dumps({"streams": chosen.streams, "wrongly": false, "until": found, "missed": late}))
    rate = false["α"]["evidence"]["per 1,000"]
    if rate > 1_000 / threshold:
        sys.exit(f"{rate} false alarms per 1,000 audits, more than {1_000 / threshold:.3f}")


if __name__ == "__main__":
    main()
