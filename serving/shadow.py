"""Shadows: students that are asked in the background about calls that the teacher answers anyway.

They are never in a caller's way: a call is put aside when its answer is known, and asked later by
one worker, which leaves the pool alone for most of the time (`serve.shadow`); while too many wait,
new ones are let go of. What a shadow said, and whether the teacher said the same, is added to
`home/shadow/<task>-v<version>/<day>.jsonl`; the teacher's answer is in the journal under its id.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from serving import escalate
from serving.journal import Journal
from serving.pool import Pool, PoolError
from serving.route import Match, Route, RouteFile
from tasks.calibrate.calibrate import confidence
from tasks.calibrate.shadow_proof import ShadowAnswer, conversation_of
from tasks.core import encryption
from tasks.core.contract import agree, answer, unanswered
from tasks.core.params import Serve
from tasks.core.records import Json
from tasks.students.causal import Answer

log = logging.getLogger("flywheel.gateway")

FOLDER = "shadow"
WAITING = 2_000  # calls that wait for their shadow
OPEN = 32  # shadows whose files are open
IDLE = 0.2  # seconds between two looks at an empty queue


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A call that the teacher answered: what is needed to ask its shadow and to compare.

    `rate` is 1 for an audited call, else the audit's: where a champion stands before the teacher,
    an escalated call is on record in any case, and a served one only when it is audited.
    """

    id: str
    at: float
    conversation: str
    request: Json
    reply: Json
    rate: float


@dataclass(slots=True)
class Shadows:
    """The shadows of a gateway and the calls that wait for them."""

    routes: RouteFile
    pools: Mapping[str, Pool]
    settings: Serve
    folder: Path
    model: str | None = None  # that the teacher is asked for, whatever clients name
    _queue: deque[_Waiting] = field(default_factory=lambda: deque(maxlen=WAITING))
    _journals: dict[str, Journal] = field(default_factory=dict)
    asked: int = 0

    def offer(self, line: Json, reply: Json, *, audited: bool = False) -> None:
        """Put a call aside that the teacher answered, by its line of the journal."""
        wanted = self.settings.shadow and self.routes.current().shadows
        whole = not unanswered(reply, line["finish_reason"])
        if wanted and whole and len(self._queue) < WAITING:
            call = line["id"], line["at"], line["conversation"], line["request"]
            self._queue.append(_Waiting(*call, reply, 1.0 if audited else line["audit_rate"]))

    @property
    def waiting(self) -> int:
        """Return how many calls still wait for their shadow."""
        return len(self._queue)

    async def run(self) -> None:
        """Ask one call after the other, for ever, within the budget of the pool's time."""
        while True:
            if not self._queue:
                await asyncio.sleep(IDLE)
                continue
            began = time.perf_counter()
            try:
                await self._ask(self._queue.popleft())
            except Exception:  # nobody waits for it; the next call may go well
                log.exception("a shadow could not be asked")
            spent = time.perf_counter() - began
            await asyncio.sleep(spent * (1 / self.settings.shadow - 1))

    async def _ask(self, call: _Waiting) -> None:
        router = self.routes.current()
        shadows = router.shadows
        match = shadows.find(call.request) if shadows else None
        pool = self.pools.get(match.route.kind) if match else None
        if match is None or pool is None or self._unfit(call.request, match.route):
            return
        try:
            given = await self._answered(pool, match)
        except PoolError as error:
            log.warning("shadow %s: %s", match.route.adapter, error)
            return
        self.asked += 1
        led = any(route.task.id == match.route.task.id for route in router.routes)
        line = _compared(match, call, given) | {"share": call.rate if led else 1.0}
        if line["share"] > 0:
            self._append(match.route, line)

    def _unfit(self, request: Json, route: Route) -> bool:
        """Return whether no student would be asked: such a call proves nothing."""
        odd = escalate.unexpected(request, route.usual, self.model)
        return bool(odd or escalate.unsupported(request))

    async def _answered(self, pool: Pool, match: Match) -> Answer | None:
        """Return what the shadow says; None for what would never be served. Raises PoolError."""
        limit = self.settings.student_timeout
        try:
            async with asyncio.timeout(limit):
                tokens = self.settings.answer_tokens
                return await pool.answer(match.route.adapter, match.prompt, tokens, limit)
        except TimeoutError:
            return None
        except PoolError as error:
            if error.reason in (escalate.TIMEOUT, escalate.NO_LOGPROBS):
                return None
            raise

    def _append(self, route: Route, line: Json) -> None:
        """Add a line; one that finds the disk full is lost, as nobody waits for it."""
        name = _name(route.task.id, route.version)
        if name not in self._journals and len(self._journals) >= OPEN:
            self.close()
        journal = self._journals.setdefault(name, Journal(self.folder / name))
        try:
            journal.append(line)
        except OSError as error:
            log.error("what a shadow said to call %s is lost: %s", line["call"], error)

    def close(self) -> None:
        """Sync and close the files; a later line opens them again."""
        for journal in self._journals.values():
            journal.close()
        self._journals.clear()


def _compared(match: Match, call: _Waiting, given: Answer | None) -> Json:
    """The line about one answer of a shadow."""
    task = match.route.task
    servable = given is not None and escalate.decide(task, -math.inf, call.request, given).serve
    text = given.text if given else ""
    return {
        "call": call.id,
        "at": call.at,
        "conversation": conversation_of(call.id, call.conversation, call.request, task),
        "adapter": match.route.adapter,
        "answer": text,
        "score": confidence(given.logprobs) if given and servable else None,
        "agrees": bool(given) and agree(answer(call.reply, task.contract), text, task.contract),
    }


def _name(task: str, version: int) -> str:
    return f"{task}-v{version}"


def seen(home: Path, task: str, version: int) -> Iterator[ShadowAnswer]:
    """All that a shadow was asked, oldest day first; a line that a crash damaged is left out.

    Raises Refused where they are encrypted with a key that is not here.
    """
    for path in sorted((home / FOLDER / _name(task, version)).glob("*.jsonl")):
        for line in encryption.lines(path):
            with suppress(msgspec.DecodeError, UnicodeDecodeError):
                answer = msgspec.json.decode(line, type=ShadowAnswer)
                if 0 < answer.share <= 1:
                    yield answer
