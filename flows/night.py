"""One night's folders, and each hop called with them. Plain functions: no Prefect here.

`home/nights/<day>/<hop>` holds what the hop made that night; a hop that is complete there is not
run again, so a night that died is started anew and ends the same.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import msgspec

import tasks.calibrate
import tasks.cluster
import tasks.dataset
import tasks.deidentify
import tasks.evaluate
import tasks.ingest
import tasks.train
import tasks.validate
from flows import show
from registry import bundle, gate, ledger
from registry.gate import Verdict
from registry.store import Store, Version
from serving.pool import Pool
from serving.reconcile import Changes, reconcile
from tasks import stage
from tasks.calibrate import Certificate
from tasks.evaluate import Scorecard
from tasks.params import Params, load
from tasks.records import Counts
from tasks.student import base_digest, base_path
from tasks.task import Task, load_one
from tasks.task import load as load_tasks


@dataclass(frozen=True, slots=True)
class Night:
    """A home folder, the day (`YYYY-MM-DD`) whose calls this night learns from, and the params."""

    home: Path
    day: str
    params: Params

    @property
    def store(self) -> Store:
        """The model registry: `$MLFLOW_TRACKING_URI`, or SQLite in the home folder."""
        return registry_of(self.home)

    def out(self, hop: str, task: str = "") -> Path:
        """Where a hop of this night writes."""
        return self.home / "nights" / self.day / hop / task

    def earlier(self, hop: str) -> list[Path]:
        """The complete outputs of the same hop in earlier nights, oldest first."""
        nights = sorted(p for p in (self.home / "nights").glob("*") if p.name < self.day)
        return [night / hop for night in nights if stage.counts(night / hop)]

    def latest(self, hop: str) -> Path | None:
        """The newest complete output of the same hop in earlier nights."""
        return next(reversed(self.earlier(hop)), None)

    def clean(self) -> list[Path]:
        """The de-identified calls of this night and of earlier ones within the window."""
        folders = [*self.earlier("deidentify"), self.out("deidentify")]
        return [f / "calls.parquet" for f in folders[-self.params.cluster.window_nights :]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one task's student in a night; shares are 0..1."""

    task: str
    version: int | None
    passed: bool
    reason: str
    agreement: float
    coverage: float


def open_night(home: str | Path, day: str) -> Night:
    """The night of a day, with the params in force."""
    return Night(Path(home).resolve(), day, load())


