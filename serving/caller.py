"""The client of one request, as ASGI shows it: its body, its reply, whether it is still there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from starlette.types import Receive, Send

from serving.body_limits import NotTaken, Share, too_large
from serving.client import Headers

BODY_SECONDS = 60.0  # between two parts of a body
SLOWEST = 100 << 10  # bytes a second, after as many seconds, of one that is held until it is whole


class Left(Exception):  # noqa: N818 - it reads as what happened
    """The client left before its request was whole."""


class Caller:
    """Reads one request and writes one reply."""

    def __init__(self, receive: Receive, send: Send, address: str = "") -> None:
        self._receive, self._send, self.address = receive, send, address
        self._sent = asyncio.Event()  # the whole request is here
        self.left = False
        self.started = False

    async def body(self, largest: int, share: Share) -> bytes:
        """The whole body, of at most so many bytes, each in its share. Raises Left and NotTaken."""
        parts, size = list[bytes](), 0
        try:
            async with asyncio.timeout(BODY_SECONDS + largest / SLOWEST):
                async for part in self.parts():
                    size += len(part)
                    if size > largest:
                        raise too_large(largest)
                    await share.grow(len(part))
                    parts.append(part)
        except TimeoutError:
            raise NotTaken(408, f"the body came at less than {SLOWEST >> 10} KB a second") from None
        share.space.whole(share)
        return b"".join(parts)

    async def parts(self) -> AsyncIterator[bytes]:
        """The body as it arrives. Raises Left, and NotTaken where nothing comes any more."""
        more = True
        while more:
            try:
                async with asyncio.timeout(BODY_SECONDS):
                    event = await self._receive()
            except TimeoutError:
                sentence = f"nothing of the body came for {BODY_SECONDS:.0f} seconds"
                raise NotTaken(408, sentence) from None
            if event["type"] == "http.disconnect":
                self.left = True
                raise Left
            more = event.get("more_body", False)
            if not more:
                self._sent.set()
            if part := event.get("body"):
                yield part

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Cancel what runs in it when the client leaves; `left` then says so."""
        task = asyncio.current_task()
        assert task is not None
        watcher = asyncio.create_task(self._watch(task))
        try:
            yield
        finally:
            watcher.cancel()

    async def _watch(self, task: asyncio.Task[object]) -> None:
        await self._sent.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.left = True
        task.cancel()

    def nothing_sent(self) -> None:
        """Say that the request has no body."""
        self._sent.set()

    async def start(self, status: int, headers: Headers) -> None:
        """Begin the reply."""
        self.started = True
        event = {"type": "http.response.start", "status": status, "headers": list(headers)}
        await self._send(event)

    async def part(self, data: bytes, *, more: bool = True) -> None:
        """Write a part of the reply's body, the last with `more=False`."""
        await self._send({"type": "http.response.body", "body": data, "more_body": more})

    async def reply(self, status: int, headers: Headers, body: bytes) -> None:
        """Write a whole reply."""
        length = (b"content-length", b"%d" % len(body))
        await self.start(status, [*headers, length])
        await self.part(body, more=False)
