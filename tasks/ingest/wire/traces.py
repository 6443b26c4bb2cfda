"""Exported traces: the spans in a document of OTLP, Jaeger, Zipkin or OTLP logs, each call once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from tasks.core.records import Json
from tasks.ingest.wire import shape
from tasks.ingest.wire.shape import first, loads
from tasks.ingest.wire.spans import REPEATS, pairs, value_of

_MESSAGES = ("gen_ai.prompt.", "gen_ai.input.messages", "llm.input_messages", "gen_ai.completion.")


def otlp(document: Json) -> Iterator[Json]:
    """The spans of an OTLP-JSON export, each with its resource's service name."""
    for resource in _list(document, "resourceSpans", "resource_spans"):
        shared = dict(pairs((resource.get("resource") or {}).get("attributes")))
        for scope in _list(resource, "scopeSpans", "scope_spans", "instrumentationLibrarySpans"):
            for span in _list(scope, "spans"):
                own = dict(pairs(loads(span.get("attributes"))))
                name = {k: v for k, v in shared.items() if k == "service.name"}
                yield {**span, "attributes": {**name, **own}}


def _list(node: object, *names: str) -> list[Json]:
    items = first(node, *names) if isinstance(node, dict) else None
    return [x for x in items if isinstance(x, dict)] if isinstance(items, list) else []


def mark(
    spans: Iterable[Json],
    is_call: Callable[[Json], bool],
    is_full: Callable[[Json], bool],
    flag: Callable[[Json, str], Json],
) -> Iterator[Json]:
    """Flag one of two spans of a trace that record the same model call, one above the other.

    It is the one without structured messages, else the outer one.
    """
    ids = list(spans)
    calls = {own(s): s for s in ids if is_call(s)}
    flagged: dict[str, str] = {}
    for inner in calls.values():
        outer = calls.get(parent(inner))
        if outer is not None and is_full(outer) and not is_full(inner):
            flagged[own(inner)] = "repeats the span above it"
        elif outer is not None:
            flagged[own(outer)] = "wraps another model call"
    for span in ids:
        why = flagged.get(own(span)) if is_call(span) else None
        yield flag(span, why) if why else span


def own(span: Json) -> str:
    """A span's id, as any exporter names it."""
    context = span.get("context")
    inner = context.get("span_id") if isinstance(context, dict) else None
    return shape.text(first(span, "spanId", "span_id", "spanID", "id", "context.span_id") or inner)


def parent(span: Json) -> str:
    """The id of the span that a span stands in; empty at the root."""
    names = ("parentSpanId", "parent_span_id", "parent_id", "parentObservationId", "parentId")
    return shape.text(first(span, *names, "parent_observation_id", "parent_run_id"))


def trace_of(span: Json) -> str:
    """The id of a span's trace."""
    context = span.get("context")
    inner = context.get("trace_id") if isinstance(context, dict) else None
    return shape.text(first(span, "traceId", "trace_id", "traceID", "context.trace_id") or inner)


def trace(listed: Iterable[Json]) -> Iterator[Json]:
    """The spans of OTLP or SDK exports, model calls that were recorded twice flagged."""
    yield from mark(listed, _holds_messages, _holds_messages, _flag)


def _holds_messages(span: Json) -> bool:
    names = [k for k, _ in pairs(loads(span.get("attributes")))]
    agent = any(v in ("invoke_agent", "AGENT", "CHAIN") for _, v in pairs(span.get("attributes")))
    return not agent and any(n.startswith(_MESSAGES) for n in names)


def _flag(span: Json, why: str) -> Json:
    return {**span, "attributes": {**dict(pairs(span.get("attributes"))), REPEATS: why}}


def log_records(document: Json) -> Iterator[Json]:
    """The spans that the records of an OTLP-JSON log export belong to, with these as their events.

    Records without a span are a span each.
    """
    gathered: dict[str, Json] = {}
    for resource in _list(document, "resourceLogs", "resource_logs"):
        shared = dict(pairs((resource.get("resource") or {}).get("attributes")))
        for scope in _list(resource, "scopeLogs", "scope_logs"):
            for number, record in enumerate(_list(scope, "logRecords", "log_records")):
                key = shape.text(first(record, "spanId", "span_id")) or f"{len(gathered)}.{number}"
                name = {k: v for k, v in shared.items() if k == "service.name"}
                at = first(record, "timeUnixNano", "time_unix_nano", "observedTimeUnixNano")
                span = gathered.setdefault(
                    f"{record.get('traceId')} {key}",
                    {
                        "traceId": first(record, "traceId", "trace_id"),
                        "spanId": key,
                        "startTimeUnixNano": at,
                        "attributes": name,
                        "events": [],
                    },
                )
                span["endTimeUnixNano"] = at
                span["attributes"] = {**dict(pairs(record.get("attributes"))), **span["attributes"]}
                span["events"].append(_event(record))
    yield from trace(gathered.values())


def _event(record: Json) -> Json:
    own = dict(pairs(record.get("attributes")))
    body = value_of(record.get("body"))
    named = first(record, "eventName", "event_name") or own.get("event.name")
    return {"name": named, "attributes": own, "body": body if isinstance(body, dict) else {}}


def jaeger(document: Json) -> Iterator[Json]:
    """The spans of one trace in Jaeger's JSON."""
    listed = []
    for span in _list(document, "spans"):
        start, took = shape.real(span.get("startTime")), shape.real(span.get("duration"))
        refs = [r for r in _list(span, "references") if r.get("refType") in (None, "CHILD_OF")]
        listed.append(
            {
                "traceId": span.get("traceID"),
                "spanId": span.get("spanID"),
                "parentSpanId": refs[0].get("spanID") if refs else None,
                "name": span.get("operationName"),
                "startTime": start,
                "endTime": None if start is None or took is None else start + took,
                "attributes": {t["key"]: t.get("value") for t in _list(span, "tags") if "key" in t},
                "events": [_logged(entry) for entry in _list(span, "logs")],
            }
        )
    yield from trace(listed)


def _logged(entry: Json) -> Json:
    fields = {f["key"]: f.get("value") for f in _list(entry, "fields") if "key" in f}
    return {"name": fields.pop("event", fields.pop("name", "")), "attributes": fields}
