"""Whether a student certified on de-identified calls does as well on the same calls as they came.

    python -m benchmarks.skew [--calls 8000] [--sets "sample agent" snips_nlu ...] [--key NAME]

Calls of the sample agent, and of sets of others with people, phones, addresses and mails injected,
are de-identified and clustered; of each task, the first student of the ladder that fits is trained
and certified on clean rows. Then it is asked the same later calls twice, de-identified and raw. A
raw call off the template is not served. Prints agreement and the share served at the certified
threshold (without a certificate: at the threshold that serves half of the clean ones), raw against
clean, and what is lost raw with its 95 % interval. The last line is one JSON object; exit status 1
when raw is more than 2 points below clean, and by more than chance.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from benchmarks import german, growth, sets
from benchmarks.students import parts_of
from tasks.calibrate.calibrate import CertificateRequest, certify, score
from tasks.cluster.cluster import cluster
from tasks.core import params as settings
from tasks.core import records
from tasks.core.certificate import Certificate
from tasks.core.params import Calibrate, Cluster, Deidentify, Evaluate
from tasks.core.records import Call, CleanCall, Json
from tasks.core.rows import Candidate, Row, write_rows
from tasks.core.task import Task, load, save
from tasks.dataset.candidates import candidate_of
from tasks.deidentify.deidentify import deidentify
from tasks.evaluate.answers import answered
from tasks.train.train import ladder, train

AGENT, BAR = "sample agent", 0.02
SETS = {"snips_nlu": "snips_nlu/train", "clinc150": "clinc150/train", "sgd": "sgd_assistant/train"}
LEAST = 150  # calls of a task that is looked at
RISK = Calibrate(alpha=0.05, delta=0.1)
SAID = (
    "Thanks, {name}",
    "My name is {name}.",
    "Call me at {phone}.",
    "My mail is {email}.",
    "I live at {address}.",
    "It is for {name}, {address}.",
    "- {name}, {phone}",
)
Result = Json


@dataclass(frozen=True, slots=True)
class Twice:
    """The same calls, de-identified and raw: confidence and agreement; None is off the template."""

    clean: list[tuple[float, bool]]
    raw: list[tuple[float, bool]]


def injected(path: Path, name: str, count: int) -> Iterator[Call]:
    """A set's calls; to half of them something personal is said."""
    from faker import Faker

    fake, rng = Faker("en_US"), Random(11)
    fake.seed_instance(11)
    for call in sets.calls(path, name)[:count]:
        messages = [dict(m) for m in call.messages]
        said = messages[-1]
        if rng.random() < 0.5 and said["role"] == "user" and isinstance(said["content"], str):
            who = {"name": fake.name(), "phone": fake.phone_number(), "email": fake.email()}
            who["address"] = fake.address().replace("\n", ", ")
            line = rng.choice(SAID).format(**who)
            said["content"] = f"{said['content']}\n{line}"
        yield replace(call, request=call.request | {"messages": messages})


def calls_of(name: str, data: Path, count: int) -> list[Call]:
    """The raw calls of the sample agent, in English, German or both, or of a set."""
    made: Iterable[Call]
    if name == AGENT:
        made = growth.traffic(count, 4)
    elif name in {"german", "mixed"}:
        made = german.german() if name == "german" else german.mixed(count)
    else:
        made = injected(_path(data, name), name, count)
    return [Call(**{f.name: getattr(call, f.name) for f in fields(Call)}) for call in made]


def _path(data: Path, name: str) -> Path:
    return next(iter(sets.find(data, SETS, [name]).values()))


def cleaned(calls: Sequence[Call], home: Path, key: bytes) -> list[CleanCall]:
    """The calls with surrogates."""
    records.write(home / "raw.parquet", calls)
    (home / "clean").mkdir()
    params = replace_probe(settings.load().deidentify)
    deidentify(home / "raw.parquet", home / "clean", params, key=key)
    return list(records.read_clean(home / "clean" / "calls.parquet"))


def replace_probe(params: Deidentify) -> Deidentify:
    """The params without the night's probe, which changes no call."""
    import msgspec

    return msgspec.structs.replace(params, probe=0)


def measure(name: str, calls: Sequence[Call], home: Path, key: bytes) -> Iterator[Result]:
    """Each task of some calls: the first student that fits, asked twice."""
    clean = cleaned(calls, home, key)
    (home / "cluster").mkdir()
    cluster([home / "clean" / "calls.parquet"], home / "cluster", Cluster())
    table = pq.read_table(home / "cluster" / "assignment.parquet").to_pydict()
    whose = dict(zip(table["call_id"], table["task_id"], strict=True))
    raw = {
        call.source: CleanCall(**{f.name: getattr(call, f.name) for f in fields(Call)})
        for call in calls
    }
    came = {call.id: raw[call.source] for call in clean}  # an id may hold something personal
    for task in load(home / "cluster"):
        mine = [call for call in clean if whose.get(call.id) == task.id]
        found = [c for c in (candidate_of(call, task) for call in mine) if isinstance(c, Candidate)]
        if len(found) < LEAST:
            continue
        began = time.perf_counter()
        told = _task(task, found, came, home / "rows" / task.id)
        yield {"set": name, "task": task.id, **told, "seconds": time.perf_counter() - began}


