"""Langfuse observations: API (camelCase), blob export (snake_case) and exported traces.

Where a span came in over OpenTelemetry its attributes are in the metadata and tell more than
`input` and `output`, which Langfuse derived from them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tasks.core.records import Call, Json
from tasks.ingest.dialects import openinference, otel
from tasks.ingest.wire import finish_and_usage, replies, requests, shape, spans, times, traces
from tasks.ingest.wire.build import build
from tasks.ingest.wire.completion import NOTHING, Completion
from tasks.ingest.wire.lenient_json import literal
from tasks.ingest.wire.shape import first, loads
from tasks.ingest.wire.spans import Span

_TYPES = frozenset(
    {"SPAN", "GENERATION", "EVENT", "AGENT", "TOOL", "CHAIN", "RETRIEVER", "EVALUATOR"}
    | {"EMBEDDING", "GUARDRAIL"}
)
_SENT = ("generation-create", "generation-update")  # by the SDKs to the ingestion API
_SETTINGS = (
    *requests.PARAMETERS,
    "instructions",
    "system_instruction",
    "system",
    "text",
    *requests.STORED,
)


def sniff(document: object) -> bool:
    """Return whether this is an observation."""
    if not isinstance(document, dict):
        return False
    if document.get("type") in _SENT:
        return isinstance(document.get("body"), dict)
    if str(document.get("type")) not in _TYPES:
        return False
    return (bool(document.keys() & {"traceId", "trace_id"}) and "startTime" in document) or (
        "start_time" in document and "trace_id" in document
    )


def split(document: Json) -> Iterator[Json]:
    """The observations of an exported trace, with its session and scores."""
    trace = document.get("trace")
    trace = trace if isinstance(trace, dict) else document
    scores = [s for s in trace.get("scores") or [] if isinstance(s, dict)]
    shared = {k: trace[k] for k in ("sessionId", "userId") if trace.get(k)}
    listed = [
        {**shared, **o, "scores": [s for s in scores if s.get("observationId") == o.get("id")]}
        for o in document["observations"]
        if isinstance(o, dict)
    ]
    yield from traces.mark(listed, _is_call, _is_full, lambda o, why: {**o, spans.REPEATS: why})


def _is_call(observation: Json) -> bool:
    return observation.get("type") == "GENERATION"


def _is_full(observation: Json) -> bool:
    """Return whether its messages are structured, not one text."""
    prompt = loads(observation.get("input"))
    if isinstance(prompt, dict):
        prompt = first(prompt, "messages", "contents", "input")
    listed = isinstance(prompt, list) and all(isinstance(m, dict) for m in prompt)
    return listed or _attributes(observation).get("llm", {}).get("input_messages") is not None


def _attributes(observation: Json) -> Json:
    """The OpenTelemetry attributes that the observation was made from."""
    metadata = loads(observation.get("metadata"))
    inner = loads(metadata.get("attributes")) if isinstance(metadata, dict) else None
    return spans.tree(inner) if isinstance(inner, dict) else {}


def parse(document: Json, source: str) -> Iterable[Call]:
    """The call of one observation. Raises ValueError."""
    seen = shape.mapping(document, "observation")
    if seen.get("type") in _SENT:
        seen = {"startTime": seen.get("timestamp"), **seen["body"], "type": "GENERATION"}
    if seen.get("type") != "GENERATION":
        raise ValueError(f"{shape.NOT_A_CALL}: observation of type {str(seen.get('type'))[:40]}")
    if why := seen.get(spans.REPEATS):
        raise ValueError(f"{shape.NOT_A_CALL}: {why}")
    start, end = (times.seconds(first(seen, f"{n}Time", f"{n}_time")) for n in ("start", "end"))
    span = _span(seen, start, end)
    given = _answer(seen, span)
    used = loads(first(seen, "usageDetails", "usage_details", "usage"))
    tokens = finish_and_usage.usage(used if used else seen)
    fields = {
        **given.fields(),
        "tokens": tokens if any(t is not None for t in tokens) else given.tokens,
        "model": given.model or shape.text(_model(seen)),
    }
    metadata = loads(seen.get("metadata"))
    thread = first(metadata, "thread_id", "conversation_id") if isinstance(metadata, dict) else None
    yield build(
        source=source,
        request=_request(seen, span),
        id=given.id or span.text("gen_ai.response.id") or seen.get("id"),
        at=start or given.at,
        latency_s=times.elapsed(start, end),
        conversation_id=first(seen, "sessionId", "session_id")
        or span.text(*spans.SESSIONS)
        or thread,
        client=shape.text(first(seen, "userId", "user_id")) or span.text("user.id"),
        hint=shape.text(first(seen, "promptName", "prompt_name")),
        feedback=_feedback(seen.get("scores")),
        **fields,
    )


def _span(seen: Json, start: float | None, end: float | None) -> Span:
    attributes = _attributes(seen)
    name, id = shape.text(seen.get("name")), shape.text(seen.get("id"))
    return Span(
        id=id, name=name, start=start, end=end, attributes=attributes, events=[], error=None
    )


def _model(seen: Json) -> object:
    names = ("providedModelName", "provided_model_name", "model", "model_id")
    return first(seen, *names)


def _request(seen: Json, span: Span) -> Json:
    asked = loads(seen.get("input"))
    settings = loads(first(seen, "modelParameters", "model_parameters"))
    body: Json = {}
    if isinstance(settings, dict):
        body = {k: loads(v) for k, v in settings.items() if k in _SETTINGS}
    body["model"] = _model(seen)
    tools = first(seen, "toolDefinitions", "tool_definitions") or span.get("llm.tools")
    tools = tools or span.get("gen_ai.tool.definitions") or span.get("ai.prompt.tools")
    tools = tools or otel.pydantic_tools(span)
    if span.get("llm.input_messages"):
        return openinference.request(span, body)
    if isinstance(asked, dict) and not asked.get("role"):
        return requests.request({**body, **asked}, literal(tools) or asked.get("tools"))
    return requests.request({**body, "messages": asked}, literal(tools) or None)


def _answer(seen: Json, span: Span) -> Completion:
    output = loads(seen.get("output"))
    text = shape.text(first(seen, "statusMessage", "status_message"))
    if seen.get("level") == "ERROR" and (text or not output):
        return Completion(reply=dict(NOTHING), error=text[:500] or "error")
    if not output and span.get("llm.output_messages") is not None:
        return replies.read(span.get("llm.output_messages"))
    listed = isinstance(output, list) and bool(output)
    if listed and all(isinstance(c, dict) and "toolName" in c for c in output):
        return replies.read({"role": "assistant", "content": None, "tool_calls": output})
    return replies.read(seen.get("output"))  # as it came: a text may be an answer in JSON


def _feedback(scores: object) -> float | None:
    values = [
        value
        for one in (scores if isinstance(scores, list) else [])
        if isinstance(one, dict) and (value := shape.real(one.get("value"))) is not None
    ]
    return sum(values) / len(values) if values else None
