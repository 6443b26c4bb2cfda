"""A student's answer in the shapes of the OpenAI wire: a completion body, or a stream of chunks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from starlette.responses import JSONResponse, Response

from serving.call import Call
from serving.route import Route
from tasks.core.contract import reply_of
from tasks.core.records import Json
from tasks.students.causal import Answer


def completion(call: Call, route: Route, answer: Answer) -> Json:
    """The chat completion that a student's answer is.

    Its usage is the student's: the tokens that it wrote, and a quarter of the characters it read.
    """
    message = reply_of(answer.text, route.task.contract, salt=call.id)
    read = round(len(call.match.prompt) / 4) if call.match else 0
    written = len(answer.logprobs)
    return {
        "id": f"chatcmpl-{call.id}",
        "object": "chat.completion",
        "created": int(call.at),
        "model": route.adapter,
        "choices": [
            {
                "index": 0,
                "message": message,
                "finish_reason": "tool_calls" if message.get("tool_calls") else "stop",
                "logprobs": None,
            }
        ],
        "usage": {
            "prompt_tokens": read,
            "completion_tokens": written,
            "total_tokens": read + written,
        },
    }


def response(body: Json, request: Json, headers: Mapping[str, str]) -> Response:
    """The completion as the request wants it: whole, or as a stream."""
    if not request.get("stream"):
        return JSONResponse(body, headers=headers)
    options = request.get("stream_options")
    usage = isinstance(options, dict) and bool(options.get("include_usage"))
    events = b"".join(chunks(body, usage=usage))
    return Response(events, headers=headers, media_type="text/event-stream")


def chunks(body: Json, *, usage: bool) -> Iterator[bytes]:
    """A completion as server-sent events: the role, the answer, the end, and `[DONE]`."""
    choice = body["choices"][0]
    message = choice["message"]
    head = {key: body[key] for key in ("id", "created", "model")}
    delta: Json = {"role": "assistant", "content": message.get("content")}
    if message.get("tool_calls"):
        calls = enumerate(message["tool_calls"])
        delta["tool_calls"] = [{"index": index, **call} for index, call in calls]
    for part, finish in ((delta, None), ({}, choice["finish_reason"])):
        one = {"index": 0, "delta": part, "logprobs": None, "finish_reason": finish}
        yield event({**head, "object": "chat.completion.chunk", "choices": [one]})
    if usage:
        tail = {"object": "chat.completion.chunk", "choices": [], "usage": body["usage"]}
        yield event({**head, **tail})
    yield b"data: [DONE]\n\n"


def event(body: Json) -> bytes:
    """One server-sent event."""
    return b"data: " + msgspec.json.encode(body) + b"\n\n"


def error(sentence: str, kind: str, code: Any = None) -> Json:
    """An error body as OpenAI clients expect it."""
    return {"error": {"message": sentence, "type": kind, "param": None, "code": code}}
