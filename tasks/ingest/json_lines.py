"""Documents out of lines of JSON: one a line, one over many, or several one behind the other.

Nothing here raises on bad content: what cannot be read comes out as a `Rejected` with its line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import chain

import msgspec

from tasks.core.records import Rejected, digest
from tasks.ingest.encoding import RawLine, text_of
from tasks.ingest.wire import lenient_json
from tasks.ingest.wire.lenient_json import literal

MAX_WHOLE = 512 << 20  # bytes of one JSON document that spans lines
MAX_RAW = 1 << 20  # characters of a rejected record that quarantine keeps
FLAT = 32
_NO_BRACKETS = bytes(b for b in range(256) if b not in b"{}[]")
# What the runtimes of containers write before a line: CRI, `docker compose logs`.
_PREFIX = re.compile(r"^(?:\d{4}-\d\d-\d\d\S+ (?:(?:stdout|stderr) [FP] )?|[\w.-]+\s*\| )(?=[\[{])")


_CRI = re.compile(rb"\d{4}-\d\d-\d\dT\S+ (stdout|stderr) ([FP]) ")
_LONGEST = 300  # characters that a logger or syslog writes before a document


class Document(msgspec.Struct, frozen=True):
    """One decoded line, row or file, and where it stood."""

    source: str
    value: object
    flat: bool = False  # surely not nested deeper than `FLAT`


def reject(source: str, reason: str, detail: str = "", raw: str | bytes = "") -> Rejected:
    """A quarantine record; very long raw text is cut, and the detail says so."""
    text = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else raw
    if len(text) > MAX_RAW:
        detail = f"{detail} (first {MAX_RAW:,} of {len(text):,} characters kept)".lstrip()
        text = text[:MAX_RAW]
    return Rejected(
        id=digest(source, text), source=source, reason=reason, detail=detail[:500], raw=text
    )


def documents(name: str, lines: Iterator[RawLine], *, whole: bool) -> Iterator[Document | Rejected]:
    """Every document of a file; `whole` says that it may be one JSON document."""
    lines = _gathered(lines)
    head: list[RawLine] = []
    for line in lines:
        head.append(line)
        if line.data.strip():
            break
    if head and not head[-1].problem and _opens_document(head[-1].data, whole):
        yield from _whole(name, head, lines)
        return
    for line in chain(head, lines):
        yield from _decoded(name, line)


def _gathered(lines: Iterator[RawLine]) -> Iterator[RawLine]:
    """Put lines together that Kubernetes' runtimes cut: all but the last piece are marked P."""
    held: dict[bytes, list[bytes]] = {}
    for line in lines:
        match = _CRI.match(line.data) if line.data[:2] == b"20" and not line.problem else None
        if match is None:
            yield line
            continue
        pieces = held.setdefault(match[1], [])
        pieces.append(line.data[match.end() :])
        if match[2] == b"F":
            yield RawLine(line.number, b"".join(held.pop(match[1])))
    for pieces in held.values():
        yield RawLine(0, b"".join(pieces))


def _opens_document(data: bytes, whole: bool) -> bool:
    """Return whether the first line is the start of a JSON document that goes on below it."""
    if not whole and data.strip() not in (b"{", b"["):
        return False
    try:
        msgspec.json.decode(data)
    except (ValueError, RecursionError):
        return data.lstrip()[:1] in (b"{", b"[")
    return False


def _whole(
    name: str, head: list[RawLine], lines: Iterator[RawLine]
) -> Iterator[Document | Rejected]:
    """The documents of a file whose lines are no documents by themselves."""
    gathered, size, ended = list(head), 0, True
    for line in lines:
        gathered.append(line)
        size += len(line.data)
        if line.problem or size > MAX_WHOLE:
            ended = False
            break
    data = b"\n".join(one.data for one in gathered)
    try:
        value = msgspec.json.decode(data)
    except (ValueError, RecursionError):
        if ended and (b"\n{" not in data or not _is_jsonl(gathered)):
            yield from _several(name, data, head[0].number)
            return
        for line in chain(gathered, lines):
            yield from _decoded(name, line)
        return
    if not isinstance(value, list):
        value = [value]
    for index, item in enumerate(value, 1):
        yield Document(f"{name}#{index}", item)


def _is_jsonl(lines: Sequence[RawLine]) -> bool:
    """Return whether most of the first lines are documents by themselves."""
    some = [line.data.strip().rstrip(b",") for line in lines[:64]]
    return sum(s[:1] == b"{" and s[-1:] == b"}" for s in some) * 2 > len(some)


def _several(name: str, data: bytes, first: int) -> Iterator[Document | Rejected]:
    """Documents one behind the other, over any number of lines."""
    text = text_of(data)
    for start, end, value in lenient_json.documents(text):
        place = f"{name}:{first + text.count(chr(10), 0, start)}"
        if value is ...:
            detail = "no JSON document" if end < len(text) else "the document has no end"
            yield reject(place, "not JSON", detail, text[start:end])
        else:
            yield Document(place, value)


def _decoded(name: str, line: RawLine) -> Iterator[Document | Rejected]:
    source = f"{name}:{line.number}"
    if line.problem:
        reason, _, detail = line.problem.partition(": ")
        yield reject(source, reason, detail, line.data)
    elif stripped := line.data.strip():
        try:
            yield Document(source, msgspec.json.decode(line.data), _is_flat(line.data))
        except (ValueError, RecursionError) as error:
            if stripped not in (b"[", b"]", b",", b"],"):  # of an array around the lines
                yield from _lenient(source, line.data, str(error))


def _lenient(source: str, data: bytes, problem: str) -> Iterator[Document | Rejected]:
    """A line that is not strictly JSON: half emojis, NaN, a comma, several documents, a prefix."""
    text = _PREFIX.sub("", text_of(data))
    if text.rstrip().endswith("}") and -1 < (at := text.find("{")) <= _LONGEST:
        value = literal(text[at:])  # behind what a logger or syslog writes before it
        if at and isinstance(value, dict):
            yield Document(source, value)
            return
    values = list(lenient_json.documents(text)) if text.lstrip()[:1] in ("{", "[") else []
    if not values or any(value is ... for _, _, value in values):
        yield reject(source, "not JSON", problem, data)
        return
    for number, (_, _, value) in enumerate(values, 1):
        yield Document(source if number == 1 else f"{source}.{number}", value)


def _is_flat(data: bytes) -> bool:
    """Return whether brackets pair off within `FLAT` rounds.

    Those in texts may hide that they do.
    """
    brackets = data.translate(None, _NO_BRACKETS)
    if len(brackets) <= 2 * FLAT:
        return True
    for _ in range(FLAT):
        if not brackets:
            return True
        brackets = brackets.replace(b"{}", b"").replace(b"[]", b"")
    return False
