"""Kong's log plugins with the AI proxy: bodies as the AI plugin's payloads."""

from __future__ import annotations

from collections.abc import Iterable

from tasks.core.records import Call, Json
from tasks.ingest.wire import pairs, shape
from tasks.ingest.wire.shape import first, loads


def sniff(document: object) -> bool:
    """Return whether this is an entry of a log plugin that an AI plugin added to."""
    return isinstance(document, dict) and isinstance(document.get("ai"), dict)


def parse(document: object, source: str) -> Iterable[Call]:
    """The call of one entry. Raises ValueError."""
    entry = shape.mapping(document, "entry")
    told = _told(entry["ai"])
    payload = loads(told.get("payload"))
    payload = payload if isinstance(payload, dict) else {}
    if payload.get("request") is None or payload.get("response") is None:
        raise ValueError(f"{shape.UNREADABLE}: the plugin logged no payloads (log_payloads is off)")
    meta, latencies = told.get("meta") or {}, entry.get("latencies") or {}
    consumer = entry.get("consumer") or {}
    request = entry.get("request") or {}
    envelope = {
        "id": first(request, "id") or (request.get("headers") or {}).get("x-kong-request-id"),
        "timestamp": entry.get("started_at"),
        "latency_ms": first(meta, "llm_latency") or latencies.get("request"),
        "client": first(consumer, "username", "custom_id", "id"),
    }
    asked = shape.mapping(loads(payload["request"]), "request")
    asked = {"model": first(meta, "request_model", "response_model"), **asked}
    yield pairs.exchange(envelope, asked, payload["response"], source)


def _told(ai: Json) -> Json:
    """Return what the AI proxy tells; older versions put the plugin's name around it."""
    inner = [v for v in ai.values() if isinstance(v, dict) and "payload" in v]
    if not inner:
        return ai
    own, around = loads(inner[0]["payload"]), loads(ai.get("payload"))
    if isinstance(own, dict) and isinstance(around, dict):
        return {**inner[0], "payload": {**around, **own}}  # the request may stand outside
    return inner[0]
