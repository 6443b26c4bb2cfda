"""Claude Code's transcripts: one line a message or block, each pointing at the one before it.

The reader gathers a file's lines with `Transcript`; a call is one reply of the model with all that
stands before it. The log holds neither the system prompt nor the tools' declarations.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tasks.core.records import Call, Json
from tasks.ingest.wire import pairs, replies, requests, shape
from tasks.ingest.wire.shape import first

_TYPES = frozenset({"user", "assistant", "system", "summary", "attachment", "progress"})
HISTORY = "history"  # set by `Transcript`: the messages before a reply


def sniff(document: object) -> bool:
    """Return whether this is a line of a transcript."""
    if not isinstance(document, dict) or document.get("type") not in _TYPES:
        return False
    return document.get("type") == "summary" or {"uuid", "sessionId"} <= document.keys()


def parse(document: object, source: str) -> Iterable[Call]:
    """The call whose reply a line holds. Raises ValueError."""
    line = shape.mapping(document, "line")
    if line["type"] != "assistant":
        raise ValueError(f"{shape.NOT_A_CALL}: a line of type {line['type']}")
    message = shape.mapping(line.get("message"), "message")
    history = line.get(HISTORY)
    if not history:
        raise ValueError(f"{shape.STATEFUL}: the messages before this one are not in the file")
    if line.get("isApiErrorMessage"):
        raise ValueError(f"{shape.NOT_A_CALL}: the client's own error message")
    envelope = {
        "id": first(line, "requestId", "uuid"),
        "timestamp": line.get("timestamp"),
        "session_id": line.get("sessionId"),
    }
    asked = requests.request({"model": message.get("model"), "messages": history})
    yield pairs.call(envelope, asked, replies.read(message, body=True), source)


class Transcript:
    """Gathers a file's lines: blocks of one reply together, its history before it."""

    def __init__(self) -> None:
        self._lines: list[tuple[str, Json]] = []

    def add(self, document: Json, source: str) -> None:
        """Take one line."""
        self._lines.append((source, document))

    def rest(self) -> Iterator[tuple[str, Json]]:
        """Every line, blocks of one reply as one line, with the messages that came before."""
        merged: list[tuple[str, Json]] = []
        named: dict[str, Json] = {}
        alias: dict[str, str] = {}  # a block's id, to that of the reply that it belongs to
        for source, line in self._lines:
            message = line.get("message")
            key = message.get("id") if isinstance(message, dict) else None
            uuid = shape.text(line.get("uuid"))
            if line.get("type") == "assistant" and key and (whole := named.get(key)) is not None:
                _extend(whole, message or {})
                alias[uuid] = shape.text(whole.get("uuid"))
                continue
            copy = {**line, "message": dict(message)} if isinstance(message, dict) else dict(line)
            merged.append((source, copy))
            if key:
                named[shape.text(key)] = copy
        self._lines.clear()
        by_uuid = {shape.text(line.get("uuid")): line for _, line in merged}
        for source, line in merged:
            if line.get("type") == "assistant":
                yield source, {**line, HISTORY: _history(line, by_uuid, alias)}
            else:
                yield source, line


def _extend(whole: Json, message: Json) -> None:
    """Add a block to the reply that it belongs to."""
    held = whole["message"]
    blocks = [b for m in (held, message) if isinstance(b := m.get("content"), list)]
    held["content"] = [part for block in blocks for part in block]
    held |= {k: message[k] for k in ("stop_reason", "usage") if message.get(k)}


def _history(line: Json, by_uuid: dict[str, Json], alias: dict[str, str]) -> list[Json]:
    """The messages that a line's chain of parents holds, oldest first."""
    messages: list[Json] = []
    met: set[str] = set()
    at = shape.text(line.get("parentUuid"))
    while (at := alias.get(at, at)) and at not in met and (before := by_uuid.get(at)):
        met.add(at)
        message = before.get("message")
        if before.get("type") in ("user", "assistant") and isinstance(message, dict):
            messages.append({k: message[k] for k in ("role", "content") if k in message})
        at = shape.text(before.get("parentUuid"))
    return messages[::-1]
