"""The gateway: agents call it like the teacher; a student answers where it may.

    TEACHER_BASE_URL=https://.../v1 POOL_URL=http://127.0.0.1:8100 \
        python -m serving.gateway --home .flywheel --port 8080 [--replay]

Also from the environment: TEACHER_API_KEY (else the client's own key goes on to the teacher),
TEACHER_MODEL (else the model that the client names), POOL_TOKEN, GATEWAY_WALLED (there is
a wall of your own: listen beyond loopback without keys, see `flywheel keys`). With --replay the
header `x-flywheel-at: <unix seconds>` is the time of a call. A call that the teacher could answer
never fails here: whatever is wrong with a student or the pool is only a reason to escalate.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import logging
import math
import os
import sys
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from serving import audit_history, chat_response, escalate, teacher_reply
from serving.accepted_keys import AcceptedKeys
from serving.ask_student import Students
from serving.audit import Audits
from serving.body_limits import MEGABYTE, BodyLimits, NotTaken
from serving.caller import Caller, Left
from serving.client import Client
from serving.client_keys import ClientKey, ClientKeys
from serving.evidence import Evidence, JournalLine, drawn
from serving.exchange import CHAT, Exchange, api_of, reply_fields
from serving.http_server import LOOPBACK, SHUTDOWN_SECONDS, listen, server
from serving.journal import Journal, NotRecorded
from serving.journal_quota import GIGABYTE
from serving.metrics import Metrics
from serving.pages import pages
from serving.pool import pools
from serving.relay import JSON, Passed, Relay, body_of, impassable
from serving.route import RouteFile
from serving.shadow import FOLDER, Shadows
from serving.teacher import Incoming, Teacher, base_url
from tasks.core import params
from tasks.core.params import Params, Serve
from tasks.core.records import TEACHER, Json
from tasks.core.stage import Refused, private
from tasks.ingest.wire import completion as replies
from tasks.students.causal import Answer

log = logging.getLogger("flywheel.gateway")

SYNC_SECONDS = 1.0
STUDENT = "student"


@dataclass(slots=True)
class Gateway:
    """Everything that answers a call."""

    students: Students
    teacher: Teacher
    journal: Journal
    settings: Serve
    shadows: Shadows
    clients: ClientKeys
    replay: bool = False
    metrics: Metrics = field(default_factory=Metrics)
    audits: Audits = field(init=False)
    bodies: BodyLimits = field(init=False)

    def __post_init__(self) -> None:
        self.bodies = BodyLimits(self.settings.max_body * MEGABYTE)
        parts = self.students.keys, self.journal, self.metrics, self.shadows
        self.audits = Audits(self.teacher, *parts, self.students.evidence)
        self.students.evidence.revoked = self.metrics.revoked

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Everything under /v1 and /openai: what is not learned from is passed through."""
        caller = Caller(receive, send, (scope.get("client") or ("",))[0])
        incoming = Incoming(
            scope["method"], scope["raw_path"], scope["query_string"], scope["headers"]
        )
        with contextlib.suppress(Left):
            try:
                if problem := impassable(incoming, scope["path"]):
                    raise NotTaken(501, problem)
                key, incoming = self.clients.admit(incoming, time.time())
                await self._handle(incoming, api_of(incoming.method, scope["path"]), caller, key)
            except NotTaken as refusal:
                self.metrics.refused.labels(str(refusal.status)).inc()
                error = chat_response.error(str(refusal), "invalid_request_error")
                closing = (b"connection", b"close")
                await caller.reply(refusal.status, [JSON, closing], msgspec.json.encode(error))

    async def _handle(
        self, incoming: Incoming, api: str | None, caller: Caller, key: ClientKey | None
    ) -> None:
        """Pass a request through, or answer it as a call. Raises Left and NotTaken."""
        start, at, largest = time.perf_counter(), self._time(incoming), self.bodies.largest
        if api is None and not incoming.names_model():
            body = await body_of(incoming, caller)
            await Relay(self.teacher, incoming.with_body(body), caller).run()
            return
        exchange = Exchange(uuid.uuid4().hex, at, start, api or "", incoming, key, caller.address)
        try:
            with self.bodies.room(incoming, exchange.client) as share:
                exchange.incoming = incoming.with_body(await caller.body(largest, share))
                if api is None:
                    await Relay(self.teacher, exchange.incoming, caller).run()
                else:
                    await self._answer(exchange, caller)
        except NotTaken as refusal:
            if api is not None:
                self._keep(exchange.line(0.0, reason=escalate.REFUSED, error=str(refusal)))
            raise

    async def _answer(self, exchange: Exchange, caller: Caller) -> None:
        """Answer one call: a student's answer where it may be served, else the teacher's."""
        self.metrics.calls.labels(exchange.api).inc()
        async with self.bodies.reading(exchange):
            try:
                answer = await self.students.ask(exchange)
                served = self._serve(exchange, answer) if answer else None
            except NotRecorded:
                exchange.reason, served = escalate.NOT_RECORDED, None
            except Exception:  # an answer that cannot be served is only a reason to escalate
                log.exception("call %s", exchange.id)
                exchange.reason, served = escalate.STUDENT_ERROR, None
        if served:
            body, kind = served
            request_id = (b"x-request-id", exchange.id.encode())
            headers = [(b"content-type", kind), request_id, *exchange.headers(STUDENT)]
            await caller.reply(200, headers, body)
        else:
            self.metrics.escalated(exchange.reason)
            exchange.request = None  # the teacher may take minutes
            await self._escalate(exchange, caller)

    def _time(self, incoming: Incoming) -> float:
        if self.replay and (told := incoming.header(b"x-flywheel-at")):
            with contextlib.suppress(ValueError):
                at = float(told)
                if math.isfinite(at) and 0 <= at < 4e9:
                    return at
        return time.time()

    def _serve(self, exchange: Exchange, answer: Answer) -> tuple[bytes, bytes]:
        """Record a student's answer; return its bytes and content type. Raises NotRecorded."""
        assert exchange.match is not None  # no answer without a route
        route = exchange.match.route
        body = chat_response.of_student(exchange, route, answer)
        reply = replies.read(body)
        rate = self._audit_rate(exchange)
        line = exchange.line(rate, **reply_fields(reply), answered_by=route.adapter)
        written = chat_response.written(body, exchange.request or {})
        if drawn(exchange.id, rate):
            self.audits.start(exchange, line, route.task.contract, answer.text)
        else:
            self.journal.record(line)
        self.clients.spend(line)
        self.metrics.served.labels(route.adapter).inc()
        self.metrics.seconds.labels(STUDENT).observe(line["latency_s"])
        return written

    def _audit_rate(self, exchange: Exchange) -> float:
        """The share of such answers that is audited: more where a student is new or in doubt."""
        if exchange.match is None:
            return self.settings.audit
        return max(self.settings.audit, self.students.evidence.audit_rate(exchange.match.route))

    async def _escalate(self, exchange: Exchange, caller: Caller) -> None:
        relay = Relay(
            self.teacher,
            exchange.incoming,
            caller,
            exchange.headers(TEACHER),
            lambda passed: teacher_reply.whole(exchange.api, passed),
        )
        try:
            await relay.run()
        finally:  # also when the gateway is stopped in the middle of it
            self._record(exchange, relay.passed)

    def _record(self, exchange: Exchange, passed: Passed) -> None:
        """Write the line of a call that the teacher answered, or failed to answer."""
        self.metrics.teacher.labels(str(passed.status)).inc()
        exchange.read(self.bodies.readable)  # again, for its line
        if exchange.api == CHAT:
            self.students.keys.learn(exchange.incoming, exchange.model, passed.status)
        said = teacher_reply.fields(exchange.api, passed)
        line = exchange.line(self._audit_rate(exchange)) | said
        if line["error"] is None and exchange.is_chat():
            self.shadows.offer(line, line["reply"])
            if line["student"]:
                self.students.evidence.see(msgspec.convert(line, JournalLine))
        self.clients.spend(line)
        self.metrics.seconds.labels(TEACHER).observe(line["latency_s"])
        self._keep(line)

    def _keep(self, line: Json) -> None:
        if not self.journal.keep(line):  # the client gets its answer, which may have been costly
            self.metrics.unwritten.inc()

    def state(self) -> Json:
        """The routes and the counts since the start."""
        counts = self.metrics.state()
        return {
            **counts,
            "calls": sum(counts["calls"].values()),
            "routes": self.students.evidence.state(),
            "shadows": {"asked": self.shadows.asked, "waiting": self.shadows.waiting},
            "teacher": self.teacher.url,
            "journal": str(self.journal),
        }

    def remember(self) -> None:
        """Know what the journal says of earlier calls. Raises Refused where it cannot be read."""
        self.journal.recover()
        self.students.evidence.recall(audit_history.look(self.journal.folder.parent))
        self.clients.recall(self.journal.folder, time.time())

    @contextlib.asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        """Sync the journal every second and ask shadows; at the end wait for the audits."""
        beside = [asyncio.create_task(self._sync()), asyncio.create_task(self.shadows.run())]
        async with self.teacher.client:
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
                self.metrics.journaled(self.journal.quota)
            except OSError as problem:
                log.error("the journal is not synced: %s", problem)


