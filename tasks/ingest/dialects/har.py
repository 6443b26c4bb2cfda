"""Entries of an HTTP archive (HAR): what a browser or a proxy recorded of calls to a model."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable

from tasks.core.records import Call
from tasks.ingest.wire import pairs, shape
from tasks.ingest.wire.shape import loads

_ASKED = frozenset({"messages", "contents", "prompt", "input"})


def sniff(document: object) -> bool:
    """Return whether this is an entry of an archive."""
    if not isinstance(document, dict) or "startedDateTime" not in document:
        return False
    return isinstance(document.get("request"), dict) and isinstance(document.get("response"), dict)


def parse(document: object, source: str) -> Iterable[Call]:
    """The call of one entry. Raises ValueError."""
    entry = shape.mapping(document, "entry")
    asked = loads((entry["request"].get("postData") or {}).get("text"))
    if not isinstance(asked, dict) or not asked.keys() & {
        "messages",
        "contents",
        "input",
        "prompt",
    }:
        raise ValueError(f"{shape.NOT_A_CALL}: {str(entry['request'].get('url'))[:80]}")
    content = entry["response"].get("content") or {}
    text = content.get("text")
    if content.get("encoding") == "base64" and isinstance(text, str):
        try:
            text = base64.b64decode(text).decode("utf-8", "replace")
        except binascii.Error as error:
            raise ValueError(f"{shape.UNREADABLE}: the response's base64: {error}") from None
    envelope = {"timestamp": entry["startedDateTime"], "latency_ms": entry.get("time")}
    given = pairs.given(text, entry["response"].get("status"))
    yield pairs.exchange(envelope, asked, given, source)
