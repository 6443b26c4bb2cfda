"""MLflow traces: exported JSON or rows of `search_traces`; spans of type CHAT_MODEL and LLM."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from tasks.core.records import Call, Json
from tasks.ingest.wire import finish_and_usage, replies, requests, shape, spans, traces
from tasks.ingest.wire.shape import first, loads

_KINDS = ("CHAT_MODEL", "LLM")


def sniff(document: Any) -> bool:
    """Return whether this is a span that MLflow logged."""
    if not spans.is_span(document):
        return False
    return spans.at(spans.attributes(document), "mlflow.spanType") is not None


def split(document: Json) -> Iterator[Json]:
    """The spans of a trace, each with its trace's session; of nested model calls the inner."""
    data = loads(document.get("data"))
    listed = loads(first(data, "spans") if isinstance(data, dict) else document.get("spans"))
    info = loads(document.get("info"))
    info = info if isinstance(info, dict) else document
    shared = {
        **_object(info.get("tags")),
        **_object(first(info, "trace_metadata", "request_metadata")),
    }
    session = first(shared, "mlflow.trace.session", "session_id")
    ready = []
    for span in listed if isinstance(listed, list) else []:
        if isinstance(span := loads(span), dict):
            inner = loads(span.get("attributes"))
            extra = {"session.id": session} if session else {}
            ready.append({**span, "attributes": {**_object(inner), **extra}})
    yield from traces.mark(ready, _is_call, _is_call, _flag)


def _object(value: object) -> Json:
    decoded = loads(value)
    return decoded if isinstance(decoded, dict) else {}


def _is_call(span: Json) -> bool:
    return loads(_object(span.get("attributes")).get("mlflow.spanType")) in _KINDS


def _flag(span: Json, why: str) -> Json:
    return {**span, "attributes": {**_object(span.get("attributes")), spans.REPEATS: why}}


def parse(document: object, source: str) -> Iterable[Call]:
    """The call of one span. Raises ValueError."""
    span = spans.read(document)
    kind = loads(span.get("mlflow.spanType"))
    if kind not in _KINDS:
        raise ValueError(f"{shape.NOT_A_CALL}: span of type {str(kind)[:60]}")
    asked, given = loads(span.get("mlflow.spanInputs")), loads(span.get("mlflow.spanOutputs"))
    used = _object(span.get("mlflow.chat.tokenUsage"))
    tools = loads(span.get("mlflow.chat.tools"))
    body = asked if isinstance(asked, dict) else {"messages": asked}
    if isinstance(settings := loads(span.get("mlflow.invocation_params")), dict):
        body = {**settings, **body}
    named = loads(first(span.attributes, "model") or span.get("mlflow.llm.model"))
    yield spans.to_call(
        span,
        source,
        requests.request(body, tools or body.get("tools")),
        replies.read(given) if given else None,
        tokens=finish_and_usage.usage(used),
        model=shape.text(named),
    )
