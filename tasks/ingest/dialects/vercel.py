"""Spans of the Vercel AI SDK: `ai.prompt.messages`, `ai.response.*`, older `ai.result.*`.

A call is an inner span (`ai.generateText.doGenerate`); the outer one repeats it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tasks.core.records import Call, Json
from tasks.ingest.wire import replies, requests, shape, spans
from tasks.ingest.wire.completion import Completion
from tasks.ingest.wire.lenient_json import literal
from tasks.ingest.wire.shape import loads
from tasks.ingest.wire.spans import Span

_INNER = (".doGenerate", ".doStream")


def sniff(document: Any) -> bool:
    """Return whether this is a span of the SDK."""
    if not spans.is_span(document):
        return False
    attributes = spans.attributes(document)
    return any(spans.at(attributes, path) is not None for path in ("ai.operationId", "ai.prompt"))


def parse(document: object, source: str) -> Iterable[Call]:
    """The call of one span. Raises ValueError."""
    span = spans.read(document)
    operation = span.text("ai.operationId", "operation.name")
    if operation and not operation.split(" ")[0].endswith(_INNER):
        raise ValueError(f"{shape.NOT_A_CALL}: {operation[:60]} wraps the call or is none")
    yield spans.to_call(
        span,
        source,
        _request(span),
        answer(span),
        tokens=(
            span.first(
                "ai.usage.inputTokens", "ai.usage.promptTokens", "gen_ai.usage.input_tokens"
            ),
            span.first(
                "ai.usage.outputTokens", "ai.usage.completionTokens", "gen_ai.usage.output_tokens"
            ),
        ),
        id=span.text("ai.response.id", "gen_ai.response.id"),
        model=span.text("ai.response.model", "ai.model.id", "gen_ai.request.model"),
        finish=span.first(
            "ai.response.finishReason", "ai.finishReason", "gen_ai.response.finish_reasons"
        ),
    )


def _request(span: Span) -> Json:
    body: Json = {**spans.parameters(span), "messages": span.get("ai.prompt.messages")}
    if body["messages"] is None:
        body["messages"] = span.get("ai.prompt")
    if isinstance(schema := loads(span.get("ai.schema")), dict):
        form = {"name": span.text("ai.schema.name") or "answer", "schema": schema}
        body["response_format"] = {"type": "json_schema", "json_schema": form}
    return requests.request(body, literal(span.get("ai.prompt.tools")) or [])


def answer(span: Span) -> Completion | None:
    """The reply that a span tells of; None when it tells of none."""
    text = span.first("ai.response.text", "ai.result.text")
    if text is None:
        text = span.first("ai.response.object", "ai.result.object")
    calls = loads(span.first("ai.response.toolCalls", "ai.result.toolCalls"))
    if text is None and not calls:
        return None
    spoken = text if isinstance(text, str) else shape.dumps(text)
    content = None if text is None or (calls and not spoken) else spoken
    return replies.read({"role": "assistant", "content": content, "tool_calls": calls or []})
