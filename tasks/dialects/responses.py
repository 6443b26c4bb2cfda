"""OpenAI Responses API pairs: `{request: {input, instructions}, response: {output}}`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tasks.dialects import answers, foreign, openai, shape
from tasks.dialects.shape import loads
from tasks.records import Call


def sniff(document: Any) -> bool:
    """Whether this is a pair of the Responses API."""
    if not isinstance(document, dict) or "response" not in document:
        return False
    asked = loads(document.get("request"))
    return isinstance(asked, dict) and "input" in asked and "messages" not in asked


def parse(document: Any, source: str) -> Iterable[Call]:
    """The call of one pair. Raises ValueError."""
    pair = shape.mapping(document, "record")
    asked = shape.mapping(loads(pair.get("request")), "request")
    yield openai.call(pair, foreign.request(asked), answers.read(pair.get("response")), source)
