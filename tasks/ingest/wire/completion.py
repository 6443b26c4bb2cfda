"""A chat model's reply, in whichever form it was logged, as one typed value."""

from __future__ import annotations

from typing import Any

import msgspec

from tasks.core.records import Json
from tasks.ingest.wire import finish_and_usage, shape, stream, times


class Completion(msgspec.Struct, frozen=True, kw_only=True):
    """A reply with what the response body says about it."""

    reply: Json
    finish_reason: str | None = None
    tokens: tuple[int | None, int | None] = (None, None)
    model: str = ""
    fingerprint: str = ""
    id: str = ""
    at: float | None = None
    error: str | None = None

    def fields(self) -> Json:
        """The arguments that `call.build` takes from a response."""
        return {
            "reply": self.reply,
            "finish_reason": self.finish_reason,
            "tokens": self.tokens,
            "model": self.model,
            "error": self.error,
        }


NOTHING: Json = {"role": "assistant", "content": None}


def read(raw: Any) -> Completion:
    """Read a response: JSON body, JSON text, SSE text, list of chunks, or an error.

    The choice of index 0 is the reply, wherever it is listed. Raises ValueError when there is none.
    """
    if raw is None or raw in ("", [], {}):
        raise ValueError(f"{shape.EMPTY}: the response is empty")
    if isinstance(raw, str) and stream.is_sse(raw):
        body = stream.assemble(stream.chunks(raw))
    elif isinstance(parsed := shape.loads(raw), list):
        body = stream.assemble(stream.events(parsed) if stream.is_stream(parsed) else parsed)
    else:
        body = shape.mapping(parsed, "response")
    return _read_body(body)


def _read_body(body: Json) -> Completion:
    if body.get("error"):
        return failed(body["error"])
    if body.get("object") == "error" or (body.get("type") == "error" and "message" in body):
        return failed(body)
    choices = body.get("choices")
    if not choices:
        if "role" in body or "tool_calls" in body:  # the message itself
            return Completion(reply=shape.reply(body))
        raise ValueError(f"{shape.EMPTY}: the response has no choices")
    listed = shape.sequence(choices, "choices")
    zero = (one for one in listed if isinstance(one, dict) and one.get("index") == 0)
    choice = shape.mapping(next(zero, listed[0]), "choice")
    if isinstance(choice.get("delta"), dict) and "message" not in choice:
        return _read_body(stream.assemble([body]))
    return Completion(
        reply=shape.reply(_message(choice)),
        finish_reason=finish_and_usage.finish(choice.get("finish_reason")),
        tokens=finish_and_usage.usage(body.get("usage")),
        model=shape.text(body.get("model")),
        fingerprint=shape.text(body.get("system_fingerprint")),
        id=shape.text(body.get("id")),
        at=times.seconds(body.get("created")),
    )


def _message(choice: Json) -> Json:
    message = choice.get("message")
    if message is None and choice.get("finish_reason") == "content_filter":
        return NOTHING  # a filtered reply has no message at all
    if message is None and isinstance(choice.get("text"), str):
        return {"role": "assistant", "content": choice["text"]}
    return shape.mapping(message, "reply")


def failed(error: object) -> Completion:
    """A call that the provider answered with an error."""
    kind = ""
    if isinstance(error, dict):
        inner = error.get("innererror")
        code = inner.get("code") if isinstance(inner, dict) else None
        kind = shape.text(code or shape.first(error, "code", "type", "status"))
        error = shape.first(error, "message", "detail", "code", "type") or error
    sentence = error if isinstance(error, str) else shape.dumps(error)
    label = f"{kind}: {sentence}" if kind and kind not in sentence else sentence
    return Completion(reply=dict(NOTHING), error=label[:500])
