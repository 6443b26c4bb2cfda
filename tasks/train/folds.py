"""What learned rows got out of fold, and which rows prove which head: for the certificate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.core.rows import UNCURATED, Row, rows
from tasks.core.stage import write_atomic
from tasks.train.kernel_fit import Fitted

FILE, HEADS = "out_of_fold.parquet", "heads.json"  # beside the adapter


def write(trained: Path, learned: Sequence[Row], fitted: Fitted) -> None:
    """Keep what the learned rows got without their groups, and which head each block proves."""
    columns = {
        "id": [row.id for row in learned],
        "group": [row.group for row in learned],
        "confidence": fitted.confidence,
        "agrees": fitted.right,
    }
    pq.write_table(pa.table(columns), trained / FILE)
    if fitted.heads:
        write_atomic(trained / HEADS, msgspec.json.encode(fitted.heads))


def out_of_fold(trained: Path) -> list[tuple[float, bool]]:
    """Return what a training kept: confidences, and whether the answers agree; else nothing."""
    path = trained / FILE
    if not path.exists():
        return []
    columns = pq.read_table(path, columns=["confidence", "agrees"]).to_pydict()
    return list(zip(columns["confidence"], columns["agrees"], strict=True))


def unlearned(trained: Path) -> dict[str, int]:
    """Return which head of a mixture a row proves, as it had not learned it, by the row's id.

    Empty of one head.
    """
    path = trained / HEADS
    return msgspec.json.decode(path.read_bytes(), type=dict[str, int]) if path.exists() else {}


def raw(dataset: Path) -> list[Row]:
    """Return the rows of a dataset that train or prove, as they came."""
    came = dataset / UNCURATED
    train = came if came.exists() else dataset / "train.parquet"
    return [*rows(train), *rows(dataset / "calibration.parquet")]


def proving(dataset: Path, trained: Path) -> list[Row]:
    """The rows that prove a student: those of calibration, or those that prove its heads."""
    if heads := unlearned(trained):
        return [row for row in raw(dataset) if row.id in heads]
    return rows(dataset / "calibration.parquet")
