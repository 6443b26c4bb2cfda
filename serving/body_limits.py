"""Limits of request bodies: the size of each, and of all that are held at the same time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from serving.teacher import Incoming

if TYPE_CHECKING:
    from serving.exchange import Exchange

OBJECTS = 5  # times a body's size that what is read out of it may take
BODIES = 8  # largest ones that are held at the same time; others wait for them
WAIT_SECONDS = 30.0  # for the bodies of others
MEGABYTE = 1 << 20


class NotTaken(Exception):  # noqa: N818 - it reads as what happened to the request
    """A request that is not taken in: `status` and one sentence for its client."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(slots=True)
class Space:
    """Bytes that requests share: who finds too few of them free waits for the others.

    One client has at most half of them, however slowly it sends.
    """

    total: int
    _free: int = field(init=False)
    _held: Counter[str] = field(default_factory=Counter)
    _freed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._free = self.total

    def _fits(self, size: int, client: str) -> bool:
        return self._free >= size and self._held[client] + size <= self.total // 2

    async def take(self, size: int, client: str) -> None:
        """Take so many bytes for a client. Raises NotTaken after `WAIT_SECONDS`."""
        try:
            async with asyncio.timeout(None if self._fits(size, client) else WAIT_SECONDS):
                while not self._fits(size, client):
                    self._freed.clear()
                    await self._freed.wait()
        except TimeoutError:
            raise NotTaken(503, "too many large requests at once: try again") from None
        self._free -= size
        self._held[client] += size

    def give(self, size: int, client: str) -> None:
        """Give so many bytes back."""
        self._free += size
        self._held[client] -= size
        if not self._held[client]:
            del self._held[client]
        self._freed.set()


@dataclass(slots=True)
class BodyLimits:
    """Room for the bodies that are read as a whole, each of at most `largest` bytes.

    What is read out of them takes other room: who holds that waits for nobody's body.
    """

    largest: int
    bodies: Space = field(init=False)
    objects: Space = field(init=False)

    def __post_init__(self) -> None:
        self.bodies = Space(BODIES * self.largest)
        self.objects = Space(2 * self.readable)

    @property
    def readable(self) -> int:
        """Return how many bytes of memory the objects of one body may take: else it is not read."""
        return OBJECTS * self.largest

    @asynccontextmanager
    async def room(self, incoming: Incoming, client: str) -> AsyncIterator[None]:
        """Hold room for a request's body while the request lasts. Raises NotTaken.

        A body that does not say its length may be as large as any.
        """
        length = incoming.header(b"content-length")
        size = int(length) if length.isdecimal() else 0
        if incoming.header(b"transfer-encoding"):
            size = self.largest
        if size > self.largest:
            raise too_large(self.largest)
        await self.bodies.take(size, client)
        try:
            yield
        finally:
            self.bodies.give(size, client)

    @asynccontextmanager
    async def reading(self, exchange: Exchange) -> AsyncIterator[None]:
        """Read a request out of its body, and hold room for it. Raises NotTaken.

        A packed body may hold as much as any until it is unpacked.
        """
        held, client = min(exchange.memory(), self.readable), exchange.client
        await self.objects.take(held, client)
        try:
            rest = held - exchange.read(self.readable)
            self.objects.give(rest, client)
            held -= rest
            yield
        finally:
            self.objects.give(held, client)


def too_large(largest: int) -> NotTaken:
    """The error of a body that is larger than may be."""
    return NotTaken(
        413, f"the body is larger than {largest // MEGABYTE} MB (serve.max_body in params.yaml)"
    )
