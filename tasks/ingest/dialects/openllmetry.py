"""OpenLLMetry (Traceloop) spans: `gen_ai.prompt.<i>.*`, `gen_ai.completion.<i>.*` and relatives."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tasks.core.records import Call, Json
from tasks.ingest.dialects import otel
from tasks.ingest.wire import finish_and_usage, replies, requests, shape, spans
from tasks.ingest.wire.completion import Completion
from tasks.ingest.wire.lenient_json import literal
from tasks.ingest.wire.spans import Span


def sniff(document: Any) -> bool:
    """Return whether this is a span of OpenLLMetry."""
    if not spans.is_span(document):
        return False
    attributes = spans.attributes(document)
    indexed = isinstance(spans.at(attributes, "gen_ai.prompt"), list)
    return indexed or any(
        spans.at(attributes, p) is not None for p in ("traceloop", "llm.request.type")
    )


def parse(document: object, source: str) -> Iterable[Call]:
    """The call of one span. Raises ValueError."""
    yield call(spans.read(document), source)


def call(span: Span, source: str) -> Call:
    """The call that indexed prompt and completion attributes tell of. Raises ValueError."""
    asked, given = span.get("gen_ai.prompt"), span.get("gen_ai.completion")
    if not isinstance(asked, list):
        kind = span.text("traceloop.span.kind")
        if kind and span.get("gen_ai.input.messages") is None:
            raise ValueError(f"{shape.NOT_A_CALL}: span of kind {kind[:60]}")
        return otel.call(span, source)
    body: Json = {"messages": [_message(m) for m in spans.all_there(asked)]}
    body.update(spans.parameters(span))
    if (schema := literal(span.get("gen_ai.request.structured_output_schema"))) and (
        isinstance(schema, dict)
    ):
        form = {"name": "answer", "schema": schema}
        body["response_format"] = {"type": "json_schema", "json_schema": form}
    prompt, completion = otel.tokens(span)
    return spans.to_call(
        span,
        source,
        requests.request(body, span.get("llm.request.functions") or span.get("gen_ai.tool")),
        _answer(given),
        tokens=(prompt, completion),
        id=span.text("gen_ai.response.id"),
        model=span.text("gen_ai.response.model", "gen_ai.request.model"),
    )


def _message(raw: Json) -> Json:
    """Content that is a list of parts was logged as its JSON text."""
    content = literal(raw.get("content"))
    parts = isinstance(content, list) and all(isinstance(p, dict) and "type" in p for p in content)
    return {**raw, "content": content if parts else raw.get("content")}


def _answer(raw: object) -> Completion | None:
    if not isinstance(raw, list) or not raw or not isinstance(raw[0], dict):
        return None
    one = raw[0]
    if one.get("role") == "assistant" or "content" in one or "tool_calls" in one:
        return replies.read([{"role": "assistant", **_message(one)}])
    if finish_and_usage.finish(one.get("finish_reason")) == "content_filter":
        return Completion(
            reply={"role": "assistant", "content": None}, finish_reason="content_filter"
        )
    return None
