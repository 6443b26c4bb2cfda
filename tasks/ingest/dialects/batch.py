"""OpenAI Batch lines: requests (`custom_id`, `body`) and their answers, joined by `custom_id`.

The two halves stand in different files; `tasks.ingest` joins them across a source with `Joiner`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from tasks.core.records import Call, Json
from tasks.ingest.wire import pairs, replies, requests, shape


def sniff(document: Any) -> bool:
    """Whether this is a line of a batch, of either half or joined."""
    if not isinstance(document, dict) or "custom_id" not in document:
        return False
    return "body" in document or "response" in document


def parse(document: Any, source: str) -> Iterable[Call]:
    """The call of one joined line. Raises ValueError."""
    line = shape.mapping(document, "batch line")
    if "body" not in line:
        raise ValueError(f"{shape.UNREADABLE}: no request with this custom_id in the source")
    if "response" not in line and not line.get("error"):
        raise ValueError(f"{shape.EMPTY}: no answer with this custom_id in the source")
    response = line.get("response")
    given = response.get("body") if isinstance(response, dict) else None
    asked = shape.mapping(line["body"], "body")
    made = replies.read({"error": line["error"]} if line.get("error") else given, body=True)
    yield pairs.call({"id": line["custom_id"]}, requests.request(asked), made, source)


class Joiner:
    """Holds halves until the other half comes; what is left over comes out as it is."""

    def __init__(self) -> None:
        self._waiting: dict[str, tuple[str, Json]] = {}

    def add(self, document: Json, source: str) -> Iterator[tuple[str, Json]]:
        """Take one line; give the joined line (under its answer's place) when it is whole."""
        key = shape.text(document.get("custom_id"))
        if "body" in document and "response" in document:
            yield source, document
            return
        held = self._waiting.pop(key, None)
        if held is None:
            self._waiting[key] = source, document
        elif ("body" in held[1]) == ("body" in document):  # the same half again
            self._waiting[key] = held
            yield source, document
        else:
            answered = source if "body" not in document else held[0]
            yield answered, {**held[1], **document}

    def rest(self) -> Iterator[tuple[str, Json]]:
        """The halves that stayed alone."""
        yield from self._waiting.values()
        self._waiting = {}
