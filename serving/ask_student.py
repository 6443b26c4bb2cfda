"""Asking an exchange's student: route, limits, pool and decision; every "no" has its reason."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from cachetools import TTLCache

from serving import escalate
from serving.accepted_keys import AcceptedKeys
from serving.breaker import CircuitBreaker
from serving.evidence import Evidence
from serving.exchange import CHAT, Exchange
from serving.pool import Pool, PoolError
from serving.route import Match, Route, RouteFile, match_of
from tasks.calibrate.calibrate import confidence
from tasks.calibrate.shadow_proof import conversation_of
from tasks.core import rollout
from tasks.core.params import Serve
from tasks.core.records import Json
from tasks.students.causal import Answer

log = logging.getLogger("flywheel.gateway")

UNDER_WAY = 32  # calls of one adapter at a time: what is more goes to the teacher at once
OF_ONE_CLIENT = 24  # of them: a client's flood leaves room for the others of its task
REMEMBERED, SECONDS = 10_000, 60.0  # breakers, and how long one is kept that nothing happens to


@dataclass(slots=True)
class Students:
    """The students behind the routes, and the pool of each kind."""

    routes: RouteFile
    pools: Mapping[str, Pool]
    settings: Serve
    keys: AcceptedKeys
    evidence: Evidence
    model: str | None = None  # that the teacher is asked for, whatever clients name
    _breakers: TTLCache[str, CircuitBreaker] = field(
        default_factory=lambda: TTLCache(REMEMBERED, SECONDS)
    )
    _asking: Counter[str] = field(default_factory=Counter)  # calls under way, by adapter and client

    async def ask(self, exchange: Exchange) -> Answer | None:
        """The student's answer if it may be served; else `exchange.reason` says why not."""
        if exchange.request is None:
            exchange.reason = f"{escalate.UNREAD}: {exchange.unread}"
            return None
        if exchange.api != CHAT:
            exchange.reason = escalate.OTHER_API
            return None
        request, router = exchange.request, self.routes.current()
        found = router.find(request) if exchange.is_chat() else None
        if found is None:
            exchange.reason = router.miss(request)
            return None
        match, waits = self._turn(exchange, request, found)
        exchange.match = match
        exchange.reason = (
            self._barred(exchange, match.route) or waits or self._unfit(request, match.route)
        )
        answer = None if exchange.reason else await self._answer(exchange, match)
        if answer is None:
            return None
        route = match.route
        exchange.student = {
            "answer": answer.text,
            "confidence": confidence(answer.logprobs) if answer.logprobs else None,
            "adapter": route.adapter,
            "version": route.version,
            "since": route.since,
        }
        decision = escalate.decide(route.task, route.threshold, request, answer)
        exchange.reason = decision.reason
        return answer if decision.serve else None

    def _turn(self, exchange: Exchange, request: Json, match: Match) -> tuple[Match, str]:
        """Return who answers this conversation in a roll-out; a reason where it is the teacher."""
        route = match.route
        share = self.evidence.share(route)
        full = self.evidence.full(route, self._asking[route.adapter])
        if share >= 1 and not full:
            return match, ""
        name = conversation_of(exchange.id, exchange.conversation, request, route.task)
        chosen = not full and rollout.chosen(name, route.adapter, share)
        if chosen and not self.evidence.breached(route):
            return match, ""
        former = match_of(route.former, request) if route.former else None
        if former is not None:
            return former, ""
        return match, escalate.REVOKED if self.evidence.breached(route) else escalate.ROLLOUT

    def _unfit(self, request: Json, route: Route) -> str:
        """Return why no student, or not this one, may be asked; empty where it may."""
        if self.evidence.breached(route):
            return escalate.REVOKED
        return escalate.unsupported(request) or escalate.unexpected(
            request, route.usual, self.model
        )

    def _barred(self, exchange: Exchange, route: Route) -> str | None:
        """Return why this caller may not be answered by a student, whatever it asks."""
        if not exchange.plain:
            return escalate.NOT_PLAIN
        if exchange.incoming.header(b"origin"):
            return escalate.BROWSER
        if exchange.key and not exchange.key.may(route.task.id):
            return escalate.NOT_ALLOWED
        accepted = self.keys.accepted(exchange.incoming, exchange.model)
        return None if accepted else escalate.UNKNOWN_KEY

    async def _answer(self, exchange: Exchange, match: Match) -> Answer | None:
        pool = self.pools.get(match.route.kind)
        if pool is None:
            exchange.reason = escalate.NO_POOL
            return None
        adapter = match.route.adapter
        own = f"{adapter} {exchange.client}"
        if not all(self._breaker(name).allows() for name in (own, pool.url)):
            exchange.reason = escalate.CIRCUIT_OPEN
            return None
        if self._asking[adapter] >= UNDER_WAY or self._asking[own] >= OF_ONE_CLIENT:
            exchange.reason = escalate.BUSY
            return None
        try:
            answer = await self._ask_pool(pool, match, own)
        except (TimeoutError, PoolError) as error:
            exchange.reason = error.reason if isinstance(error, PoolError) else escalate.TIMEOUT
            log.warning("call %s: %s", exchange.id, exchange.reason)
            self._failed(pool, own, error)
            return None
        for name in (own, pool.url):
            self._breaker(name).succeeded()
        return answer

    def _breaker(self, name: str) -> CircuitBreaker:
        breaker = self._breakers[name] = self._breakers.get(name) or CircuitBreaker()
        return breaker

    def _failed(self, pool: Pool, own: str, error: TimeoutError | PoolError) -> None:
        """Count what went wrong: what is slow or broken is one client's use of one adapter.

        A pool that cannot be reached is everybody's; one that refuses a request is well.
        """
        reason = error.reason if isinstance(error, PoolError) else escalate.TIMEOUT
        if isinstance(error, PoolError) and error.unreachable:
            self._breaker(pool.url).failed()
        elif reason in (escalate.TIMEOUT, escalate.POOL_ERROR):
            self._breaker(own).failed()
        else:
            for name in (own, pool.url):
                self._breaker(name).succeeded()

    async def _ask_pool(self, pool: Pool, match: Match, own: str) -> Answer:
        route, limit = match.route, self.settings.student_timeout
        self._asking.update((route.adapter, own))
        try:
            async with asyncio.timeout(limit):
                return await pool.answer(
                    route.adapter, match.prompt, self.settings.answer_tokens, limit
                )
        finally:
            self._asking.subtract((route.adapter, own))
            if not self._asking[own]:
                del self._asking[own]