def _task(
    task: Task, found: Sequence[Candidate], came: dict[str, CleanCall], folder: Path
) -> Result:
    parts = parts_of(task, found, 600)
    for part, rows in parts.items():
        write_rows(folder / f"{part}.parquet", rows)
    save(folder / "task.json", task)
    params = settings.load().train
    rungs = [rung for rung in ladder(folder, params)[0] if rung != "causal"]
    if not rungs or not all(parts.values()):
        return {"rung": "", "note": "no student fits"}
    train(folder, folder / "out", params, rung=rungs[0])
    checked, proven = (_ask(parts[part], task, folder) for part in ("validation", "calibration"))
    proof = certify(proven, task.id, RISK, CertificateRequest(pilot=checked.rows))
    later = parts["calibration"] + parts["test"]
    twice = _twice(task, later, came, folder)
    sure = sorted((s for s, _ in twice.clean), reverse=True)
    certified = isinstance(proof, Certificate)
    least = proof.threshold if isinstance(proof, Certificate) else sure[len(sure) // 2]
    return {"rung": rungs[0], "certified": certified, **figures(twice, least)}


def _ask(rows: Sequence[Row], task: Task, folder: Path) -> Any:
    return answered(rows, task.contract, folder / "out" / "adapter", Evaluate(max_tokens=256))


def _twice(task: Task, later: Sequence[Row], came: dict[str, CleanCall], folder: Path) -> Twice:
    made = [candidate_of(came[row.id], task) for row in later]
    there = [c.row for c in made if isinstance(c, Candidate)]
    told = {a.id: (score(a), a.agrees) for a in _ask(there, task, folder).rows}
    off = (-np.inf, False)
    clean = [(score(a), a.agrees) for a in _ask(later, task, folder).rows]
    return Twice(clean, [told.get(came[row.id].id, off) for row in later])


def figures(twice: Twice, least: float) -> Result:
    """Agreement, and served at a threshold, both ways."""
    told: Result = {"n": len(twice.clean)}
    for name in ("clean", "raw"):
        pairs = getattr(twice, name)
        over = [right for sure, right in pairs if sure >= least]
        told[f"agreement {name}"] = sum(right for _, right in pairs) / len(pairs)
        told[f"served {name}"] = len(over) / len(pairs)
        told[f"right {name}"] = sum(over) / max(1, len(over))
    told["off template"] = sum(sure == -np.inf for sure, _ in twice.raw)
    pairs = list(zip(twice.clean, twice.raw, strict=True))
    told["off agreement"] = _off([c[1] - r[1] for c, r in pairs])
    told["off served"] = _off([(c[0] >= least) - (r[0] >= least) for c, r in pairs])
    return told


def _off(lost: Sequence[int]) -> list[float]:
    """How much lower raw is than clean, and half of the 95 % interval of that."""
    return [float(np.mean(lost)), float(1.96 * np.std(lost) / np.sqrt(len(lost)))]


def low(row: Result) -> list[str]:
    """Return what is more than two points lower raw than clean, and by more than chance."""
    if not row["rung"]:
        return []
    found = {kind: row[f"off {kind}"] for kind in ("agreement", "served")}
    return [kind for kind, (lost, half) in found.items() if lost > BAR and lost > half]


def show(row: Result) -> None:
    """Print one task."""
    if not row["rung"]:
        print(f"{row['set']:14}{row['task'][:38]:40}{row['note']}", flush=True)
        return
    pairs = "  ".join(
        f"{kind} {row[f'{kind} clean']:.3f}/{row[f'{kind} raw']:.3f}"
        for kind in ("agreement", "served", "right")
    )
    pairs += f"  lost {row['off agreement'][0]:+.3f}±{row['off agreement'][1]:.3f}"
    mark = "" if row["certified"] else " (no certificate)"
    print(
        f"{row['set']:14}{row['task'][:38]:40}{row['rung']:8}n={row['n']:<5}{pairs} "
        f"off {row['off template']} {row['seconds']:.0f} s{mark} {' '.join(low(row))}",
        flush=True,
    )


def main() -> None:
    """Measure, print, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=sets.home(), help="folder of sets")
    parser.add_argument(
        "--sets", nargs="+", default=[], help=f"{AGENT}, german, mixed, {', '.join(SETS)}"
    )
    parser.add_argument("--calls", type=int, default=8_000, help="of a set, at most")
    parser.add_argument("--key", default="skew", help="of the surrogates: each key draws others")
    chosen = parser.parse_args()
    wanted = chosen.sets or [
        AGENT,
        *(n for n in SETS if (chosen.data / f"{SETS[n]}.jsonl.gz").exists()),
    ]
    results: list[Result] = []
    for name in wanted:
        with tempfile.TemporaryDirectory() as folder:
            calls = calls_of(name, chosen.data, chosen.calls)
            for row in measure(name, calls, Path(folder), chosen.key.encode()):
                show(row)
                results.append(row)
    worse = [f"{row['set']} {row['task']}" for row in results if low(row)]
    print(json.dumps({"tasks": results, "lower raw": worse}))
    sys.exit(1 if worse else 0)


if __name__ == "__main__":
    main()
