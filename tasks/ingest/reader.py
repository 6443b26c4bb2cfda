"""A source's records, each with its dialect and its calls, or with the reason why it is none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from tasks.core.records import Call, Rejected
from tasks.ingest import dialect_registry
from tasks.ingest.dialects import batch, claude_code
from tasks.ingest.duplicate_spans import Nested
from tasks.ingest.json_lines import MAX_RAW, Document, reject
from tasks.ingest.shards import row
from tasks.ingest.sources import documents
from tasks.ingest.wire import shape
from tasks.ingest.wrappers import Lines, unwrap

UNKNOWN = "unknown format"
MAX_DEPTH = 64
WRAPPERS = 4  # that one record may have around it
_TOGETHER = dialect_registry.SPANS | {
    "batch",
    "claude_code",
}  # whose records are read together with others
# What a line of the wrong types can cause. It is that line's problem, never the night's.
CONFUSED = (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError)

Taken = tuple[Call, list[Any]]  # a call and the row that it becomes
Result = tuple[str, list[Taken] | Rejected]  # the dialect, and what came of a record


def read(
    names: Sequence[str],
    dialect: str = "auto",
    since: float | None = None,
    halves: batch.Joiner | None = None,
) -> Iterator[Result]:
    """Every record of one source's files as (dialect, its calls) or (dialect, why it is none).

    The dialect is the empty string for a record that no dialect recognises. With `halves`, those
    of batches are held there for `joined`: they may stand in several sources.
    """
    reader = _Reader("" if dialect == "auto" else dialect, halves or batch.Joiner())
    for name in names:
        yield from reader.file(name, since)
    if halves is None:
        yield from joined(reader.halves)


def joined(halves: batch.Joiner) -> Iterator[Result]:
    """Yield what only the end of all sources could tell: the lines of batches."""
    for place, line in halves.rest():
        yield "batch", parse("batch", Document(place, line))


class _Reader:
    """Reads a source's files and remembers what only several records together tell."""

    def __init__(self, chosen: str, halves: batch.Joiner) -> None:
        self._chosen = self._last = chosen
        self.halves, self._nested = halves, Nested()
        self._lines, self._transcript = Lines(), claude_code.Transcript()

    def file(self, name: str, since: float | None) -> Iterator[Result]:
        """The records of one file or server."""
        self._last = self._chosen
        for document in documents(name, since):
            if isinstance(document, Rejected):
                yield "", document
            elif self._is_plain(document.value):
                yield self._last, parse(self._last, document)
            elif (value := self._lines.whole(document.value)) is not None:
                yield from self._document(Document(document.source, value, document.flat))
        for piece in self._lines.rest():
            yield from self._document(Document(name, piece))
        for place, line in self._transcript.rest():
            yield "claude_code", parse("claude_code", Document(place, line))

    def _is_plain(self, value: object) -> bool:
        """Return whether a document is one record of the dialect of the one before."""
        last = self._last
        if not last or last in _TOGETHER or not dialect_registry.is_one(value):
            return False
        try:
            return dialect_registry.DIALECTS[last].sniff(value)
        except CONFUSED:
            return False

    def _document(self, document: Document) -> Iterator[Result]:
        none = True
        for item in _split(document):
            none = False
            for named, inner in self._named(item, WRAPPERS):
                self._last = named or self._last
                yield from self._record(named, inner)
        if none:
            yield self._last, reject(document.source, shape.NOT_A_CALL, "an empty page", "[]")

    def _named(self, item: Document, depth: int) -> list[tuple[str, Document]]:
        """A record with its dialect, or those that it carries within, with theirs."""
        named = self._detect(item.value)
        if named or not depth:
            return [(named or self._chosen, item)]
        inner: list[tuple[str, Document]] = []
        for number, value in enumerate(unwrap(item.value), 1):
            place = item.source if number == 1 else f"{item.source}.{number}"
            for one in _split(Document(place, value)):
                inner += self._named(one, depth - 1)
        return inner if any(name for name, _ in inner) else [(self._chosen, item)]

    def _detect(self, value: object) -> str:
        """The dialect of one record: most often that of the record before it."""
        try:
            if self._last and dialect_registry.DIALECTS[self._last].sniff(value):
                return self._last
            return "" if self._chosen else dialect_registry.detect(value) or ""
        except CONFUSED:
            return ""

    def _record(self, named: str, item: Document) -> Iterator[Result]:
        value = item.value
        if named == "batch" and isinstance(value, dict):
            for place, line in self.halves.add(value, item.source):
                yield named, parse(named, Document(place, line))
        elif named == "claude_code" and isinstance(value, dict):
            self._transcript.add(value, item.source)
        elif named in dialect_registry.SPANS and isinstance(value, dict):
            result = parse(named, item)
            why = "" if isinstance(result, Rejected) else self._nested.repeats(value)
            yield named, reject(item.source, shape.NOT_A_CALL, why) if why else result
        else:
            yield named, parse(named, item)


def _split(document: Document) -> Iterator[Document]:
    if dialect_registry.is_one(document.value):
        yield document
        return
    try:
        for number, item in enumerate(dialect_registry.split(document.value), 1):
            place = document.source if number == 1 else f"{document.source}.{number}"
            yield Document(place, item, document.flat)
    except CONFUSED:
        yield document


def parse(named: str, item: Document) -> list[Taken] | Rejected:
    """The calls of a record of a dialect, or why it is none."""
    if dialect_registry.is_action(item.value):
        return reject(item.source, shape.NOT_A_CALL, "an Elasticsearch action line")
    if not named and dialect_registry.is_other_work(item.value):
        return reject(item.source, shape.NOT_A_CALL, "a span of HTTP, a database or a queue")
    if not named:
        return reject(item.source, UNKNOWN, _looks(item.value), _raw(item.value))
    try:
        if not item.flat and _deep([item.value]):
            raise ValueError(f"{shape.UNREADABLE}: nested more than {MAX_DEPTH} levels deep")
        return [
            (c, row(c)) for c in dialect_registry.DIALECTS[named].parse(item.value, item.source)
        ]
    except CONFUSED as error:
        reason, separator, detail = str(error).partition(": ")
        if not isinstance(error, ValueError) or not separator:
            reason, detail = shape.UNREADABLE, f"{type(error).__name__}: {error}"
        kept = b"" if reason == shape.NOT_A_CALL else _raw(item.value)
        return reject(item.source, reason, detail, kept)


def _looks(value: object) -> str:
    if not isinstance(value, dict):
        return f"a JSON {type(value).__name__}"
    return f"an object with the keys {', '.join(list(value)[:12])}"


def _raw(value: object) -> bytes:
    try:
        return msgspec.json.encode(value)
    except CONFUSED:
        return repr(value)[:MAX_RAW].encode("utf-8", "replace")


def _deep(value: Any) -> bool:
    """Return whether JSON nests deeper than a later hop may recurse."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if type(outer) is dict else outer)
            if type(inner) is dict or type(inner) is list
        ]
        if not level:
            return False
    return True
