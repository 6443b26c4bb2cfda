"""The socket that a server of ours listens on, and how the gateway's listens there."""

from __future__ import annotations

import asyncio
import os
import resource
import socket

import msgspec
import uvicorn
from starlette.types import ASGIApp

from serving import chat_response
from serving.lenient_http import Requests
from tasks.core.stage import Refused

LOOPBACK = ("127.0.0.1", "::1", "localhost")
HEAD_SECONDS = 20.0  # from the connection, or a request's first byte, to the end of its headers
URL_BYTES = 65_535  # that httptools reads
HEAD_BYTES = 256 << 10  # of a request line and its headers
FILES = 3  # that one connection may need: its own, the teacher's and the pool's
MOST = 10_000  # connections at once
BACKLOG = 2_048  # connections that wait to be accepted
SHUTDOWN_SECONDS = int(os.environ.get("SHUTDOWN_SECONDS", "5"))  # for calls under way
KEEP_ALIVE_SECONDS = 75  # longer than clients keep idle connections, so that they close first


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises Refused."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named TCP, the event loop turns Nagle's algorithm off: it would hold small replies for 40 ms.
    place = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        place.bind((host, port))
    except OSError as error:
        place.close()
        raise Refused(f"cannot listen on {host}:{port}: {error.strerror}") from None
    place.listen(BACKLOG)
    return place


def connections() -> int:
    """Return how many connections may be open at once.

    Raises this process's own limit of open files.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES * MOST
    files = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    if soft < files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    return max(soft, files) // FILES


class Http(Requests):
    """HTTP as uvicorn speaks it, with what it lacks: a deadline and a limit for a request's head.

    A connection that says nothing, or sends its headers for ever, is closed.
    """

    _deadline: asyncio.TimerHandle | None = None
    _head = 0  # bytes that came since the deadline was set

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Expect a request's head."""
        super().connection_made(transport)
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect nothing more."""
        self._met()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, unless the head becomes too large."""
        if self._deadline is not None:
            if self._head > HEAD_BYTES:
                self._close("431 Request Header Fields Too Large", "the headers are too large")
                return
            self._head += len(data)
        super().data_received(data)
        if self._junk:
            self._met()

    def on_message_begin(self) -> None:
        """Expect the rest of the head."""
        super().on_message_begin()
        self._expect()

    def on_headers_complete(self) -> None:
        """Expect no more of the head."""
        self._met()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what cannot be read."""
        if self._in_head is False and len(getattr(self, "url", b"")) > URL_BYTES:
            self._close("414 URI Too Long", f"the URL has more than {URL_BYTES} bytes")
        else:
            self._close("400 Bad Request", msg)

    def _late(self) -> None:
        if self._head:
            self._close("408 Request Timeout", "the headers did not come in time")
        else:
            self._met()
            self.transport.close()

    def _close(self, status: str, sentence: str) -> None:
        self._met()
        body = msgspec.json.encode(chat_response.error(sentence, "invalid_request_error"))
        head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\n"
        length = f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        self.transport.write((head + length).encode() + body)
        self.transport.close()

    def _expect(self) -> None:
        if self._deadline is None:
            self._head = 0
            self._deadline = self.loop.call_later(HEAD_SECONDS, self._late)

    def _met(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def server(app: ASGIApp) -> uvicorn.Server:
    """The gateway's server: nothing of its own is added to a reply."""
    config = uvicorn.Config(
        app,
        http=Http,
        limit_concurrency=connections(),
        loop="uvloop",
        ws="none",
        proxy_headers=False,
        server_header=False,  # the teacher's own go back
        date_header=False,
        log_level="warning",
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    return uvicorn.Server(config)
