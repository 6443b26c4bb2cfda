"""The embedded engine: a small server with vLLM's own endpoints, for laptops and tests.

vLLM can take its place unchanged: /health, /v1/models, /v1/load_lora_adapter,
/v1/unload_lora_adapter and /v1/chat/completions have its fields, errors and status codes. Answers
are greedy. One worker thread decodes; requests that wait for the same adapter are one batch.

    export POOL_TOKEN=...    (any long random text)
    python -m serving.engine --base bundled --adapters .flywheel/adapters --port 8100
"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from serving import chat_request, chat_response
from serving.chat_request import BadRequest, ChatRequest
from serving.decoder import DecodeJob, Engine
from serving.http_server import listen
from tasks.core.stage import Refused, limit_threads
from tasks.students.causal import Student, base_path
from tasks.students.encoder import EncoderStudent

T = TypeVar("T")


def _engine(request: Request) -> Engine:
    engine: Engine = request.app.state.engine
    return engine


async def health(request: Request) -> Response:
    """200 while the worker lives."""
    return Response(status_code=200 if _engine(request).alive else 503)


async def models(request: Request) -> Response:
    """The base and its adapters."""
    engine = _engine(request)
    data = [
        {
            "id": name,
            "object": "model",
            "created": engine.started,
            "owned_by": "flywheel",
            "root": str(path),
            "parent": None if name == engine.name else engine.name,
            "max_model_len": engine.student.length if name == engine.name else None,
        }
        for name, path in list(engine.models.items())
    ]
    return JSONResponse({"object": "list", "data": data})


class _Load(msgspec.Struct):
    lora_name: str
    lora_path: str


class _Unload(msgspec.Struct):
    lora_name: str


async def load(request: Request) -> Response:
    """Load an adapter from the allowed folder."""
    body = _decoded(await request.body(), _Load)
    if not body.lora_name or not body.lora_path:
        raise BadRequest("Both 'lora_name' and 'lora_path' must be provided.")
    try:
        await asyncio.to_thread(_engine(request).load, body.lora_name, Path(body.lora_path))
    except (OSError, ValueError) as error:  # a name that no file can have: too long, with a NUL
        raise BadRequest(f"lora_path cannot be read: {error}") from None
    return PlainTextResponse(f"Success: LoRA adapter '{body.lora_name}' added successfully.")


async def unload(request: Request) -> Response:
    """Forget an adapter."""
    name = _decoded(await request.body(), _Unload).lora_name
    await asyncio.to_thread(_engine(request).unload, name)
    return PlainTextResponse(f"Success: LoRA adapter '{name}' removed successfully.")


def _decoded(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise BadRequest(str(error)) from None


async def chat(request: Request) -> Response:
    """One chat completion, whole or as server-sent events."""
    engine = _engine(request)
    asked = chat_request.parse(await request.body())
    missing = BadRequest(f"The model `{asked.model}` does not exist.", 404, "model")
    try:
        student = await asyncio.to_thread(engine.student_of, asked.model)
    except KeyError:
        raise missing from None
    job = _job(asked, student)
    try:
        answer = await asyncio.wrap_future(engine.submit(job))
    except KeyError:
        raise missing from None
    body = chat_response.completion(
        uuid4().hex,
        asked.model,
        {"role": "assistant", "content": answer.text, "tool_calls": []},
        created=int(time.time()),
        finish_reason=answer.finish_reason,
        tokens=(len(job.ask.ids), len(answer.tokens)),
        logprobs=chat_response.logprobs(answer, student.speller(answer))
        if asked.logprobs
        else None,
    )
    if not asked.stream:
        return JSONResponse(body)
    events = chat_response.chunks(body, asked.stream_options)
    return StreamingResponse(events, media_type="text/event-stream")


def _job(asked: ChatRequest, student: Student | EncoderStudent) -> DecodeJob:
    grammar = chat_request.form(asked)
    complaint = student.complaint(grammar) if grammar else None
    if complaint:
        raise BadRequest(complaint)
    limit = asked.max_completion_tokens or asked.max_tokens or student.length
    ask = student.asked(chat_request.conversation(asked), grammar, limit)
    if not student.fits(ask):
        raise BadRequest(
            f"This model's maximum context length is {student.length} tokens; "
            f"the messages have {len(ask.ids)}.",
            param="messages",
        )
    return DecodeJob(asked.model, ask, asked.top_logprobs or 0)


async def _refuse(_: Request, error: Exception) -> Response:
    """An error in vLLM's shape."""
    assert isinstance(error, BadRequest)
    kinds = {404: "NotFoundError", 503: "ServiceUnavailableError"}
    body = {
        "message": str(error),
        "type": kinds.get(error.status, "BadRequestError"),
        "param": error.param,
        "code": error.status,
    }
    return JSONResponse({"error": body}, status_code=error.status)


