"""Anthropic Messages pairs: `{request, response}` with content blocks, plain or streamed."""

from __future__ import annotations

from collections.abc import Iterable

from tasks.core.records import Call, Json
from tasks.ingest.wire import pairs, replies, requests, shape
from tasks.ingest.wire.shape import loads


def sniff(document: object) -> bool:
    """Return whether this is a pair whose reply (or request, when that failed) is Anthropic's."""
    if not isinstance(document, dict) or "response" not in document or "v" in document:
        return False
    given = document["response"]
    if isinstance(given, str):
        return "message_start" in given[:300] or '"stop_reason"' in given
    if isinstance(given, list):
        return (
            bool(given) and isinstance(given[0], dict) and given[0].get("type") == "message_start"
        )
    return isinstance(given, dict) and (given.get("type") == "message" or _failed(document, given))


def _failed(document: Json, given: Json) -> bool:
    asked = loads(document.get("request"))
    return given.get("type") == "error" and isinstance(asked, dict) and "messages" in asked


def parse(document: object, source: str) -> Iterable[Call]:
    """The call of one pair. Raises ValueError."""
    pair = shape.mapping(document, "record")
    asked = shape.mapping(loads(pair.get("request")), "request")
    yield pairs.call(
        pair, requests.request(asked), replies.read(pair.get("response"), body=True), source
    )
