"""The audit: a random share of the served answers is also asked of the teacher, in the background.

Only audited answers measure the real error, so the draw must not depend on anything about a call:
it is a hash of the call's random id (`serving.evidence.drawn`), and can be done again from the
journal.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field, replace

import msgspec

from serving.accepted_keys import AcceptedKeys
from serving.client import Unreachable
from serving.evidence import Evidence, EvidenceKey, JournalLine
from serving.exchange import Exchange, reply_fields
from serving.journal import Journal
from serving.metrics import Metrics
from serving.shadow import Shadows
from serving.teacher import Teacher, TeacherDown
from tasks.core.contract import Contract, agree, answer, unanswered
from tasks.core.records import Json
from tasks.ingest.wire import completion

log = logging.getLogger("flywheel.gateway")

AT_ONCE = 8
_ENCODINGS = (b"accept-encoding", b"content-encoding")


@dataclass(slots=True)
class Audits:
    """The audits under way. The journal line of an audited call is written when its audit ends."""

    teacher: Teacher
    keys: AcceptedKeys
    journal: Journal
    metrics: Metrics
    shadows: Shadows
    evidence: Evidence
    _running: set[asyncio.Task[None]] = field(default_factory=set)
    _turn: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    def start(self, exchange: Exchange, line: Json, contract: Contract, served: str) -> None:
        """Audit an answer, then write the call's line. Raises NotRecorded: it may not be given."""
        self.journal.put_aside(line)
        task = asyncio.create_task(self._audit(exchange, line, contract, served))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        if exchange.match:
            key = [EvidenceKey.of(exchange.match.route)]
            self.evidence.awaited.update(key)
            task.add_done_callback(lambda _: self.evidence.awaited.subtract(key))

    async def finish(self, seconds: float) -> None:
        """Wait for the audits under way; those that take longer are given up, their lines kept."""
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _audit(self, exchange: Exchange, line: Json, contract: Contract, served: str) -> None:
        try:
            async with self._turn:
                teacher = await self._ask_teacher(exchange)
            if reason := unanswered(teacher.reply, teacher.finish_reason):
                raise ValueError(reason)
            agrees = agree(answer(teacher.reply, contract), served, contract)
            line["audit"] = {**reply_fields(teacher), "agrees": agrees}
            self.shadows.offer(line, teacher.reply, audited=True)
            self.metrics.audits.labels("agrees" if agrees else "disagrees").inc()
            self.evidence.see(msgspec.convert(line, JournalLine))
        except (TeacherDown, Unreachable, ValueError) as error:
            self.metrics.audits.labels("failed").inc()
            log.warning("call %s: the audit failed (%s)", exchange.id, type(error).__name__)
        finally:
            if not self.journal.keep(line):
                self.metrics.unwritten.inc()

    async def _ask_teacher(self, exchange: Exchange) -> completion.Completion:
        """The teacher's completion, never streamed.

        Raises TeacherDown, Unreachable or ValueError.
        """
        request = exchange.request or {}
        plain = {k: v for k, v in request.items() if k not in ("stream", "stream_options")}
        headers = [(k, v) for k, v in exchange.incoming.headers if k not in _ENCODINGS]
        asked = replace(exchange.incoming, headers=headers, body=msgspec.json.encode(plain))
        reply = await self.teacher.send(asked)
        try:
            content = await reply.body()
        finally:
            reply.close()
        self.keys.learn(exchange.incoming, exchange.model, reply.status)
        if not reply.ok:
            raise ValueError(f"HTTP {reply.status}")
        return completion.read(content.decode())
