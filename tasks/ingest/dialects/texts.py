"""Rows of plain text, as people export them: a column for the prompt and one for the answer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from tasks.core.records import Call
from tasks.ingest.wire import finish_and_usage, pairs, replies, requests, shape
from tasks.ingest.wire.completion import NOTHING, Completion

_PROMPTS = ("prompt", "user_prompt", "user_message")
_ANSWERS = ("completion", "response", "output", "answer", "reply")
_SYSTEM = ("system_prompt", "system", "system_message", "instructions")
_TOKENS = ("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens")


def sniff(document: object) -> bool:
    """Return whether a row has a prompt and an answer, each a text."""
    if not isinstance(document, dict):
        return False
    given = any(isinstance(document.get(name), str) for name in _ANSWERS)
    return given and isinstance(shape.first(document, *_PROMPTS), str)


def parse(document: object, source: str) -> Iterable[Call]:
    """The call of one row. Raises ValueError."""
    row = shape.mapping(document, "row")
    told = (("system", _SYSTEM), ("user", _PROMPTS))
    messages = [
        {"role": role, "content": text}
        for role, names in told
        if (text := shape.text(shape.first(row, *names)))
    ]
    asked = requests.request({"model": row.get("model"), "messages": messages})
    if error := shape.text(row.get("error")):
        answer = Completion(reply=dict(NOTHING), error=error)
    else:
        answer = replies.read(shape.first(row, *_ANSWERS))
    ended = finish_and_usage.finish(shape.first(row, "finish_reason", "stop_reason"))
    call = pairs.call(row, asked, answer, source)
    call = call if ended is None else replace(call, finish_reason=ended)
    yield pairs.with_tokens(call, *(shape.first(row, *names) for names in _TOKENS))