def registry_of(home: Path) -> Store:
    """The registry that a home folder uses."""
    return Store(os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{home / 'mlflow.db'}")


def sources(night: Night) -> list[str]:
    """The journal's days that no earlier night has read. Raises Refused when there are none."""
    last = night.latest("ingest")
    since = last.parent.name if last else ""
    files = sorted((night.home / "journal").glob("*.jsonl"))
    days = [str(file) for file in files if since < file.stem <= night.day]
    if not days:
        raise stage.Refused(f"no calls to learn from: {night.home / 'journal'} has no new day")
    return days


def ingest(night: Night, source: Sequence[str] = ()) -> Counts:
    """Read the journal's new days, or the given sources."""
    return stage.hop(
        "ingest",
        night.out("ingest"),
        lambda out: tasks.ingest.ingest(source or sources(night), out, night.params.ingest),
    )


def validate(night: Night) -> Counts:
    """Check each call and the batch."""
    calls, history = night.out("ingest") / "calls", night.earlier("validate")
    return stage.hop(
        "validate",
        night.out("validate"),
        lambda out: tasks.validate.validate(calls, out, night.params.validate, history=history),
    )


def deidentify(night: Night) -> Counts:
    """Replace everything personal by surrogates."""
    calls, key = night.out("validate") / "calls.parquet", tasks.deidentify.load_key(night.home)
    return stage.hop(
        "deidentify",
        night.out("deidentify"),
        lambda out: tasks.deidentify.deidentify(calls, out, night.params.deidentify, key=key),
    )


def cluster(night: Night) -> Counts:
    """Find the tasks; ids carry over from the last night."""
    return stage.hop(
        "cluster",
        night.out("cluster"),
        lambda out: tasks.cluster.cluster(
            night.clean(), out, night.params.cluster, previous=night.latest("cluster")
        ),
    )


def dataset(night: Night) -> Counts:
    """Split each task's calls, and snapshot the night's datasets with DVC."""
    counts = stage.hop(
        "dataset",
        night.out("dataset"),
        lambda out: tasks.dataset.dataset(
            night.clean(),
            night.out("cluster"),
            out,
            night.params.dataset,
            previous=night.latest("dataset"),
        ),
    )
    ledger.snapshot(night.home, night.out("dataset"))
    return counts


def found(night: Night) -> list[Task]:
    """Tonight's tasks, the dearest first."""
    return sorted(load_tasks(night.out("cluster") / "tasks.json"), key=lambda t: -t.size)


def trainable(night: Night) -> list[str]:
    """The ids of the tasks that have a dataset, the largest first."""
    return [t.id for t in found(night) if (night.out("dataset", t.id) / "train.parquet").exists()]


def train(night: Night, task: str) -> Path:
    """Train one student; return its folder."""
    out = night.out("train", task)
    if not out.exists():
        with show.bar(task, 100) as advance, stage.fresh(out, resume=True) as folder:
            tasks.train.train(
                night.out("dataset", task),
                folder,
                night.params.train,
                progress=lambda step, steps, _loss: advance(100 * step // max(steps, 1)),
            )
    return out


def evaluate(night: Night, task: str) -> Scorecard:
    """Measure the student, the champion and the do-nothing baselines on the frozen test set."""
    out, now = night.out("evaluate", task), champion(night, task)
    if not out.exists():
        with stage.fresh(out) as folder:
            tasks.evaluate.evaluate(
                night.out("dataset", task),
                night.out("train", task),
                folder,
                night.params.evaluate,
                champion=now[1] / "adapter" if now else None,
            )
    return msgspec.json.decode((out / "scorecard.json").read_bytes(), type=Scorecard)


def calibrate(night: Night, task: str) -> Certificate | None:
    """Certify a threshold at the chosen risk, or say why there is none."""
    out = night.out("calibrate", task)
    if not out.exists():
        with stage.fresh(out) as folder:
            tasks.calibrate.calibrate(
                night.out("dataset", task),
                night.out("train", task),
                folder,
                night.params.calibrate,
                tests=len(trainable(night)),
            )
    return tasks.calibrate.load(out / "certificate.json")


def champion(night: Night, task: str) -> tuple[int, Path] | None:
    """The number of the task's champion and its bundle on this machine, if it has one."""
    store = night.store
    number = store.champion(task)
    if number is None:
        return None
    version = store.version(task, number)
    return number, store.fetch(version, night.home / "adapters" / version.adapter)


def judge(
    night: Night, task: str, scorecard: Scorecard, certificate: Certificate | None
) -> Verdict:
    """Judge one student against the gate and the champion."""
    now = champion(night, task)
    before = bundle.scorecard(now[1]) if now else None
    return gate.judge(scorecard, certificate, before, night.params.judge)


def register(
    night: Night,
    task: str,
    scorecard: Scorecard,
    certificate: Certificate | None,
    verdict: Verdict,
) -> Outcome:
    """Register a student that passed; make it champion when the policy says so."""
    version = None
    if verdict.passed:
        version = _registered(night, task, scorecard, certificate, verdict).number
    return Outcome(
        task=task,
        version=version,
        passed=verdict.passed,
        reason=verdict.reason,
        agreement=scorecard.agreement,
        coverage=certificate.coverage if certificate else 0.0,
    )


def _registered(
    night: Night,
    task: str,
    scorecard: Scorecard,
    certificate: Certificate | None,
    verdict: Verdict,
) -> Version:
    store, lineage = night.store, _lineage(night, task)
    folder = bundle.pack(
        night.out("register", task),
        dataset=night.out("dataset", task),
        trained=night.out("train", task),
        evaluated=night.out("evaluate", task),
        calibrated=night.out("calibrate", task),
        lineage=lineage,
    )
    expected = store.champion(task)
    known = load_one(folder / "task.json")
    version = store.register(known, folder, scorecard, certificate, verdict, lineage)
    if night.params.judge.promote:
        ledger.promote(
            night.home,
            store,
            task,
            version.number,
            expected=expected,
            reason=verdict.reason,
            now=time.time(),
        )
    return version


def _lineage(night: Night, task: str) -> bundle.Lineage:
    base = base_path(night.params.train.base)
    return bundle.Lineage(
        night=night.day,
        dataset=ledger.snapshot(night.home, night.out("dataset")),
        base=night.params.train.base,
        base_digest=base_digest(base),
        seed=night.params.train.seed,
        rows=stage.manifest(night.out("dataset"))["tasks"][task]["rows"],
    )


def close(night: Night, outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Write what became of each task; return it."""
    body = msgspec.json.encode(list(outcomes))
    stage.write_atomic(night.out("judge.json"), msgspec.json.format(body, indent=2))
    return list(outcomes)


def promote(home: str | Path) -> Changes | None:
    """Make the pool at `$POOL_URL` match the registry; None when no pool is running.

    A champion that a person moved in the UI is written into the ledger.
    """
    home, url = Path(home).resolve(), os.environ.get("POOL_URL")
    store = registry_of(home)
    ledger.observe(home, {v.name: v.number for v in store.champions()}, time.time())
    if not url:
        return None

    async def act() -> Changes:
        async with httpx.AsyncClient() as client:
            return await reconcile(home, store, Pool(url, client))

    return asyncio.run(act())
