"""OpenAI-shaped chat completions, whole and in chunks: what the gateway and the engine write."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from serving.exchange import Exchange
from serving.route import Route
from tasks.core.contract import reply_of
from tasks.core.records import Json
from tasks.students.decoding import Answer

LEAST = -9999.0  # JSON has no infinity; vLLM writes this, too
Spell = Callable[[int], str]  # the text of a token


def completion(
    id: str,
    model: str,
    message: Json,
    *,
    created: int,
    finish_reason: str,
    tokens: tuple[int, int],
    logprobs: Json | None = None,
) -> Json:
    """The body of a chat completion with one choice; `tokens` are those read and written."""
    choice = {
        "index": 0,
        "message": message,
        "logprobs": logprobs,
        "finish_reason": finish_reason,
    }
    return {
        "id": f"chatcmpl-{id}",
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [choice],
        "usage": {
            "prompt_tokens": tokens[0],
            "completion_tokens": tokens[1],
            "total_tokens": sum(tokens),
        },
    }


def chunks(body: Json, options: object = None) -> Iterator[bytes]:
    """A completion as server-sent events: the role, the answer, the end, and `[DONE]`.

    `options` are the request's `stream_options`, which may ask for the usage.
    """
    choice = body["choices"][0]
    message = choice["message"]
    head = {key: body[key] for key in ("id", "created", "model")}
    head["object"] = "chat.completion.chunk"
    answer: Json = {"content": message["content"]}
    if message.get("tool_calls"):
        calls = enumerate(message["tool_calls"])
        answer["tool_calls"] = [{"index": index, **call} for index, call in calls]
    role = {"role": message["role"], "content": ""}
    for delta, logprobs, finish in (
        (role, None, None),
        (answer, choice["logprobs"], None),
        ({}, None, choice["finish_reason"]),
    ):
        part = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        yield event({**head, "choices": [part]})
    if isinstance(options, dict) and options.get("include_usage"):
        yield event({**head, "choices": [], "usage": body["usage"]})
    yield b"data: [DONE]\n\n"


def of_student(exchange: Exchange, route: Route, answer: Answer) -> Json:
    """The chat completion that a student's answer is.

    Its usage is the student's: the tokens that it wrote, and a quarter of the characters it read.
    """
    message = reply_of(answer.text, route.task.contract, salt=exchange.id)
    read = round(len(exchange.match.prompt) / 4) if exchange.match else 0
    return completion(
        exchange.id,
        exchange.model,
        message,
        created=int(exchange.at),
        finish_reason="tool_calls" if message.get("tool_calls") else "stop",
        tokens=(read, len(answer.logprobs)),
    )


def written(body: Json, request: Json) -> tuple[bytes, bytes]:
    """The completion as the request wants it, whole or as a stream, and its content type."""
    if not request.get("stream"):
        return msgspec.json.encode(body), b"application/json"
    events = b"".join(chunks(body, request.get("stream_options")))
    return events, b"text/event-stream; charset=utf-8"


def event(body: Json) -> bytes:
    """One server-sent event."""
    return b"data: " + msgspec.json.encode(body) + b"\n\n"


def error(sentence: str, kind: str, code: str | None = None) -> Json:
    """An error body that the clients of OpenAI and of Anthropic understand."""
    inner = {"message": sentence, "type": kind, "param": None, "code": code}
    return {"type": "error", "error": inner}


def logprobs(answer: Answer, spell: Spell) -> Json:
    """Every token's raw log-probability, the end token's too, with the most probable ones."""
    tops = answer.tops or ((),) * len(answer.tokens)
    return {
        "content": [
            _token(spell, token, value)
            | {"top_logprobs": [_token(spell, *other) for other in others]}
            for token, value, others in zip(answer.tokens, answer.logprobs, tops, strict=True)
        ]
    }


def _token(spell: Spell, token: int, logprob: float) -> Json:
    text = spell(token)
    logprob = max(logprob, LEAST)
    return {"token": text, "logprob": logprob, "bytes": list(text.encode(errors="replace"))}
