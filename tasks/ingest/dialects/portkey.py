"""Portkey's logs, from its export: bodies with their URL, or beside each other."""

from __future__ import annotations

from collections.abc import Iterable

from tasks.core.records import Call
from tasks.ingest.wire import pairs, shape
from tasks.ingest.wire.shape import first, loads


def sniff(document: object) -> bool:
    """Return whether this is a log of Portkey."""
    if not isinstance(document, dict) or "request" not in document or "response" not in document:
        return False
    return bool(document.keys() & {"ai_org", "ai_model", "response_status_code", "ai_provider"})


def parse(document: object, source: str) -> Iterable[Call]:
    """The call of one log. Raises ValueError."""
    log = shape.mapping(document, "log")
    metadata = loads(log.get("metadata"))
    metadata = metadata if isinstance(metadata, dict) else {}
    asked, given = pairs.body(log.get("request")), pairs.body(log.get("response"))
    envelope = {
        "id": log.get("id"),
        "timestamp": first(log, "created_at", "timestamp"),
        "latency_ms": log.get("response_time"),
        "client": first(metadata, "_user", "user"),
        "session_id": first(metadata, "session_id", "conversation_id", "thread_id"),
    }
    yield pairs.exchange(
        envelope, asked, pairs.given(given, log.get("response_status_code")), source
    )
