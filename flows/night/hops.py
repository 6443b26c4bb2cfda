"""One night's folders, and each hop called with them. Plain functions: no Prefect here.

`home/nights/<day>/<hop>` holds what the hop made that night; a hop that is complete there is not
run again, so a night that died is started anew and ends the same.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from filelock import FileLock, Timeout

import tasks.calibrate.hop
import tasks.cluster.hop
import tasks.dataset.hop
import tasks.deidentify.hop
import tasks.evaluate.hop
import tasks.ingest.hop
import tasks.train.hop
import tasks.validate.hop
from registry import ledger
from registry.store import Store
from serving.client import Client
from serving.pool import PoolError, pools
from serving.reconcile import Changes, reconcile
from tasks.core import stage
from tasks.core.params import Params, load
from tasks.core.records import Counts
from tasks.core.task import Task
from tasks.core.task import load as load_tasks
from tasks.deidentify.leak_check import Originals
from tasks.validate.expectations import Check, sentence

KINDS = ("read", "kept")  # of the calls that a hop counts
RECALL = ("recall", "low", "high", "injected")


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

    def out(self, hop: str, *parts: str) -> Path:
        """Where a hop of this night writes: for all tasks, for one, or for one student of it."""
        return self.home.joinpath("nights", self.day, hop, *parts)

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


def open_night(home: str | Path, day: str) -> Night:
    """The night of a day, with the params in force."""
    return Night(Path(home).resolve(), day, load())


@contextmanager
def alone(night: Night, *, wait: bool = False) -> Iterator[None]:
    """One night of a home at a time: two would write into the same folders.

    `wait` for the other one, or raise Refused. The lock ends with the process that holds it.
    """
    stage.private(night.home)
    try:
        held = FileLock(night.home / ".night.lock").acquire(timeout=-1 if wait else 0)
    except Timeout:
        raise stage.Refused(f"another night is running on {night.home}") from None
    with held:
        yield


def registry_of(home: Path) -> Store:
    """The registry that a home folder uses."""
    return Store(os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{home / 'mlflow.db'}")


def ingest(night: Night, source: Sequence[str] = ()) -> Counts:
    """Read the given logs; by default those of the params and the journal, up to the night's end.

    Each call is taken once; what a night took that died or was stopped before its calls were clean
    is taken again. The nightly default reads on from a day before the end of the last night that
    did so: what reaches a log later than that stays there.
    """
    earlier, journal = night.earlier("ingest"), night.home / "journal"
    known = [folder for folder in earlier if stage.counts(folder.with_name("deidentify"))]
    read_on = [f for f in known if (stage.manifest(f) or {}).get("until", ended(f.parent.name))]
    until = None if source else ended(night.day)
    read = None if source or not read_on else ended(read_on[-1].parent.name)
    logs = list(source or night.params.ingest.source)
    journaled = not source and any(journal.glob("*.jsonl*"))
    if not logs and not journaled:
        raise stage.Refused(f"no calls to learn from: {journal} is empty")
    return stage.hop(
        "ingest",
        night.out("ingest"),
        lambda out: tasks.ingest.hop.ingest(
            logs,
            out,
            night.params.ingest,
            journal=journal if journaled else None,
            since=read and read - tasks.ingest.hop.DAY,
            until=until,
            previous=known,
        ),
    )


def ended(day: str) -> float:
    """The end of a UTC day, in seconds since 1970."""
    return (datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(days=1)).timestamp()


def validate(night: Night) -> Counts:
    """Check each call and the batch; the Data Docs of nights long ago are removed."""
    calls, history = night.out("ingest") / "calls", night.earlier("validate")
    for old in history[: -night.params.cluster.window_nights]:
        shutil.rmtree(old / "data_docs", ignore_errors=True)
    return stage.hop(
        "validate",
        night.out("validate"),
        lambda out: tasks.validate.hop.validate(
            calls, out, night.params.validate, history=history, now=ended(night.day)
        ),
    )


def warnings(night: Night) -> list[str]:
    """Return what looked odd about the batch without stopping the night, a sentence each."""
    body = night.out("validate", "checks.json").read_bytes()
    return [sentence(c) for c in msgspec.json.decode(body, type=list[Check]) if not c.success]


def deidentify(night: Night) -> Counts:
    """Replace everything personal by surrogates; text of earlier nights is not read again."""
    calls, key = night.out("validate") / "calls.parquet", tasks.deidentify.hop.load_key(night.home)
    params, cache = night.params.deidentify, night.home / "scanned.gz"
    return stage.hop(
        "deidentify",
        night.out("deidentify"),
        lambda out: tasks.deidentify.hop.deidentify(calls, out, params, key=key, cache=cache),
    )


def cluster(night: Night) -> Counts:
    """Find the tasks; ids carry over from the last night."""
    return stage.hop(
        "cluster",
        night.out("cluster"),
        lambda out: tasks.cluster.hop.cluster(
            night.clean(), out, night.params.cluster, previous=night.latest("cluster")
        ),
    )


def replaced(night: Night) -> Originals:
    """Fingerprints of all that was replaced in the nights that tonight learns from."""
    folders = [path.parent for path in night.clean()]
    return Originals.load(folders, tasks.deidentify.hop.load_key(night.home))


def dataset(night: Night) -> Counts:
    """Split each task's calls, and snapshot the night's datasets with DVC."""
    counts = stage.hop(
        "dataset",
        night.out("dataset"),
        lambda out: tasks.dataset.hop.dataset(
            night.clean(),
            night.out("cluster"),
            out,
            night.params.dataset,
            previous=night.latest("dataset"),
            originals=replaced(night),
            since=ledger.changes(ledger.entries(night.home)),
        ),
    )
    ledger.snapshot(night.home, night.out("dataset"))
    return counts


def injected(night: Night) -> dict[str, dict[str, float]]:
    """Return how much of the personal data that was injected tonight was found again, by type."""
    probe = (stage.manifest(night.out("deidentify")) or {}).get("probe", {})
    return {kind: {k: seen[k] for k in RECALL} for kind, seen in probe.items()}


def damage(night: Night) -> dict[str, float]:
    """Words and labels of a sample of tonight's calls that were changed and are nobody's."""
    found: dict[str, float] = (stage.manifest(night.out("deidentify")) or {}).get("damage", {})
    return found


def figures(night: Night) -> dict[str, float]:
    """What MLflow keeps of a night: calls by hop, recall of injected personal data, damage."""
    made = {hop: counts for hop in stage.HOPS if (counts := stage.counts(night.out(hop)))}
    told = {f"calls/{hop}/{w}": float(getattr(c, w)) for hop, c in made.items() for w in KINDS}
    for kind, seen in injected(night).items():
        told |= {f"pii/{kind}/{name}": float(value) for name, value in seen.items()}
    return told | {f"pii/damage/{name}": float(value) for name, value in damage(night).items()}


def found(night: Night) -> list[Task]:
    """Tonight's tasks, the largest first."""
    return sorted(load_tasks(night.out("cluster") / "tasks.json"), key=lambda t: -t.size)


def promote(home: str | Path) -> Changes | None:
    """Make the pool at `$POOL_URL` match the registry; None when no pool is running.

    A champion that a person moved in the UI is written into the ledger. One at a time: others wait.
    Raises Refused where the registry or the pool cannot be reached; what serves goes on.
    """
    home = Path(home).resolve()
    store, base = registry_of(home), load().train.base

    async def act() -> Changes:
        async with Client() as client:
            return await reconcile(home, store, pools(os.environ, client), base)

    stage.private(home)
    with FileLock(home / ".promote.lock"):
        store.reach()
        ledger.observe(home, lambda: {v.name: v.number for v in store.champions()}, time.time())
        if not os.environ.get("POOL_URL"):
            return None
        try:
            return asyncio.run(act())
        except PoolError as error:
            raise stage.Refused(f"the pool cannot be reached ({error}); who serves stays") from None
