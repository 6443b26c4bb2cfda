"""A row of a dataset, and the Parquet file of a split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq

UNCURATED = "uncurated.parquet"  # the training rows as they came

_SCHEMA = pa.schema(
    [
        pa.field(name, pa.float64() if name in ("at", "weight") else pa.string(), nullable=False)
        for name in ("id", "at", "group", "prompt", "answer", "weight")
    ]
    + [pa.field("feedback", pa.float64()), pa.field("opening", pa.string())]
    + [pa.field("rate", pa.float64())]
)


@dataclass(frozen=True, slots=True)
class Row:
    """One question to a student and the answer that it should give.

    `at` is when it was asked, `group` what it must not be separated from, `weight` how many calls
    of the true traffic it stands for, `feedback` what people thought of the answer, if anything.
    Rows of one conversation have the same `opening`. `rate` is the share of a student's answers
    that were audited when the row was asked; 1 where no student stood before the teacher.
    """

    id: str
    at: float
    group: str
    prompt: str
    answer: str
    weight: float
    feedback: float | None = None
    opening: str | None = None
    rate: float = 1.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A row before it has its group, with what the splits and the curation want to know.

    `flaw` is why nothing may be learned from its answer: it can only be a calibration or test row.
    """

    row: Row
    source: str = ""
    flaw: str = ""
    client: str = ""  # the name of the key that it came with
    settings: tuple[str, ...] = ()  # what it asked of the teacher beside its text
    carried: bool = False  # a test row of an earlier night whose call was not read tonight


def rows(path: Path) -> list[Row]:
    """Read one split."""
    table = pq.read_table(path, schema=_SCHEMA).to_pylist()
    return [Row(**{**record, "rate": record["rate"] or 1.0}) for record in table]


def some(rows: Sequence[Row], most: int) -> list[Row]:
    """At most so many rows, old and new, in their order."""
    places = Random(0).sample(range(len(rows)), min(most, len(rows)))
    return [rows[place] for place in sorted(places)]


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write one split."""
    columns = {field.name: [getattr(row, field.name) for row in rows] for field in fields(Row)}
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns, schema=_SCHEMA), path, compression="zstd")


def retagged(rows: Sequence[Row], old: str, new: str) -> list[Row]:
    """Rows as a student with another tag before its prompts reads them."""
    return [replace(row, prompt=new + row.prompt.removeprefix(old)) for row in rows]
