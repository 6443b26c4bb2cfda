"""The choice of a threshold: the loosest that is proven, by fixed-sequence Learn-then-Test.

`walk` tests thresholds from a start on, `choose` takes one; `certify` (`calibrate.py`) does both
on a student's calibration rows. A shadow's is chosen on live calls, by `shadow_proof.py`.

An exact binomial test of "more than α of the answers served here are wrong" at each threshold, from
a start downwards, until one fails to be rejected at δ. The start is chosen from answers that are no
part of the proof (`plan`), so it costs nothing of δ, and a student that is right on its most
confident fifth may be certified for that fifth. Answers of one conversation count for less than as
many of different ones.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from tasks.core.certificate import Risk, ThresholdTest
from tasks.evaluate.significance import binomial_tail, effective, grouped_tail

MIDDLE = 0.5  # where a walk starts that nothing is known about
MARKS = 200  # thresholds of a walk for marginal risk
DRAWS = 200  # made-up calibration sets on which a start is chosen
SLIPS = 0.005  # of answers among right ones that are wrong all the same: nobody is always right
JEFFREYS = 0.5  # the prior of the risk of those before the first wrong one
NEARLY = 0.9  # of the best start's share, at which the middle is chosen
LEAST = 10  # answers under which nothing is learned from them

Scores = Sequence[float] | NDArray[np.float64]
Flags = Sequence[bool] | NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class WalkStart:
    """A walk's start, as a share of the servable answers, and its expected outcome.

    `coverage` is the mean share that is certified, `chance` how likely at least the share asked
    for is.
    """

    start: float
    coverage: float
    chance: float


def schedule(n: int, alpha: float, delta: float, start: float = MIDDLE) -> list[int]:
    """Return how many of the most confident answers each test of the walk accepts.

    A test at the smallest count that tolerates k errors, for each k, and one of all answers; in
    between, a test could only fail that the next one passes. The first count that can prove
    anything is ln δ / ln(1-α); those below the share `start` are left out, so that an early slip
    of the teacher's does not end the walk.
    """
    counts = tolerant(n, alpha, delta)
    late = [count for count in counts if count >= math.floor(start * n)] or list(counts[-1:])
    return [*late, n] if late and late[-1] < n else late


@lru_cache(maxsize=256)
def tolerant(n: int, alpha: float, delta: float) -> tuple[int, ...]:
    """The smallest counts up to `n` that prove a risk of alpha with 0, 1, 2, … errors."""
    counts: list[int] = []
    at = 1
    while True:
        k = len(counts)
        at = bisect_left(
            range(n + 1), True, lo=at, key=lambda m: binomial_tail(k, m, alpha) <= delta
        )
        if at > n:
            return tuple(counts)
        counts.append(at)


def needed(alpha: float, delta: float) -> int:
    """Return how many answers, all of them right, are the least that prove anything."""
    return math.ceil(math.log(delta) / math.log1p(-alpha))


def walk(
    scores: Scores,
    correct: Flags,
    alpha: float,
    delta: float,
    groups: Sequence[str] | None = None,
    *,
    start: float = MIDDLE,
    risk: Risk = "selective",
) -> list[ThresholdTest]:
    """The thresholds tested, strictest first, up to the first that is not proven.

    Equal scores are accepted together; answers that could never be served are not accepted.
    `groups` says which answers belong together, such as those of one conversation. A marginal risk
    only grows on the way, so that such a walk starts anywhere.
    """
    sure = np.array(scores, dtype=float)
    order = np.argsort(-sure, kind="stable")
    sure, wrong = sure[order], ~np.array(correct, dtype=bool)[order]
    apart = np.unique(np.array(groups), return_inverse=True)[1][order] if groups else None
    valid = int((sure > -math.inf).sum())
    counts = schedule(valid, alpha, delta, start)
    if risk == "marginal":
        counts = sorted(set(np.linspace(0, valid, MARKS + 1).astype(int).tolist()) - {0})
    steps: list[ThresholdTest] = []
    for count in counts:
        count = int(np.searchsorted(-sure, -sure[count - 1], side="right"))
        if steps and count <= steps[-1].accepted:
            continue
        size = len(sure) if risk == "marginal" else count
        bad = wrong[:size] & (np.arange(size) < count)
        if apart is not None and (1 - alpha) ** effective(apart[:size]) > delta:
            continue  # which no answers could pass
        if apart is None:
            p = binomial_tail(int(bad.sum()), size, alpha)
        else:
            p = grouped_tail(bad, apart[:size], alpha)
        steps.append(ThresholdTest(float(sure[count - 1]), count, int(bad.sum()), p))
        if p > delta:
            break
    return steps


def choose(steps: Sequence[ThresholdTest], delta: float) -> ThresholdTest | None:
    """Return the threshold of a certificate: the loosest of a walk that is proven, or None."""
    proven = [step for step in steps if step.p <= delta]
    return proven[-1] if proven else None


def plan(
    pilot: Sequence[tuple[float, bool]],
    n: int,
    alpha: float,
    delta: float,
    *,
    fewest: int = 1,
    least: float = 0.0,
    seed: int = 0,
) -> WalkStart | None:
    """The start whose certificate covers most of `n` servable answers; None where nobody can say.

    `pilot` are scores of answers that are no part of the proof, out of fold or on validation rows,
    and whether each was right. Calibration sets are made up from their Bayesian bootstrap (Rubin
    1981, Annals of Statistics 9, 130-134), and each start from `fewest` answers on is tried on all
    of them. `least` is the share that a certificate has to cover to be of use.
    """
    servable = sorted((pair for pair in pilot if pair[0] > -math.inf), key=lambda pair: -pair[0])
    counts = np.array(schedule(n, alpha, delta, fewest / n if n else 1.0), dtype=int)
    if len(servable) < LEAST or not len(counts):
        return None
    wrong = np.array([not right for _, right in servable])
    errors = _errors(wrong, n, counts, np.random.default_rng(seed))
    passed = errors <= _tolerated(counts, alpha, delta)
    reached = np.zeros(passed.shape)  # how far each walk gets from each start
    best = np.zeros(len(passed))
    for place in range(len(counts) - 1, -1, -1):
        best = np.where(passed[:, place], np.maximum(best, counts[place] / n), 0.0)
        reached[:, place] = best
    means = reached.mean(axis=0)
    middle = int(np.searchsorted(counts, n * MIDDLE))  # where others do little better, it is safer
    chosen = int(means.argmax())
    if middle < len(counts) and means[middle] >= NEARLY * means[chosen]:
        chosen = middle
    far = reached[:, chosen]
    enough = (far > 0) & (far >= least)
    return WalkStart(counts[chosen] / n, float(far.mean()), float(enough.mean()))


def _errors(
    wrong: NDArray[np.bool_], n: int, counts: NDArray[np.int_], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return how many of the `counts` most confident answers are wrong in made-up sets of `n`.

    Neighbours that are all right, or all wrong, are drawn as one. Before the first wrong answer
    nobody knows the risk: a few right answers are no proof that it is small.
    """
    ends = np.append(np.flatnonzero(np.diff(wrong)) + 1, len(wrong))
    shares = rng.dirichlet(np.diff(ends, prepend=0), DRAWS)
    drawn = np.array([rng.multinomial(n, some) for some in shares])
    risk = np.where(wrong[ends - 1], 1.0, SLIPS)[None].repeat(DRAWS, axis=0)
    if not wrong[0]:
        risk[:, 0] = rng.beta(JEFFREYS, ends[0], DRAWS)
    bad = rng.binomial(drawn, risk)
    reached, errors = (np.pad(a.cumsum(axis=1), ((0, 0), (1, 0))) for a in (drawn, bad))
    return np.array([np.interp(counts, *pair) for pair in zip(reached, errors, strict=True)])


def _tolerated(counts: NDArray[np.int_], alpha: float, delta: float) -> NDArray[np.int_]:
    """Return how many errors each count of a schedule tolerates; its last one may be any count."""
    tolerant_ = np.array(tolerant(int(counts[-1]), alpha, delta))
    result: NDArray[np.int_] = np.searchsorted(tolerant_, counts, side="right") - 1
    return result
