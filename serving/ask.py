"""Asking a call's student: route, limits, the pool, and the decision; every "no" has its reason."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from serving import escalate
from serving.call import Call
from serving.pool import Pool, PoolError
from serving.route import Match, Routes
from tasks.calibrate.hop import confidence
from tasks.core.params import Serve
from tasks.students.causal import Answer

log = logging.getLogger("flywheel.gateway")

FAILURES = 3  # of a pool in a row; then it is left alone for REST_SECONDS
REST_SECONDS = 5.0


@dataclass(slots=True)
class Health:
    """How a pool has been lately."""

    failures: int = 0
    rest_until: float = 0.0


@dataclass(slots=True)
class Students:
    """The students behind the routes, and the pool of each kind."""

    routes: Routes
    pools: Mapping[str, Pool]
    settings: Serve
    _health: dict[str, Health] = field(default_factory=lambda: defaultdict(Health))

    async def ask(self, call: Call) -> Answer | None:
        """The answer of the call's student if it may be served; else `call.reason` says why not."""
        router = self.routes.current()
        call.match = router.find(call.request) if call.sound() else None
        if call.match is None:
            call.reason = router.miss(call.request)
            return None
        call.reason = escalate.unsupported(call.request) or ""
        answer = None if call.reason else await self._answer(call, call.match)
        if answer is None:
            return None
        route = call.match.route
        call.student = {
            "answer": answer.text,
            "confidence": confidence(answer.logprobs) if answer.logprobs else None,
            "adapter": route.adapter,
            "version": route.version,
        }
        decision = escalate.decide(route.task, route.threshold, call.request, answer)
        call.reason = decision.reason
        return answer if decision.serve else None

    async def _answer(self, call: Call, match: Match) -> Answer | None:
        pool = self.pools.get(match.route.kind)
        if pool is None:
            call.reason = escalate.NO_POOL
        elif time.monotonic() < self._health[pool.url].rest_until:
            call.reason = escalate.POOL_RESTING
        else:
            try:
                answer = await self._asked(pool, match)
            except TimeoutError:
                self._failed(call, escalate.TIMEOUT, self._health[pool.url])
            except PoolError as error:
                self._failed(call, error.reason, self._health[pool.url])
            else:
                self._health[pool.url].failures = 0
                return answer
        return None

    async def _asked(self, pool: Pool, match: Match) -> Answer:
        route, limit = match.route, self.settings.student_timeout
        async with asyncio.timeout(limit):
            return await pool.answer(
                route.adapter, match.prompt, self.settings.answer_tokens, limit
            )

    def _failed(self, call: Call, reason: str, health: Health) -> None:
        log.warning("call %s: %s", call.id, reason)
        call.reason = reason
        health.failures += reason in escalate.POOL_AWAY
        if health.failures >= FAILURES:
            health.rest_until = time.monotonic() + REST_SECONDS
