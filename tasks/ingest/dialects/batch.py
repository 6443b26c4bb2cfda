"""Batch files of OpenAI, Anthropic and Gemini: requests and their answers, joined by their id.

The two halves stand in different files; `tasks.ingest.ingest` joins them across all sources of a
night with `Joiner`.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import PurePath

import msgspec

from tasks.core.records import Call, Json
from tasks.ingest.wire import pairs, replies, requests, shape
from tasks.ingest.wire.shape import first

_ASKED = ("body", "params", "request")
_GIVEN = ("response", "result", "error")
_SEVERAL = "several"  # set on halves of which nobody can say which belongs to which
_COMMON = frozenset(
    {"batch", "batches", "input", "inputs", "output", "outputs", "in", "out", "json", "jsonl"}
    | {"request", "requests", "response", "responses", "result", "results", "answer", "answers"}
    | {"error", "errors", "gz", "zst", "prompt", "prompts", "completion", "completions"}
)


def sniff(document: object) -> bool:
    """Return whether this is a line of a batch, of either half or joined."""
    if not isinstance(document, dict):
        return False
    if "custom_id" in document:
        return bool(document.keys() & {"body", "params", "response", "result"})
    return document.keys() in ({"key", "request"}, {"key", "response"}, {"key", "error"})


def parse(document: object, source: str) -> Iterable[Call]:
    """The call of one joined line. Raises ValueError."""
    line = shape.mapping(document, "batch line")
    named = shape.text(first(line, "custom_id", "key"))
    if count := line.get(_SEVERAL):
        raise ValueError(f"{shape.UNREADABLE}: {count} halves have this custom_id, nobody can join")
    if not _asks(line):
        raise ValueError(f"{shape.UNREADABLE}: no request with this custom_id in the source")
    if not _answers(line):
        raise ValueError(f"{shape.EMPTY}: no answer with this custom_id in the source")
    asked = shape.mapping(first(line, *_ASKED), "body")
    completion = replies.read(_answer(line), body=True)
    yield pairs.call({"id": named}, requests.request(asked), completion, source)


def _asks(line: Json) -> bool:
    return any(line.get(name) is not None for name in _ASKED)


def _answers(line: Json) -> bool:
    return "response" in line or any(line.get(name) is not None for name in _GIVEN)


def _answer(line: Json) -> object:
    """The body that came back, of any of the three providers."""
    if line.get("error"):
        return {"error": line["error"]}
    result = line.get("result")
    if isinstance(result, dict):  # Anthropic
        kind = shape.text(result.get("type"))
        return result.get("message") or {"error": result.get("error") or kind or "no result"}
    response = line.get("response")
    return response.get("body", response) if isinstance(response, dict) else None


class Joiner:
    """Holds both halves on disk until a source is read; an id may come back on another day.

    Two halves are joined when they are the only ones of their id in all sources, else in their
    folder and beside a like-named file, else in one of these. Others stay apart, and say so.
    """

    def __init__(self) -> None:
        self._halves = sqlite3.connect("")  # a file of its own, which goes when this does
        self._halves.execute("CREATE TABLE halves (id, asks, source, folder, stem, line, file)")
        self._halves.execute("CREATE INDEX by_id ON halves (id)")
        self._halves.execute("CREATE INDEX by_file ON halves (file)")

    def add(self, document: Json, source: str) -> Iterator[tuple[str, Json]]:
        """Take one line; one that has both halves comes back at once."""
        if _asks(document) and _answers(document):
            yield source, document
            return
        name = source.rpartition("#" if "#" in source else ":")[0]
        path = PurePath(name)
        words = re.split(r"[^a-z0-9]+", path.name.lower())
        stem = " ".join(w for w in words if w not in _COMMON)
        named = shape.text(first(document, "custom_id", "key"))
        row = (named, _asks(document), source, str(path.parent), stem)
        self._halves.execute(
            "INSERT INTO halves VALUES (?, ?, ?, ?, ?, ?, ?)",
            (*row, msgspec.json.encode(document), name),
        )

    def holds(self, names: Sequence[str]) -> bool:
        """Return whether a half of one of these files is here."""
        where = "SELECT 1 FROM halves WHERE file = ? LIMIT 1"
        return any(self._halves.execute(where, (name,)).fetchone() for name in names)

    def rest(self) -> Iterator[tuple[str, Json]]:
        """Every line that can be joined, and the halves that stay alone."""
        for (name,) in self._halves.execute(
            "SELECT id FROM halves GROUP BY id ORDER BY min(rowid)"
        ):
            where = "SELECT * FROM halves WHERE id = ? ORDER BY rowid"
            yield from _joined(list(self._halves.execute(where, (name,))))
        self._halves.execute("DELETE FROM halves")


_Row = tuple[str, int, str, str, str, bytes, str]


def _joined(rows: list[_Row]) -> Iterator[tuple[str, Json]]:
    """The lines of one id, the most confident pairs first."""
    keys: tuple[Callable[[_Row], str], ...] = (
        lambda row: f"{row[3]}\0{row[4]}",
        lambda row: row[4],
        lambda row: row[3],
    )
    if len(rows) > 2:
        for key in keys:
            for name in dict.fromkeys(map(key, rows)):
                alike = [row for row in rows if key(row) == name]
                if sorted(row[1] for row in alike) == [0, 1]:
                    yield _line(alike)
                    rows = [row for row in rows if row not in alike]
    if sorted(row[1] for row in rows) == [0, 1]:
        yield _line(rows)
        return
    unclear = len({row[1] for row in rows}) == 2
    for row in rows:
        place, line = _line([row])
        yield place, {**line, _SEVERAL: len(rows)} if unclear else line


def _line(rows: list[_Row]) -> tuple[str, Json]:
    """Some halves as one line, under the place of the answer."""
    answered = next((row[2] for row in rows if not row[1]), rows[0][2])
    merged: Json = {}
    for row in sorted(rows, key=lambda row: -row[1]):
        merged |= msgspec.json.decode(row[5])
    return answered, merged
