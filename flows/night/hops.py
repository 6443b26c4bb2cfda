"""Each hop of a night, called with its folders. Plain functions: no Prefect here."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

import msgspec

from flows.night.folders import Night, ended
from flows.night.leak_guard import replaced
from registry import ledger, rulings
from tasks.cluster import cluster as cluster_hop
from tasks.core import encryption, stage
from tasks.core.records import Counts
from tasks.dataset import dataset as dataset_hop
from tasks.deidentify import deidentify as deidentify_hop
from tasks.ingest import ingest as ingest_hop
from tasks.validate import validate as validate_hop
from tasks.validate.expectations import Check, sentence

KINDS = ("read", "kept")  # of the calls that a hop counts
RECALL = ("recall", "low", "high", "injected")


def ingest(night: Night, source: Sequence[str] = ()) -> Counts:
    """Read the given logs; by default those of the params and the journal, up to the night's end.

    Each call is taken once; what a night took that died or was stopped before its calls were clean
    is taken again. The nightly default reads on from a day before the end of the last night that
    did so: what reaches a log later than that stays there.
    """
    earlier, journal = night.earlier("ingest"), night.home / "journal"
    complete = [folder for folder in earlier if stage.counts(folder.with_name("deidentify"))]
    read_on = [f for f in complete if (stage.manifest(f) or {}).get("until", ended(f.parent.name))]
    for file in journal.glob("*.jsonl*"):
        encryption.check_key(file)
    for aside in (folder / "quarantine.parquet" for folder in earlier[-1:]):
        if aside.exists():
            encryption.parquet_file(aside)  # raises Locked
    until = None if source else ended(night.day)
    read = None if source or not read_on else ended(read_on[-1].parent.name)
    _begin(night, source)
    logs = list(source or night.params.ingest.source)
    journaled = not source and any(journal.glob("*.jsonl*"))
    if not logs and not journaled:
        raise stage.Refused(f"no calls to learn from: {journal} is empty")
    return stage.hop(
        "ingest",
        night.out("ingest"),
        lambda out: ingest_hop.ingest(
            logs,
            out,
            night.params.ingest,
            journal=journal if journaled else None,
            since=read and read - ingest_hop.DAY,
            until=until,
            previous=complete,
        ),
    )


def _begin(night: Night, source: Sequence[str]) -> None:
    """See that a night that was begun before was begun on the same logs, where some are given.

    What it read of others is read anew while it is not clean; else the night is theirs.
    """
    told = stage.manifest(night.out("ingest")) if source else None
    if not told or told.get("logs") in (None, ingest_hop.logs_named(source)):
        return
    if stage.counts(night.out("deidentify")):
        raise stage.Refused(
            f"the night of {night.day} has learned from other logs: name another day with --day, "
            "or another home with --home"
        )
    for hop in ("ingest", "validate"):
        shutil.rmtree(night.out(hop), ignore_errors=True)


def validate(night: Night) -> Counts:
    """Check each call and the batch; the Data Docs of nights long ago are removed."""
    calls, history = night.out("ingest") / "calls", night.earlier("validate")
    for old in history[: -night.params.cluster.window_nights]:
        shutil.rmtree(old / "data_docs", ignore_errors=True)
    return stage.hop(
        "validate",
        night.out("validate"),
        lambda out: validate_hop.validate(
            calls, out, night.params.validate, history=history, now=ended(night.day)
        ),
    )


def warnings(night: Night) -> list[str]:
    """Return what looked odd about the batch without stopping the night, a sentence each."""
    body = night.out("validate", "checks.json").read_bytes()
    return [sentence(c) for c in msgspec.json.decode(body, type=list[Check]) if not c.success]


def deidentify(night: Night) -> Counts:
    """Replace everything personal by surrogates; text of earlier nights is not read again."""
    calls, key = (
        night.out("validate") / "calls.parquet",
        deidentify_hop.load_key(night.home),
    )
    params, cache = night.params.deidentify, night.home / "scanned.gz"
    return stage.hop(
        "deidentify",
        night.out("deidentify"),
        lambda out: deidentify_hop.deidentify(calls, out, params, key=key, cache=cache),
    )


def cluster(night: Night) -> Counts:
    """Find the tasks; ids carry over from the last night."""
    return stage.hop(
        "cluster",
        night.out("cluster"),
        lambda out: cluster_hop.cluster(
            night.clean(), out, night.params.cluster, previous=night.latest("cluster")
        ),
    )


def dataset(night: Night) -> Counts:
    """Split each task's calls, and snapshot the night's datasets with DVC."""
    counts = stage.hop(
        "dataset",
        night.out("dataset"),
        lambda out: dataset_hop.dataset(
            night.clean(),
            night.out("cluster"),
            out,
            night.params.dataset,
            previous=night.latest("dataset"),
            originals=replaced(night),
            since=rulings.changes(ledger.entries(night.home)),
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
    measured: dict[str, float] = (stage.manifest(night.out("deidentify")) or {}).get("damage", {})
    return measured


def figures(night: Night) -> dict[str, float]:
    """Return what MLflow keeps of a night.

    Calls by hop, recall of injected personal data, damage.
    """
    counted = {hop: counts for hop in stage.HOPS if (counts := stage.counts(night.out(hop)))}
    told = {f"calls/{hop}/{w}": float(getattr(c, w)) for hop, c in counted.items() for w in KINDS}
    for kind, seen in injected(night).items():
        told |= {f"pii/{kind}/{name}": float(value) for name, value in seen.items()}
    return told | {f"pii/damage/{name}": float(value) for name, value in damage(night).items()}
