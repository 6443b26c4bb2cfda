"""Braintrust's spans, as its API and exports give them; only those of type `llm` are calls."""

from __future__ import annotations

from collections.abc import Iterable

from tasks.core.records import Call, Json
from tasks.ingest.wire import pairs, shape, times
from tasks.ingest.wire.shape import first, loads


def sniff(document: object) -> bool:
    """Return whether this is a span of Braintrust."""
    return isinstance(document, dict) and {"span_attributes", "input", "output"} <= document.keys()


def parse(document: Json, source: str) -> Iterable[Call]:
    """The call of one span. Raises ValueError."""
    span = shape.mapping(document, "span")
    kind = (loads(span.get("span_attributes")) or {}).get("type")
    if kind != "llm":
        raise ValueError(f"{shape.NOT_A_CALL}: span of type {str(kind)[:60]}")
    metadata, metrics = (loads(span.get(name)) or {} for name in ("metadata", "metrics"))
    start, end = times.seconds(metrics.get("start")), times.seconds(metrics.get("end"))
    yield pairs.observed(
        span,
        {**metadata, "messages": span.get("input")},
        source,
        usage=metrics,
        start=start or times.seconds(span.get("created")),
        latency_s=times.elapsed(start, end),
        conversation_id=first(metadata, "session_id", "thread_id", "conversation_id"),
        error=span.get("error"),
    )
