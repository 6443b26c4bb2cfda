"""The table of a scorecard: the student, slices of its rows, and what it is compared to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from tasks.core.contract import Contract, agree, normal, violation
from tasks.core.rows import Row
from tasks.core.scorecard import ScorecardLine
from tasks.evaluate import quality, significance
from tasks.evaluate.answers import Answered, Answers
from tasks.evaluate.baselines import closed, majority, tfidf

DAY = 86_400
FEWEST = 5  # rows of a slice
MOSTLY = 0.8  # share of ASCII characters under which a prompt is in another script
RARE = 0.05  # share of the training rows under which an answer is rare


def line(
    name: str,
    expected: Sequence[str],
    given: Sequence[str],
    weights: Sequence[float],
    contract: Contract,
    hits: Sequence[bool] | None = None,
) -> ScorecardLine:
    """One line of the table from answers of any origin; `hits` says which agree, where known."""
    hits = hits or [agree(e, g, contract) for e, g in zip(expected, given, strict=True)]
    share, effective = significance.weighted(hits, weights)
    low, high = significance.wilson(share, effective)
    valid = sum(violation(answer, contract) is None for answer in given) / len(given)
    parts = quality.parts(expected, given, contract)
    return ScorecardLine(
        name=name,
        agreement=round(share, 4),
        low=round(low, 4),
        high=round(high, 4),
        valid=round(valid, 4),
        metrics={metric: part.point for metric, part in parts.items()},
        intervals={metric: part.interval for metric, part in parts.items()},
        n=len(given),
    )


def of(name: str, rows: Sequence[Answered], contract: Contract) -> ScorecardLine:
    """The line of a student's answers; one that was cut off agrees with nothing."""
    given, expected = [r.answer for r in rows], [r.expected for r in rows]
    hits = [r.agrees for r in rows]
    return line(name, expected, given, [r.weight for r in rows], contract, hits)


def slices(
    train: Sequence[Row], test: Sequence[Row], answers: Answers, contract: Contract
) -> list[ScorecardLine]:
    """The student on long prompts, other scripts, rare and liked answers, the newest day.

    A slice of fewer than `FEWEST` rows, or of all of them, is none.
    """
    lengths = sorted(len(row.prompt) for row in test)
    long, newest_day = lengths[3 * len(lengths) // 4], max(row.at // DAY for row in test)
    counts = Counter(normal(row.answer, contract) for row in train)
    few_answers = closed([row.answer for row in train], contract)
    tests: dict[str, Callable[[Row], bool]] = {
        "long prompts": lambda row: len(row.prompt) > long,
        "other scripts": lambda row: sum(map(str.isascii, row.prompt)) < MOSTLY * len(row.prompt),
        "rare answers": lambda row: (
            few_answers and counts[normal(row.answer, contract)] < RARE * len(train)
        ),
        "liked answers": lambda row: (row.feedback or 0) > 0,
        "newest day": lambda row: row.at // DAY == newest_day,
    }
    by_slice = {
        name: [given for row, given in zip(test, answers.rows, strict=True) if inside(row)]
        for name, inside in tests.items()
    }
    return [
        of(name, given, contract)
        for name, given in by_slice.items()
        if FEWEST <= len(given) < len(test)
    ]


def baselines(train: Sequence[Row], test: Sequence[Row], contract: Contract) -> list[ScorecardLine]:
    """The trivial baselines: the most frequent answer and, for closed ones, a linear classifier."""
    answers, expected = [row.answer for row in train], [row.answer for row in test]
    weights = [row.weight for row in test]
    given = {"majority answer": majority(answers, len(test))}
    if closed(answers, contract):
        prompts = [row.prompt for row in train]
        predicted = tfidf(prompts, answers, [row.prompt for row in test])
        given["TF-IDF + logistic regression"] = predicted
    return [line(name, expected, predicted, weights, contract) for name, predicted in given.items()]