class Guard:
    """Lets requests to /v1 through only with the bearer token."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self.app, self.expected = app, f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 401."""
        if scope["type"] == "http" and scope["path"].startswith("/v1"):
            given = dict(scope["headers"]).get(b"authorization", b"")
            if not secrets.compare_digest(given, self.expected):
                refusal = JSONResponse({"error": "Unauthorized"}, status_code=401)
                return await refusal(scope, receive, send)
        return await self.app(scope, receive, send)


def app(engine: Engine, token: str | None = None) -> Starlette:
    """The ASGI application around an engine; it starts and stops the worker."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        engine.start()
        yield
        engine.stop()

    application = Starlette(
        routes=[
            Route("/health", health),
            Route("/v1/models", models),
            Route("/v1/load_lora_adapter", load, methods=["POST"]),
            Route("/v1/unload_lora_adapter", unload, methods=["POST"]),
            Route("/v1/chat/completions", chat, methods=["POST"]),
        ],
        middleware=[Middleware(Guard, token=token)] if token else [],
        exception_handlers={BadRequest: _refuse},
        lifespan=lifespan,
    )
    application.state.engine = engine
    return application


def run(arguments: argparse.Namespace) -> None:
    """Load the base and serve until SIGTERM or Ctrl-C. Raises Refused."""
    import torch

    token = os.environ.get(arguments.token_env)
    if not token:
        raise Refused(
            f"{arguments.token_env} is empty: a pool takes orders to load weights, so it needs a "
            "token, any long random text"
        )
    torch.set_num_threads(arguments.threads)
    place = listen(arguments.host, arguments.port)
    arguments.adapters.mkdir(parents=True, exist_ok=True)
    engine = Engine(base_path(arguments.base), arguments.adapters, arguments.max_adapters)
    host, port = place.getsockname()[:2]
    print(f"engine: {engine.name} on http://{host}:{port}", flush=True)
    config = uvicorn.Config(
        app(engine, token),
        log_level="warning",
        timeout_graceful_shutdown=5,
    )
    uvicorn.Server(config).run(sockets=[place])


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m serving.engine", description=__doc__)
    parser.add_argument("--base", default="bundled", help="a folder, or `bundled`")
    parser.add_argument("--adapters", type=Path, required=True, help="only from here")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8100)
    parser.add_argument("--max-adapters", type=int, default=32, help="of them in memory at once")
    limit_threads()
    cores = int(os.environ["OMP_NUM_THREADS"])
    parser.add_argument("--threads", type=int, default=cores, help="of each product")
    parser.add_argument("--token-env", default="POOL_TOKEN", help="variable with the bearer token")
    # The server finishes what it is doing and then raises the signal again.
    for wanted in (signal.SIGTERM, signal.SIGINT):
        signal.signal(wanted, lambda *_: sys.exit(0))
    try:
        run(parser.parse_args())
    except Refused as error:
        print(f"engine: {error}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
