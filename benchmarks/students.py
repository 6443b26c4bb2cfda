"""What students of real tasks can do: each rung of the ladder, beside what costs nothing.

    python -m benchmarks.students [--data PATH] [--sets clinc150 ...] [--rungs linear ...]

Each set's calls go through `tasks.cluster`; of its largest tasks, students learn from the earliest
60 % of the calls and are asked the other 40 %: certified on the first half of them, held to it on
the second. Calls whose prompt was learned are left out of both. Prints agreement with the recorded
answers on the 40 % (on the last 20 % where the calls that prove are learned, too), macro-F1 or
field-F1, valid answers, the share of calls that is certified at a risk of `--alpha`, what it does
on the last calls and what an oracle would serve of those, seconds to train, milliseconds an answer.
The last line is one JSON object; exit status 1 when a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import math
import shlex
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks import few_rows, sets
from benchmarks.growth import traffic
from tasks.calibrate.calibrate import calibrate, held_out, score
from tasks.cluster.cluster import cluster
from tasks.core import params as settings
from tasks.core import records
from tasks.core.certificate import Certificate, Refusal
from tasks.core.params import Calibrate, Cluster, Evaluate, Rung, Train
from tasks.core.records import CleanCall
from tasks.core.rows import Candidate, Row
from tasks.core.scorecard import ScorecardLine
from tasks.core.stage import Refused
from tasks.core.task import Task, load, save
from tasks.dataset.candidates import candidate_of
from tasks.dataset.curate import curate
from tasks.dataset.dataset import write_rows
from tasks.dataset.splits import LEARNED
from tasks.evaluate.answers import Answers, answered, write_answers
from tasks.evaluate.baselines import closed
from tasks.evaluate.table import baselines, line
from tasks.students.causal import Student, base_path
from tasks.students.minilm import embed
from tasks.train.folds import unlearned
from tasks.train.train import ladder, train

SETS = {
    "clinc150": "clinc150/train",
    "snips_nlu": "snips_nlu/train",
    "text2sql": "text2sql_advising/train",
    "news_events": "news_events/records",
    "wnut17": "wnut17_ner/train",
    "sgd": "sgd_assistant/train",
    "tau_bench": "tau_bench_airline_gpt4o/records",
    "gsm8k": "gsm8k/train",
    "dialogsum": "dialogsum/dev",
}
AGENT = "sample agent"
BARS = {
    ("clinc150", "encoder", "agreement"): 0.955,
    ("clinc150", "encoder", "certified"): 0.93,
    ("snips_nlu", "encoder", "agreement"): 0.80,
    ("snips_nlu", "encoder", "certified"): 0.60,
    ("snips_nlu", "causal", "agreement"): 0.60,
    ("text2sql", "encoder", "agreement"): 0.80,
}
REFUSED = ("gsm8k", "dialogsum")
SHARES = 0.55, 0.60, 0.80, 1.0  # of the calls, by time: train, validation, calibration, test
TASKS, LEAST = 3, 0.05  # tasks of a set that are looked at, and the share of its calls they have
BASE = 100  # calls that the base without an adapter is asked
Result = dict[str, str | float]


@dataclass(frozen=True, slots=True)
class Way:
    """How students are asked, and the risk at which they are certified."""

    asked: Evaluate
    alpha: float


def traffic_of(data: Path, wanted: Sequence[str]) -> Iterator[tuple[str, list[CleanCall]]]:
    """Each set's calls; those of the sample agent where it is asked for, or nothing is."""
    try:
        found = sets.find(data, SETS, [name for name in wanted if name != AGENT])
    except Refused as error:
        sys.exit(str(error))
    if wanted != [AGENT]:
        yield from ((name, sets.calls(path, name)) for name, path in found.items())
    if AGENT in wanted or (not wanted and set(found) == set(SETS)):
        yield AGENT, list(traffic(20_000, 5))


def tasks_of(
    calls: Sequence[CleanCall], home: Path
) -> Iterator[tuple[Task, list[Candidate | str]]]:
    """The largest tasks of some calls, each with its rows, or why a call is none."""
    records.write(home / "calls.parquet", calls, records.CLEAN)
    cluster([home / "calls.parquet"], home, Cluster())
    table = records_of(home / "assignment.parquet")
    for task in load(home)[:TASKS]:
        if task.size >= LEAST * len(calls):
            yield task, [candidate_of(c, task) for c in calls if table.get(c.id) == task.id]


def records_of(path: Path) -> dict[str, str]:
    """Return which call is whose."""
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    return dict(zip(table["call_id"].to_pylist(), table["task_id"].to_pylist(), strict=True))


