"""HTTP as it is spoken: what the two libraries would refuse and other programs take."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.helpers import set_exception
from aiohttp.http_exceptions import HttpProcessingError
from uvicorn.protocols.http import httptools_impl

_UPGRADE = re.compile(rb"\r\nupgrade:(?![ \t]*websocket)[^\r\n]*", re.IGNORECASE)
_LENGTH = re.compile(rb"\r\ncontent-length:([^\r\n]*)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[^\r\n]*chunked", re.IGNORECASE)

for _code in range(600, 1000):  # no status of HTTP, and sent all the same
    httptools_impl.STATUS_LINE.setdefault(_code, b"HTTP/1.1 %d \r\n" % _code)


class Requests(httptools_impl.HttpToolsProtocol):
    """Reads requests. One that offers another protocol (Java's client: HTTP/2) keeps its body."""

    def data_received(self, data: bytes) -> None:
        """Read on; the offer is left out, as nobody takes it."""
        if b"pgrade" in data and (self.cycle is None or self.cycle.response_complete):
            head, end, body = data.partition(b"\r\n\r\n")
            data = _UPGRADE.sub(b"", head) + end + body
        super().data_received(data)


class Stale(aiohttp.ServerDisconnectedError):
    """A connection was kept from an earlier request, and closed before anything was answered."""


class Replies(ResponseHandler):
    """Reads replies. What comes after the end of one, as a 204's body, does not spoil it."""

    _requests = 0  # on this connection
    _heard = False  # a byte of the reply to the last one

    def set_response_params(self, **params: Any) -> None:
        """Expect the reply to a request."""
        self._requests, self._heard = self._requests + 1, False
        super().set_response_params(**params)

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        """Fail; a body that cannot be read on has broken off, which nobody else would say."""
        lost = isinstance(exc, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError)
        if lost and self._requests > 1 and not self._heard:
            exc = Stale()
        body = self._payload
        if isinstance(exc, HttpProcessingError) and body is not None and not body.is_eof():
            set_exception(body, aiohttp.ClientPayloadError(exc.message), *cause)
        super().set_exception(exc, *cause)

    def data_received(self, data: bytes) -> None:
        """Read on, the head apart from what follows: an error there is none of the head's."""
        if not data:  # what was held back while nobody read the body
            super().data_received(data)
            return
        self._heard = True
        if data.startswith(b"HTTP/1.") and (self._payload is None or self._payload.is_eof()):
            head, end, data = data.partition(b"\r\n\r\n")
            super().data_received(_one_length(head) + end)
        if data:
            super().data_received(data)


def _one_length(head: bytes) -> bytes:
    """A head that says its body's length once, and not beside chunks, which come first."""
    lengths: list[bytes] = _LENGTH.findall(head)
    if lengths and _CHUNKED.search(head):
        return _LENGTH.sub(b"", head)
    if len(lengths) > 1 and len(set(lengths)) == 1:
        return _LENGTH.sub(b"", head) + b"\r\ncontent-length:" + lengths[0]
    return head


class Connector(aiohttp.TCPConnector):
    """Connections on which `Replies` are read."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._factory = partial(Replies, loop=self._loop)  # type: ignore[assignment] # it is one
