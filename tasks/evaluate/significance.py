"""Significance of shares: intervals, exact tests, rows of a group that count together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Flags = Sequence[bool] | NDArray[np.bool_]
    Groups = Sequence[str] | NDArray[np.int_]

Z = 1.959964  # the normal quantile of a two-sided 95 % interval
LARGEST = 5  # rows of a group that count towards a proof


def wilson(share: float, n: float) -> tuple[float, float]:
    """Wilson's 95 % interval of a share seen in `n` trials (an effective number may be broken)."""
    if n <= 0:
        return 0.0, 1.0
    centre = (share + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z * math.sqrt(share * (1 - share) / n + Z * Z / (4 * n * n)) / (1 + Z * Z / n)
    return max(0.0, centre - half), min(1.0, centre + half)


def weighted(hits: Sequence[bool], weights: Sequence[float]) -> tuple[float, float]:
    """The weighted share of hits and the effective number of trials behind it."""
    total = sum(weights)
    if total <= 0:
        return 0.0, 0.0
    share = sum(w for hit, w in zip(hits, weights, strict=True) if hit) / total
    return share, total**2 / sum(w * w for w in weights)


def binomial_tail(k: int, n: int, p: float) -> float:
    """P(at most `k` of `n`), each with probability `p`."""
    if p <= 0 or k >= n:
        return 1.0
    if p >= 1:
        return 0.0
    odds, term = math.log(p) - math.log1p(-p), n * math.log1p(-p)
    total = 0.0
    for i in range(k + 1):
        total += math.exp(term)
        term += math.log(n - i) - math.log(i + 1) + odds if i < n else 0.0
    return min(1.0, total)


def effective(groups: Groups) -> float:
    """The effective number of groups of unequal size, each of at most `LARGEST` rows (Kish)."""
    import numpy as np

    sizes = np.minimum(np.unique(groups, return_counts=True)[1], LARGEST)
    return float(sizes.sum() ** 2 / (sizes**2).sum())


def grouped_tail(wrong: Flags, groups: Groups, p: float) -> float:
    """`binomial_tail` of rows that come in groups, such as the calls of a conversation.

    Mistakes that come together are fewer than they seem: the binomial is taken at the effective
    sample size (Korn and Graubard 1998, Survey Methodology 24, 193-201), and is never less than
    the chance that none of so many groups would be wrong. A few large groups would make that size a
    guess: the rows have to prove it all together, and again with each group as at most `LARGEST`.
    """
    import numpy as np

    n = len(wrong)
    names, place = np.unique(groups, return_inverse=True)
    bad = np.array(wrong, dtype=float)
    alone = binomial_tail(int(bad.sum()), n, p)
    if len(names) == n or not 0 < p < 1 or bad.all():
        return alone
    sizes = np.bincount(place).astype(np.float64)
    hits = np.bincount(place, weights=bad).astype(np.float64)
    few = np.minimum(sizes, float(LARGEST))
    capped = _clustered_tail(hits * few / sizes, few, p)
    return max(alone, _clustered_tail(hits, sizes, p, len(names)), capped)


def _clustered_tail(
    hits: NDArray[np.float64], sizes: NDArray[np.float64], p: float, least: float | None = None
) -> float:
    """The tail of groups with so many `hits`, which are rows that count in part where capped.

    `least` is how many groups count where none is wrong; Kish's number unless it is given.
    """
    from scipy.special import betainc

    n, k, count = sizes.sum(), hits.sum(), len(sizes)
    share = k / n
    spread = ((hits - share * sizes) ** 2).sum() * count / max(1, count - 1)
    effect = max(1.0, spread / (n * share * (1 - share))) if k else 1.0
    tail = float(betainc((n - k) / effect, k / effect + 1, 1 - p))
    return max(tail, float((1 - p) ** (least or n**2 / (sizes**2).sum())))


def mcnemar(better: int, worse: int) -> float:
    """The exact two-sided p-value of two students that differ on `better` + `worse` rows."""
    n = better + worse
    return min(1.0, 2 * binomial_tail(min(better, worse), n, 0.5)) if n else 1.0
