"""Out-of-fold confidences of training rows, and which head had not learned a row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.core.rows import Row
from tasks.core.stage import write_atomic
from tasks.train.kernel_fit import Fitted

FILE, HEADS = "out_of_fold.parquet", "heads.json"  # beside the adapter


def write(trained: Path, rows: Sequence[Row], fitted: Fitted) -> None:
    """Keep what the learned rows got without their groups, and which head each block proves."""
    columns = {
        "id": [row.id for row in rows],
        "group": [row.group for row in rows],
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
    """Return which head of a mixture had not learned a calibration row, by its id.

    Empty of one head.
    """
    path = trained / HEADS
    return msgspec.json.decode(path.read_bytes(), type=dict[str, int]) if path.exists() else {}
