"""Gemini pairs `{request: {contents}, response}` and Vertex AI's request-response log."""

from __future__ import annotations

from collections.abc import Iterable

from tasks.core.records import Call
from tasks.ingest.wire import pairs, shape
from tasks.ingest.wire.shape import first, loads


def sniff(document: object) -> bool:
    """Return whether this is a pair of the Gemini API, or a row of Vertex AI's log."""
    if not isinstance(document, dict):
        return False
    if document.keys() >= {"full_request", "full_response"}:
        return True
    if not document.keys() & {"response", "response_payload"}:
        return False
    asked = loads(_payload(first(document, "request", "request_payload")))
    return isinstance(asked, dict) and "contents" in asked


def parse(document: object, source: str) -> Iterable[Call]:
    """The call of one pair. Raises ValueError."""
    pair = shape.mapping(document, "record")
    request = _payload(first(pair, "full_request", "request", "request_payload"))
    response = first(pair, "full_response", "response", "response_payload")
    asked = shape.mapping(loads(request), "request")
    if "contents" not in asked and isinstance(listed := pair.get("request_payload"), list):
        request, response = _payload(listed), _payload(pair.get("response_payload"))
        asked = shape.mapping(loads(request), "request_payload")
    elif "response_payload" in pair and response is pair["response_payload"]:
        response = _payload(response)
    if not response and (status := shape.text(pair.get("status"))):  # of a batch
        response = {"error": {"message": status}}
    model = first(pair, "model") or shape.text(pair.get("endpoint")).rpartition("/")[2]
    yield pairs.exchange(pair, {"model": model, **asked}, response, source)


def _payload(listed: object) -> object:
    """BigQuery's rows hold the bodies as arrays of texts."""
    return "".join(map(str, listed)) if isinstance(listed, list) else listed
