"""Calls of Weights & Biases Weave; those of a model's client hold messages or a prompt."""

from __future__ import annotations

from collections.abc import Iterable

from tasks.core.records import Call
from tasks.ingest.wire import pairs, shape, times
from tasks.ingest.wire.shape import first, loads

_ASKED = frozenset({"messages", "contents", "prompt", "input"})


def sniff(document: object) -> bool:
    """Return whether this is a call of Weave."""
    return isinstance(document, dict) and {"op_name", "inputs", "output"} <= document.keys()


def parse(document: object, source: str) -> Iterable[Call]:
    """The call of one record. Raises ValueError."""
    record = shape.mapping(document, "call")
    asked = loads(record.get("inputs"))
    named = shape.text(record.get("op_name"))
    if not isinstance(asked, dict) or not asked.keys() & {
        "messages",
        "contents",
        "prompt",
        "input",
    }:
        raise ValueError(f"{shape.NOT_A_CALL}: operation {named.rpartition('/')[2][:60]}")
    summary = loads(record.get("summary")) or {}
    usage = summary.get("usage") if isinstance(summary, dict) else None
    stated = next(iter(usage.values()), None) if isinstance(usage, dict) else None
    start, end = (times.seconds(record.get(name)) for name in ("started_at", "ended_at"))
    yield pairs.observed(
        record,
        asked,
        source,
        usage=stated,
        start=start,
        latency_s=times.elapsed(start, end),
        conversation_id=first(record, "thread_id"),
        error=first(record, "exception"),
    )
