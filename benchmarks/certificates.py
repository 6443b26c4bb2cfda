"""Whether certificates hold: thresholds from replayed calibrations, against the true served risk.

    python -m benchmarks.certificates [--data PATH] [--answers FILE ...] [--replays 500]

Students (a linear head on the frozen encoder, and on words) learn clinc150 and snips_nlu and
answer thousands of later questions: those scores are the population, whose risk at every threshold
is known. Each replay draws a calibration set from it, chooses thresholds in three ways (ours, the
exact binomial walk of `tasks.calibrate`; a point estimate; Hoeffding's bound) and looks up what
they truly serve. Then the traffic shifts: new phrasings, intents never learned. `--answers` replays
the Parquet files that nights keep under `answers/` instead. The last line is one JSON object; exit
status 1 when our certificates break more often than δ.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks import sets
from benchmarks.curation import read
from tasks.calibrate.hop import score
from tasks.calibrate.walk import threshold
from tasks.cluster.signatures import user_text
from tasks.core.contract import answer_of
from tasks.evaluate.answers import read_answers
from tasks.evaluate.metrics import wilson
from tasks.students.minilm import embed

SETS = {"clinc150": "clinc150/train", "snips_nlu": "snips_nlu/train"}
KNOWN, ASKED = 3_000, 5_000  # questions that a student learns, and is asked
UNSEEN, NEW = 0.1, 0.2  # share of the intents never learned, and of the shifted traffic they are
ALPHAS, DELTA = (0.03, 0.05, 0.10), 0.1
Floats = NDArray[np.float64]
Result = dict[str, str | float]
Pairs = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Scores:
    """Recorded answers: how sure each was, and whether it was right."""

    sure: Floats
    right: NDArray[np.bool_]

    def served(self, limit: float) -> tuple[float, float]:
        """The share served at a threshold, and the share of those that is wrong."""
        kept = self.sure >= limit
        return float(kept.mean()), float((~self.right[kept]).mean()) if kept.any() else 0.0


def exact(some: Scores, alpha: float) -> float:
    """Ours: fixed-sequence Learn-then-Test with exact binomial tests."""
    step = threshold(some.sure.tolist(), some.right.tolist(), alpha, DELTA)
    return step.threshold if step else math.inf


def point(some: Scores, alpha: float) -> float:
    """The loosest threshold whose risk in the calibration set is at most alpha."""
    order = np.argsort(-some.sure, kind="stable")
    wrong = np.cumsum(~some.right[order])
    good = np.flatnonzero(wrong <= alpha * np.arange(1, len(order) + 1))
    return float(some.sure[order[good[-1]]]) if len(good) else math.inf


def hoeffding(some: Scores, alpha: float) -> float:
    """The same walk as ours with Hoeffding's bound in place of the exact test."""
    order = np.argsort(-some.sure, kind="stable")
    wrong, n = np.cumsum(~some.right[order]), np.arange(1, len(order) + 1)
    first = math.ceil(-math.log(DELTA) / (2 * alpha**2))
    limit = math.inf
    for count in range(max(first, len(order) // 2), len(order) + 1, max(1, len(order) // 100)):
        gap = alpha - wrong[count - 1] / n[count - 1]
        if gap < 0 or math.exp(-2 * count * gap**2) > DELTA:
            break
        limit = float(some.sure[order[count - 1]])
    return limit


RULES: dict[str, Callable[[Scores, float], float]] = {
    "exact binomial (ours)": exact,
    "point estimate": point,
    "Hoeffding": hoeffding,
}


def head(
    known: Pairs, asked: Sequence[Sequence[str]], *, words: bool
) -> list[list[tuple[str, float]]]:
    """What a linear model of words or meaning answers to lists of questions, and how surely."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    table = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    prompts = [prompt for prompt, _ in known]
    read_ = table.fit(prompts).transform if words else embed
    model = LogisticRegression(C=20, max_iter=300)
    model.fit(read_(prompts), [answer for _, answer in known])
    found = []
    for questions in asked:
        likely = model.predict_log_proba(read_(questions))
        best = likely.argmax(axis=1)
        found.append(
            [(str(model.classes_[b]), float(row[b])) for b, row in zip(best, likely, strict=True)]
        )
    return found


def rephrased(prompt: str, rng: random.Random) -> str:
    """The question as somebody in a hurry types it: words left out, letters swapped."""
    words = [word for word in prompt.split() if len(word) > 3 or rng.random() < 0.5]
    for place, word in enumerate(words):
        if len(word) > 4 and rng.random() < 0.2:
            at = rng.randrange(1, len(word) - 2)
            words[place] = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return " ".join(words) or prompt


def recorded(path: Path, seed: int) -> dict[str, dict[str, Scores]]:
    """Scores of both students of a set: of traffic as it was, rephrased, and with new intents."""
    calls = read(path, 10**6, random.Random(seed))
    pairs = [(user_text(call.request), answer_of(call.reply)) for call in calls]
    rng = random.Random(seed)
    intents = sorted({answer for _, answer in pairs})
    unseen = set(rng.sample(intents, max(1, round(UNSEEN * len(intents)))))
    old, new = ([p for p in pairs if (p[1] in unseen) == side] for side in (False, True))
    known, asked = old[:KNOWN], old[KNOWN : KNOWN + ASKED]
    fresh = new[: round(NEW / (1 - NEW) * len(asked))]
    traffic = {
        "as it was": asked,
        "new phrasings": [(rephrased(prompt, rng), answer) for prompt, answer in asked],
        "new intents": asked + fresh,
    }
    result = {}
    for student, words in (("encoder head", False), ("words", True)):
        said = head(known, [[p for p, _ in some] for some in traffic.values()], words=words)
        result[student] = {
            kind: Scores(
                np.array([sure for _, sure in answers]),
                np.array([a == e for (a, _), (_, e) in zip(answers, some, strict=True)]),
            )
            for (kind, some), answers in zip(traffic.items(), said, strict=True)
        }
    return result


def of_file(path: Path) -> Scores:
    """The answers that a night recorded."""
    rows = read_answers(path).rows
    return Scores(np.array([score(row) for row in rows]), np.array([row.agrees for row in rows]))


def replay(
    name: str, traffic: dict[str, Scores], replays: int, size: int, seed: int
) -> list[Result]:
    """How often each rule truly serves more than alpha wrong, and how much it serves."""
    usual = traffic["as it was"]
    rng = np.random.default_rng(seed)
    drawn = [rng.integers(0, len(usual.sure), size) for _ in range(replays)]
    results: list[Result] = []
    for alpha in ALPHAS:
        for rule, choose in RULES.items():
            limits = [choose(Scores(usual.sure[d], usual.right[d]), alpha) for d in drawn]
            seen = [usual.served(limit) for limit in limits]
            broken = sum(risk > alpha for _, risk in seen) / replays
            low, high = wilson(broken, replays)
            row: Result = {"scores": name, "alpha": alpha, "rule": rule, "n": size}
            row |= {"broken": broken, "low": low, "high": high}
            row |= {"served": float(np.mean([s for s, _ in seen]))}
            for kind, some in traffic.items():
                risks = [some.served(limit)[1] for limit in limits if limit < math.inf]
                row[f"risk, {kind}"] = float(np.mean(risks)) if risks else 0.0
            results.append(row)
    return results


def show(results: Sequence[Result]) -> None:
    """Print the table."""
    names = list(dict.fromkeys(name for row in results for name in row))
    table = Table(*names)
    for row in results:
        cells = [row.get(name, "") for name in names]
        table.add_row(*(f"{c:.3f}" if isinstance(c, float) else str(c) for c in cells))
        if row["rule"] == list(RULES)[-1]:
            table.add_section()
    Console(width=150).print(table)


def main() -> None:
    """Replay, print, and compare with delta."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=sets.home(), help="folder of sets, or a file")
    parser.add_argument("--answers", type=Path, nargs="+", help="answers/*.parquet of a night")
    parser.add_argument("--replays", type=int, default=500)
    parser.add_argument("--size", type=int, default=1_000, help="rows of a calibration set")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    every: dict[str, dict[str, Scores]] = {}
    if chosen.answers:
        every = {path.stem: {"as it was": of_file(path)} for path in chosen.answers}
    else:
        for name, path in sets.find(chosen.data, SETS).items():
            found = recorded(path, chosen.seed)
            every |= {f"{name}, {student}": scores for student, scores in found.items()}
    results = [
        row
        for name, traffic in every.items()
        for row in replay(name, traffic, chosen.replays, chosen.size, chosen.seed)
    ]
    show(results)
    print(json.dumps({"delta": DELTA, "results": results}))
    ours = [row for row in results if row["rule"] == next(iter(RULES))]
    if any(float(row["broken"]) > DELTA for row in ours):
        sys.exit(f"our certificates broke more often than {DELTA}")


if __name__ == "__main__":
    main()
