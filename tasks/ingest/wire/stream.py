"""Streamed replies put together again: SSE text or a list of chunks becomes one completion body."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from tasks.core.records import Json
from tasks.ingest.wire.shape import INCOMPLETE, UNREADABLE


def chunks(text: str) -> Iterator[Json]:
    """The JSON events of SSE text; comments, event names and `[DONE]` are passed over.

    A last event that was cut off is passed over too: the reply then has no finish reason.
    """
    for line in text.splitlines():
        if not line.startswith("data:"):
            continue
        data = line[5:].strip()
        if not data or data == "[DONE]":
            continue
        try:
            event = msgspec.json.decode(data)
        except ValueError:
            return
        if isinstance(event, dict):
            yield event


def is_sse(text: str) -> bool:
    """Whether text looks like server-sent events."""
    return text.lstrip().startswith(("data:", "event:", "id:", ":"))


def assemble(events: Iterable[Any]) -> Json:
    """One completion body (first choice only) out of stream chunks. Raises ValueError."""
    body: Json = {}
    message: Json = {"role": "assistant", "content": None}
    calls: dict[Any, Json] = {}
    reason = None
    seen = False
    for event in events:
        if not isinstance(event, dict):
            raise ValueError(f"{UNREADABLE}: a stream chunk is not an object")
        body.update({k: v for k, v in event.items() if k != "choices" and v is not None})
        for choice in event.get("choices") or ():
            if not isinstance(choice, dict) or choice.get("index") not in (0, None):
                continue
            seen = True
            reason = choice.get("finish_reason") or reason
            delta = choice.get("delta") or choice.get("message")
            if isinstance(delta, dict):
                _add(message, calls, delta)
    if calls:
        message["tool_calls"] = list(calls.values())
    if seen:
        finish = reason or INCOMPLETE
        body["choices"] = [{"index": 0, "message": message, "finish_reason": finish}]
    return body


def _add(message: Json, calls: dict[Any, Json], delta: Json) -> None:
    for name in ("content", "refusal"):
        if isinstance(piece := delta.get(name), str):
            message[name] = (message.get(name) or "") + piece
    for piece in delta.get("tool_calls") or ():
        if isinstance(piece, dict):
            _add_call(calls, piece)
    if isinstance(legacy := delta.get("function_call"), dict):
        _add_call(calls, {"index": 0, "function": legacy})


def _add_call(calls: dict[Any, Json], piece: Json) -> None:
    """Deltas name their call by index; some hosts send whole calls, by id only."""
    key = piece.get("index")
    if key is None:
        key = piece.get("id") or (list(calls)[-1] if calls else 0)
    call = calls.setdefault(key, {"type": "function", "function": {"name": "", "arguments": ""}})
    if piece.get("id"):
        call["id"] = piece["id"]
    function = piece.get("function")
    if not isinstance(function, dict):
        return
    if isinstance(name := function.get("name"), str) and name != call["function"]["name"]:
        call["function"]["name"] += name
    if isinstance(given := function.get("arguments"), dict):
        call["function"]["arguments"] = given
    elif isinstance(given, str) and isinstance(call["function"]["arguments"], str):
        call["function"]["arguments"] += given


def is_chunk(event: Json) -> bool:
    """Whether an object is an event of some provider's stream."""
    kind = str(event.get("type") or "")
    return "choices" in event or kind.startswith(("response.", "message_", "content_block"))


def join(events: list[Json]) -> Json:
    """The body that a stream of OpenAI (both APIs) or Anthropic events makes up."""
    kinds = {e.get("type"): e for e in events if isinstance(e, dict)}
    for name in ("response.completed", "response.incomplete", "response.failed"):
        if isinstance(body := kinds.get(name, {}).get("response"), dict):
            return body
    return _blocks(events) if "message_start" in kinds else assemble(events)


def _blocks(events: Iterable[Json]) -> Json:
    """An Anthropic message out of its events; without a stop reason it broke off."""
    body: Json = {"stop_reason": INCOMPLETE}
    blocks: dict[Any, Json] = {}
    for event in events:
        kind, delta = event.get("type"), event.get("delta") or {}
        if kind == "error":
            return event
        if kind == "message_start" and isinstance(event.get("message"), dict):
            body.update(event["message"], stop_reason=INCOMPLETE)
        elif kind == "content_block_start":
            blocks[event.get("index")] = dict(event.get("content_block") or {})
        elif kind == "content_block_delta":
            block = blocks.setdefault(event.get("index"), {"type": "text"})
            if isinstance(piece := delta.get("text"), str):
                block["text"] = block.get("text", "") + piece
            elif isinstance(piece := delta.get("partial_json"), str):
                block["json"] = block.get("json", "") + piece
        elif kind == "message_delta":
            body["stop_reason"] = delta.get("stop_reason") or body["stop_reason"]
            body["usage"] = {**(body.get("usage") or {}), **(event.get("usage") or {})}
    made = ({**b, "input": b["json"]} if b.get("json") else b for b in blocks.values())
    body["content"] = [{k: v for k, v in b.items() if k != "json"} for b in made]
    return body
