"""Which shares of a task's rows should train, choose, prove and test: by what they certify.

    python -m benchmarks.splits [--data PATH] [--draws 5] [--seed 0]

Routers of some intents, cut from clinc150, have some hundred rows in all. For each split a linear
model of letters learns the training rows, the validation rows choose where the walk begins, and the
calibration rows prove a threshold (α = .05, δ = .1, first attempt); how many later questions it
serves is what the split is worth. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import sets
from benchmarks.curation import read
from benchmarks.streams import ALPHA, DELTA, Flags, Floats
from tasks.calibrate.threshold import MIDDLE, choose, plan, walk
from tasks.cluster.signatures import user_text
from tasks.core.certificate import spent
from tasks.core.contract import answer_of

SETS = {"clinc150": "clinc150/train"}
ROUTERS = ((10, 300), (20, 600), (40, 1_200), (80, 1_200))  # intents and rows
LATER = 1_500
SPLITS = (  # train, validation, calibration; the rest tests
    (0.40, 0.05, 0.40),
    (0.45, 0.10, 0.35),
    (0.50, 0.10, 0.30),
    (0.55, 0.05, 0.30),
    (0.60, 0.05, 0.25),
)
Pairs = Sequence[tuple[str, str]]


def served(rows: Pairs, later: Pairs, split: Sequence[float]) -> float:
    """The share of later questions that a student of these rows may answer."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    ends = [round(end * len(rows)) for end in np.cumsum(split)]
    known, checked, proof = (rows[a:b] for a, b in zip([0, *ends[:-1]], ends, strict=True))
    letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True)
    features = letters.fit_transform([prompt for prompt, _ in known])
    model = LogisticRegression(C=20, max_iter=50).fit(features, [answer for _, answer in known])

    def ask(some: Pairs) -> tuple[Floats, Flags]:
        likely = model.predict_log_proba(letters.transform([prompt for prompt, _ in some]))
        said = model.classes_[likely.argmax(axis=1)]
        return likely.max(axis=1), said == np.array([answer for _, answer in some])

    sure, right = ask(proof)
    delta = spent(DELTA, 1)
    chosen = plan(list(zip(*ask(checked), strict=True)), len(proof), ALPHA, delta)
    start = chosen.start if chosen else MIDDLE
    step = choose(walk(sure, right, ALPHA, delta, start=start), delta)
    return float((ask(later)[0] >= step.threshold).mean()) if step else 0.0


def main() -> None:
    """Measure every split on every router, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=sets.home(), help="folder of sets, or a file")
    parser.add_argument("--draws", type=int, default=5, help="routers of each size")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    (path,) = sets.find(chosen.data, SETS).values()
    calls = read(path, 10**6, random.Random(chosen.seed))
    pairs = [(user_text(call.request), answer_of(call.reply)) for call in calls]
    names = sorted({answer for _, answer in pairs})
    found: dict[str, dict[str, float]] = {}
    for intents, count in ROUTERS:
        worth: dict[str, list[float]] = {
            " / ".join(f"{s:g}" for s in split): [] for split in SPLITS
        }
        for draw in range(chosen.draws):
            rng = random.Random(f"{chosen.seed} {draw}")
            kept = set(rng.sample(names, intents))
            some = [pair for pair in pairs if pair[1] in kept]
            rng.shuffle(some)
            for split, shares in zip(SPLITS, worth.values(), strict=True):
                shares.append(served(some[:count], some[count:][:LATER], split))
        means = {name: round(float(np.mean(shares)), 3) for name, shares in worth.items()}
        found[f"{intents} intents, {count:,} rows"] = means
    table = Table("served", *next(iter(found.values())))
    for name, means in found.items():
        table.add_row(name, *(f"{mean:.3f}" for mean in means.values()))
    Console(width=120).print(table)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
