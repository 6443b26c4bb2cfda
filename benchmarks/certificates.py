"""Whether certificates hold, and how much they leave unserved.

    python -m benchmarks.certificates [--data PATH] [--answers FILE ...] [--parts regret nights ...]

`regret`: thresholds are chosen from calibration sets of n = 100 to 5,000, drawn from answers whose
risk is known, at α = .05 and δ = .05 (a task's first attempt at .1): by a start that a quarter as
many other answers choose (ours), from the middle, from four starts at δ/4 each, and by a point
estimate. Printed are the served shares, of that of an oracle which knows the risk, and how often
more than α is truly served. The answers are of four made-up shapes, and recorded: `--answers` are
Parquet files of `benchmarks.students --keep`, or of a night. `shift`: students (a linear head on
the frozen encoder, and on words) answer later questions of clinc150 and snips_nlu, then new
phrasings and intents. `nights`: a month of nights, by the rules of old and by ours: does a champion
over α ever serve? `groups`: conversations of unequal size. `filters`: replies off contract, counted
and left out. The last line is one JSON object; exit status 1 when ours break more often than δ.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import sets
from benchmarks.curation import read
from benchmarks.streams import (
    ALPHA,
    DELTA,
    GRID,
    MONTHS,
    SHAPES,
    SIZES,
    Curve,
    Flags,
    Floats,
    before,
    conversations,
    filtered,
    months,
    ours,
)
from tasks.calibrate.calibrate import score
from tasks.calibrate.threshold import MIDDLE, choose, plan, walk
from tasks.cluster.signatures import user_text
from tasks.core.certificate import spent
from tasks.core.contract import answer_of
from tasks.evaluate.answers import read_answers
from tasks.evaluate.significance import wilson
from tasks.students.minilm import embed

SETS = {"clinc150": "clinc150/train", "snips_nlu": "snips_nlu/train"}
KNOWN, ASKED = 3_000, 5_000  # questions that a student learns, and is asked
UNSEEN, NEW = 0.1, 0.2  # share of the intents never learned, and of the shifted traffic they are
FIRST = spent(DELTA, 1)
COUNTS = (100, 250, 500, 1_000, 2_500, 5_000)
PILOT = 0.25  # answers outside the proof, for each one in it
FOUR = (0.2, 0.4, 0.6, 0.8)
MONTHLY = ("broken", "served", "attempts", "promoted by shadow")
PARTS = ("regret", "shift", "nights", "groups", "filters")
Result = dict[str, str | float]
Pairs = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Scores:
    """Answers, the most confident first: how sure each is, and whether it is right."""

    sure: Floats
    right: Flags

    @classmethod
    def of(cls, sure: Floats, right: Flags) -> Scores:
        """Answers in any order."""
        order = np.argsort(-sure, kind="stable")
        return cls(sure[order], right[order])

    @property
    def risks(self) -> Floats:
        """The share that is wrong of the most confident 1, 2, … answers."""
        found: Floats = np.cumsum(~self.right) / np.arange(1, len(self.right) + 1)
        return found

    def drawn(self, n: int, rng: np.random.Generator) -> Scores:
        """So many of the answers, each as likely as any other."""
        places = np.sort(rng.integers(0, len(self.sure), n))
        return Scores(self.sure[places], self.right[places])


def shaped(curve: Curve, seed: int) -> Scores:
    """Answers whose risk is known at every rank."""
    rng = np.random.default_rng(seed)
    ranks = (np.arange(GRID) + 0.5) / GRID
    return Scores(-ranks, rng.random(GRID) >= curve(ranks))


def learned(some: Scores, pilot: Scores) -> float:
    """Ours: a walk from the start that other answers choose."""
    known = list(zip(pilot.sure.tolist(), pilot.right.tolist(), strict=True))
    found = plan(known, len(some.sure), ALPHA, FIRST)
    start = found.start if found else MIDDLE
    step = choose(walk(some.sure, some.right, ALPHA, FIRST, start=start), FIRST)
    return step.threshold if step else math.inf


def middle(some: Scores, pilot: Scores) -> float:
    """A walk from the middle."""
    step = choose(walk(some.sure, some.right, ALPHA, FIRST), FIRST)
    return step.threshold if step else math.inf


def four(some: Scores, pilot: Scores) -> float:
    """The loosest threshold of four walks, at a quarter of δ each."""
    delta = FIRST / len(FOUR)
    walks = [walk(some.sure, some.right, ALPHA, delta, start=start) for start in FOUR]
    steps = [choose(steps, delta) for steps in walks]
    return min((step.threshold for step in steps if step), default=math.inf)


def point(some: Scores, pilot: Scores) -> float:
    """The loosest threshold whose risk in the calibration set is at most alpha."""
    good = np.flatnonzero(some.risks <= ALPHA)
    return float(some.sure[good[-1]]) if len(good) else math.inf


RULES: dict[str, Callable[[Scores, Scores], float]] = {
    "ours": learned,
    "middle": middle,
    "four": four,
    "point": point,
}


def regret(name: str, known: Scores, draws: int, seed: int) -> list[Result]:
    """Each rule's part of the oracle's share, and how often more than α of it is wrong."""
    good = np.flatnonzero(known.risks <= ALPHA)
    oracle = (good[-1] + 1) / len(known.sure) if len(good) else 0.0
    results: list[Result] = []
    for n in COUNTS:
        rng = np.random.default_rng((seed, n))
        some = max(20, min(draws, draws * 1_000 // n))
        pairs = [(known.drawn(n, rng), known.drawn(round(PILOT * n), rng)) for _ in range(some)]
        row: Result = {"scores": name, "oracle": oracle, "n": n, "draws": some}
        for rule, limit in RULES.items():
            limits = [limit(*pair) for pair in pairs]
            served = np.searchsorted(-known.sure, -np.array(limits), side="right")
            risks = np.where(served > 0, known.risks[np.maximum(served - 1, 0)], 0.0)
            row[rule] = float(served.mean() / len(known.sure) / max(oracle, 1e-9))
            row["broken" if limit is learned else f"broken, {rule}"] = float((risks > ALPHA).mean())
        results.append(row)
    return results


def shift(name: str, traffic: dict[str, Scores], draws: int, seed: int) -> Result:
    """The mean risk that our certificates truly serve at, as traffic was and as it changes."""
    rng, usual = np.random.default_rng(seed), traffic["as it was"]
    pairs = ((usual.drawn(1_000, rng), usual.drawn(250, rng)) for _ in range(draws))
    limits = [limit for pair in pairs if (limit := learned(*pair)) < math.inf]
    row: Result = {"scores": name, "certified": len(limits) / draws}
    for kind, some in traffic.items():
        served = np.searchsorted(-some.sure, -np.array(limits), side="right")
        row[f"risk, {kind}"] = (
            float(some.risks[np.maximum(served - 1, 0)].mean()) if limits else 0.0
        )
    return row


def head(
    known: Pairs, asked: Sequence[Sequence[str]], *, words: bool
) -> list[list[tuple[str, float]]]:
    """A linear model's answers to lists of questions, and its confidences."""
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
            kind: Scores.of(
                np.array([sure for _, sure in answers]),
                np.array([a == e for (a, _), (_, e) in zip(answers, some, strict=True)]),
            )
            for (kind, some), answers in zip(traffic.items(), said, strict=True)
        }
    return result


