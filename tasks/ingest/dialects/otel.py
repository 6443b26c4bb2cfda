"""OpenTelemetry GenAI spans: `gen_ai.*` attributes, today's and those of the older conventions.

Also what frameworks put in their place: events per message, pydantic-ai's `events` and Google ADK's
`gcp.vertex.agent.*`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tasks.core.records import Call, Json
from tasks.ingest.wire import messages, replies, requests, shape, spans
from tasks.ingest.wire.completion import Completion
from tasks.ingest.wire.lenient_json import literal
from tasks.ingest.wire.shape import loads
from tasks.ingest.wire.spans import Span

OPERATIONS = ("", "chat", "generate_content", "text_completion", "completion")
_DETAILS = "gen_ai.client.inference.operation.details"


def sniff(document: Any) -> bool:
    """Return whether this is a span with attributes of the GenAI conventions."""
    if not spans.is_span(document):
        return False
    events = document.get("events")
    named = (
        [e.get("name") for e in events if isinstance(e, dict)] if isinstance(events, list) else []
    )
    told = any(isinstance(name, str) and name.startswith("gen_ai.") for name in named)
    return told or has(document, "gen_ai.", "gcp.vertex.agent.")


def has(document: Json, *prefixes: str) -> bool:
    """Return whether a span has an attribute under one of these prefixes."""
    attributes = spans.attributes(document)
    return any(spans.at(attributes, p.rstrip(".")) is not None for p in prefixes)


def parse(document: object, source: str) -> Iterable[Call]:
    """The call of one span. Raises ValueError."""
    yield call(spans.read(document), source)


def call(span: Span, source: str) -> Call:
    """The call that a span's `gen_ai` attributes and events tell of. Raises ValueError."""
    operation = span.text("gen_ai.operation.name")
    if operation not in OPERATIONS:
        raise ValueError(f"{shape.NOT_A_CALL}: operation {operation[:60]}")
    asked, given = sent(span), received(span)
    if not asked and given is None:
        raise ValueError(f"{shape.NOT_A_CALL}: span {span.name[:60]!r} holds no messages")
    return spans.to_call(
        span,
        source,
        asked if "messages" in asked else requests.request(asked),
        given,
        tokens=tokens(span),
        id=span.text("gen_ai.response.id"),
        model=span.text("gen_ai.response.model", "gen_ai.request.model"),
        finish=span.get("gen_ai.response.finish_reasons"),
    )


def tokens(span: Span) -> tuple[object, object]:
    """Prompt and completion tokens in today's and in older attributes."""
    paths = ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens")
    more = ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens")
    given = [span.get(p) for p in more]
    taken = [span.get(p) for p in paths]
    return next((t for t in taken if t is not None), None), next(
        (g for g in given if g is not None), None
    )


def _merged(span: Span) -> Json:
    """The span's own attributes, or those of the event that holds its details."""
    for name, inner in span.events:
        if name == _DETAILS or "gen_ai.input.messages" in inner:
            return spans.tree(inner)
    return {}


def sent(span: Span) -> Json:
    """The request body; empty when the span has none."""
    details = _merged(span)

    def look(path: str) -> object:
        return span.get(path) if span.get(path) is not None else spans.at(details, path)

    if (native := loads(span.get("gcp.vertex.agent.llm_request"))) and isinstance(native, dict):
        return requests.request(native)
    if isinstance(asked := loads(span.get("request_data")), dict) and "messages" in asked:
        return requests.request(asked)  # Logfire
    messages = look("gen_ai.input.messages") or _event_messages(span)
    messages = literal(messages) or literal(span.get("gen_ai.prompt"))
    if not messages:
        return {}
    body: Json = {"messages": messages if isinstance(messages, list | dict) else str(messages)}
    if system := look("gen_ai.system_instructions"):
        body["system"] = literal(system)
    body.update(spans.parameters(span))
    tools = look("gen_ai.tool.definitions")
    return requests.request(body, literal(tools) or pydantic_tools(span))


def pydantic_tools(span: Span) -> list[Json]:
    """The tools that pydantic-ai logs as its own parameters."""
    parameters = literal(span.get("model_request_parameters"))
    if not isinstance(parameters, dict):
        return []
    tools = [*(parameters.get("function_tools") or []), *(parameters.get("output_tools") or [])]
    return [
        {**t, "parameters": t.get("parameters_json_schema")} for t in tools if isinstance(t, dict)
    ]


def _all_events(span: Span) -> list[tuple[str, Json]]:
    logged = loads(span.get("events"))
    inner = [e for e in logged if isinstance(e, dict)] if isinstance(logged, list) else []
    return [*span.events, *((shape.text(e.get("event.name") or e.get("event")), e) for e in inner)]


def _event_messages(span: Span) -> list[Json]:
    """Messages that were logged as one event each."""
    logged: list[Json] = []
    for name, inner in _all_events(span):
        role = name.removeprefix("gen_ai.").removesuffix(".message")
        if role in ("system", "user", "assistant", "tool") and name.endswith(".message"):
            fields = {k: loads(v) if k == "tool_calls" else v for k, v in inner.items()}
            logged.append({"tool_call_id": inner.get("id"), **fields, "role": role})
        elif name == "gen_ai.content.prompt":
            logged.extend(messages.said(literal(inner.get("gen_ai.prompt"))))
    return logged


def received(span: Span) -> Completion | None:
    """The reply; None when the span has none."""
    details = _merged(span)
    native = loads(span.get("gcp.vertex.agent.llm_response"))
    output = native if isinstance(native, dict) else span.get("gen_ai.output.messages")
    output = output or spans.at(details, "gen_ai.output.messages")
    output = output or loads(span.get("response_data"))
    for name, inner in _all_events(span):
        if name == "gen_ai.choice" and not output:
            message = loads(inner.get("message")) or inner
            output = {"message": message, "finish_reason": inner.get("finish_reason")}
        elif name == "gen_ai.content.completion" and not output:
            output = inner.get("gen_ai.completion")
    output = output or span.get("gen_ai.completion")
    return replies.read(output) if output else None