def parts_of(task: Task, found: Sequence[Candidate], most: int) -> dict[str, list[Row]]:
    """Rows by time; a conversation is where its first call is. At most `most` later rows each."""
    found = [replace(c, row=replace(c.row, group=c.row.opening or c.row.prompt)) for c in found]
    began: dict[str, float] = {}
    for candidate in found:
        began.setdefault(candidate.row.group, candidate.row.at)
    ordered = sorted(found, key=lambda c: (began[c.row.group], c.row.at, c.row.id))
    names = ("train", "validation", "calibration", "test")
    parts: dict[str, list[Candidate]] = {name: [] for name in names}
    for place, candidate in enumerate(ordered):
        at = place / len(ordered)
        name = next(n for n, limit in zip(names, SHARES, strict=True) if at < limit)
        if not candidate.flaw or name not in LEARNED:
            parts[name].append(candidate)
    kept = curate(parts["train"], task.contract, range(len(parts["train"]))).kept
    result = {"train": [c.row for c in kept]}
    known = {c.row.prompt for c in parts["train"]}
    for name in names[1:]:
        fresh = [c.row for c in parts[name] if c.row.prompt not in known]
        result[name] = fresh[-most:]
    return result


def head(known: Sequence[Row], asked: Sequence[Row]) -> list[str]:
    """A linear head on the frozen encoder."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=20, max_iter=300)
    model.fit(embed([row.prompt for row in known]), [row.answer for row in known])
    return list(map(str, model.predict(embed([row.prompt for row in asked]))))


def untrained(rows: Sequence[Row], asked: Evaluate) -> list[str]:
    """The bundled base without an adapter."""
    base = Student.load(base_path("bundled"), None)
    said = base.answer([r.prompt for r in rows], max_tokens=asked.max_tokens, batch=asked.batch)
    return [answer.text for answer in said]


def free(task: Task, parts: dict[str, list[Row]], asked: Evaluate) -> list[ScorecardLine]:
    """The lines of what needs no training."""
    known, test = parts["train"], parts["calibration"] + parts["test"]
    lines = baselines(known, test, task.contract)
    ways: dict[str, Callable[[], list[str]]] = {
        "base without adapter": lambda: untrained(test[-BASE:], asked)
    }
    if closed([row.answer for row in known], task.contract):
        ways["frozen encoder + linear head"] = lambda: head(known, test)
    for name, way in ways.items():
        said = way()
        rows = test[-len(said) :]
        lines.append(line(name, [r.answer for r in rows], said, [1.0] * len(rows), task.contract))
    return lines


def student(
    folder: Path, out: Path, task: Task, rung: Rung, params: Train, way: Way, keep: Path
) -> Result:
    """Train and measure one student; its answers are kept in a Parquet file."""
    asked = way.asked
    began = time.perf_counter()
    training = train(folder, out, params, rung=rung, progress=_progress(f"{task.id} · {rung}"))
    seconds = time.perf_counter() - began
    proven, test = (_asked(folder, out, part, task, asked) for part in ("calibration", "test"))
    proof = calibrate(folder, out, out, Calibrate(alpha=way.alpha), evaluation=asked)
    rows = test.rows if unlearned(out) else proven.rows + test.rows
    write_answers(keep, replace(test, rows=rows))
    measured = line(
        rung, [r.expected for r in rows], [r.answer for r in rows], [1.0] * len(rows), task.contract
    )
    result = _figures(measured, len(rows)) | {
        "rows": training.rows,
        "train s": seconds,
        "ms": test.latency_ms,
        "could serve": _oracle(test, way.alpha),
        "certified": 0.0,
        "note": proof.refused if isinstance(proof, Refusal) else "",
    }
    if isinstance(proof, Certificate):
        held = held_out(proof, test)
        result |= {
            "certified": proof.coverage,
            "served": held.coverage,
            "agreement served": held.agreement,
            "served low": held.low,
            "served high": held.high,
        }
    return result


def _oracle(test: Answers, alpha: float) -> float:
    """The share of the last calls that the best threshold in hindsight serves."""
    sure, right = [score(row) for row in test.rows], [row.agrees for row in test.rows]
    return few_rows.served(sure, right, few_rows.threshold(sure, right, alpha))[0]


def _progress(name: str) -> Callable[[int, int, float], None]:
    def tell(step: int, steps: int, loss: float) -> None:
        if sys.stderr.isatty():
            print(f"\r{name}: {step}/{steps}, loss {loss:.3f} ", end="", file=sys.stderr)

    return tell


def _asked(folder: Path, out: Path, part: str, task: Task, asked: Evaluate) -> Answers:
    from tasks.core.rows import rows

    return answered(rows(folder / f"{part}.parquet"), task.contract, out / "adapter", asked)


def _figures(one: ScorecardLine, n: int) -> Result:
    names = ("macro_f1", "field_f1", "chrf")
    quality = next((one.metrics[name] for name in names if name in one.metrics), math.nan)
    return {
        "rung": one.name,
        "n": n,
        "agreement": one.agreement,
        "low": one.low,
        "high": one.high,
        "F1": quality,
        "valid": one.valid,
    }


def measure(
    name: str,
    calls: Sequence[CleanCall],
    home: Path,
    rungs: Sequence[Rung],
    params: Train,
    way: Way,
    keep: Path,
) -> Iterator[Result]:
    """Every rung and every baseline of a set's tasks."""
    asked, most = way.asked, way.asked.max_rows
    for task, made in tasks_of(calls, home):
        parts = parts_of(task, [one for one in made if isinstance(one, Candidate)], most)
        if not all(parts.values()):
            left = Counter(one for one in made if isinstance(one, str)).most_common(3)
            note = f"too few rows; left out: {left}"
            yield {"set": name, "task": task.id, "rung": "none", "note": note}
            continue
        folder = home / "rows" / task.id
        for part, rows in parts.items():
            write_rows(folder / f"{part}.parquet", rows)
        save(folder / "task.json", task)
        told: Result = {"set": name, "task": task.id}
        for one in free(task, parts, asked):
            later = len(parts["calibration"] + parts["test"])
            yield told | _figures(one, min(BASE, later) if one.name.startswith("base") else later)
        tried, aside = ladder(folder, params)
        for rung in rungs:
            if rung not in tried:
                yield told | {"rung": rung, "note": aside.get(rung, "not tried")}
                continue
            try:
                out, file = home / "out" / task.id / rung, keep / f"{name}-{task.id}-{rung}.parquet"
                yield told | student(folder, out, task, rung, params, way, file)
            except Refused as error:
                yield told | {"rung": rung, "note": str(error)}


