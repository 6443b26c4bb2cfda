"""Datadog LLM Observability spans, from its export API or as the SDK sends them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tasks.core.records import Call, Json
from tasks.ingest.wire import finish_and_usage, replies, requests, shape, times
from tasks.ingest.wire.build import build
from tasks.ingest.wire.completion import failed
from tasks.ingest.wire.shape import first, loads


def sniff(document: object) -> bool:
    """Return whether this is an LLM Observability span."""
    if not isinstance(document, dict):
        return False
    span = _span(document)
    meta = span.get("meta")
    return (
        isinstance(meta, dict) and _kind(span) != "" and bool(span.keys() & {"span_id", "trace_id"})
    )


def _span(document: Json) -> Json:
    inner = document.get("attributes")
    if not isinstance(inner, dict):
        return document
    if "span_kind" in inner and "meta" not in inner:  # the export API has no `meta`
        inner = {**inner, "meta": inner}
    return {**document, **inner} if "meta" in inner else document


def _kind(span: Json) -> str:
    meta = span["meta"]
    kind = first(meta, "span.kind", "kind", "span_kind") or span.get("span_kind")
    inner = meta.get("span")
    return shape.text(kind or (inner.get("kind") if isinstance(inner, dict) else None))


def parse(document: Json, source: str) -> Iterable[Call]:
    """The call of one span. Raises ValueError."""
    span = _span(shape.mapping(document, "span"))
    if (kind := _kind(span)) != "llm":
        raise ValueError(f"{shape.NOT_A_CALL}: span of kind {kind[:60]}")
    meta = span["meta"]
    asked, given = _turns(_said(meta.get("input"))), _said(meta.get("output"))
    settings = meta.get("metadata")
    body = {**(settings if isinstance(settings, dict) else {}), "messages": asked}
    body["model"] = first(meta, "model_name") or span.get("model_name")
    error = meta.get("error") if isinstance(meta.get("error"), dict) else None
    answer = failed(error) if error and error.get("message") else replies.read(given)
    start, took = first(span, "start_ns", "start", "start_ms"), shape.real(span.get("duration"))
    tokens = finish_and_usage.usage(span.get("metrics"))
    tools = first(meta, "tool_definitions") or span.get("tool_definitions")
    fields = answer.fields()
    yield build(
        source=source,
        request=requests.request(body, tools or body.get("tools")),
        id=first(span, "span_id"),
        at=times.seconds(start),
        latency_s=None if took is None else took / 1e9 if took > 1e5 else took / 1e3,
        conversation_id=span.get("session_id"),
        client=shape.text(first(span, "ml_app", "service")),
        **{**fields, "tokens": tokens if any(t is not None for t in tokens) else fields["tokens"]},
    )


def _turns(messages: object) -> object:
    """Messages with each of their `tool_results` as a message of its own."""
    if not isinstance(messages, list):
        return messages
    turns: list[object] = []
    for message in messages:
        results = message.get("tool_results") if isinstance(message, dict) else None
        if not isinstance(results, list) or not results:
            turns.append(message)
            continue
        turns += [
            {"role": "tool", "tool_call_id": r.get("tool_id"), "content": r.get("result")}
            for r in results
            if isinstance(r, dict)
        ]
        turns += [message] if message.get("content") else []
    return turns


def _said(raw: Any) -> object:
    """A side of a span: messages, else its value."""
    side = loads(raw)
    return first(side, "messages", "value") if isinstance(side, dict) else side
