"""Streamed replies put together again: SSE text or a list of chunks becomes one body."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from tasks.core.records import Json
from tasks.ingest.wire import native_streams
from tasks.ingest.wire.finish_and_usage import INCOMPLETE
from tasks.ingest.wire.lenient_json import decode, documents, whole
from tasks.ingest.wire.shape import UNREADABLE

_LINE = re.compile(r"\r\n|\n|\r")  # and no other: U+2028 and U+0085 may stand in a JSON text
_EVENT = re.compile(r"(?:\A|[\r\n])\ufeff?data:[ \t]*(?:\{|\[DONE\])")
_COMMENTS = re.compile(r"\s*(?:: [^\r\n]*(?:[\r\n]+|\Z))+\s*\Z")  # nothing but keep-alives


def chunks(text: str) -> Iterator[Json]:
    """The JSON events of SSE text; comments, event names, keep-alives and `[DONE]` are passed over.

    An event may have several `data:` lines. A last one that was cut off is passed over too: the
    reply then has no finish reason.
    """
    held = ""
    for line in _LINE.split(text.lstrip("\ufeff")):
        if not line.startswith("data:"):
            held = held if line else ""
            continue
        data = line[5:].strip(" \t")
        for piece in (data, f"{held}\n{data}") if held else (data,):
            try:
                event = decode(piece, halves=True)
            except (ValueError, RecursionError):
                continue
            held = ""
            if isinstance(event, dict):
                yield event
            break
        else:
            held = f"{held}\n{data}" if held else data


def is_sse(text: str) -> bool:
    """Return whether text is server-sent events of JSON, not prose that begins alike."""
    start = text[:400].lstrip("\ufeff \t\r\n")
    if not start.startswith(("data:", "event:", "id:", "retry:", ":")):
        return False
    return _EVENT.search(text) is not None or _COMMENTS.match(text) is not None


def is_stream(value: list[object]) -> bool:
    """Return whether a list holds the events of some provider's stream, decoded or as text."""
    if not value:
        return False
    if isinstance(value[0], str):
        return is_sse(value[0]) or is_sse("".join(v for v in value if isinstance(v, str)))
    return isinstance(value[0], dict) and is_chunk(value[0])


def lines(text: str) -> list[Json]:
    """The events of a stream that was sent as JSON lines; none when the text is something else."""
    if text.lstrip()[:1] != "{":
        return []
    found = [value for _, _, value in documents(text)]
    listed = [v for v in found if isinstance(v, dict)]
    cut = found[-1:] == [...]  # the last line, perhaps: the answer has no end then
    return listed if len(listed) == len(found) - cut and listed and is_chunk(listed[0]) else []


def events(value: list[object]) -> list[Json]:
    """The decoded events of a list that `is_stream`."""
    if isinstance(value[0], str):
        return list(chunks("\n\n".join(v for v in value if isinstance(v, str))))
    return [v for v in value if isinstance(v, dict)]


def assemble(events: Iterable[object]) -> Json:
    """One completion body (first choice only) out of stream chunks. Raises ValueError."""
    body: Json = {}
    message: Json = {"role": "assistant", "content": None}
    calls: dict[object, Json] = {}
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
            elif isinstance(choice.get("text"), str):
                _add(message, calls, {"content": choice["text"]})  # the legacy API
    if isinstance(groq := body.get("x_groq"), dict):
        body.setdefault("usage", groq.get("usage"))
    if seen:
        body["choices"] = [_choice(message, calls, reason)]
    return body


def _choice(message: Json, calls: dict[object, Json], reason: object) -> Json:
    for name in ("content", "refusal"):
        if isinstance(text := message.get(name), str):
            message[name] = whole(text)
    for call in calls.values():
        if isinstance(given := call["function"]["arguments"], str):
            call["function"]["arguments"] = whole(given)
    if calls:
        message["tool_calls"] = list(calls.values())
    return {"index": 0, "message": message, "finish_reason": reason or INCOMPLETE}


def _add(message: Json, calls: dict[object, Json], delta: Json) -> None:
    for name in ("content", "refusal"):
        piece = delta.get(name)
        if isinstance(piece, list):  # parts, as Mistral streams them
            parts = [p for p in piece if isinstance(p, dict) and p.get("type") == "text"]
            piece = "".join(str(p.get("text") or "") for p in parts)
        if isinstance(piece, str):
            message[name] = (message.get(name) or "") + piece
    for piece in delta.get("tool_calls") or ():
        if isinstance(piece, dict):
            _add_call(calls, piece)
    if isinstance(legacy := delta.get("function_call"), dict):
        _add_call(calls, {"index": 0, "function": legacy})


def _add_call(calls: dict[object, Json], piece: Json) -> None:
    """Deltas name their call by index; some hosts send whole calls, by id or all under index 0."""
    function = piece.get("function")
    function = function if isinstance(function, dict) else {}
    key = _key(calls, piece, function)
    call = calls.setdefault(key, {"type": "function", "function": {"name": "", "arguments": ""}})
    if piece.get("id"):
        call.setdefault("id", piece["id"])
    if isinstance(name := function.get("name"), str) and name != call["function"]["name"]:
        call["function"]["name"] += name
    if isinstance(given := function.get("arguments"), dict):
        call["function"]["arguments"] = given
    elif isinstance(given, str) and isinstance(call["function"]["arguments"], str):
        call["function"]["arguments"] += given


def _key(calls: dict[object, Json], piece: Json, function: Json) -> object:
    """Under which key a delta's call is gathered: a new one where it surely begins a call."""
    index = piece.get("index")
    latest = list(calls)[-1] if calls else 0
    if index is None:
        return piece.get("id") or latest
    same = [k for k in calls if k == index or (isinstance(k, tuple) and k[0] == index)]
    if not same:
        return index
    last = calls[same[-1]]
    other = piece.get("id") and last.get("id") not in (None, piece["id"])
    begins = function.get("name") and (other or _is_whole(last["function"]["arguments"]))
    return (index, len(same)) if begins else same[-1]


def _is_whole(arguments: object) -> bool:
    """Return whether a call's arguments are complete: what follows is another call's."""
    if not isinstance(arguments, str):
        return bool(arguments)
    try:
        return isinstance(decode(arguments), dict)
    except (ValueError, RecursionError):
        return False


def is_chunk(event: Json) -> bool:
    """Return whether an object is an event of some provider's stream."""
    kind = str(event.get("type") or "")
    if kind.startswith(("response.", "message_", "content_block", "message-", "content-")):
        return True
    if event.keys() & {"messageStart", "contentBlockDelta", "contentBlockStart"}:
        return True
    if isinstance(choices := event.get("choices"), list):
        return not choices or (isinstance(choices[0], dict) and "message" not in choices[0])
    if event.keys() & {"candidates", "event_type"} or event.keys() & native_streams.INVOKED:
        return True
    return "done" in event and bool(event.keys() & {"message", "response"})


def join(events: list[Json]) -> Json:
    """The body that a stream of some provider's events makes up."""
    return native_streams.join(events) or assemble(events)
