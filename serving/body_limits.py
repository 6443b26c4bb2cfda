"""Limits of request bodies: the size of each, and of all that are held at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from serving.teacher import Incoming

BODIES = 8  # largest ones that are held at the same time; others wait for them
WAIT_SECONDS = 30.0  # for the bodies of others
MEGABYTE = 1 << 20


class NotTaken(Exception):  # noqa: N818 - it reads as what happened to the request
    """A request that is not taken in: `status` and one sentence for its client."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(slots=True)
class BodyLimits:
    """Room for the bodies that are read as a whole, each of at most `largest` bytes."""

    largest: int
    _free: int = field(init=False)
    _freed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._free = BODIES * self.largest

    @asynccontextmanager
    async def room(self, incoming: Incoming) -> AsyncIterator[None]:
        """Hold room for a request's body while the request lasts. Raises NotTaken.

        A body that does not say its length may be as large as any.
        """
        length = incoming.header(b"content-length")
        size = int(length) if length.isdecimal() else 0
        if incoming.header(b"transfer-encoding"):
            size = self.largest
        if size > self.largest:
            raise too_large(self.largest)
        await self._take(size)
        try:
            yield
        finally:
            self._free += size
            self._freed.set()

    async def _take(self, size: int) -> None:
        try:
            async with asyncio.timeout(None if self._free >= size else WAIT_SECONDS):
                while self._free < size:
                    self._freed.clear()
                    await self._freed.wait()
        except TimeoutError:
            raise NotTaken(503, "too many large requests at once: try again") from None
        self._free -= size


def too_large(largest: int) -> NotTaken:
    """The error of a body that is larger than may be."""
    return NotTaken(
        413, f"the body is larger than {largest // MEGABYTE} MB (serve.max_body in params.yaml)"
    )
