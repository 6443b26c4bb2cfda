"""LiteLLM's StandardLoggingPayload, as its callbacks write it to files, buckets and queues."""

from __future__ import annotations

from collections.abc import Iterable

from tasks.core.records import Call, Json
from tasks.ingest.wire import finish_and_usage, replies, requests, shape, times
from tasks.ingest.wire.build import build
from tasks.ingest.wire.completion import NOTHING, Completion
from tasks.ingest.wire.shape import first, loads

_KINDS = ("completion", "acompletion", "responses", "aresponses", "anthropic_messages", "")


def sniff(document: object) -> bool:
    """Return whether this is a payload of LiteLLM."""
    if not isinstance(document, dict):
        return False
    keys = document.keys()
    return {"call_type", "messages"} <= keys and ("response" in keys or "error_str" in keys)


def parse(document: Json, source: str) -> Iterable[Call]:
    """The call of one payload. Raises ValueError."""
    line = shape.mapping(document, "payload")
    kind = shape.text(line.get("call_type"))
    if kind not in _KINDS:
        raise ValueError(f"{shape.NOT_A_CALL}: call type {kind[:60]}")
    sent = loads(line.get("proxy_server_request"))
    sent = sent if isinstance(sent, dict) else {}
    messages = loads(line.get("messages")) or first(sent, "messages", "input")
    if not isinstance(messages, list | dict):
        raise ValueError(f"{shape.UNREADABLE}: the messages were left out of the log")
    given = _answer(line)
    start, end = times.seconds(line.get("startTime")), times.seconds(line.get("endTime"))
    settings = loads(line.get("model_parameters"))
    settings = {**sent, **(settings if isinstance(settings, dict) else {})}
    body = {"model": line.get("model"), **settings, "messages": messages}
    tools = settings.get("tools") or settings.get("functions")
    metadata = loads(line.get("metadata"))
    taken, output = finish_and_usage.usage(line)
    yield build(
        source=source,
        request=requests.request(body, tools),
        id=given.id or line.get("id"),
        at=start or given.at,
        latency_s=times.elapsed(start, end),
        conversation_id=_session(line, metadata if isinstance(metadata, dict) else {}),
        client=shape.text(first(line, "end_user", "user")),
        **{**given.fields(), "tokens": (taken, output) if taken or output else given.tokens},
    )


def _answer(line: Json) -> Completion:
    error = first(line, "error_str") or _information(line.get("error_information"))
    if line.get("status") == "failure" or (error and not line.get("response")):
        return Completion(reply=dict(NOTHING), error=shape.text(error)[:500] or "failure")
    return replies.read(line.get("response"))


def _information(raw: object) -> str:
    return shape.text(first(raw, "error_message", "error_class")) if isinstance(raw, dict) else ""


def _session(line: Json, metadata: Json) -> object:
    inner = loads(metadata.get("requester_metadata"))
    for place in (metadata, inner if isinstance(inner, dict) else {}):
        if session := first(place, "session_id", "conversation_id", "thread_id"):
            return session
    return first(line, "session_id")
