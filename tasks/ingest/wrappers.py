"""Wrappers of log lines: container runtimes, log shippers, queues and pages around the records.

`unwrap` opens what no dialect recognises; `Lines` puts together lines that a runtime cut in pieces.
"""

from __future__ import annotations

import base64
import binascii
import gzip
from collections.abc import Iterator
from typing import Any

from tasks.core.records import Json
from tasks.ingest.wire import lenient_json
from tasks.ingest.wire.lenient_json import literal

# A line as one of many fields: docker, Fluent Bit, Logstash, Vector, CloudWatch Insights, GCP,
# journald, Splunk, EventBridge, Kafka.
_FIELDS = (
    *("log", "message", "msg", "@message", "textPayload", "jsonPayload", "MESSAGE", "line"),
    *("event", "payload", "record", "_raw", "result", "Body", "body", "detail", "value", "fields"),
    *("content", "json", "data", "attributes", "properties", "doc", "entry", "log_processed"),
    *("parsed", "structured"),
)
# Many records in one document: subscriptions, queues, pages.
_LISTS = (
    *("logEvents", "Records", "records", "messages", "entries", "items", "rows", "results"),
    *("events", "logs", "calls", "traces", "runs", "spans", "batches", "value", "data", "output"),
    *("result", "content", "batch"),
)
_ENCODED = ("kinesis", "awslogs", "data")  # base64, as queues carry it


def unwrap(document: object) -> list[object]:
    """Return what a document carries; empty when it carries nothing that is a record."""
    if isinstance(document, str):
        content = _line(document)
        return content if content is not None else []
    if not isinstance(document, dict):
        return []
    if isinstance(document.get("values"), list) and isinstance(document.get("stream"), dict):
        return list(_loki(document))
    if isinstance(tables := document.get("tables"), list):  # Azure's Log Analytics
        return [row for t in tables if isinstance(t, dict) for row in _rows(t)]
    if isinstance(streams := document.get("streams"), list):  # Loki
        return [x for s in streams if isinstance(s, dict) for x in _loki(s)]
    for name in _LISTS:
        listed = document.get(name)
        if isinstance(listed, list) and listed and all(map(_is_fields, listed)):
            return [{f["field"]: f.get("value") for f in fields} for fields in listed]
        if isinstance(listed, list) and listed and all(isinstance(x, dict | str) for x in listed):
            return list(listed)
    for name in _FIELDS:
        inner = document.get(name)
        if name == "MESSAGE" and isinstance(inner, list):  # journald's, where it is not ASCII
            inner = bytes(b for b in inner if isinstance(b, int)).decode("utf-8", "replace")
        if isinstance(inner, dict) and inner:
            return [inner]
        if isinstance(inner, str) and (content := _line(inner)) is not None:
            return content
    return _encoded(document)


def _line(text: str) -> list[object] | None:
    """The documents that a line holds, or None when it is prose."""
    if text.lstrip()[:1] not in ("{", "["):
        return None
    if isinstance(decoded := literal(text), dict | list):
        return [decoded]
    several = [value for _, _, value in lenient_json.documents(text)]
    return None if ... in several else several


def _loki(stream: Json) -> Iterator[object]:
    for pair in stream.get("values") or ():
        if isinstance(pair, list) and len(pair) > 1:
            yield pair[1]


def _rows(table: Json) -> Iterator[Json]:
    names = [c.get("name") for c in table.get("columns") or () if isinstance(c, dict)]
    for row in table.get("rows") or ():
        if isinstance(row, list):
            yield {str(n): v for n, v in zip(names, row, strict=False)}


def _is_fields(row: object) -> bool:
    """Return whether this is a row of CloudWatch Insights: a list of fields and values."""
    return (
        isinstance(row, list)
        and bool(row)
        and all(isinstance(f, dict) and isinstance(f.get("field"), str) for f in row)
    )


def _encoded(document: Json) -> list[object]:
    inner: object = document
    for name in _ENCODED:
        inner = inner.get(name, inner) if isinstance(inner, dict) else inner
    if not isinstance(inner, str):
        return []
    try:
        data = base64.b64decode(inner, validate=True)
        text = (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError, EOFError, OSError):
        return []
    return _line(text) or []


class Lines:
    """Puts lines together that docker cut at 16 KB: all but the last piece have no line break."""

    def __init__(self) -> None:
        self._held: dict[str, str] = {}

    def whole(self, document: Any) -> object:
        """The document with its whole line; None while pieces are to come."""
        if not is_piece(document):
            return document
        stream = document["stream"]
        text = self._held.pop(stream, "") + document["log"]
        if not text.endswith("\n"):
            self._held[stream] = text
            return None
        return {**document, "log": text}

    def rest(self) -> list[Json]:
        """Lines whose end never came."""
        left = [{"log": text, "stream": stream} for stream, text in self._held.items()]
        self._held.clear()
        return left


def is_piece(document: object) -> bool:
    """Return whether a document is a line, or a piece of one, in docker's json-file format."""
    if not isinstance(document, dict) or len(document) > 6:
        return False
    return isinstance(document.get("log"), str) and document.get("stream") in ("stdout", "stderr")
