"""OpenAI stored completions: `chat.completion` objects with the messages that asked for them."""

from __future__ import annotations

from collections.abc import Iterable

from tasks.core.records import Call
from tasks.ingest.wire import pairs, replies, requests, shape
from tasks.ingest.wire.shape import first

_ASKED = ("model", "tools", "tool_choice", "response_format", "temperature", "top_p", "seed")


def sniff(document: object) -> bool:
    """Return whether this is a stored completion."""
    if not isinstance(document, dict):
        return False
    return document.get("object") in ("chat.completion", "response") and "request" not in document


def parse(document: object, source: str) -> Iterable[Call]:
    """The call of one stored completion. Raises ValueError."""
    completion = shape.mapping(document, "stored completion")
    messages = first(completion, "messages", "input", "input_messages")
    if messages is None:
        raise ValueError(f"{shape.UNREADABLE}: the stored completion came without its messages")
    kept = {
        k: completion[k] for k in (*_ASKED, "instructions", "text") if completion.get(k) is not None
    }
    kept |= {k: completion[k] for k in (*requests.STORED, "conversation") if completion.get(k)}
    asked = requests.request({**kept, "input": messages})
    metadata = completion.get("metadata")
    pair = {**metadata, "request": asked} if isinstance(metadata, dict) else {}
    yield pairs.call(pair, asked, replies.read({**completion, "messages": None}, body=True), source)
