"""The gateway's pages beside the API: its health, its state and its counters."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from serving import chat_response
from serving.body_limits import NotTaken
from serving.http_server import LOOPBACK
from serving.teacher import Incoming

if TYPE_CHECKING:
    from serving.gateway import Gateway


def pages(gateway: Gateway) -> Starlette:
    """The application of everything that is not the API.

    Where the gateway asks for keys, others than this machine see its state with one only.
    """

    def admit(http: Request) -> None:
        if http.client is None or http.client.host not in LOOPBACK:
            asked = Incoming(http.method, b"", b"", http.headers.raw)
            gateway.clients.admit(asked, time.time())

    async def state(http: Request) -> Response:
        """GET /: the routes and the counts since the start."""
        admit(http)
        return JSONResponse(gateway.state())

    async def counters(http: Request) -> Response:
        """GET /metrics."""
        admit(http)
        return PlainTextResponse(gateway.metrics.text())

    return Starlette(
        routes=[Route("/healthz", health), Route("/metrics", counters), Route("/", state)],
        lifespan=gateway.lifespan,
        exception_handlers={404: nowhere, NotTaken: refused},
    )


async def health(_: Request) -> Response:
    """GET /healthz: this process is up. A pool or teacher that is down does not change that."""
    return JSONResponse({"status": "ok"})


async def nowhere(http: Request, _: Exception) -> Response:
    """Return what is neither the teacher's nor ours."""
    sentence = f"{http.url.path} is not here: the API is under /v1 (Azure's under /openai)"
    return JSONResponse(chat_response.error(sentence, "invalid_request_error"), 404)


async def refused(_: Request, error: Exception) -> Response:
    """The sentence for who may not see it."""
    assert isinstance(error, NotTaken)
    return JSONResponse(chat_response.error(str(error), "invalid_request_error"), error.status)