def missed(results: Sequence[Result]) -> list[str]:
    """The bars that were not reached, and tasks that should be refused and were certified."""
    found = []
    for row in results:
        for (name, rung, figure), bar in BARS.items():
            if (row["set"], row["rung"]) == (name, rung) and float(row.get(figure, 0.0)) < bar:
                found.append(f"{figure} of {name}, {rung}: {row.get(figure, 0.0)} < {bar}")
        if row["set"] in REFUSED and row.get("certified"):
            found.append(f"{row['set']} was certified")
    return found


def show(results: Sequence[Result]) -> None:
    """Print the table, set by set."""
    columns = list(dict.fromkeys(name for row in results for name in row))[2:]
    columns = [c for c in columns if c != "note"]
    table = Table("set", "student", *columns[1:])
    last = ""
    for row in results:
        if row["set"] != last and last:
            table.add_section()
        name = str(row["set"]) if row["set"] != last else ""
        last = str(row["set"])
        cells = [_cell(row.get(column, "")) for column in columns[1:]]
        table.add_row(name, str(row["rung"]), *cells)
    console = Console(width=160)
    console.print(table)
    for row in results:
        if row.get("note"):
            console.print(f"{row['set']}, {row['task']}, {row['rung']}: {row['note']}")


def _cell(value: str | float) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.3f}" if abs(value) <= 1 else f"{value:,.0f}"
    return str(value)


def main() -> None:
    """Measure, print, and compare with the bars."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=sets.home(), help="folder of sets, or a file")
    parser.add_argument("--sets", nargs="+", default=[], help=f"of {', '.join(SETS)}, {AGENT}")
    parser.add_argument("--rungs", nargs="+", choices=get_args(Rung), default=["linear", "encoder"])
    parser.add_argument("--minutes", type=float, default=15.0, help="for each training")
    parser.add_argument("--calls", type=int, default=20_000, help="at most, of a set")
    parser.add_argument("--rows", type=int, default=3_000, help="at most, that students are asked")
    parser.add_argument("--alpha", type=float, default=0.03, help="risk of the certificates")
    parser.add_argument("--keep", type=Path, help="folder for what the students answered")
    parser.add_argument("--set", nargs="*", default=[], help="params of train: name=value")
    chosen = parser.parse_args()
    own = dict(pair.split("=", 1) for pair in chosen.set)
    larger = {"tokens": 900_000, "epochs": 14, "validation_rows": 512}  # than a demo can wait for
    wanted = {**larger, "minutes": chosen.minutes, **own}
    body = {**msgspec.to_builtins(settings.load().train), **wanted}
    params = msgspec.convert(body, Train, strict=False)
    way = Way(Evaluate(max_rows=chosen.rows, max_tokens=256), chosen.alpha)
    results: list[Result] = []
    for name, calls in traffic_of(chosen.data, chosen.sets):
        with tempfile.TemporaryDirectory() as folder:
            some = calls[: chosen.calls]
            seen = list[Result]()
            keep = chosen.keep or Path(folder) / "answers"
            for row in measure(name, some, Path(folder), chosen.rungs, params, way, keep):
                print(json.dumps(row), file=sys.stderr)
                seen.append(row)
            nothing = f"none of {len(some):,} calls is of a task with {LEAST:.0%} of them"
            results += seen or [{"set": name, "task": "none", "rung": "none", "note": nothing}]
    show(results)
    print(json.dumps({"command": shlex.join(sys.argv[1:]), "results": results}))
    if found := missed(results):
        sys.exit(f"below the bar: {'; '.join(found)}")


if __name__ == "__main__":
    main()
