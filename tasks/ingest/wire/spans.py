"""Spans, however they were exported: OTLP-JSON, SDK dumps, Phoenix rows, MLflow and Langfuse.

A `Span` has its attributes as a tree: `llm.input_messages.0.message.role` is found at
`attributes["llm"]["input_messages"][0]["message"]["role"]`, whether it came dotted or nested.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tasks.core.records import Call, Json
from tasks.ingest.wire import finish_and_usage, requests, shape, times
from tasks.ingest.wire.build import build
from tasks.ingest.wire.completion import NOTHING, Completion
from tasks.ingest.wire.lenient_json import literal
from tasks.ingest.wire.shape import first, loads

_DROPPED = (
    *("droppedAttributesCount", "dropped_attributes_count", "dropped_attributes"),
    *("droppedEventsCount", "dropped_events_count", "dropped_events"),
)
REPEATS = "flywheel.repeats"  # set by `mark` on a span that another one tells better
_ASKED = frozenset(
    {*requests.PARAMETERS, "system", "instructions", "system_instruction", *requests.STORED}
)
MOST = 10_000  # items of an array that stands in numbered attributes
SESSIONS = (
    *("gen_ai.conversation.id", "session.id", "langfuse.session.id", "thread_id"),
    *("traceloop.association.properties.session_id", "gcp.vertex.agent.session_id"),
    *("traceloop.association.properties.thread_id", "conversation_id"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A span, as every exporter has it."""

    id: str
    name: str
    start: float | None
    end: float | None
    attributes: Json
    events: list[tuple[str, Json]]
    error: str | None
    dropped: int = 0  # attributes or events that the exporter left out for their number

    def get(self, path: str) -> Any:
        """The attribute (or subtree) under a dotted path, or None."""
        return at(self.attributes, path)

    def first(self, *paths: str) -> object:
        """The first of these attributes that is there."""
        return next((v for p in paths if (v := self.get(p)) is not None), None)

    def text(self, *paths: str) -> str:
        """The first of these attributes that is a name."""
        return next((t for p in paths if (t := shape.text(self.get(p)))), "")


def at(tree: object, path: str) -> object:
    """Return what stands in a tree under a dotted path.

    A value that has children is under the key ''.
    """
    for part in path.split("."):
        tree = tree.get(part) if isinstance(tree, dict) else None
    return tree.get("", tree) if isinstance(tree, dict) else tree


def tree(flat: Mapping[str, object]) -> Json:
    """Dotted keys as nested objects, and objects with numbers for keys as arrays."""
    root: Json = {}
    for key, value in flat.items():
        node = root
        *path, leaf = str(key).split(".")
        for part in path:
            inner = node.get(part)
            if not isinstance(inner, dict):
                inner = node[part] = {} if inner is None else {"": inner}
            node = inner
        value = _nested(value)
        if isinstance(old := node.get(leaf), dict):
            old.update(value if isinstance(value, dict) else {"": value})
        else:
            node[leaf] = value
    return {k: _listed(v) for k, v in root.items()}


def _nested(value: object) -> object:
    if isinstance(value, dict):
        return tree(value)
    return [_nested(v) for v in value] if isinstance(value, list) else value


def _listed(node: Any) -> object:
    if not isinstance(node, dict):
        return node
    result = {k: _listed(v) for k, v in node.items()}
    if result and all(k.isdecimal() for k in result):
        size = int(max(result, key=int)) + 1
        whole = len(result) == size or size > MOST
        return list(map(result.get, sorted(result, key=int) if whole else map(str, range(size))))
    return result


def is_span(document: object) -> bool:
    """Return whether a document is one span of any exporter."""
    if not isinstance(document, dict):
        return False
    keys = document.keys()
    named = keys & {"spanId", "span_id", "context", "context.span_id", "span_context", "spanID"}
    console = "traceId" in keys and "id" in keys  # OpenTelemetry's JavaScript console
    if console and isinstance(document.get("tags"), dict):  # Zipkin
        return True
    return (bool(named) or console) and (
        "attributes" in keys or any(k.startswith("attributes.") for k in keys)
    )


def attributes(document: Json) -> Json:
    """A span's attributes as a tree."""
    raw = document.get("attributes")
    if raw is None and "traceId" in document and isinstance(document.get("tags"), dict):
        raw = document["tags"]  # Zipkin
    if raw is None:
        prefix = "attributes."
        raw = {k[len(prefix) :]: v for k, v in document.items() if k.startswith(prefix)}
    return tree({k: v for k, v in pairs(loads(raw)) if v is not None})


def pairs(raw: object) -> Iterator[tuple[str, object]]:
    """Attributes by name, from an object or from OTLP's list of keys and values."""
    if isinstance(raw, dict):
        yield from raw.items()
    elif isinstance(raw, list):  # OTLP: [{"key": ..., "value": {"stringValue": ...}}]
        for one in raw:
            if isinstance(one, dict) and isinstance(one.get("key"), str):
                yield one["key"], value_of(one.get("value"))


