"""Trivial baselines of a task: its most frequent answer, and a linear classifier."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tasks.core.contract import Contract, normal

MAX_CLOSED = 200  # different answers of a closed set


def closed(answers: Sequence[str], contract: Contract) -> bool:
    """Return whether the answers are a closed set, so that a classifier could give them."""
    if contract.kind == "labels":
        return True
    different = len({normal(answer, contract) for answer in answers})
    return different <= min(MAX_CLOSED, len(answers) / 4)


def majority(train: Sequence[str], n: int) -> list[str]:
    """The trivial baseline: the most frequent training answer, `n` times."""
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
