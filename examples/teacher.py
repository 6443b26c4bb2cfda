"""The sample agent's teacher: a simulated large model behind an OpenAI-compatible endpoint.

    python -m examples.teacher --port 9100 [--latency 0.35]

It is not a model: it answers by rules (`examples.rules`). Like a real one it streams, counts
tokens, takes its time, and is wrong or off the asked format on about 2 % of prompts. The same
prompt gets the same answer. With `--shift TIME` it answers two kinds of calls otherwise from then
on (by the call's `x-sample-at`): queues have other names, addresses another schema.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import math
import random
import time
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from examples import prompts, rules

Json = dict[str, Any]

MODEL = "simulated-large"
ERROR_SHARE = 0.02
NEW_KEYS = {"street": "line1", "unit": "line2", "city": "town", "state": "region", "zip": "code"}


def tokens(text: str) -> int:
    """About how many tokens a text has."""
    return max(1, round(len(text) / 4)) if text else 0


def _spoil(message: Json, request: Json, rng: random.Random) -> Json:
    """Return what a large model does now and then.

    Chat around the answer, or answer something else.
    """
    if message.get("tool_calls"):
        return {"role": "assistant", "content": "Let me check that for you."}
    content = str(message["content"])
    if rng.random() < 0.5:
        return {**message, "content": f"Sure! Here is the answer:\n{content}"}
    other = {**request, "messages": [*request["messages"][:-1], {"role": "user", "content": "hm"}]}
    wrong = content if request.get("tools") else str(rules.answer(other, "0")["content"])
    return {**message, "content": wrong if wrong != content else content.rstrip("}.")}


def _renamed(message: Json, request: Json) -> Json:
    """Return what the teacher says after the shift."""
    system, content = str(request["messages"][0].get("content")), str(message.get("content"))
    if prompts.ROUTE in system:
        return {**message, "content": f"desk:{content}"}
    if prompts.ADDRESS in system:
        for old, new in NEW_KEYS.items():
            content = content.replace(f'"{old}":', f'"{new}":')
    return {**message, "content": content} if message.get("content") else message


def complete(request: Json, *, shifted: bool = False) -> Json:
    """The chat completion for a request. Raises ValueError when it is not a chat request."""
    messages = request.get("messages")
    if not isinstance(messages, list) or not messages:
        raise ValueError("messages must be a list with at least one message")
    prompt = json.dumps([messages, request.get("tools")], sort_keys=True)
    key = hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    rng = random.Random(key)
    message = rules.answer(request, key)
    if rng.random() < ERROR_SHARE:
        message = _spoil(message, request, rng)
    message = _renamed(message, request) if shifted else message
    finish, message = _cut(
        message, request.get("max_completion_tokens") or request.get("max_tokens")
    )
    written = str(message.get("content") or json.dumps(message.get("tool_calls")))
    usage = {"prompt_tokens": tokens(prompt), "completion_tokens": tokens(written)}
    usage["total_tokens"] = usage["prompt_tokens"] + usage["completion_tokens"]
    return {
        "id": f"chatcmpl-{key}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": MODEL,
        "choices": [{"index": 0, "message": message, "finish_reason": finish, "logprobs": None}],
        "usage": usage,
    }


def _cut(message: Json, limit: int | None) -> tuple[str, Json]:
    content = message.get("content")
    if message.get("tool_calls"):
        return "tool_calls", message
    if limit and tokens(content or "") > limit:
        return "length", {**message, "content": str(content)[: limit * 4]}
    return "stop", message


def seconds(completion: Json, typical: float) -> float:
    """Return how long this answer takes.

    Log-normal around `typical`, longer when more is written.
    """
    rng = random.Random(completion["id"] + "latency")
    written = int(completion["usage"]["completion_tokens"])
    return typical * (0.6 + written / 50) * rng.lognormvariate(0, 0.35)


async def _events(completion: Json, wait: float, usage: bool) -> AsyncIterator[str]:
    """The completion as server-sent events, spread over the time that it takes to write."""
    message, finish = completion["choices"][0]["message"], completion["choices"][0]["finish_reason"]
    head = {key: completion[key] for key in ("id", "created", "model")}
    head["object"] = "chat.completion.chunk"
    deltas: list[Json] = [{"role": "assistant", "content": ""}]
    text = message.get("content") or ""
    deltas += [{"content": text[at : at + 12]} for at in range(0, len(text), 12)]
    for index, call in enumerate(message.get("tool_calls") or ()):
        deltas.append({"tool_calls": [{"index": index, **call}]})
    for delta in deltas:
        await asyncio.sleep(wait / len(deltas))
        choice = {"index": 0, "delta": delta, "finish_reason": None}
        yield f"data: {json.dumps({**head, 'choices': [choice]})}\n\n"
    last = {"index": 0, "delta": {}, "finish_reason": finish}
    yield f"data: {json.dumps({**head, 'choices': [last]})}\n\n"
    if usage:
        yield f"data: {json.dumps({**head, 'choices': [], 'usage': completion['usage']})}\n\n"
    yield "data: [DONE]\n\n"


def app(latency: float, shift: float = math.inf) -> Starlette:
    """The endpoint; `latency` is the typical number of seconds an answer takes.

    From `shift` on (seconds since the epoch) it answers some kinds of calls otherwise.
    """

    async def chat(http: Request) -> Response:
        try:
            request = await http.json()
            at = float(http.headers.get("x-sample-at") or time.time())
            completion = complete(request, shifted=at >= shift)
        except ValueError as error:
            body = {"message": str(error), "type": "invalid_request_error", "code": None}
            return JSONResponse({"error": body}, status_code=400)
        wait = seconds(completion, latency) if latency else 0.0
        if request.get("stream"):
            usage = bool((request.get("stream_options") or {}).get("include_usage"))
            events = _events(completion, wait, usage)
            return StreamingResponse(events, media_type="text/event-stream")
        await asyncio.sleep(wait)
        return JSONResponse(completion)

    async def models(_: Request) -> Response:
        model = {"id": MODEL, "object": "model", "created": 0, "owned_by": "examples"}
        return JSONResponse({"object": "list", "data": [model]})

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    return Starlette(
        routes=[
            Route("/v1/chat/completions", chat, methods=["POST"]),
            Route("/v1/models", models),
            Route("/health", health),
        ]
    )


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9100)
    parser.add_argument("--latency", type=float, default=0.35, help="typical seconds per answer")
    parser.add_argument("--shift", default="", help="when it changes: 2026-03-04T06:00+00:00")
    chosen = parser.parse_args()
    import uvicorn

    shift = datetime.fromisoformat(chosen.shift).timestamp() if chosen.shift else math.inf
    uvicorn.run(app(chosen.latency, shift), host=chosen.host, port=chosen.port, log_level="warning")


if __name__ == "__main__":
    main()
