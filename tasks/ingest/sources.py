"""Where records come from: files, globs, folders, buckets and servers, as decoded documents.

Plain, gzip and zstd; JSON lines, whole JSON documents, CSV and Parquet. Nothing here raises on bad
content: what cannot be read comes out as a `Rejected` with its file and line.
"""

from __future__ import annotations

import csv
import glob
import io
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import IO, Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.core.records import Rejected, digest
from tasks.core.stage import Refused
from tasks.ingest import remote

BLOCK = 1 << 18
MAX_LINE = 64 << 20  # bytes; a longer line is no log record
MAX_WHOLE = 512 << 20  # bytes of one JSON document that spans lines
MAX_RAW = 1 << 20  # characters of a rejected record that quarantine keeps
ROWS = 256  # Parquet rows decoded at a time
FLAT = 32
_NO_BRACKETS = bytes(b for b in range(256) if b not in b"{}[]")
_NAMES = (".jsonl", ".ndjson", ".json", ".csv", ".parquet", ".log", ".txt")
_GZIP, _ZSTD, _PARQUET = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PAR1"


@dataclass(frozen=True, slots=True)
class Document:
    """One decoded line, row or file, and where it stood."""

    source: str
    value: Any
    flat: bool = False  # surely not nested deeper than `FLAT`


def resolve(entry: str) -> list[str]:
    """The files that one configured source names, in order. Raises Refused when there are none."""
    if remote.is_remote(entry):
        return [entry]
    if "://" in entry:
        return _resolve_url(entry)
    path = Path(entry).expanduser()
    if path.is_dir():
        inside = (p for p in path.rglob("*") if p.is_file())
        found = sorted(str(p) for p in inside if _is_log(p.relative_to(path)))
    elif path.exists():
        found = [str(path)]
    else:
        found = sorted(p for p in glob.glob(str(path), recursive=True) if Path(p).is_file())
    if not found:
        what = "holds no log file" if path.is_dir() else "does not exist"
        raise Refused(f"source {entry} {what}")
    return found


def _is_log(path: Path) -> bool:
    if any(part.startswith(".") for part in path.parts):
        return False
    return path.name.removesuffix(".gz").removesuffix(".zst").endswith(_NAMES)


def _resolve_url(entry: str) -> list[str]:
    import fsspec  # type: ignore[import-untyped]

    try:
        files, path = fsspec.core.url_to_fs(entry)
        found = files.find(path) if files.isdir(path) else files.glob(path)
    except ImportError as error:
        hint = "pip install -c constraints.txt '.[cloud]'"
        raise Refused(f"source {entry} cannot be opened: {error} ({hint})") from None
    except Exception as error:  # every file system has its own, for no network or no such bucket
        raise Refused(f"source {entry} cannot be opened: {error}") from None
    if not found:
        raise Refused(f"source {entry} does not exist")
    return [str(files.unstrip_protocol(p)) for p in sorted(found)]


def _open(name: str) -> IO[bytes]:
    if "://" not in name:
        return Path(name).open("rb")
    import fsspec

    opened: IO[bytes] = fsspec.open(name, "rb").open()
    return opened


def reject(source: str, reason: str, detail: str = "", raw: str | bytes = "") -> Rejected:
    """A quarantine record; very long raw text is cut, and the detail says so."""
    text = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else raw
    if len(text) > MAX_RAW:
        detail = f"{detail} (first {MAX_RAW:,} of {len(text):,} characters kept)".lstrip()
        text = text[:MAX_RAW]
    return Rejected(
        id=digest(source, text), source=source, reason=reason, detail=detail[:500], raw=text
    )


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
        if magic == _PARQUET:
            yield from _parquet(name, file)
            return
        lines = _lines(_blocks(file, magic))
        plain = name.removesuffix(".gz").removesuffix(".zst")
        if plain.endswith(".csv"):
            yield from _csv(name, lines)
        else:
            yield from _json(name, lines, whole=plain.endswith(".json"))


def _blocks(file: IO[bytes], magic: bytes) -> Iterator[bytes]:
    """The file's content. Raises EOFError or ValueError where compressed data breaks."""
    if magic[:2] == _GZIP:
        return _inflate(file, lambda: zlib.decompressobj(wbits=31), zlib.error)
    if magic == _ZSTD:
        import zstandard

        make = zstandard.ZstdDecompressor().decompressobj
        return _inflate(file, make, zstandard.ZstdError)
    return iter(partial(file.read, BLOCK), b"")


