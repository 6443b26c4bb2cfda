"""A provider to script: OpenAI's and Anthropic's endpoints, whole and streamed, always the same."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx

SSE = {"content-type": "text/event-stream; charset=utf-8", "x-request-id": "req-1"}
WORDS = ("one\u2028", "two\u0085 ", "\U0001f600")
USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
SAID = "".join(WORDS)


def chat(asked: Any) -> Any:
    """A chat completion: JSON where a form is asked for, a tool's call where tools are."""
    content = '{"name": "Bo", "age": 3}' if asked.get("response_format") else SAID
    message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None}
    finish = "stop"
    if asked.get("tools"):
        function = {"name": "find", "arguments": '{"id": 7}'}
        message |= {
            "content": None,
            "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
        }
        finish = "tool_calls"
    choice = {"index": 0, "message": message, "finish_reason": finish, "logprobs": None}
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": asked["model"]}
    return {**head, "choices": [choice], "usage": USAGE}


def chat_events(asked: Any) -> list[tuple[str, Any]]:
    """The same as chunks."""
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": asked["model"]}

    def chunk(delta: Any, finish: str | None = None) -> tuple[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return "", {**head, "choices": [choice]}

    found = [chunk({"role": "assistant", "content": ""})]
    found += [chunk({"content": word}) for word in WORDS]
    found.append(chunk({}, "stop"))
    if (asked.get("stream_options") or {}).get("include_usage"):
        found.append(("", {**head, "choices": [], "usage": USAGE}))
    return found


def response(asked: Any) -> Any:
    """A reply of the Responses API."""
    text = {"type": "output_text", "text": SAID, "annotations": []}
    item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed"}
    details = {"input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0}}
    details["output_tokens_details"] = {"reasoning_tokens": 0}
    return {
        **{"id": "resp_1", "object": "response", "created_at": 1, "model": asked["model"]},
        **{"status": "completed", "output": [{**item, "content": [text]}], "tools": []},
        **{"parallel_tool_calls": True, "tool_choice": "auto"},
        "usage": {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7, **details},
    }


def response_events(asked: Any) -> list[tuple[str, Any]]:
    """The same as events."""
    whole = response(asked)
    begun = {**whole, "status": "in_progress", "output": []}
    where = {"item_id": "msg_1", "output_index": 0, "content_index": 0, "logprobs": []}
    deltas = [("response.output_text.delta", {**where, "delta": word}) for word in WORDS]
    named = [
        ("response.created", {"response": begun}),
        *deltas,
        ("response.completed", {"response": whole}),
    ]
    return [
        (kind, {"type": kind, "sequence_number": number, **rest})
        for number, (kind, rest) in enumerate(named)
    ]


def message(asked: Any) -> Any:
    """A reply of the Messages API."""
    return {
        **{"id": "msg_1", "type": "message", "role": "assistant", "model": asked["model"]},
        **{"content": [{"type": "text", "text": SAID}], "stop_reason": "end_turn"},
        **{"stop_sequence": None, "usage": {"input_tokens": 5, "output_tokens": 2}},
    }


def message_events(asked: Any) -> list[tuple[str, Any]]:
    """The same as events."""
    begun = {**message(asked), "content": [], "stop_reason": None}
    deltas = [{"type": "text_delta", "text": word} for word in WORDS]
    stop = {"stop_reason": "end_turn", "stop_sequence": None}
    named: list[dict[str, Any]] = [
        {"type": "message_start", "message": begun},
        {
            "type": "content_block_start",
            "index": 0,
            "content_block": {"type": "text", "text": ""},
        },
        *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": stop, "usage": {"output_tokens": 2}},
        {"type": "message_stop"},
    ]
    return [(event["type"], event) for event in named]


STREAMED = {
    "chat/completions": (chat, chat_events),
    "responses": (response, response_events),
    "messages": (message, message_events),
}
EMBEDDING = {"object": "embedding", "index": 0, "embedding": [0.25, -0.5]}
TEXT = {"index": 0, "text": "hi", "finish_reason": "stop", "logprobs": None}
FILE = {"id": "file-1", "object": "file", "bytes": 1, "created_at": 1, "filename": "x"}
BATCH = {"id": "b1", "object": "batch", "endpoint": "/v1/chat/completions", "created_at": 1}
PLAIN: dict[str, Any] = {
    "embeddings": {"object": "list", "model": "e", "data": [EMBEDDING], "usage": USAGE},
    "completions": {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m",
                    "choices": [TEXT], "usage": USAGE},
    "moderations": {"id": "modr-1", "model": "m", "results": []},
    "files": {**FILE, "purpose": "batch", "status": "processed"},
    "batches": {**BATCH, "input_file_id": "file-1", "completion_window": "24h",
                "status": "validating"},
    "messages/count_tokens": {"input_tokens": 5},
    "models": {"object": "list", "data": []},
    "models/large": {"id": "large", "object": "model", "created": 1, "owned_by": "x"},
    "rerank": {"results": []},
    "images/generations": {"created": 1, "data": [{"b64_json": "aGk="}]},
    "audio/transcriptions": {"text": "hi"},
}  # fmt: skip


async def sse(events: list[tuple[str, Any]], done: bool) -> AsyncIterator[bytes]:
    """Events as bytes, cut in the middle of lines and of characters."""
    text = b"".join(
        (f"event: {name}\n" if name else "").encode()
        + f"data: {json.dumps(data, ensure_ascii=False)}\n\n".encode()
        for name, data in events
    )
    text += b"data: [DONE]\n\n" if done else b""
    for at in range(0, len(text), 97):
        yield text[at : at + 97]


def answer(request: httpx.Request) -> httpx.Response:
    """What the provider answers."""
    path = request.url.path.removeprefix("/v1/").rstrip("/")
    path = path.split("deployments/large/")[-1]
    if request.headers.get("authorization") == "Bearer wrong":
        error = {"message": "Incorrect API key", "type": "invalid_request_error", "code": "key"}
        return httpx.Response(401, json={"error": error}, headers={"x-should-retry": "false"})
    if path in STREAMED and request.method == "POST":
        asked = {"model": "large", **json.loads(request.content)}
        whole, events = STREAMED[path]
        if asked.get("stream"):
            body = sse(events(asked), done=path == "chat/completions")
            return httpx.Response(200, content=body, headers=SSE)
        return httpx.Response(200, json=whole(asked), headers={"x-request-id": "req-1"})
    if path in PLAIN:
        return httpx.Response(200, json=PLAIN[path], headers={"cf-ray": "zz"})
    error = {"message": f"unknown url {path}", "type": "invalid_request_error", "code": None}
    return httpx.Response(404, json={"error": error})
