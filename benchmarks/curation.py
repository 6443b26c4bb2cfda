"""What curation gives back when traces are bad in the four usual ways.

    python -m benchmarks.curation [--data FOLDER] [--calls 1500] [--seed 0]

Clean sets of real calls are spoilt: 20 % wrong answers, half of the answers in an older schema,
30 % members of another task, 5 % of the data. The cheapest student (TF-IDF and logistic regression)
is trained on the raw calls and on what `tasks.cluster` and `tasks.dataset` make of them, and asked
clean questions that neither saw. Prints accuracy and the share of the loss that curation recovers;
exit status 1 when one of the first three recovers less than 80 % of a loss of two points or more.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tasks import records
from tasks.cluster import cluster
from tasks.contract import answer_of
from tasks.dataset import dataset, rows
from tasks.evidence import user_text
from tasks.params import Cluster, Dataset
from tasks.records import CleanCall

SETS = {"snips_nlu": "train", "clinc150": "train"}
OTHER = "wnut17_ner/train"
BAR, LOSS = 0.80, 0.02
Calls = list[CleanCall]
Pairs = list[tuple[str, str]]


def data() -> Path:
    """The folder of the sets."""
    home = Path(__file__).parents[1] / "../shared/data"
    return Path(os.environ.get("FLYWHEEL_EVAL_DATA") or home)


def read(name: str, count: int, rng: random.Random) -> Calls:
    """Some calls of a set, in the order of time; the answer is the intent alone."""
    with gzip.open(data() / f"{name}.jsonl.gz", "rt") as lines:
        found = [json.loads(line) for line in lines]
    calls = []
    for number, record in enumerate(rng.sample(found, min(count, len(found)))):
        content = json.loads(record["response"]["choices"][0]["message"]["content"])
        if "intent" in content:
            content = {"intent": content["intent"]}
        calls.append(
            CleanCall(
                id=f"{name}-{number}",
                at=datetime(2026, 3, 2).timestamp() + 60 * number,
                source=f"{name}:{number}",
                request=record["request"],
                reply={"role": "assistant", "content": json.dumps(content)},
                finish_reason="stop",
            )
        )
    return calls


def answered(call: CleanCall, value: object) -> CleanCall:
    """The call with another answer."""
    return replace(call, reply={"role": "assistant", "content": json.dumps(value)})


def noisy(calls: Calls, rng: random.Random) -> Calls:
    """Every fifth answer is another call's."""
    return [replace(c, reply=rng.choice(calls).reply) if rng.random() < 0.2 else c for c in calls]


def drifted(calls: Calls, rng: random.Random) -> Calls:
    """The first half answers in an older schema."""
    half = len(calls) // 2
    old = [
        answered(c, {"label": json.loads(answer_of(c.reply))["intent"].upper(), "version": 1})
        for c in calls[:half]
    ]
    return old + calls[half:]


def mixed(calls: Calls, rng: random.Random) -> Calls:
    """Three in ten calls are of another task; their times lie among the others'."""
    strays = read(OTHER, round(len(calls) * 3 / 7), rng)
    strays = [replace(stray, at=rng.choice(calls).at) for stray in strays]
    return sorted([*calls, *strays], key=lambda call: call.at)


def few(calls: Calls, rng: random.Random) -> Calls:
    """One call in twenty."""
    return rng.sample(calls, len(calls) // 20)


ILLS: dict[str, Callable[[Calls, random.Random], Calls]] = {
    "noisy labels": noisy,
    "schema drift": drifted,
    "mixed traces": mixed,
    "few data": few,
}


def raw(calls: Calls) -> Pairs:
    """What one trains on without curation: every call as it is."""
    return [(user_text(c.request), answer_of(c.reply)) for c in calls]


def curated(calls: Calls, of: str) -> Pairs | None:
    """The training rows of the task that most calls of a set are in; None when it is refused."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        for name in ("cluster", "dataset"):
            (home / name).mkdir()
        records.write(home / "calls.parquet", calls, records.CLEAN)
        cluster([home / "calls.parquet"], home / "cluster", Cluster())
        # The benchmark brings its own test questions: nearly all rows may train.
        params = Dataset(train=0.97, validation=0.01, calibration=0.01, test=0.01)
        dataset([home / "calls.parquet"], home / "cluster", home / "dataset", params)
        found = [rows(path) for path in sorted((home / "dataset").glob("*/train.parquet"))]
    own = [some for some in found if sum(row.id.startswith(of) for row in some) > len(some) / 2]
    return [(row.prompt, row.answer) for row in max(own, key=len)] if own else None


def accuracy(known: Pairs | None, test: Pairs) -> float:
    """The cheapest student's share of right answers; without training rows it answers nothing."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import SGDClassifier
    from sklearn.pipeline import make_pipeline

    if not known:
        return 0.0
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    student = make_pipeline(words, SGDClassifier("log_loss", alpha=1e-5, random_state=0))
    student.fit(*zip(*known, strict=True))
    said = student.predict([prompt for prompt, _ in test])
    right = [str(s) == a for s, (_, a) in zip(said, test, strict=True)]
    return sum(right) / len(right)


def measure(name: str, count: int, seed: int) -> list[dict[str, float | str]]:
    """The four ills of one set."""
    rng = random.Random(seed)
    calls = read(f"{name}/{SETS[name]}", count + count // 3, rng)
    calls, test = calls[:count], raw(calls[count:])
    clean = accuracy(raw(calls), test)
    result: list[dict[str, float | str]] = []
    for ill, spoil in ILLS.items():
        bad = spoil(calls, random.Random(seed + 1))
        before, after = accuracy(raw(bad), test), accuracy(curated(bad, name), test)
        lost = clean - before
        back = (after - before) / lost if lost > LOSS else 1.0
        figures = {"clean": clean, "raw": before, "curated": after, "recovered": back}
        result.append({"set": name, "ill": ill, **figures})
    return result


def show(results: Sequence[dict[str, float | str]]) -> None:
    """Print the table."""
    table = Table(*results[0])
    for row in results:
        table.add_row(*(x if isinstance(x, str) else f"{x:.3f}" for x in row.values()))
    Console().print(table)


def main() -> None:
    """Measure, print, and compare with the bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=data(), help="folder of the sets")
    parser.add_argument("--calls", type=int, default=1_500)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    os.environ["FLYWHEEL_EVAL_DATA"] = str(chosen.data)
    results = [row for name in SETS for row in measure(name, chosen.calls, chosen.seed)]
    show(results)
    print(json.dumps({"results": results}))
    missed = [
        f"{row['ill']} of {row['set']}"
        for row in results
        if row["ill"] != "few data" and float(row["recovered"]) < BAR
    ]
    if missed:
        sys.exit(f"below the bar: {', '.join(missed)}")


if __name__ == "__main__":
    main()
