"""Good calls from bad: every call is checked by itself, then the night's batch as a whole.

Run as a DVC stage: `python -m tasks.validate` reads `data/ingest/` and writes `data/validate/`.
The batch goes through a Great Expectations suite: what it warns of is shown, what it stops on
stops the night before anything trains. Its Data Docs are in the output's `data_docs/index.html`.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa

from tasks.core import stage
from tasks.core.encryption import parquet_file, parquet_writer
from tasks.core.params import Validate, load
from tasks.core.records import CALLS, REJECTED, Counts, Json, Rejected, Writer
from tasks.core.stage import Refused
from tasks.ingest.shards import STATED
from tasks.validate.batch import Batch, Profile, profile
from tasks.validate.checks import Problem, problem, view
from tasks.validate.expectations import Check, check, sentence

ROWS = 256  # rows decoded at a time
GROUP = 2_048  # rows of a row group
WEEK = 7
LOOKED_AT = (
    *("id", "at", "request", "reply", "model", "finish_reason", "prompt_tokens"),
    *("completion_tokens", "answered_by", "error"),
)
_JSON = ("request", "reply", "student")


def validate(
    calls: Path,
    out: Path,
    params: Validate,
    *,
    history: Sequence[Path] = (),
    now: float | None = None,
) -> Counts:
    """Split calls into calls.parquet and quarantine.parquet, then judge the batch. Raises Refused.

    `history` are this hop's folders (or manifests) of earlier nights, oldest first; `now` is the
    night's time, which freshness is measured from.
    """
    batch, again = Batch(), _Again(calls)
    dropped: Counter[str] = Counter()
    out.mkdir(parents=True, exist_ok=True)
    good = _Kept(out / "calls.parquet")
    with good, Writer(out / "quarantine.parquet", REJECTED, chunk=ROWS, raw=True) as bad:
        for rows in _batches(calls):
            fit = []
            for number, row in enumerate(_looked_at(rows)):
                fault = _judge(row, batch, again, params)
                fit.append(fault is None)
                if fault is not None:
                    dropped[fault[0]] += 1
                    bad.write(_rejected(rows.slice(number, 1).to_pylist()[0], *fault))
            good.add(rows, fit)
    result = Counts("validate", good.count + bad.count, good.count, dict(dropped))
    if not result.read:
        raise Refused(f"no calls in {calls}: nothing to validate")
    checks = check(batch, out / "data_docs", params, _profiles(history), now)
    body = msgspec.json.encode(checks)
    stage.write_atomic(out / "checks.json", msgspec.json.format(body, indent=2))
    _stop(checks)
    stage.finish(out, result, {"profile": profile(batch), "warnings": _warnings(checks)})
    return result


def _batches(calls: Path, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    """The calls' rows: those that are kept are passed on as they were written."""
    for part in sorted(calls.glob("*.parquet")) if calls.is_dir() else [calls]:
        file = parquet_file(part)
        if (file.schema_arrow.metadata or {}).get(b"kind") != b"calls":
            raise Refused(f"{part} holds no calls")
        yield from file.iter_batches(ROWS, columns=columns, use_threads=False)


def _looked_at(rows: pa.RecordBatch) -> Iterator[Json]:
    """The columns that a call is judged by, row by row."""
    columns = [rows.column(name).to_pylist() for name in LOOKED_AT]
    for values in zip(*columns, strict=True):
        yield dict(zip(LOOKED_AT, values, strict=True))


class _Again:
    """The ids that stand in several rows, found by a look at that column alone."""

    def __init__(self, calls: Path) -> None:
        names = array("q")
        for rows in _batches(calls, ["id"]):
            names.extend(map(hash, rows.column(0).to_pylist()))
        unique, counts = np.unique(np.asarray(names), return_counts=True)
        self._several = set(unique[counts > 1].tolist())
        self._met: set[int] = set()

    def __call__(self, id: str) -> bool:
        """Return whether a row of this id was met before; it is met now."""
        name = hash(id)
        met = name in self._met
        if name in self._several:
            self._met.add(name)
        return met


class _Kept:
    """The file of good calls. Its row groups do not depend on the shards that were read."""

    def __init__(self, path: Path) -> None:
        self.count = 0
        how = {"compression": "zstd", "write_statistics": STATED}
        self._file = parquet_writer(path, CALLS, **how)
        self._waiting: list[pa.RecordBatch] = []

    def __enter__(self) -> _Kept:
        return self

    def __exit__(self, *_: object) -> None:
        if self._waiting:
            self._file.write_table(self._gathered())
        self._file.close()

    def add(self, rows: pa.RecordBatch, fit: Sequence[bool]) -> None:
        """Keep the rows that are fit."""
        self._waiting.append(rows if all(fit) else rows.filter(pa.array(fit, pa.bool_())))
        self.count += sum(fit)
        if sum(b.num_rows for b in self._waiting) >= GROUP:
            table = self._gathered()
            self._file.write_table(table.slice(0, GROUP))
            self._waiting = table.slice(GROUP).to_batches()

    def _gathered(self) -> pa.Table:
        return pa.Table.from_batches(self._waiting, CALLS).combine_chunks()


def _judge(row: Json, batch: Batch, again: _Again, params: Validate) -> Problem | None:
    """Return why a row is not kept, or None. Its features join the batch's either way."""
    try:
        seen = view(row)
    except ValueError as error:
        return "unreadable", str(error)
    fault = ("duplicate", "") if again(row["id"]) else problem(seen, params)
    batch.add(seen, fault is not None)
    return fault


def _rejected(row: Json, reason: str, detail: str) -> Rejected:
    """Return what quarantine keeps.

    The whole call, so that it can be taken in again after a fix.
    """
    raw = {k: msgspec.Raw(v.encode()) if k in _JSON and v else v for k, v in row.items()}
    text = msgspec.json.encode(raw).decode()
    return Rejected(id=row["id"], source=row["source"], reason=reason, detail=detail, raw=text)


def _profiles(history: Sequence[Path]) -> list[Profile]:
    """The trailing week's profiles, of those nights that have one."""
    manifests = [stage.manifest(p if p.is_dir() else p.parent) for p in history[-WEEK:]]
    return [msgspec.convert(m["profile"], Profile) for m in manifests if m and "profile" in m]


def _warnings(checks: Sequence[Check]) -> list[str]:
    return [c.name for c in checks if not c.success and c.severity == "warn"]


def _stop(checks: Sequence[Check]) -> None:
    """Raises Refused when a check that stops the night has failed."""
    failed = [c for c in checks if not c.success and c.severity == "stop"]
    if failed:
        sentences = "; ".join(map(sentence, failed))
        raise Refused(f"validation stops the night: {sentences}")


def main() -> Counts:
    """Run the hop for DVC: from `data/` to `data/validate`, as params.yaml says."""
    out = Path("data/validate")
    with stage.fresh(out) as folder:
        return validate(Path("data/ingest/calls"), folder, load().validate)
