"""Plain rows `{"messages": [...], "tools": [...]}`: the last assistant message is the reply."""

from __future__ import annotations

from collections.abc import Iterable

from tasks.core.records import Call
from tasks.ingest.wire import requests, shape, times
from tasks.ingest.wire.build import build


def sniff(document: object) -> bool:
    """Return whether this is a row of messages."""
    if not isinstance(document, dict) or "response" in document or "reply" in document:
        return False
    return isinstance(document.get("messages") or document.get("conversations"), list)


def parse(document: object, source: str) -> Iterable[Call]:
    """The call of one row: what stands before the last assistant message asked for it."""
    row = shape.mapping(document, "row")
    raw = shape.sequence(row.get("messages") or row.get("conversations"), "messages")
    if raw and isinstance(raw[0], dict) and "from" in raw[0]:
        raw = [
            {"role": m.get("from"), "content": m.get("value")} for m in raw if isinstance(m, dict)
        ]
    told = {k: row[k] for k in ("system", "instructions") if row.get(k)}
    messages = requests.read({**told, "messages": raw})["messages"]
    last = max((i for i, m in enumerate(messages) if m["role"] == "assistant"), default=None)
    if last is None:
        raise ValueError(f"{shape.EMPTY}: no assistant message in the row")
    if last == 0:
        raise ValueError(f"{shape.UNREADABLE}: nothing stands before the reply")
    kept = {k: row[k] for k in ("model", "tools", "response_format", "tool_choice") if row.get(k)}
    yield build(
        source=source,
        request=shape.request({**kept, "messages": messages[:last]}),
        reply=shape.reply(messages[last]),
        id=shape.first(row, "id", "_id"),
        at=times.seconds(shape.first(row, "timestamp", "created_at", "created")),
        conversation_id=shape.first(row, "conversation_id", "session_id", "thread_id"),
        client=shape.text(row.get("client_id")),
        hint=shape.text(row.get("workload_id")),
    )
