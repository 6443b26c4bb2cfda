"""Pairs under other names: `req` and `res`, `requestBody`, HTTP messages, `input` and `output`.

The two sides are what has the marks of a provider's request and of its response.
"""

from __future__ import annotations

from collections.abc import Iterable

from tasks.core.records import Call, Json
from tasks.ingest.wire import pairs, replies, shape, stream
from tasks.ingest.wire.shape import loads

_SIDES = (
    *(("request", "response"), ("req", "res"), ("req", "resp"), ("requestBody", "responseBody")),
    *(("request_body", "response_body"), ("input", "output"), ("inputs", "outputs")),
    *(("prompt", "completion"), ("body", "response"), ("payload", "response"), ("", "response")),
    *(("llm_request", "llm_response"), ("query", "answer"), ("kwargs", "response")),
)
_WITHIN = ("body", "json", "data", "content")
_ASKS = frozenset({"messages", "contents", "input", "prompt", "inputText", "message"})


def sniff(document: object) -> bool:
    """Return whether two fields of a document are a request and its response."""
    return isinstance(document, dict) and _sides(document) is not None


def _sides(document: Json) -> tuple[Json, object] | None:
    inner = document.get("http")
    if isinstance(inner, dict) and {"request", "response"} <= inner.keys():  # ECS
        document = inner
    for asked, given in _SIDES:
        if given not in document or (asked and asked not in document):
            continue
        request = _body(document[asked]) if asked else document
        if isinstance(request, list) and request and _is_turn(request[0]):
            request = {"messages": request}
        response = _body(document[given])
        if isinstance(request, dict) and request.keys() & _ASKS and _is_response(response):
            return request, response
    return None


def _is_turn(item: object) -> bool:
    return isinstance(item, dict) and "role" in item


def _body(side: object) -> object:
    """A side's body, out of the HTTP message around it."""
    for _ in range(3):
        side = loads(side)
        if not isinstance(side, dict) or side.keys() & {*_ASKS, "choices", "candidates"}:
            break
        name = next((n for n in _WITHIN if isinstance(side.get(n), dict | str)), None)
        if name is None or replies.is_body(side):
            break
        side = side[name]
    return side


def _is_response(body: object) -> bool:
    if isinstance(body, str):
        return stream.is_sse(body)
    if isinstance(body, list):
        return stream.is_stream(body)
    return isinstance(body, dict) and (replies.is_body(body) or "error" in body)


def parse(document: object, source: str) -> Iterable[Call]:
    """The call of one document. Raises ValueError."""
    record = shape.mapping(document, "record")
    sides = _sides(record)
    if sides is None:
        raise ValueError(f"{shape.UNREADABLE}: no request and response")
    yield pairs.exchange(record, *sides, source)
