"""OpenInference spans (Phoenix and others): `llm.input_messages.<i>.message.*` and relatives."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tasks.core.records import Call, Json
from tasks.ingest.wire import replies, requests, shape, spans
from tasks.ingest.wire.completion import Completion
from tasks.ingest.wire.lenient_json import literal
from tasks.ingest.wire.shape import loads
from tasks.ingest.wire.spans import Span


def sniff(document: Any) -> bool:
    """Return whether this is a span of OpenInference."""
    if not spans.is_span(document):
        return False
    attributes = spans.attributes(document)
    return any(spans.at(attributes, p) for p in ("openinference.span.kind", "llm.input_messages"))


def parse(document: object, source: str) -> Iterable[Call]:
    """The call of one span. Raises ValueError."""
    yield call(spans.read(document), source)


def call(span: Span, source: str) -> Call:
    """The call that an LLM span tells of. Raises ValueError."""
    kind = span.text("openinference.span.kind") or "LLM"
    if kind.upper() != "LLM":
        raise ValueError(f"{shape.NOT_A_CALL}: span of kind {kind[:60]}")
    given = _answer(span)
    return spans.to_call(
        span,
        source,
        request(span),
        given,
        tokens=(span.get("llm.token_count.prompt"), span.get("llm.token_count.completion")),
        model=span.text("llm.model_name"),
        finish=span.get("llm.finish_reason"),
    )


def request(span: Span, settings: Json | None = None) -> Json:
    """The request body that a span's attributes tell of. Raises ValueError."""
    messages = loads(span.get("llm.input_messages"))
    native = literal(span.get("input.value"))
    body = {**(settings or {}), **spans.parameters(span, span.get("llm.invocation_parameters"))}
    body.setdefault("model", span.text("llm.model_name"))
    tools = span.get("llm.tools")
    if isinstance(native, dict) and native.get("tools") and not tools:
        tools = native["tools"]
    if not messages:
        messages = native if native else loads(span.get("llm.prompts"))
    if isinstance(messages, list):
        messages = [_message(m) for m in spans.all_there(messages)]
    return requests.request({**body, "messages": messages}, tools)


def _message(raw: object) -> Any:
    """Roles that a framework left out are the user's."""
    inner = raw.get("message") if isinstance(raw, dict) else None
    if isinstance(inner, dict) and "role" not in inner:
        return {"message": {"role": "user", **inner}}
    return raw


def _answer(span: Span) -> Completion | None:
    """The reply, from the response body where one was logged: it also holds id and reason."""
    raw = span.get("output.value")
    native = literal(raw)
    if isinstance(native, dict) and replies.is_body(native, written=True):
        return replies.read(native)
    if messages := loads(span.get("llm.output_messages")):
        return replies.read(messages)
    return replies.read(raw) if raw not in (None, "") else None