def of_file(path: Path) -> Scores:
    """The answers that were recorded."""
    rows = read_answers(path).rows
    sure = np.array([score(row) for row in rows])
    return Scores.of(sure, np.array([row.agrees for row in rows]))


def honest(parts: Sequence[str], streams: int, draws: int, seed: int) -> dict[str, list[Result]]:
    """The parts that need no data: nights, conversations and filters."""
    found: dict[str, list[Result]] = {}
    if "nights" in parts:
        found["nights"] = []
        for name in MONTHS:
            for rule, night in (("before", before), ("ours", ours)):
                row: Result = {"traffic": name, "rule": rule, "draws": streams}
                row |= zip(MONTHLY, months(name, night, streams, seed), strict=True)
                found["nights"].append(row)
    rng = np.random.default_rng(seed)
    if "groups" in parts:
        found["groups"] = []
        for name in SIZES:
            for alike in (0.0, 0.3, 0.9):
                broken, plain = conversations(name, alike, ALPHA * 1.01, draws, rng)
                power, _ = conversations(name, alike, 0.4 * ALPHA, draws, rng)
                row = {"conversations": name, "alike": alike, "draws": draws}
                row |= {"broken": broken, "plain binomial": plain, "passes at .02": power}
                found["groups"].append(row)
    if "filters" in parts:
        found["filters"] = []
        for name, slips in (("risk .06 over all", 0.02), ("risk .03 everywhere", 0.03)):
            curve = MONTHS[name][0] if name in MONTHS else lambda u: np.full_like(u, 0.03)
            ours_, left_out = filtered(curve, slips, 500, draws, rng)
            row = {"answers": name, "off contract": slips, "draws": draws}
            found["filters"].append(row | {"broken": ours_, "left out": left_out})
    return found


def show(title: str, results: Sequence[Result]) -> None:
    """Print a table."""
    table = Table(*results[0], title=title)
    for row in results:
        table.add_row(*(f"{c:.3f}" if isinstance(c, float) else f"{c}" for c in row.values()))
    Console(width=150).print(table)


def main() -> None:
    """Replay, print, and compare with delta."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=sets.home(), help="folder of sets, or a file")
    parser.add_argument("--answers", type=Path, nargs="+", default=[], help="Parquet files")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--draws", type=int, default=300, help="calibration sets of 1,000")
    parser.add_argument("--streams", type=int, default=100, help="months of each kind")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    found = honest(chosen.parts, chosen.streams, chosen.draws, chosen.seed)
    every = {name: shaped(curve, chosen.seed) for name, curve in SHAPES.items()}
    every |= {path.stem: of_file(path) for path in chosen.answers}
    if "regret" in chosen.parts:
        rows = (regret(name, one, chosen.draws, chosen.seed) for name, one in every.items())
        found["regret"] = list(chain.from_iterable(rows))
    if "shift" in chosen.parts:
        found["shift"] = [
            shift(f"{name}, {student}", traffic, chosen.draws, chosen.seed)
            for name, path in sets.find(chosen.data, SETS).items()
            for student, traffic in recorded(path, chosen.seed).items()
        ]
    for part, results in found.items():
        show(part, results)
    print(json.dumps({"alpha": ALPHA, "delta": DELTA, **found}))
    loose = [f"{part}: {row}" for part, rows in found.items() for row in rows if _loose(part, row)]
    if loose:
        sys.exit("\n".join(["our certificates break more often than δ", *loose]))


def _loose(part: str, row: Result) -> bool:
    """Return whether our certificates break, beyond chance, more often than they may."""
    if "broken" not in row or row.get("rule") == "before":
        return False
    low, _ = wilson(float(row["broken"]), int(row["draws"]))
    return low > (FIRST if part == "regret" else DELTA)


if __name__ == "__main__":
    main()
