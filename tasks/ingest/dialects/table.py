"""Rows that people keep by hand: a column for the prompt or the messages, and one for the answer.

The answer is a text, a message or the `choices` of a response; the columns' names may have capitals
and blanks, as in a table: `System Prompt`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from tasks.core.records import Call, Json
from tasks.ingest.wire import finish_and_usage, pairs, replies, requests, shape
from tasks.ingest.wire.completion import NOTHING, Completion
from tasks.ingest.wire.shape import first, loads

_MESSAGES = ("messages", "prompt", "input")
_PROMPTS = ("prompt", "user_prompt", "user_message")
_ANSWERS = ("completion", "response", "output", "answer", "reply")
_SYSTEM = ("system_prompt", "system", "system_message", "instructions")
_KEPT = ("model", "tools", "response_format", "tool_choice")
_TOKENS = ("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens")


def sniff(document: object) -> bool:
    """Return whether a row has a prompt or messages, and an answer beside them."""
    if not isinstance(document, dict):
        return False
    row = _row(document)
    given = any(isinstance(row.get(name), str) or _is_turn(row.get(name)) for name in _ANSWERS)
    return (given or isinstance(row.get("choices"), list)) and bool(_asked(row))


def parse(document: object, source: str) -> Iterable[Call]:
    """The call of one row. Raises ValueError."""
    row = _row(shape.mapping(document, "row"))
    kept = {name: loads(row[name]) for name in _KEPT if row.get(name)}
    asked = requests.request({**kept, **_asked(row)})
    ended = finish_and_usage.finish(first(row, "finish_reason", "stop_reason"))
    call = pairs.call(row, asked, _answer(row), source)
    call = call if ended is None else replace(call, finish_reason=ended)
    yield pairs.with_tokens(call, *(first(row, *names) for names in _TOKENS))


def _row(document: Json) -> Json:
    return {name.strip().lower().replace(" ", "_"): value for name, value in document.items()}


def _asked(row: Json) -> Json:
    """The messages and the system prompt beside them; empty where there are none."""
    system = shape.text(first(row, *_SYSTEM))
    told = {"system": system} if system else {}
    for name in _MESSAGES:
        turns = loads(row.get(name))
        if isinstance(turns, list) and turns and all(map(_is_turn, turns)):
            ended = turns[-1]["role"] in ("assistant", "ai")  # with the reply, as in `messages`
            return {} if ended else {**told, "messages": turns}
    if not isinstance(text := first(row, *_PROMPTS), str):
        return {}
    return {**told, "messages": [{"role": "user", "content": text}]}


def _is_turn(value: object) -> bool:
    return isinstance(value, dict) and "role" in value


def _answer(row: Json) -> Completion:
    if error := shape.text(row.get("error")):
        return Completion(reply=dict(NOTHING), error=error)
    if isinstance(row.get("choices"), list):
        return replies.read({k: row[k] for k in ("choices", "usage") if k in row}, body=True)
    return replies.read(first(row, *_ANSWERS))
