"""The record that travels: one call to a chat model and its reply, and its Parquet file.

Every hop reads and writes `Call`s (before de-identification) or `CleanCall`s (after it).
A hop's input and output counts are a `Counts`, and nothing vanishes: `read == kept + Σ dropped`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.core import encryption

Json = dict[str, Any]
ROWS_PER_READ = 4_096

TEACHER = "teacher"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request to a chat model and its reply, in the OpenAI chat-completions shape.

    `at` is seconds since the epoch, UTC. `request` is the request body (`messages`, `tools`,
    `response_format`, ...), `reply` the assistant message. `source` says where the call was read
    (`file:line`). `weight` is how many calls of the true traffic this one stands for: an audited
    answer drawn with probability p weighs 1/p. `rate` is that p where a student stood before the
    teacher, whether it answered or not, and 1 where none did. `student` keeps what a student
    answered, if one did. `key` names the gateway's own key that the caller had; all else that
    tells callers apart is only what they say.
    """

    id: str
    at: float
    source: str
    request: Json
    reply: Json
    model: str = ""
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    latency_s: float | None = None
    conversation: str = ""
    client: str = ""
    hint: str = ""
    answered_by: str = TEACHER
    student: Json | None = None
    error: str | None = None
    feedback: float | None = None
    weight: float = 1.0
    rate: float = 1.0
    key: str = ""

    @property
    def messages(self) -> list[Json]:
        """The request's messages, oldest first."""
        return list(self.request["messages"])

    @property
    def tools(self) -> list[Json]:
        """The declared tools; empty when there are none."""
        return list(self.request.get("tools") or ())


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanCall(Call):
    """A call with surrogates in place of everything personal. Only `tasks.deidentify` makes one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A record that a hop dropped: what it was, where it came from and why."""

    id: str
    source: str
    reason: str
    detail: str = ""
    raw: str = ""


@dataclass(frozen=True, slots=True)
class Counts:
    """A hop's records, in and out. Raises ValueError when one vanished."""

    hop: str
    read: int
    kept: int
    dropped: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.read != self.kept + sum(self.dropped.values()):
            raise ValueError(
                f"{self.hop}: {self.read} in, but {self.kept} kept and {dict(self.dropped)} dropped"
            )


_JSON_FIELDS = frozenset({"request", "reply", "student"})
_TYPES = {"str": pa.string(), "float": pa.float64(), "int": pa.int64(), "Json": pa.string()}


def _schema(record: type, stamp: Mapping[str, str]) -> pa.Schema:
    columns = [
        pa.field(f.name, _TYPES[str(f.type).split(" | ")[0]], nullable="None" in str(f.type))
        for f in fields(record)
    ]
    return pa.schema(columns, metadata=dict(stamp))


CALLS = _schema(Call, {"kind": "calls"})
CLEAN = _schema(Call, {"kind": "clean calls"})
REJECTED = _schema(Rejected, {"kind": "rejected"})


def _columns(records: Sequence[Call | Rejected], schema: pa.Schema) -> pa.Table:
    table: dict[str, list[object]] = {name: [] for name in schema.names}
    for record in records:
        for name, column in table.items():
            value = getattr(record, name)
            if name in _JSON_FIELDS and value is not None:
                value = msgspec.json.encode(value).decode()
            column.append(value)
    return pa.table(table, schema=schema)


class Writer:
    """Streams records into one zstd Parquet file, `chunk` rows to a row group.

    The file exists even when no record was written; `raw` ones are encrypted where there is a key.
    Use as a context manager.
    """

    def __init__(
        self, path: Path, schema: pa.Schema, chunk: int = ROWS_PER_READ, *, raw: bool = False
    ) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._schema, self._chunk = schema, chunk
        open_ = encryption.parquet_writer if raw else pq.ParquetWriter
        self._file = open_(path, schema, compression="zstd")
        self._waiting: list[Call | Rejected] = []
        self.count = 0

    def write(self, record: Call | Rejected) -> None:
        """Add one record."""
        self._waiting.append(record)
        self.count += 1
        if len(self._waiting) >= self._chunk:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._file.write_table(_columns(self._waiting, self._schema))
            self._waiting.clear()

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()
        self._file.close()


def write(path: Path, records: Iterable[Call | Rejected], schema: pa.Schema = CALLS) -> int:
    """Write records to one Parquet file; return how many."""
    with Writer(path, schema) as writer:
        for record in records:
            writer.write(record)
    return writer.count


def _rows(path: Path, kind: bytes, only: Set[str] | None = None) -> Iterator[Json]:
    for part in sorted(path.glob("*.parquet")) if path.is_dir() else [path]:
        file = encryption.parquet_file(part)
        stored = (file.schema_arrow.metadata or {}).get(b"kind", b"unknown")
        if stored != kind:
            raise ValueError(f"{part} holds {stored.decode()}, not {kind.decode()}")
        for batch in file.iter_batches(ROWS_PER_READ):
            if only is not None:
                batch = batch.filter(pc.is_in(batch["id"], pa.array(only, pa.string())))
            for row in batch.to_pylist():
                for name in _JSON_FIELDS & row.keys():
                    row[name] = msgspec.json.decode(row[name]) if row[name] is not None else None
                yield row


def read(path: Path, only: Set[str] | None = None) -> Iterator[Call]:
    """Read calls from one Parquet file or a folder of them; `only` those with these ids.

    Raises ValueError on another kind of file.
    """
    return (Call(**row) for row in _rows(path, b"calls", only))


def read_clean(path: Path) -> Iterator[CleanCall]:
    """Read de-identified calls. Raises ValueError when the file does not carry the stamp."""
    return (CleanCall(**row) for row in _rows(path, b"clean calls"))


def read_rejected(path: Path) -> Iterator[Rejected]:
    """Read a quarantine file."""
    return (Rejected(**row) for row in _rows(path, b"rejected"))


def digest(*parts: str | bytes | Path, length: int = 16) -> str:
    """A stable hexadecimal name for some bytes (SHA-256, cut to `length` characters).

    Of a path, for the bytes of the file, which may be larger than the memory.
    """
    sha = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            sha.update(part.stat().st_size.to_bytes(8, "big"))
            with part.open("rb") as file:
                while piece := file.read(1 << 20):
                    sha.update(piece)
            continue
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        sha.update(len(data).to_bytes(8, "big") + data)
    return sha.hexdigest()[:length]


def text_of(content: object) -> str:
    """The text of a message's `content`: a string, None, or a list of typed parts."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    return "\n".join(str(p.get("text") or "") for p in content if isinstance(p, dict))


def strings(value: object) -> Iterator[str]:
    """Every string in a JSON value; keys are none."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from strings(item)
