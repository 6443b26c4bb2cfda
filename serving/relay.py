"""Passing a request on to the teacher, and what comes back to the client as it arrives."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec

from serving import chat_response
from serving.caller import Caller
from serving.client import Body, Headers, Reply, Unreachable
from serving.teacher import Incoming, Teacher, TeacherDown, back

LEFT = "the client left before the end of the answer"
STOPPED = "the gateway was stopped before the end of the answer"
DRAIN_SECONDS = 5.0  # for the usage, which comes after the end of what a client may wait for
LONGEST_LINE = 1 << 20  # bytes of a line that are held back until it is whole
JSON = (b"content-type", b"application/json")


@dataclass(slots=True)
class Passed:
    """An answer that went by: its status (0: none), its bytes if wanted, how it broke off."""

    status: int = 0
    encoding: str = ""
    content_type: str = ""
    parts: list[bytes] = field(default_factory=list)
    broken: str | None = None

    @property
    def content(self) -> bytes:
        """The bytes so far."""
        return b"".join(self.parts)

    @property
    def streams(self) -> bool:
        """Return whether it is server-sent events, whatever it calls itself."""
        start = self.parts[0].lstrip()[:6] if self.parts else b""
        named = "event-stream" in self.content_type.lower()
        return not self.encoding and (named or start.startswith((b"data:", b"event:", b":")))


@dataclass(slots=True)
class Relay:
    """One request's way to the teacher and back.

    `complete` says whether the bytes so far hold a whole answer: then a client that leaves has got
    what it wanted, and the rest (the usage) is waited for without it.
    """

    teacher: Teacher
    incoming: Incoming
    caller: Caller
    headers: Headers = ()
    complete: Callable[[Passed], bool] | None = None  # None: nothing of the answer is kept
    passed: Passed = field(default_factory=Passed)
    _held: bytes = b""  # of a stream: the beginning of a line
    _may_add: bool = False  # an event that says how it broke off; never to a file, or to a length

    async def run(self) -> Passed:
        """Pass the request on and the answer back; how that ended is in `passed`."""
        try:
            with self.caller.watched():
                await self._pass()
        except TeacherDown as error:
            self.passed.broken = str(error)
            body = msgspec.json.encode(chat_response.error(str(error), "teacher_error"))
            await self.caller.reply(502, [JSON, *self.headers], body)
        except asyncio.CancelledError:
            if not self.caller.left:
                self.passed.broken = STOPPED
                raise
            self._uncancel()
            if not self.passed.status:
                self.passed.broken = LEFT
        return self.passed

    def _uncancel(self) -> None:
        """Go on: it was the client's leaving that cancelled, which is no reason to stop."""
        task = asyncio.current_task()
        assert task is not None
        task.uncancel()

    async def _pass(self) -> None:
        reply = await self.teacher.send(self.incoming)
        passed = self.passed
        passed.status = reply.status
        self._may_add = self.incoming.names_model() and not reply.header("content-length")
        passed.encoding, passed.content_type = map(
            reply.header, ("content-encoding", "content-type")
        )
        try:
            await self.caller.start(reply.status, [*back(reply), *self.headers])
            await self._stream(reply)
            await self.caller.part(b"", more=False)
        except Unreachable as error:
            passed.broken = f"the teacher's answer broke off ({error.kind})"
            if self._may_add and passed.streams:
                await self.caller.part(self._last_event(passed.broken), more=False)
        except asyncio.CancelledError:
            if self.caller.left:
                self._uncancel()
                await self._drain(reply)
            raise
        finally:
            reply.close()

    async def _stream(self, reply: Reply) -> None:
        async for part in reply.parts():
            if self.complete or not self.passed.parts:
                self.passed.parts.append(part)
            if self._may_add and self.passed.streams:
                part = self._lines(part)
            if part:
                await self.caller.part(part)
        if self._held:
            await self.caller.part(self._held)

    def _lines(self, part: bytes) -> bytes:
        """The lines that are whole; a client could not read half of one, should it break off."""
        part = self._held + part
        end = max(part.rfind(b"\n"), part.rfind(b"\r")) + 1
        if len(part) - end > LONGEST_LINE:
            end = len(part)
        self._held = part[end:]
        return part[:end]

    async def _drain(self, reply: Reply) -> None:
        """Read what follows a whole answer whose client has left."""
        if self.complete is None or not self.complete(self.passed):
            self.passed.broken = LEFT
            return
        with suppress(Unreachable, TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                async for part in reply.parts():
                    self.passed.parts.append(part)

    def _last_event(self, sentence: str) -> bytes:
        """An error event, after a blank line that ends what was said before."""
        chat = self.incoming.path.rstrip(b"/").endswith(b"completions")
        named = b"" if chat else b"event: error\n"
        return b"\n\n" + named + chat_response.event(chat_response.error(sentence, "teacher_error"))


def impassable(incoming: Incoming, path: str) -> str | None:
    """Return why a request cannot be passed on; None for all others."""
    if "websocket" in incoming.header(b"upgrade").lower():
        return f"{path}: WebSockets are not passed on; connect to the teacher itself"
    if ".." in path.split("/"):
        return f"{path}: a path is passed on as it is, and may not lead out of the API"
    if incoming.header(b"transfer-encoding").strip().lower() not in ("", "chunked"):
        return f"{path}: a body comes in chunks or with its length, in no other transfer encoding"
    return None


async def body_of(incoming: Incoming, caller: Caller) -> Body:
    """The body of a request that is only passed through: as it arrives, where it is one."""
    length = incoming.header(b"content-length") or "0"
    if length == "0" and not incoming.header(b"transfer-encoding"):
        caller.nothing_sent()
        return b""
    return caller.parts()
