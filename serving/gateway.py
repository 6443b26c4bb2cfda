"""The gateway: agents call it like the teacher; a student answers where it may.

    TEACHER_BASE_URL=https://.../v1 POOL_URL=http://127.0.0.1:8100 \
        python -m serving.gateway --home .flywheel --port 8080 [--replay]

Also from the environment: TEACHER_API_KEY (else the client's own key goes on to the teacher),
TEACHER_MODEL (else the model that the client names), POOL_TOKEN. With --replay the header
`x-flywheel-at: <unix seconds>` is the time of a call. A call that the teacher could answer never
fails here: whatever is wrong with a student or the pool is only a reason to escalate.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import math
import os
import re
import socket
import sys
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from serving import completion, escalate
from serving.audit import Audits, drawn
from serving.exchange import Exchange, reply_fields
from serving.journal import Journal
from serving.metrics import Metrics
from serving.pool import pools
from serving.route import Routes
from serving.shadow import FOLDER, Shadows
from serving.students import Students
from serving.teacher import Teacher, TeacherDown, back, http_client, read
from tasks.core import params
from tasks.core.params import Serve
from tasks.core.records import TEACHER
from tasks.core.stage import Refused
from tasks.ingest.wire import completion as replies
from tasks.students.causal import Answer

log = logging.getLogger("flywheel.gateway")

# Half of a surrogate pair, escaped, without its other half.
LONE = re.compile(
    rb"\\u[dD][89abAB][\da-fA-F]{2}(?!\\u[dD][c-fC-F])"
    rb"|(?<!\\u[dD][89abAB][\da-fA-F]{2})\\u[dD][c-fC-F][\da-fA-F]{2}"
)
SYNC_SECONDS = 1.0
SHUTDOWN_SECONDS = int(os.environ.get("SHUTDOWN_SECONDS", "5"))  # for calls under way
KEEP_ALIVE_SECONDS = 75  # longer than clients keep idle connections, so that they close first
STUDENT = "student"


@dataclass(slots=True)
class Gateway:
    """Everything that answers a call."""

    students: Students
    teacher: Teacher
    journal: Journal
    settings: Serve
    shadows: Shadows
    replay: bool = False
    metrics: Metrics = field(default_factory=Metrics)
    audits: Audits = field(init=False)

    def __post_init__(self) -> None:
        self.audits = Audits(self.teacher, self.journal, self.metrics, self.shadows)

    async def chat(self, http: Request) -> Response:
        """POST /v1/chat/completions."""
        start, body = time.perf_counter(), await http.body()
        try:
            # Text that was cut inside a pair of surrogates is no Unicode; the teacher may read it.
            request = msgspec.json.decode(LONE.sub(rb"\\ufffd", body), type=dict[str, Any])
        except (msgspec.DecodeError, RecursionError):
            sentence = "the body is not a JSON object"
            return JSONResponse(
                completion.error(sentence, "invalid_request_error"), status_code=400
            )
        headers = http.headers
        exchange = Exchange(uuid.uuid4().hex, self._time(headers), start, body, request, headers)
        self.metrics.calls.labels("chat").inc()
        try:
            answer = await self.students.ask(exchange)
            if answer is not None:
                return self._serve(exchange, answer)
        except Exception:  # an answer that cannot be served is only a reason to escalate
            log.exception("call %s", exchange.id)
            exchange.reason = escalate.STUDENT_ERROR
        self.metrics.escalated(exchange.reason)
        return await self._escalate(exchange)

    def _time(self, headers: Mapping[str, str]) -> float:
        if self.replay and "x-flywheel-at" in headers:
            with contextlib.suppress(ValueError):
                at = float(headers["x-flywheel-at"])
                if math.isfinite(at) and 0 <= at < 4e9:
                    return at
        return time.time()

    def _serve(self, exchange: Exchange, answer: Answer) -> Response:
        assert exchange.match is not None  # no answer without a route
        route = exchange.match.route
        body = completion.of_student(exchange, route, answer)
        found = replies.read(body)
        line = exchange.line(self.settings.audit, **reply_fields(found), answered_by=route.adapter)
        response = completion.respond(body, exchange.request, exchange.response_headers(STUDENT))
        if drawn(exchange.id, self.settings.audit):
            self.audits.start(exchange, line, route.task.contract, answer.text)
        else:
            self.journal.append(line)
        self.metrics.served.labels(route.adapter).inc()
        self.metrics.seconds.labels(STUDENT).observe(line["latency_s"])
        return response

    async def _escalate(self, exchange: Exchange) -> Response:
        try:
            response = await self.teacher.ask(exchange.body, exchange.request, exchange.headers)
            self.metrics.teacher.labels(str(response.status_code)).inc()
            headers = {**back(response), **exchange.response_headers(TEACHER)}
            if "text/event-stream" in response.headers.get("content-type", ""):
                return StreamingResponse(
                    self._tee(exchange, response), response.status_code, headers
                )
            content = await read(response, self.teacher.url)
        except TeacherDown as error:
            self.metrics.teacher.labels("0").inc()
            self._record(exchange, b"", error=str(error))
            headers = exchange.response_headers(TEACHER)
            return JSONResponse(completion.error(str(error), "teacher_error"), 502, headers)
        failed = f"HTTP {response.status_code}" if response.is_error else None
        self._record(exchange, content, error=failed)
        return Response(content, response.status_code, headers)

    async def _tee(self, exchange: Exchange, response: httpx.Response) -> AsyncIterator[bytes]:
        """Pass the teacher's stream on as it comes; record it when it ends or breaks off."""
        parts: list[bytes] = []
        broken: str | None = "the client left before the end of the stream"
        try:
            async for part in response.aiter_bytes():
                parts.append(part)
                yield part
            broken = None
        except httpx.HTTPError as error:
            broken = f"the teacher's stream broke off ({type(error).__name__})"
            yield completion.event(completion.error(broken, "teacher_error"))
        finally:
            self._record(exchange, b"".join(parts), error=broken)
            await response.aclose()

    def _record(self, exchange: Exchange, content: bytes, error: str | None) -> None:
        """Write the line of a call that the teacher answered, or failed to answer."""
        line = exchange.line(self.settings.audit, error=error)
        if content and error is None:
            try:
                found = replies.read(content.decode("utf-8", "replace"))
            except ValueError:
                line["error"] = "the teacher's reply cannot be read"
            else:
                line |= {**reply_fields(found), "error": found.error}
                if found.error is None:
                    self.shadows.offer(line, found.reply)
        self.metrics.seconds.labels(TEACHER).observe(line["latency_s"])
        if not self.journal.keep(line):  # the client gets its answer, which may have been costly
            self.metrics.unwritten.inc()

    async def models(self, http: Request) -> Response:
        """GET /v1/models: the teacher's."""
        try:
            response = await self.teacher.models(http.headers)
        except TeacherDown as error:
            return JSONResponse(completion.error(str(error), "teacher_error"), 502)
        return Response(response.content, response.status_code, back(response))

    async def state(self, _: Request) -> Response:
        """GET /: the routes and the counts since the start."""
        routes = [
            {
                "task": r.task.id,
                "adapter": r.adapter,
                "version": r.version,
                "threshold": r.threshold,
            }
            for r in self.students.routes.current().routes
        ]
        counts = self.metrics.state()
        return JSONResponse(
            {
                **counts,
                "calls": sum(counts["calls"].values()),
                "routes": routes,
                "shadows": {"asked": self.shadows.asked, "waiting": self.shadows.waiting},
                "teacher": self.teacher.url,
            }
        )

    async def counters(self, _: Request) -> Response:
        """GET /metrics."""
        return PlainTextResponse(self.metrics.text())

    @contextlib.asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        """Sync the journal every second and ask shadows; at the end wait for the audits."""
        beside = [asyncio.create_task(self._sync()), asyncio.create_task(self.shadows.run())]
        yield
        for task in beside:
            task.cancel()
        await self.audits.finish(SHUTDOWN_SECONDS)
        self.shadows.close()
        self.journal.close()

    async def _sync(self) -> None:
        while True:
            await asyncio.sleep(SYNC_SECONDS)
            try:
                await asyncio.to_thread(self.journal.sync)
            except OSError as problem:
                log.error("the journal is not synced: %s", problem)


