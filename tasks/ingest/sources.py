"""Sources of records: files, globs, folders, buckets and servers, as decoded documents.

Plain, gzip and zstd; JSON lines, whole JSON documents, CSV and Parquet. Nothing here raises on bad
content: what cannot be read comes out as a `Rejected` with its file and line.
"""

from __future__ import annotations

import csv
import glob
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path
from typing import IO

import pyarrow as pa

from tasks.core.encryption import parquet_file
from tasks.core.records import Rejected
from tasks.core.stage import Refused
from tasks.ingest import json_lines, remote, vllm_log
from tasks.ingest.encoding import MAX_LINE, RawLine, lines_of, text_of
from tasks.ingest.json_lines import Document, reject

ROWS = 256  # Parquet rows decoded at a time
_NAMES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".log", ".txt", ".out")
_PARQUET = (b"PAR1", b"PARE")  # the second is encrypted


def resolve(entry: str) -> list[str]:
    """The files that one configured source names, in order. Raises Refused when there are none."""
    if remote.is_remote(entry):
        return [entry]
    if "://" in entry:
        return _resolve_url(entry)
    path = Path(entry).expanduser()
    if path.is_dir():
        inside = (p for p in path.rglob("*") if p.is_file())
        paths = sorted(str(p) for p in inside if _is_log(p.relative_to(path)))
    elif path.exists():
        paths = [str(path)]
    else:
        paths = sorted(p for p in glob.glob(str(path), recursive=True) if Path(p).is_file())
    if not paths:
        what = "holds no log file" if path.is_dir() else "does not exist"
        raise Refused(f"source {entry} {what}")
    return paths


def _is_log(path: Path) -> bool:
    if any(part.startswith(".") for part in path.parts):
        return False
    return path.name.removesuffix(".gz").removesuffix(".zst").endswith(_NAMES)


def _resolve_url(entry: str) -> list[str]:
    import fsspec  # type: ignore[import-untyped]

    try:
        files, path = fsspec.core.url_to_fs(entry)
        paths = files.find(path) if files.isdir(path) else files.glob(path)
    except ImportError as error:
        hint = "pip install -c constraints.txt '.[cloud]'"
        raise Refused(f"source {entry} cannot be opened: {error} ({hint})") from None
    except Exception as error:  # every file system has its own, for no network or no such bucket
        raise Refused(f"source {entry} cannot be opened: {error}") from None
    if not paths:
        raise Refused(f"source {entry} does not exist")
    return [str(files.unstrip_protocol(p)) for p in sorted(paths)]


def _open(name: str) -> IO[bytes]:
    if "://" not in name:
        return Path(name).open("rb")
    import fsspec

    opened: IO[bytes] = fsspec.open(name, "rb").open()
    return opened


def documents(name: str, since: float | None = None) -> Iterator[Document | Rejected]:
    """Every record of one file or server. Raises Refused when it cannot be opened."""
    if remote.is_remote(name):
        for key, value in remote.records(name, since):
            yield Document(f"{name}#{key}", value)
        return
    try:
        file = _open(name)
    except OSError as error:
        raise Refused(f"source {name} cannot be opened: {error.strerror or error}") from None
    with file:
        magic = file.read(4)
        file.seek(0)
        if magic in _PARQUET:
            yield from _parquet(name, file)
            return
        lines = lines_of(file, magic)
        head = list(islice(lines, 1))
        lines = chain(head, lines)
        plain = name.removesuffix(".gz").removesuffix(".zst")
        if plain.endswith((".csv", ".tsv")):
            yield from _csv(name, lines)
        elif head and vllm_log.is_log(head[0].data):
            yield from vllm_log.documents(name, lines)
        else:
            yield from json_lines.documents(name, lines, whole=plain.endswith(".json"))


def _csv(name: str, lines: Iterator[RawLine]) -> Iterator[Document | Rejected]:
    csv.field_size_limit(MAX_LINE)
    broken: list[Rejected] = []
    rows = _text(name, lines, broken)
    header = next(rows, "")
    reader = csv.DictReader(chain([header], rows), delimiter=max(",;\t|", key=header.count))
    with suppress(csv.Error):
        for row in reader:
            values = {k: v for k, v in row.items() if k is not None and v not in (None, "")}
            yield Document(f"{name}:{reader.line_num}", values)
    yield from broken


def _text(name: str, lines: Iterable[RawLine], broken: list[Rejected]) -> Iterator[str]:
    for line in lines:
        if line.problem:
            reason, _, detail = line.problem.partition(": ")
            broken.append(reject(f"{name}:{line.number}", reason, detail, line.data))
        else:
            yield text_of(line.data) + "\n"


def _parquet(name: str, file: IO[bytes]) -> Iterator[Document | Rejected]:
    number = 0
    try:
        for batch in parquet_file(file, name).iter_batches(ROWS):
            for row in batch.to_pylist():
                number += 1
                yield Document(f"{name}:{number}", row)
    except (pa.ArrowException, OSError, ValueError) as error:
        yield reject(f"{name}:{number + 1}", "broken file", str(error).splitlines()[0])
