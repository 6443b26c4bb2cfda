"""Spans of the OpenAI Agents SDK's trace export: those of type `generation` and `response`."""

from __future__ import annotations

from collections.abc import Iterable

from tasks.core.records import Call, Json
from tasks.ingest.wire import finish_and_usage, replies, requests, shape, times
from tasks.ingest.wire.build import build
from tasks.ingest.wire.completion import Completion, failed
from tasks.ingest.wire.shape import first


def sniff(document: object) -> bool:
    """Return whether this is a span or a trace of the SDK."""
    if not isinstance(document, dict):
        return False
    return "span_data" in document or document.get("object") in ("trace", "trace.span")


def parse(document: object, source: str) -> Iterable[Call]:
    """The call of one span. Raises ValueError."""
    span = shape.mapping(document, "span")
    data = span.get("span_data")
    kind = data.get("type") if isinstance(data, dict) else span.get("object")
    if not isinstance(data, dict) or kind not in ("generation", "response"):
        raise ValueError(f"{shape.NOT_A_CALL}: span of type {str(kind)[:60]}")
    response = data.get("response")
    settings = data.get("model_config")
    body = {**(settings if isinstance(settings, dict) else {}), "model": data.get("model")}
    if isinstance(response, dict):
        names = ("model", "instructions", "tools", "text", "temperature", "tool_choice")
        body = {k: response[k] for k in names if response.get(k) is not None}
    if data.get("input") is None:
        raise ValueError(f"{shape.UNREADABLE}: the span was exported without its input")
    given = (
        failed(span["error"])
        if span.get("error")
        else replies.read(response if isinstance(response, dict) else data.get("output"), body=True)
    )
    start, end = times.seconds(span.get("started_at")), times.seconds(span.get("ended_at"))
    yield build(
        source=source,
        request=requests.request({**body, "input": data["input"]}),
        id=given.id or first(data, "response_id") or span.get("id"),
        at=start or given.at,
        latency_s=times.elapsed(start, end),
        conversation_id=first(span, "group_id", "trace_id"),
        **_fields(given, data),
    )


def _fields(given: Completion, data: Json) -> Json:
    """The answer's fields with the tokens that the span states."""
    fields = given.fields()
    stated = finish_and_usage.usage(data.get("usage"))
    return {**fields, "tokens": stated} if any(t is not None for t in stated) else fields
