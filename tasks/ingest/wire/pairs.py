"""A request and its answer side by side, with what the envelope around them says: one call."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tasks.core.records import Call, Json
from tasks.ingest.wire import completion, finish_and_usage, replies, requests, shape, times
from tasks.ingest.wire.build import build
from tasks.ingest.wire.completion import Completion
from tasks.ingest.wire.shape import first, loads

_SESSIONS = ("conversation_id", "conversation", "session_id", "thread_id")
_LATENCIES = frozenset(
    {"latency_s", "latency", "duration_s", "latency_ms", "duration_ms", "response_ms"}
)


def exchange(envelope: Json, request: object, response: object, source: str) -> Call:
    """The call of two bodies of any provider. Raises ValueError."""
    asked = requests.request(shape.mapping(loads(request), "request"))
    return call(envelope, asked, replies.read(response, body=True), source)


def call(pair: Json, asked: Json, answer: Completion, source: str) -> Call:
    """A call from a request and its answer, with what the envelope says about them."""
    return build(
        source=source,
        request=asked,
        id=answer.id or shape.first(pair, "id", "_id", "request_id"),
        at=times.seconds(shape.first(pair, *times.FIELDS)) or answer.at,
        latency_s=_latency(pair),
        conversation_id=_conversation(pair, asked),
        client=shape.text(shape.first(pair, "client_id", "client")),
        hint=shape.text(shape.first(pair, "workload_id", "hint")),
        **answer.fields(),
    )


def _latency(pair: Json) -> float | None:
    if _LATENCIES.isdisjoint(pair):
        return None
    if (took := shape.real(shape.first(pair, "latency_s", "latency", "duration_s"))) is not None:
        return took
    took = shape.real(shape.first(pair, "latency_ms", "duration_ms", "response_ms"))
    return None if took is None else took / 1e3


def _conversation(pair: Json, asked: Json) -> object:
    session = shape.first(pair, *_SESSIONS)
    if session is None and isinstance(metadata := asked.get("metadata"), dict):
        return shape.first(metadata, *_SESSIONS)
    return session


def body(value: object) -> object:
    """A body that stands alone, or in an HTTP message with its URL and status."""
    decoded = loads(value)
    if (
        isinstance(decoded, dict)
        and "body" in decoded
        and decoded.keys() & {"url", "status", "headers"}
    ):
        return loads(decoded["body"])
    return decoded


def given(response: object, status: object) -> object:
    """A response's body; of one that failed without a word, its status."""
    code = shape.whole(status)
    if code is None or code < 400 or (isinstance(response, dict) and response.get("error")):
        return response
    return {"error": {"code": str(code), "message": f"status {code}"}}


def with_tokens(call: Call, taken: object, output: object) -> Call:
    """A call with the tokens that the envelope states, where its body states none."""
    asked, given = call.prompt_tokens, call.completion_tokens
    if asked is not None and given is not None:
        return call
    asked = shape.whole(taken) if asked is None else asked
    return replace(
        call,
        prompt_tokens=asked,
        completion_tokens=shape.whole(output) if given is None else given,
    )


def observed(
    span: Json, asked: Json, source: str, *, usage: object, start: float | None, **more: Any
) -> Call:
    """The call of an observer's span: `asked` holds its request, `output` its answer.

    Raises ValueError.
    """
    error = more.pop("error", None)
    output = loads(span.get("output"))
    answer = completion.failed(error) if error and not output else replies.read(output)
    stated = finish_and_usage.usage(usage)
    fields = answer.fields()
    if any(t is not None for t in stated):
        fields["tokens"] = stated
    return build(
        source=source,
        request=requests.request(asked, asked.get("tools")),
        id=answer.id or span.get("id"),
        at=start or answer.at,
        client=shape.text(first(asked, "user", "user_id")),
        **more,
        **fields,
    )
