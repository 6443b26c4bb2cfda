"""Opik's spans, from its API or export; only those of type `llm` are calls."""

from __future__ import annotations

from collections.abc import Iterable

from tasks.core.records import Call, Json
from tasks.ingest.wire import pairs, shape, times
from tasks.ingest.wire.shape import first, loads

_SETTINGS = ("tools", "tool_choice", "response_format", "temperature", "max_tokens")
_TYPES = frozenset({"llm", "tool", "general", "guardrail"})


def sniff(document: object) -> bool:
    """Return whether this is a span of Opik."""
    if not isinstance(document, dict) or document.get("type") not in _TYPES:
        return False
    return {"trace_id", "start_time", "input", "output"} <= document.keys()


def parse(document: Json, source: str) -> Iterable[Call]:
    """The call of one span. Raises ValueError."""
    span = shape.mapping(document, "span")
    if span["type"] != "llm":
        raise ValueError(f"{shape.NOT_A_CALL}: span of type {span['type']}")
    asked, metadata = loads(span.get("input")), loads(span.get("metadata")) or {}
    body = asked if isinstance(asked, dict) else {"messages": asked}
    if isinstance(metadata, dict):  # where the SDK puts the settings of the request
        body = {**{k: metadata[k] for k in _SETTINGS if metadata.get(k)}, **body}
    start, end = times.seconds(span.get("start_time")), times.seconds(span.get("end_time"))
    yield pairs.observed(
        span,
        {"model": span.get("model"), **body},
        source,
        usage=span.get("usage"),
        start=start,
        latency_s=times.elapsed(start, end),
        conversation_id=first(metadata, "thread_id") or span.get("thread_id"),
        error=span.get("error_info"),
    )
