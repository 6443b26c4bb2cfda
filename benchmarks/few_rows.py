"""What a router of many labels can take over after a few days of little traffic.

    python -m benchmarks.few_rows [--data ../shared/data/clinc150/train.jsonl.gz] [--seeds 3]

Of a set whose answers are labels, `--labels` are drawn and their calls come in at `--per-day` a
day. After each of `--days` the first rung of the ladder learns all calls so far, and is asked the
calls of the next days: agreement with the recorded answers, the share that could be served at the
accepted risk (the best threshold on those calls: nobody knows it beforehand), and the share that is
served above the threshold at which the training rows' own out-of-fold answers keep to that risk,
with the agreement there. `certified` is the same as a night makes it: split, trained, proven at the
accepted risk, and what its certificate serves. Beside them, logistic regression on the frozen
encoder, and on words. Exit status 1 when a bar on the certified share is missed; the last line is
one JSON object. With `--log FILE` such traffic is only written down, for
`python -m benchmarks.replay --data FILE`.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks import sets
from tasks.calibrate.calibrate import calibrate, score
from tasks.cluster.cluster import cluster
from tasks.core import records
from tasks.core.certificate import Certificate
from tasks.core.params import Cluster, Evaluate, load
from tasks.core.rows import Row, write_rows
from tasks.core.task import Task, save
from tasks.core.task import load as load_tasks
from tasks.dataset.candidates import candidate_of
from tasks.dataset.splits import SPLITS, share_out
from tasks.evaluate.answers import Answers, answered
from tasks.ingest.ingest import DAY
from tasks.students.minilm import embed
from tasks.train.folds import FILE
from tasks.train.train import train

RISK, LATER, HELD = 0.05, 1_000, 40  # accepted risk; calls asked at most; validation rows
CALLS = 8_000  # of a set, at most
BARS = {4: 0.15, 6: 0.40, 11: 0.50}  # of the share that is served with a certificate
Figures = dict[str, float]


def routed(path: Path) -> tuple[Task, list[Row]]:
    """The largest task of a set and its rows, in the order of time."""
    calls = sets.calls(path, path.stem)[:CALLS]
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        records.write(home / "calls.parquet", calls, records.CLEAN)
        cluster([home / "calls.parquet"], home, Cluster())
        task = load_tasks(home)[0]
        table = pq.read_table(home / "assignment.parquet").to_pydict()
    own = {c for c, t in zip(table["call_id"], table["task_id"], strict=True) if t == task.id}
    made = [candidate_of(call, task) for call in calls if call.id in own]
    return task, [found.row for found in made if not isinstance(found, str)]


def cut(found: Sequence[Row], labels: int, seed: int) -> list[Row]:
    """The rows of some labels, in a random order: a router's traffic."""
    rng = np.random.default_rng(seed)
    names = sorted({row.answer for row in found})
    kept = set(rng.choice(names, min(labels, len(names)), replace=False).tolist())
    some = [row for row in found if row.answer in kept]
    return [some[place] for place in rng.permutation(len(some))]


def threshold(sure: Sequence[float], right: Sequence[bool], risk: float = RISK) -> float:
    """The lowest confidence above which at most `risk` of the answers are wrong."""
    order = np.argsort(-np.array(sure), kind="stable")
    kept = np.cumsum(np.array(right)[order]) / np.arange(1, len(order) + 1) >= 1 - risk
    return float(np.array(sure)[order][kept][-1]) if kept.any() else np.inf


def served(sure: Sequence[float], right: Sequence[bool], least: float) -> tuple[float, float]:
    """The share of answers above a threshold, and how many of those agree."""
    over = np.array(sure) >= least
    return float(over.mean()), float(np.array(right)[over].mean()) if over.any() else float("nan")


def student(task: Task, known: Sequence[Row], later: Sequence[Row]) -> Figures:
    """The first rung, trained on all known rows."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        for name, rows in (("train", known[:-HELD]), ("validation", known[-HELD:])):
            write_rows(home / f"{name}.parquet", rows)
        save(home / "task.json", task)
        seconds = train(home, home / "out", load().train, rung="linear").seconds
        said = answered(later, task.contract, home / "out/adapter", Evaluate(max_rows=LATER))
        folds = pq.read_table(home / "out" / FILE).to_pydict()
    return _figures(said, threshold(folds["confidence"], folds["agrees"]), seconds)


def _figures(said: Answers, level: float, seconds: float) -> Figures:
    """What a student's answers to later calls come to, served from this threshold on."""
    sure, right = [score(row) for row in said.rows], [row.agrees for row in said.rows]
    share, agreed = served(sure, right, level)
    return {
        "agreement": float(np.mean(right)),
        "could serve": served(sure, right, threshold(sure, right))[0],
        "serves": share,
        "agreement served": agreed,
        "train s": seconds,
        "ms": said.latency_ms,
    }


