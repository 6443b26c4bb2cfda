"""Metrics: shares and what may be chance about them, and what costs nothing to answer."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from tasks.core.contract import Contract, normal

Z = 1.959964  # the normal quantile of a two-sided 95 % interval
MAX_CLOSED = 200


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


def grouped_tail(wrong: Sequence[bool], groups: Sequence[str], p: float) -> float:
    """`binomial_tail` of rows that come in groups, such as the calls of a conversation.

    Mistakes that come together are fewer than they seem: the binomial is taken at the effective
    sample size (Korn and Graubard 1998, Survey Methodology 24, 193-201). Where few groups were
    wrong that size is a guess, so it is never less than the chance that none of them would be.
    """
    from scipy.special import betainc

    n, k, sizes = len(wrong), sum(wrong), Counter(groups)
    alone = binomial_tail(k, n, p)
    if len(sizes) == n or not 0 < p < 1 or k == n:
        return alone
    hits = Counter(group for group, bad in zip(groups, wrong, strict=True) if bad)
    share, count = k / n, len(sizes)
    spread = sum((hits[group] - share * size) ** 2 for group, size in sizes.items())
    effect = spread * count / max(1, count - 1) / (n * share * (1 - share)) if k else 1.0
    fewer = float(betainc((n - k) / effect, k / effect + 1, 1 - p)) if effect > 1 else alone
    return max(alone, fewer, (1 - p) ** count)


def mcnemar(better: int, worse: int) -> float:
    """The exact two-sided p-value of two students that differ on `better` + `worse` rows."""
    n = better + worse
    return min(1.0, 2 * binomial_tail(min(better, worse), n, 0.5)) if n else 1.0


def closed(answers: Sequence[str], contract: Contract) -> bool:
    """Whether the answers are a closed set, so that a classifier could give them."""
    if contract.kind == "labels":
        return True
    different = len({normal(answer, contract) for answer in answers})
    return different <= min(MAX_CLOSED, len(answers) / 4)


def majority(train: Sequence[str], n: int) -> list[str]:
    """The do-nothing baseline: the commonest training answer, `n` times."""
    return [Counter(train).most_common(1)[0][0]] * n


def tfidf(prompts: Sequence[str], answers: Sequence[str], test: Sequence[str]) -> list[str]:
    """The cheap baseline for closed answers: TF-IDF and logistic regression."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    if len(set(answers)) < 2:
        return majority(answers, len(test))
    features = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\S+")
    model = make_pipeline(features, LogisticRegression(C=10.0, max_iter=300))
    model.fit(prompts, answers)
    return [str(answer) for answer in model.predict(test)]
