"""Helicone's export (JSONL, JSON or CSV) with request and response bodies."""

from __future__ import annotations

from collections.abc import Iterable

from tasks.core.records import Call, Json
from tasks.ingest.wire import finish_and_usage, replies, requests, shape, times
from tasks.ingest.wire.build import build
from tasks.ingest.wire.completion import NOTHING, Completion
from tasks.ingest.wire.shape import first, loads


def sniff(document: object) -> bool:
    """Return whether this is a row of Helicone's export."""
    return isinstance(document, dict) and {"request_body", "response_body"} <= document.keys()


def parse(document: Json, source: str) -> Iterable[Call]:
    """The call of one row. Raises ValueError."""
    row = shape.mapping(document, "row")
    asked = _whole(shape.mapping(loads(row.get("request_body")), "request_body"))
    given = _answer(row)
    start = times.seconds(row.get("request_created_at"))
    end = times.seconds(row.get("response_created_at"))
    stated = shape.real(first(row, "latency", "delay_ms"))  # milliseconds
    taken, output = finish_and_usage.usage(row)
    yield build(
        source=source,
        request=requests.request({"model": row.get("model"), **asked}),
        id=given.id or first(row, "response_id", "request_id"),
        at=start or given.at,
        latency_s=stated / 1e3 if stated is not None else times.elapsed(start, end),
        conversation_id=_session(row),
        client=shape.text(row.get("request_user_id")),
        **{**given.fields(), "tokens": (taken, output) if taken or output else given.tokens},
    )


def _answer(row: Json) -> Completion:
    status = shape.whole(row.get("response_status"))
    body = loads(row.get("response_body"))
    if status is not None and status >= 400 and not (isinstance(body, dict) and body.get("error")):
        return Completion(reply=dict(NOTHING), error=f"status {status}")
    if isinstance(body, dict) and isinstance(_whole(body).get("streamed_data"), list | str):
        body = body["streamed_data"]
    return replies.read(body)


def _whole(body: Json) -> Json:
    """A body that was not left out for its size. Raises ValueError."""
    if said := body.get("helicone_message"):
        raise ValueError(f"{shape.UNREADABLE}: Helicone left a body out: {str(said)[:80]}")
    return body


def _session(row: Json) -> object:
    properties = loads(row.get("request_properties"))
    names = ("Helicone-Session-Id", "session_id", "conversation_id", "sessionId")
    return first(properties, *names) if isinstance(properties, dict) else None
