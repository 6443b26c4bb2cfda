"""Limits of request bodies: the size of each, and of all that are held at the same time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from serving.teacher import Incoming

if TYPE_CHECKING:
    from serving.exchange import Exchange

OBJECTS = 5  # times a body's size that what is read out of it may take
BODIES = 8  # largest ones that are held at the same time; others wait for them
SMALL = 64 << 10  # bytes of a body that wait for nobody: the server's own buffer holds as many
MEGABYTE = 1 << 20
WAIT_SECONDS = 30.0  # for the bodies of others


class NotTaken(Exception):  # noqa: N818 - it reads as what happened to the request
    """A request that is not taken in: `status` and one sentence for its client."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(slots=True, eq=False)
class Share:
    """What one request holds of a space: it grows as bytes arrive."""

    space: Space
    client: str
    size: int = 0
    _seen: int = 0

    async def grow(self, more: int) -> None:
        """Hold so many bytes more, once there is room. Raises NotTaken after `WAIT_SECONDS`."""
        self._seen += more
        due = self._seen - self.space.free - self.size
        if due > 0:
            await self.space.take(due, self)


@dataclass(slots=True)
class Space:
    """Bytes that requests share: who finds too few of them left waits for the others.

    One client has at most half of them, however slowly it sends. The first `free` bytes of each
    request count for nothing. The last `reserve` bytes are for the eldest that still grows: so
    requests that are half here never all wait for one another.
    """

    total: int
    reserve: int
    free: int
    _growing: dict[Share, None] = field(default_factory=dict)  # eldest first
    _held: Counter[str] = field(default_factory=Counter)
    _freed: asyncio.Event = field(default_factory=asyncio.Event)

    def _fits(self, more: int, share: Share) -> bool:
        left = self.total - self._held.total() - more
        of_client = self.total // 2 - self._held[share.client] - more
        if min(left, of_client) >= self.reserve:
            return True
        eldest = next(iter(self._growing))
        own = next(one for one in self._growing if one.client == share.client)
        return (
            left >= (0 if share is eldest else self.reserve)
            and of_client >= (0 if share is own else self.reserve)
        )  # fmt: skip

    async def take(self, more: int, share: Share) -> None:
        """Take so many bytes. Raises NotTaken after `WAIT_SECONDS`."""
        try:
            async with asyncio.timeout(None if self._fits(more, share) else WAIT_SECONDS):
                while not self._fits(more, share):
                    self._freed.clear()
                    await self._freed.wait()
        except TimeoutError:
            raise NotTaken(503, "too many large requests at once: try again") from None
        self._held[share.client] += more
        share.size += more

    def whole(self, share: Share) -> None:
        """Say that a share grows no more: the next one may use the reserve."""
        self._growing.pop(share, None)
        self._freed.set()

    @contextmanager
    def share(self, client: str) -> Iterator[Share]:
        """Share the space with a client's request while it lasts."""
        share = Share(self, client)
        self._growing[share] = None
        try:
            yield share
        finally:
            self._held[client] -= share.size
            if not self._held[client]:
                del self._held[client]
            self.whole(share)


@dataclass(slots=True)
class BodyLimits:
    """Room for the bodies that are read as a whole, each of at most `largest` bytes.

    What is read out of them takes other room, and only until the teacher is asked: who waits for
    its reply holds a body and no more.
    """

    largest: int
    bodies: Space = field(init=False)
    objects: Space = field(init=False)

    def __post_init__(self) -> None:
        self.bodies = Space(BODIES * self.largest, self.largest, SMALL)
        self.objects = Space(2 * self.readable, 0, MEGABYTE)

    @property
    def readable(self) -> int:
        """Return how many bytes of memory the objects of one body may take: else it is not read."""
        return OBJECTS * self.largest

    @contextmanager
    def room(self, incoming: Incoming, client: str) -> Iterator[Share]:
        """Room for as much of a request's body as is here, while the request lasts.

        Raises NotTaken where it says that it is too large.
        """
        length = incoming.header(b"content-length")
        if length.isdecimal() and int(length) > self.largest:
            raise too_large(self.largest)
        with self.bodies.share(client) as share:
            yield share

    @asynccontextmanager
    async def reading(self, exchange: Exchange) -> AsyncIterator[None]:
        """Read a request out of its body, and hold room for it.

        Where there is none for too long, it stays unread and is the teacher's to answer.
        """
        with self.objects.share(exchange.client) as share:
            with suppress(NotTaken):
                await share.grow(min(exchange.memory(), self.readable))
                exchange.read(self.readable)
            yield


def too_large(largest: int) -> NotTaken:
    """The error of a body that is larger than may be."""
    return NotTaken(
        413, f"the body is larger than {largest // MEGABYTE} MB (serve.max_body in params.yaml)"
    )
