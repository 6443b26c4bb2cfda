"""The HTTP client of the gateway: one for all callers, to the teacher and to the pools.

A reply is handed on as it comes: headers as they were sent, the body not unpacked. Loopback is
never reached through a proxy; elsewhere the environment (`HTTPS_PROXY`, `NO_PROXY`) says how.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Sequence
from types import TracebackType

import aiohttp
import httpx
from yarl import URL

from serving.lenient_http import ClosedWhileKept, Connector

Headers = Sequence[tuple[bytes, bytes]]
Body = bytes | AsyncIterable[bytes]

CONNECT_SECONDS = 5.0
KEPT = 1 << 20  # bytes of a body that are kept while it is passed on
MAX_HEADER, MAX_HEADERS = 1 << 20, 10_000  # bytes of one, and how many
_LOOPBACK = ("localhost", "::1")
# What aiohttp would add by itself.
_ADDED = ("Accept", "Accept-Encoding", "User-Agent", "Content-Type")


class Unreachable(Exception):  # noqa: N818 - it reads as what happened
    """The server cannot be reached, breaks off or does not answer in time."""

    def __init__(self, error: Exception) -> None:
        kind = type(error).__name__
        super().__init__(str(error) or kind)
        self.late = isinstance(error, TimeoutError)
        self.unreadable = type(error) is aiohttp.ClientResponseError  # the others are a proxy's
        if isinstance(error, aiohttp.ClientResponseError):  # its first line says what is wrong
            kind = error.message.strip().partition("\n")[0].rstrip(":") or kind
        self.kind = kind


_FAILURES = (aiohttp.ClientError, OSError, TimeoutError, ValueError)  # the last: no such address


class Arriving:
    """A body that is sent on as it arrives, and may be sent once more.

    What came is kept, up to `KEPT` bytes. `again` says whether all that came is at hand, and
    nobody was stopped while waiting for the rest: what such a wait would have got is lost.
    """

    def __init__(self, parts: AsyncIterable[bytes]) -> None:
        self._rest, self._kept, self._size = aiter(parts), list[bytes](), 0
        self.again, self._whole = True, False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for known in list(self._kept):
            yield known
        while not self._whole:
            self.again = False
            part = await anext(self._rest, None)
            self._whole = part is None
            if part is not None:
                self._kept.append(part)
                self._size += len(part)
            self.again = self._size <= KEPT
            if not self.again:
                self._kept.clear()
            if part is not None:
                yield part


def repeatable(body: Body) -> bool:
    """Return whether a body can be sent once more."""
    return body.again if isinstance(body, Arriving) else isinstance(body, bytes)


class Reply:
    """A reply whose headers are here and whose body is still to come. Close it."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status, self.url = response.status, response.url
        self.headers: Headers = response.raw_headers

    @property
    def ok(self) -> bool:
        """Return whether it is no error."""
        return self.status < 400

    def header(self, name: str) -> str:
        """A header's value; empty where there is none."""
        return self._response.headers.get(name, "")

    async def parts(self) -> AsyncIterator[bytes]:
        """The body's bytes as they arrive. Raises Unreachable when it breaks off."""
        try:
            async for part in self._response.content.iter_any():
                yield part
        except _FAILURES as error:
            if last := b"".join(self._response.content._buffer):  # came before it broke off
                yield last
            raise Unreachable(error) from error

    async def body(self) -> bytes:
        """The whole body. Raises Unreachable."""
        return b"".join([part async for part in self.parts()])

    def close(self) -> None:
        """Give the connection back if the body was read, else close it."""
        self._response.release() if self._response.content.at_eof() else self._response.close()


class Client:
    """An HTTP client for many callers at once, to be used as an async context manager.

    No cookie of one caller's reply is sent with another's request.
    """

    def __init__(self) -> None:
        self._here: aiohttp.ClientSession | None = None
        self._there: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Client:
        self._here, self._there = _session(proxies=False), _session(proxies=True)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for session in (self._here, self._there):
            if session is not None:
                await session.close()

    async def send(
        self, method: str, url: URL, headers: Headers = (), body: Body = b"", *, seconds: float
    ) -> Reply:
        """Send a request; `seconds` is how long the server may be silent. Raises Unreachable.

        A connection that was kept from an earlier request and closed before anything was answered
        is no failure: the request is sent once more, where its body is still at hand.
        """
        try:
            return await self._send(method, url, headers, body, seconds)
        except ClosedWhileKept as error:
            if not repeatable(body):
                raise Unreachable(error) from error
        except _FAILURES as error:
            raise Unreachable(error) from error
        try:
            return await self._send(method, url, headers, body, seconds)
        except _FAILURES as error:
            raise Unreachable(error) from error

    async def _send(
        self, method: str, url: URL, headers: Headers, body: Body, seconds: float
    ) -> Reply:
        session = self._here if is_loopback(url.host or "") else self._there
        assert session is not None, "the client is not open"
        response = await session.request(
            method,
            url,
            headers=[(_text(k), _text(v)) for k, v in headers],
            data=body if body != b"" else None,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(sock_connect=CONNECT_SECONDS, sock_read=seconds),
        )
        return Reply(response)


def _text(value: bytes) -> str:
    """A header's text. aiohttp writes UTF-8, so Latin-1 arrives as the text that it means."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine."""
    return host in _LOOPBACK or host.startswith("127.")


def _session(*, proxies: bool) -> aiohttp.ClientSession:
    session = aiohttp.ClientSession(
        connector=Connector(limit=0, ssl=httpx.create_ssl_context()),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
        auto_decompress=False,
        skip_auto_headers=_ADDED,
        trust_env=proxies,
        max_line_size=MAX_HEADER,
        max_field_size=MAX_HEADER,
        max_headers=MAX_HEADERS,
    )
    session._retry_connection = False  # it would send again what a new connection has failed
    return session