async def health(_: Request) -> Response:
    """GET /healthz: this process is up. A pool or teacher that is down does not change that."""
    return JSONResponse({"status": "ok"})


def app(gateway: Gateway) -> Starlette:
    """The gateway as an ASGI application."""
    return Starlette(
        routes=[
            Route("/v1/chat/completions", gateway.chat, methods=["POST"]),
            Route("/v1/models", gateway.models),
            Route("/healthz", health),
            Route("/metrics", gateway.counters),
            Route("/", gateway.state),
        ],
        lifespan=gateway.lifespan,
    )


def build(home: Path, env: Mapping[str, str], settings: Serve, replay: bool) -> Gateway:
    """The gateway of a workdir, its teacher and pool named by the environment. Raises Refused."""
    url = env.get("TEACHER_BASE_URL", "")
    if not url.startswith(("http://", "https://")):
        raise Refused(
            f"TEACHER_BASE_URL is {url!r}; set it to the teacher's base URL, "
            "such as https://api.openai.com/v1"
        )
    teacher = Teacher(
        url,
        http_client(settings.teacher_timeout),
        env.get("TEACHER_API_KEY") or None,
        env.get("TEACHER_MODEL") or None,
    )
    servers = pools(env, http_client(settings.student_timeout))
    routes = Routes(home / "routes.json")
    students = Students(routes, servers, settings)
    shadows = Shadows(routes, servers, settings, home / FOLDER)
    return Gateway(students, teacher, Journal(home / "journal"), settings, shadows, replay)


def serve(gateway: Gateway, host: str, port: int) -> None:
    """Serve until interrupted. Raises Refused when the port is taken."""
    import uvicorn

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol left out asyncio does not set TCP_NODELAY, and each answer waits 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        raise Refused(f"cannot listen on {host}:{port}: {error.strerror}") from None
    config = uvicorn.Config(
        app(gateway),
        log_level="warning",
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    uvicorn.Server(config).run(sockets=[listener])


def main() -> None:
    """Run the gateway from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--home", type=Path, default=Path(".flywheel"))
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--replay", action="store_true", help="believe the header x-flywheel-at")
    chosen = parser.parse_args()
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    try:
        gateway = build(chosen.home, os.environ, params.load().serve, chosen.replay)
        serve(gateway, chosen.host, chosen.port)
    except Refused as error:
        print(f"flywheel: {error}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
