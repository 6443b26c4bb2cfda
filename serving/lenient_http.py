"""HTTP as it is spoken: what the two libraries would refuse and other programs take."""

from __future__ import annotations

import re
import socket
import struct
from functools import partial
from typing import Any

import aiohttp
import httptools
from aiohttp.client_proto import ResponseHandler
from aiohttp.helpers import set_exception
from aiohttp.http_exceptions import HttpProcessingError
from uvicorn.protocols.http import httptools_impl

_BEGIN, _END = b"HTTP/1.", re.compile(rb"\r?\n\r?\n")  # of a head
MOST_HELD = 1 << 20  # bytes of a reply's head
_LENGTH = re.compile(rb"\r\ncontent-length:([^\r\n]*)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[^\r\n]*chunked", re.IGNORECASE)

for _code in range(600, 1000):  # no status of HTTP, and sent all the same
    httptools_impl.STATUS_LINE.setdefault(_code, b"HTTP/1.1 %d \r\n" % _code)


class Cycle(httptools_impl.RequestResponseCycle):
    """One request and its reply.

    To HTTP/1.0, which knows no chunks, a reply of no given length ends with the connection, and a
    broken one with an error of the connection: a plain end would look whole.
    """

    _until_close = False

    async def send(self, message: Any) -> None:
        """Write the next part of the reply."""
        if message["type"] == "http.response.start" and self.scope["http_version"] != "1.1":
            self._until_close = all(name != b"content-length" for name, _ in message["headers"])
        if self._until_close:
            self.chunked_encoding = self.keep_alive = False
            self.expected_content_length = len(message.get("body", b""))
        await super().send(message)

    async def run_asgi(self, app: Any) -> None:
        """Answer the request."""
        await super().run_asgi(app)
        if self._until_close and not self.response_complete and not self.disconnected:
            place = self.transport.get_extra_info("socket")
            place.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


httptools_impl.RequestResponseCycle = Cycle  # type: ignore[misc]


class Requests(httptools_impl.HttpToolsProtocol):
    """Reads requests. One that offers another protocol (Java's client: HTTP/2) keeps its body.

    What a client sends behind the last chunk of a body is no header of its request, and what is no
    request does not take the place of the reply to the one before it.
    """

    _in_head = False
    _junk = False  # came after the last request that will be answered

    def data_received(self, data: bytes) -> None:
        """Read on; an offer is left out, as nobody takes it."""
        self._unset_keepalive_if_required()
        while data and not self._junk:
            try:
                return self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                if not self._offers():
                    return self._unsupported_upgrade_warning()
                data = self._without_offer() + data[offer.args[0] :]
            except httptools.HttpParserError:
                return self._refuse()

    def on_message_begin(self) -> None:
        """Expect headers."""
        super().on_message_begin()
        self._in_head = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, but none from behind the body."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin to answer, unless the head is to be read again without its offer."""
        self._in_head = False
        if not self._offers():
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Pass the end of the body on."""
        if not self._offers():
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """Go on with the next request, if there is one."""
        last = self._junk and not self.pipeline
        super().on_response_complete()
        if last:
            self.transport.close()

    def _offers(self) -> bool:
        """Return whether the parser stops at the end of this head for an offer that is not taken.

        WebSockets are refused where requests are answered.
        """
        if not self.parser.should_upgrade() or self.parser.get_method() == b"CONNECT":
            return False
        return b"websocket" not in dict(reversed(self.headers)).get(b"upgrade", b"").lower()

    def _without_offer(self) -> bytes:
        """The head as it was read, without its offer."""
        version = self.parser.get_http_version().encode()
        kept = [b"%b: %b" % (k, v) for k, v in self.headers if k != b"upgrade"]
        line = b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)
        return b"\r\n".join([line, *kept, b"", b""])

    def _refuse(self) -> None:
        """Say that this is no request, behind the replies to those that are."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            self.send_400_response("this is no request of HTTP/1.1")
        elif not cycle.more_body:
            self._junk, cycle.keep_alive = True, False
        elif self.pipeline:  # the one that is broken waits behind others
            self._junk = True
            self.pipeline.popleft()
        elif cycle.response_started:
            self.transport.close()
        else:
            self.send_400_response("the body of this request is not in chunks as HTTP has them")


class ClosedWhileKept(aiohttp.ServerDisconnectedError):
    """A connection that was kept from an earlier request was closed before it answered this."""


class Replies(ResponseHandler):
    """Reads replies. What comes after the end of one, as a 204's body, does not spoil it."""

    _requests = 0  # on this connection
    _heard = False  # a byte of the reply to the last one
    _begun = b""  # a head that is not whole

    @property
    def should_close(self) -> bool:
        """Return whether the connection is for no other request."""
        return super().should_close or bool(self._begun)

    def set_response_params(self, **params: Any) -> None:
        """Expect the reply to a request."""
        self._requests, self._heard, self._begun = self._requests + 1, False, b""
        super().set_response_params(**params)

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        """Fail; a body that cannot be read on has broken off, which nobody else would say."""
        lost = isinstance(exc, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError)
        if lost and self._requests > 1 and not self._heard:
            exc = ClosedWhileKept()
        body = self._payload
        if isinstance(exc, HttpProcessingError) and body is not None and not body.is_eof():
            set_exception(body, aiohttp.ClientPayloadError(exc.message), *cause)
        super().set_exception(exc, *cause)

    def data_received(self, data: bytes) -> None:
        """Read on, each head by itself and whole: an error behind it is none of the head's."""
        if not data:  # what was held back while nobody read the body
            super().data_received(data)
            return
        self._heard = True
        data, self._begun = self._begun + data, b""
        while self._at_head(data):
            end = _END.search(data)
            if end is None and len(data) <= MOST_HELD:
                self._begun = data
                return
            start, stop = end.span() if end else (len(data), len(data))
            super().data_received(_one_length(data[:start]) + data[start:stop])
            data = data[stop:]
        if data:
            super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Fail, or end what ends with the connection."""
        if self._begun:
            super().data_received(self._begun)
        super().connection_lost(exc)

    def _at_head(self, data: bytes) -> bool:
        """Return whether a head begins here."""
        between = self._payload is None or self._payload.is_eof()
        return between and data != b"" and _BEGIN.startswith(data[: len(_BEGIN)])


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
