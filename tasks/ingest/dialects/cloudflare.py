"""Cloudflare AI Gateway's logs, from its API or Logpush."""

from __future__ import annotations

from collections.abc import Iterable

from tasks.core.records import Call
from tasks.ingest.wire import pairs, shape
from tasks.ingest.wire.shape import first, loads

_LOGPUSH = frozenset({"RequestBody", "ResponseBody"})


def sniff(document: object) -> bool:
    """Return whether this is a log of the gateway."""
    if not isinstance(document, dict):
        return False
    if document.keys() >= _LOGPUSH and document.keys() & {"Gateway", "Endpoint", "Provider"}:
        return True
    return {"provider", "request", "response"} <= document.keys() and bool(
        document.keys() & {"tokens_in", "cached", "cf_ray", "success"}
    )


def parse(document: object, source: str) -> Iterable[Call]:
    """The call of one log. Raises ValueError."""
    log = shape.mapping(document, "log")
    metadata = loads(first(log, "metadata", "Metadata"))
    metadata = metadata if isinstance(metadata, dict) else {}
    envelope = {
        "id": first(log, "id", "RequestId"),
        "timestamp": first(log, "created_at", "Datetime", "Created"),
        "latency_ms": first(log, "duration", "Duration"),
        "session_id": first(metadata, "session_id", "conversation_id", "thread_id"),
        "client": first(metadata, "user", "user_id"),
    }
    asked = shape.mapping(loads(first(log, "request", "RequestBody")), "request")
    if "messages" not in asked and not asked.keys() & {"contents", "input", "prompt"}:
        raise ValueError(f"{shape.NOT_A_CALL}: a request without messages")
    asked = {"model": first(log, "model", "Model"), **asked}
    status = first(log, "status_code", "StatusCode")
    given = pairs.given(loads(first(log, "response", "ResponseBody")), status)
    call = pairs.exchange(envelope, asked, given, source)
    yield pairs.with_tokens(call, log.get("tokens_in"), log.get("tokens_out"))