def _inflate(file: IO[bytes], make: Callable[[], Any], damage: type[Exception]) -> Iterator[bytes]:
    """Decompress member after member; each block comes out before a break behind it is met."""
    inflater, fed = make(), False
    for block in iter(partial(file.read, BLOCK), b""):
        while block:
            try:
                yield inflater.decompress(block)
            except damage as error:
                raise ValueError(f"compressed data is damaged: {error}") from None
            fed = not inflater.eof
            block = inflater.unused_data.lstrip(b"\0") if inflater.eof else b""
            inflater = make() if inflater.eof else inflater
    if fed:
        raise EOFError("compressed data ends early")


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    data: bytes
    problem: str = ""  # "<reason>: <detail>" when the line is not all there


def _lines(blocks: Iterator[bytes]) -> Iterator[_Line]:
    held: list[bytes] = []
    number, size = 1, 0
    try:
        for block in blocks:
            *ended, rest = block.split(b"\n")
            for piece in ended:
                yield _line(number, [*held, piece], size + len(piece))
                number, held, size = number + 1, [], 0
            size += len(rest)
            if size <= MAX_LINE + BLOCK and rest:
                held.append(rest)
    except (EOFError, ValueError, OSError) as error:
        yield _Line(number, b"".join(held), f"broken file: {error}")
        return
    if held:
        yield _line(number, held, size)


def _line(number: int, pieces: list[bytes], size: int) -> _Line:
    data = b"".join(pieces)
    return _Line(number, data, f"too long: {size:,} bytes on one line" if size > MAX_LINE else "")


def _json(name: str, lines: Iterator[_Line], *, whole: bool) -> Iterator[Document | Rejected]:
    head: list[_Line] = []
    for line in lines:
        head.append(line)
        if line.data.strip():
            break
    if head and not head[-1].problem and _opens_document(head[-1].data, whole):
        yield from _whole(name, head, lines)
        return
    for line in chain(head, lines):
        yield from _decoded(name, line)


def _opens_document(data: bytes, whole: bool) -> bool:
    """Whether the first line is the start of a JSON document that goes on below it."""
    if not whole and data.strip() not in (b"{", b"["):
        return False
    try:
        msgspec.json.decode(data)
    except (ValueError, RecursionError):
        return data.lstrip()[:1] in (b"{", b"[")
    return False


def _whole(name: str, head: list[_Line], lines: Iterator[_Line]) -> Iterator[Document | Rejected]:
    gathered, size = list(head), 0
    for line in lines:
        gathered.append(line)
        size += len(line.data)
        if line.problem or size > MAX_WHOLE:
            break
    try:
        value = msgspec.json.decode(b"\n".join(one.data for one in gathered))
    except (ValueError, RecursionError):
        for line in chain(gathered, lines):
            yield from _decoded(name, line)
        return
    if not isinstance(value, list):
        value = [value]
    for index, item in enumerate(value, 1):
        yield Document(f"{name}#{index}", item)


def _decoded(name: str, line: _Line) -> Iterator[Document | Rejected]:
    source = f"{name}:{line.number}"
    if line.problem:
        reason, _, detail = line.problem.partition(": ")
        yield reject(source, reason, detail, line.data)
    elif line.data.strip():
        try:
            yield Document(source, msgspec.json.decode(line.data), _is_flat(line.data))
        except (ValueError, RecursionError) as error:
            yield reject(source, "not JSON", str(error), line.data)


def _is_flat(data: bytes) -> bool:
    """Whether brackets pair off within `FLAT` rounds; those in texts may hide that they do."""
    brackets = data.translate(None, _NO_BRACKETS)
    for _ in range(FLAT):
        if not brackets:
            return True
        brackets = brackets.replace(b"{}", b"").replace(b"[]", b"")
    return False


def _csv(name: str, lines: Iterator[_Line]) -> Iterator[Document | Rejected]:
    csv.field_size_limit(MAX_LINE)
    broken: list[Rejected] = []
    reader = csv.DictReader(_text(name, lines, broken))
    with suppress(csv.Error):
        for row in reader:
            values = {k: v for k, v in row.items() if k is not None and v not in (None, "")}
            yield Document(f"{name}:{reader.line_num}", values)
    yield from broken


def _text(name: str, lines: Iterable[_Line], broken: list[Rejected]) -> Iterator[str]:
    for line in lines:
        if line.problem:
            reason, _, detail = line.problem.partition(": ")
            broken.append(reject(f"{name}:{line.number}", reason, detail, line.data))
        else:
            yield line.data.decode("utf-8", "replace").lstrip("\ufeff") + "\n"


def _parquet(name: str, file: IO[bytes]) -> Iterator[Document | Rejected]:
    number = 0
    try:
        for batch in pq.ParquetFile(file).iter_batches(ROWS):
            for row in batch.to_pylist():
                number += 1
                yield Document(f"{name}:{number}", row)
    except (pa.ArrowException, OSError, io.UnsupportedOperation) as error:
        yield reject(f"{name}:{number + 1}", "broken file", str(error).splitlines()[0])