def value_of(raw: object) -> object:
    """A value of OTLP without the name of its type."""
    if not isinstance(raw, dict) or len(raw) != 1:
        return raw
    ((kind, value),) = raw.items()
    if kind == "arrayValue":
        return [value_of(v) for v in (value or {}).get("values") or []]
    if kind == "kvlistValue":
        return dict(pairs((value or {}).get("values") or []))
    if kind == "intValue":
        return int(value)
    return value if kind.endswith("Value") else raw


def read(document: Any) -> Span:
    """A document as a span. Raises ValueError."""
    raw = shape.mapping(document, "span")
    context = raw.get("context")
    inner = context if isinstance(context, dict) else {}
    names = ("spanId", "span_id", "context.span_id", "spanID", "id")
    told = attributes(raw)
    start = _time(raw, "startTimeUnixNano", "start_time_unix_nano", "start_time_ns", "startTime")
    return Span(
        id=shape.text(first(raw, *names) or first(inner, "span_id", "spanId")),
        name=shape.text(raw.get("name")),
        start=start if start is not None else times.seconds(raw.get("timestamp")),
        end=_end(raw),
        attributes=told,
        events=list(_events(raw.get("events"))),
        error=_error(raw),
        dropped=_dropped(raw, told),
    )


def _time(raw: Json, *names: str) -> float | None:
    plain = "start_time" if names[0].startswith("start") else "end_time"
    return times.seconds(first(raw, *names, plain))


def _dropped(raw: Json, told: Json) -> int:
    """Return how many attributes and events the exporter left out for their number."""
    noted = at(told, "otel.dropped_attributes_count")  # Jaeger and Zipkin have it as a tag
    return sum(shape.whole(count) or 0 for count in (noted, *map(raw.get, _DROPPED)))


def _end(raw: Json) -> float | None:
    stated = _time(raw, "endTimeUnixNano", "end_time_unix_nano", "end_time_ns", "endTime")
    began, took = times.seconds(raw.get("timestamp")), shape.real(raw.get("duration"))
    return stated if stated is not None or not began or took is None else began + took / 1e6


def _events(raw: object) -> Iterator[tuple[str, Json]]:
    events = loads(raw)
    for event in events if isinstance(events, list) else []:
        if isinstance(event, dict):
            body = event.get("body")
            inner = dict(pairs(loads(event.get("attributes"))))
            if isinstance(body, dict):
                inner.update(body)
            yield shape.text(first(event, "name", "event.name", "eventName")), inner


def _error(raw: Json) -> str | None:
    status = raw.get("status")
    code = first(status, "code", "status_code") if isinstance(status, dict) else status
    code = code or raw.get("status_code")
    if code not in (2, "2", "ERROR", "STATUS_CODE_ERROR", "STATUS_ERROR"):
        return None
    message = first(status, "message", "description") if isinstance(status, dict) else None
    return shape.text(message or raw.get("status_message")) or "error"


def all_there(items: list[object]) -> list[Any]:
    """An array that stood in numbered attributes. Raises ValueError when one of them is missing."""
    if None in items:
        where = items.index(None)
        raise ValueError(f"{shape.INCOMPLETE}: message {where} is not among the attributes")
    return items


def to_call(
    span: Span,
    source: str,
    asked: Json,
    answer: Completion | None,
    *,
    tokens: tuple[object, Any] = (None, None),
    id: str = "",
    model: str = "",
    finish: object = None,
) -> Call:
    """The call that a model's span tells of; what it lacks is taken from the answer's body."""
    if span.get(REPEATS):
        raise ValueError(f"{shape.NOT_A_CALL}: {span.get(REPEATS)}")
    if span.dropped:
        raise ValueError(f"{shape.INCOMPLETE}: the exporter dropped {span.dropped} attributes")
    if answer is None or (span.error and not (answer.reply.get("content") or answer.error)):
        if not span.error:
            raise ValueError(f"{shape.EMPTY}: the span holds no reply")
        answer = Completion(reply=dict(NOTHING), error=span.error)
    reason = finish[0] if isinstance(finish := literal(finish), list) and finish else finish
    stated = (shape.whole(tokens[0]), shape.whole(tokens[1]))
    fields = {
        **answer.fields(),
        "finish_reason": answer.finish_reason or finish_and_usage.finish(reason),
        "tokens": tuple(
            s if s is not None else a for s, a in zip(stated, answer.tokens, strict=True)
        ),
        "model": answer.model or model,
    }
    return build(
        source=source,
        request=asked,
        id=id or answer.id or span.id,
        at=span.start or answer.at,
        latency_s=times.elapsed(span.start, span.end),
        conversation_id=span.text(*SESSIONS),
        client=span.text("user.id", "enduser.id", "service.name"),
        hint=span.text("gen_ai.prompt.name", "llm.prompt_template.name", "langfuse.prompt.name"),
        **fields,
    )


def parameters(span: Span, *more: object) -> Json:
    """Model and sampling parameters of a span, as a request body has them."""
    result: Json = {}
    for source in (*more, span.get("gen_ai.request")):
        decoded = literal(source)
        if isinstance(decoded, dict):
            result.update({k: v for k, v in decoded.items() if k in _ASKED})
    return result