def certified(task: Task, known: Sequence[Row], later: Sequence[Row]) -> Figures:
    """The first rung with its certificate, as a night makes both from all known rows."""
    with tempfile.TemporaryDirectory() as folder:
        home, params = Path(folder), load()
        places = {row.id: [place] for place, row in enumerate(known)}
        strata = {row.id: row.answer for row in known}
        split = share_out(places, strata, {}, params.dataset)
        for name in SPLITS:
            own = [row for place, row in enumerate(known) if split[place] == name]
            write_rows(home / f"{name}.parquet", own)
        save(home / "task.json", task)
        seconds = train(home, home / "out", params.train, rung="linear").seconds
        least = params.judge.min_coverage
        proof = calibrate(home, home / "out", home / "proof", params.calibrate, least=least)
        said = answered(later, task.contract, home / "out/adapter", Evaluate(max_rows=LATER))
    level = proof.threshold if isinstance(proof, Certificate) else np.inf
    return _figures(said, level, seconds)


def regression(known: NDArray[np.float32], later: NDArray[np.float32], rows: Sequence[Row],
               asked: Sequence[Row]) -> Figures:  # fmt: skip
    """Logistic regression on some features of the prompts."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=20, max_iter=200).fit(known, [row.answer for row in rows])
    chances = model.predict_proba(later)
    said = model.classes_[chances.argmax(1)]
    right = [bool(a == row.answer) for a, row in zip(said, asked, strict=True)]
    sure = chances.max(1).tolist()
    could = served(sure, right, threshold(sure, right))[0]
    return {"agreement": float(np.mean(right)), "could serve": could}


def words(known: Sequence[Row], later: Sequence[Row]) -> Figures:
    """TF-IDF and logistic regression."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    made = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    table = made.fit_transform([row.prompt for row in known])
    return regression(table, made.transform([row.prompt for row in later]), known, later)


def day(task: Task, rows: Sequence[Row], count: int) -> dict[str, Figures]:
    """Return what each way could take over of the calls that follow the first `count`."""
    known, later = rows[:count], rows[count : count + LATER]
    seen, asked = (embed([row.prompt for row in part]) for part in (known, later))
    return {
        "the first rung": student(task, known, later),
        "the first rung, certified": certified(task, known, later),
        "frozen encoder + logistic regression": regression(seen, asked, known, later),
        "TF-IDF + logistic regression": words(known, later),
    }


def mean(found: Sequence[Mapping[str, Figures]]) -> dict[str, Figures]:
    """The mean of several seeds."""
    return {
        way: {name: float(np.nanmean([one[way][name] for one in found])) for name in found[0][way]}
        for way in found[0]
    }


def log(path: Path, labels: int, per_day: int, to: Path) -> None:
    """Write the calls of some labels as a log of so many calls a day."""
    rng, found = np.random.default_rng(0), list(sets.read(path))
    said = [one["response"]["choices"][0]["message"]["content"] for one in found]
    kept = set(rng.choice(sorted(set(said)), labels, replace=False).tolist())
    some = [one for one, answer in zip(found, said, strict=True) if answer in kept]
    with gzip.open(to, "wt") as lines:
        for number, place in enumerate(rng.permutation(len(some))):
            at = 1_750_000_000 // DAY * DAY + (number + 0.5) * DAY / per_day
            lines.write(json.dumps({**some[place], "timestamp": at}) + "\n")


def show(results: Mapping[int, Mapping[str, Figures]]) -> None:
    """Print the table, day by day."""
    columns = list(dict.fromkeys(n for ways in results.values() for f in ways.values() for n in f))
    table = Table("day", "student", *columns)
    for at, ways in results.items():
        table.add_section()
        for way, figures in ways.items():
            cells = (f"{figures[name]:.3g}" if name in figures else "" for name in columns)
            table.add_row(str(at), way, *cells)
    Console(width=140).print(table)


def main() -> None:
    """Measure, print, and compare with the bars."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=sets.home() / "clinc150/train.jsonl.gz")
    parser.add_argument("--labels", type=int, default=80)
    parser.add_argument("--per-day", type=int, default=70)
    parser.add_argument("--days", type=int, nargs="+", default=list(BARS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--log", type=Path, help="write the traffic here, and end")
    chosen = parser.parse_args()
    if chosen.log:
        return log(chosen.data, chosen.labels, chosen.per_day, chosen.log)
    task, found = routed(chosen.data)
    results = {}
    for at in chosen.days:
        cuts = (cut(found, chosen.labels, seed) for seed in range(chosen.seeds))
        results[at] = mean([day(task, rows, at * chosen.per_day) for rows in cuts])
    show(results)
    own = {at: ways["the first rung, certified"]["serves"] for at, ways in results.items()}
    print(json.dumps({"risk": RISK, "results": results}))
    if missed := [str(at) for at, bar in BARS.items() if own.get(at, 1.0) < bar]:
        sys.exit(f"below the bar on day {', '.join(missed)}")


if __name__ == "__main__":
    main()
