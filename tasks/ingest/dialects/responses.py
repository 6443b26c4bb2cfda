"""OpenAI Responses API pairs: `{request: {input, instructions}, response: {output}}`."""

from __future__ import annotations

from collections.abc import Iterable

from tasks.core.records import Call
from tasks.ingest.wire import pairs, replies, requests, shape
from tasks.ingest.wire.shape import loads


def sniff(document: object) -> bool:
    """Return whether this is a pair of the Responses API."""
    if not isinstance(document, dict) or "response" not in document:
        return False
    asked = loads(document.get("request"))
    return isinstance(asked, dict) and "input" in asked and "messages" not in asked


def parse(document: object, source: str) -> Iterable[Call]:
    """The call of one pair. Raises ValueError."""
    pair = shape.mapping(document, "record")
    asked = shape.mapping(loads(pair.get("request")), "request")
    yield pairs.call(
        pair, requests.request(asked), replies.read(pair.get("response"), body=True), source
    )