def app(gateway: Gateway) -> ASGIApp:
    """The gateway as an ASGI application."""
    beside = pages(gateway)

    async def route(scope: Scope, receive: Receive, send: Send) -> None:
        api = scope["type"] == "http" and scope["path"].startswith(("/v1/", "/openai/"))
        await (gateway if api else beside)(scope, receive, send)

    return route


def build(home: Path, env: Mapping[str, str], chosen: Params, replay: bool) -> Gateway:
    """The gateway of a workdir, its teacher and pool named by the environment. Raises Refused."""
    url = base_url(env.get("TEACHER_BASE_URL", ""))
    private(home)
    settings, watch = chosen.serve, chosen.watch
    key, client = env.get("TEACHER_API_KEY") or None, Client()
    model = env.get("TEACHER_MODEL") or None
    teacher = Teacher(url, client, key, model, settings.teacher_timeout)
    servers = pools(env, client)
    routes = RouteFile(home / "routes.json")
    keys = AcceptedKeys(open=key is not None)
    alarm = audit_history.alarm(home, watch.audits_per_false_alarm)
    evidence = Evidence(routes, alarm, watch.raised)
    students = Students(routes, servers, settings, keys, evidence, model)
    shadows = Shadows(routes, servers, settings, home / FOLDER, model)
    most = chosen.retention.journal * GIGABYTE
    journal, clients = Journal(home / "journal", most), ClientKeys(home, chosen.economics)
    return Gateway(students, teacher, journal, settings, shadows, clients, replay)


def serve(gateway: Gateway, host: str, port: int, *, walled: bool = False) -> None:
    """Serve until interrupted, once the journal is read. Raises Refused where that may not be."""
    if host not in LOOPBACK and not walled and not gateway.clients.needed():
        raise Refused(
            f"on {host} others reach the gateway, and it asks nobody for a key: make one with "
            "`flywheel keys add NAME`, or set GATEWAY_WALLED=1 behind a wall of your own"
        )
    listener = listen(host, port)
    gateway.remember()
    gc.collect()
    gc.freeze()  # what is loaded stays: a full collection would look at all of it, for 30 ms
    server(app(gateway)).run(sockets=[listener])


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
    os.umask(0o077)  # what is written below is as personal as the calls are
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    try:
        gateway = build(chosen.home, os.environ, params.load(), chosen.replay)
        serve(gateway, chosen.host, chosen.port, walled=bool(os.environ.get("GATEWAY_WALLED")))
    except Refused as error:
        print(f"flywheel: {error}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
