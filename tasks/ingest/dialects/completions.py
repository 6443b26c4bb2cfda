"""Pairs of APIs that take one prompt: legacy completions, Ollama's generate, TGI, Cohere's chat."""

from __future__ import annotations

from collections.abc import Iterable

from tasks.core.records import Call
from tasks.ingest.wire import pairs, shape
from tasks.ingest.wire.shape import loads


def sniff(document: object) -> bool:
    """Return whether this is a pair whose request is a prompt, not a list of messages."""
    if not isinstance(document, dict) or "response" not in document or "v" in document:
        return False
    asked = loads(document.get("request"))
    if not isinstance(asked, dict) or asked.keys() & {"messages", "input", "contents"}:
        return False
    return any(isinstance(asked.get(name), str | list) for name in ("prompt", "inputs", "message"))


def parse(document: object, source: str) -> Iterable[Call]:
    """The call of one pair. Raises ValueError."""
    pair = shape.mapping(document, "record")
    asked = shape.mapping(loads(pair.get("request")), "request")
    prompt = asked.get("prompt")
    if isinstance(prompt, list) and not (len(prompt) == 1 and isinstance(prompt[0], str)):
        raise ValueError(f"{shape.UNSUPPORTED}: a request with {len(prompt)} prompts or tokens")
    yield pairs.exchange(pair, asked, pair.get("response"), source)
