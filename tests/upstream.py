"""Servers to script: what a handler answers comes over a real connection of this machine."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from functools import cache

import httpx
from aiohttp import web
from starlette.types import ASGIApp

Handler = Callable[[httpx.Request], httpx.Response | Awaitable[httpx.Response]]


@cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    return loop


def upstream(handler: Handler) -> str:
    """The URL of a server that answers so until the tests end.

    A handler (or its stream) that raises an error of httpx breaks the connection off; one that
    raises a timeout never answers.
    """

    async def serve(got: web.BaseRequest) -> web.StreamResponse:
        raw = [(k, v) for k, v in got.raw_headers]
        url = f"http://{got.host}{got.raw_path}"
        asked = httpx.Request(got.method, url, headers=raw, content=await got.content.read())
        try:
            found = handler(asked)
            return await _write(got, found if isinstance(found, httpx.Response) else await found)
        except httpx.TimeoutException:
            await asyncio.Event().wait()
            raise
        except httpx.HTTPError:
            if got.transport is not None:
                got.transport.abort()
            return web.Response()

    async def start() -> str:
        runner = web.ServerRunner(web.Server(serve, access_log=None))
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return site.name

    return asyncio.run_coroutine_threadsafe(start(), _loop()).result(10)


async def _write(got: web.BaseRequest, found: httpx.Response) -> web.StreamResponse:
    headers = [(k.decode(), v.decode("latin-1")) for k, v in found.headers.raw]
    reply = web.StreamResponse(status=found.status_code)
    for name, value in headers:
        if name.lower() != "transfer-encoding":
            reply.headers.add(name, value)
    await reply.prepare(got)
    if isinstance(found.stream, httpx.AsyncByteStream):
        async for part in found.stream:
            await reply.write(part)
    else:
        await reply.write(found.content)
    await reply.write_eof()
    return reply


def nowhere() -> str:
    """The URL of a server that is down."""
    return "http://127.0.0.1:9"


def application(app: ASGIApp) -> str:
    """The URL of a server of this application."""

    async def handle(asked: httpx.Request) -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
            return await client.send(asked)

    return upstream(handle)
