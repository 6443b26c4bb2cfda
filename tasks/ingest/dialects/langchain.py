"""LangChain's callback and stream events, and the message lists in LangGraph's states."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tasks.core.records import Call, Json
from tasks.ingest.wire import replies, requests, shape, times
from tasks.ingest.wire.build import build
from tasks.ingest.wire.messages import said
from tasks.ingest.wire.shape import first

_ENDS = frozenset({"on_chat_model_end", "on_llm_end"})


def sniff(document: object) -> bool:
    """Return whether this is an event, or a state whose messages are LangChain's."""
    if not isinstance(document, dict):
        return False
    if str(document.get("event")).startswith("on_") and "data" in document:
        return True
    listed = _state(document)
    return bool(listed) and all(map(_is_message, listed))


def _state(document: Json) -> list[Any]:
    """The messages of a graph's state, of a snapshot or of a checkpoint."""
    for name in ("values", "channel_values", "checkpoint", "state"):
        if isinstance(inner := document.get(name), dict):
            return _state(inner)
    listed = document.get("messages")
    return listed if isinstance(listed, list) else []


def _is_message(item: object) -> bool:
    if not isinstance(item, dict) or "role" in item:
        return False
    kinds = ("human", "ai", "system", "tool", "function")
    return item.get("lc") == 1 or ("content" in item and item.get("type") in kinds)


def parse(document: object, source: str) -> Iterable[Call]:
    """The call of one event, or of a state: its last answer and what stands before it."""
    event = shape.mapping(document, "event")
    yield _event(event, source) if "event" in event else _last(event, source)


def _event(event: Json, source: str) -> Call:
    if event["event"] not in _ENDS:
        raise ValueError(f"{shape.NOT_A_CALL}: event {str(event['event'])[:60]}")
    data = shape.mapping(event.get("data"), "data")
    asked = data.get("input")
    asked = asked if isinstance(asked, dict) else {"messages": asked}
    metadata = event.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    settings = metadata.get("invocation_params")
    body = {**(settings if isinstance(settings, dict) else {}), **asked}
    body.setdefault("model", metadata.get("ls_model_name"))
    given = replies.read(data.get("output"), body=True)
    return build(
        source=source,
        request=requests.request(body, body.get("tools")),
        id=given.id or event.get("run_id"),
        at=times.seconds(first(event, *times.FIELDS)) or given.at,
        conversation_id=first(metadata, "thread_id", "session_id", "conversation_id"),
        **given.fields(),
    )


def _last(state: Json, source: str) -> Call:
    listed = _state(state)
    ends = [i for i, m in enumerate(listed) if said([m])[:1] and _speaks(m)]
    if not ends:
        raise ValueError(f"{shape.EMPTY}: no assistant message in the state")
    if ends[-1] == 0:
        raise ValueError(f"{shape.UNREADABLE}: nothing stands before the reply")
    given = replies.read(_opened(listed[ends[-1]]), body=True)
    configurable = (state.get("config") or {}).get("configurable") or {}
    return build(
        source=source,
        request=requests.request({"messages": listed[: ends[-1]]}, state.get("tools")),
        id=given.id or first(state, "id", "run_id", "checkpoint_id"),
        at=times.seconds(first(state, *times.FIELDS)) or given.at,
        conversation_id=first(configurable, "thread_id") or first(state, "thread_id"),
        **given.fields(),
    )


def _opened(message: Json) -> Json:
    inner = message.get("kwargs") if message.get("lc") == 1 else message
    return {**shape.mapping(inner, "message"), "role": "assistant"}


def _speaks(message: Json) -> bool:
    return any(m["role"] == "assistant" for m in said([message]))
