"""HTTP as some servers and clients speak it: what other programs take, the gateway takes."""

from __future__ import annotations

import json
import select
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import served
from served import running

BODY = b'{"model": "m", "messages": [{"role": "user", "content": "hi"}]}'
MANY = b"".join(b"x-%d: 1\r\n" % number for number in range(500))
UNUSUAL = {
    "204, length": b"HTTP/1.1 204 No\r\nx-a: 1\r\ncontent-length: 2\r\n\r\n",
    "204, body": b"HTTP/1.1 204 No\r\nx-a: 1\r\ncontent-length: 2\r\n\r\n{}",
    "204, chunks": b"HTTP/1.1 204 No\r\nx-a: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "304, length": b"HTTP/1.1 304 No\r\nx-a: 1\r\ncontent-length: 2\r\n\r\n",
    "304, body": b"HTTP/1.1 304 No\r\nx-a: 1\r\ncontent-length: 2\r\n\r\n{}",
    "more than its length": b"HTTP/1.1 200 OK\r\nx-a: 1\r\ncontent-length: 2\r\n\r\n{}}\n",
    "100 before": b"HTTP/1.1 100 Go on\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
    "103 before": b"HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
    "until the end": b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{}",
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\nx-a: 1\r\n\r\n{}",
    "lines without CR": b"HTTP/1.1 200 OK\ncontent-length: 2\n\n{}",
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "length and chunks": b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "an unknown status": b"HTTP/1.1 999 Odd\r\ncontent-length: 2\r\n\r\n{}",
    "a long header": b"HTTP/1.1 200 OK\r\nx-l: %b\r\ncontent-length: 2\r\n\r\n{}" % (b"b" * 90_000),
    "many headers": b"HTTP/1.1 200 OK\r\n" + MANY + b"content-length: 2\r\n\r\n{}",
}


@contextmanager
def answering(reply: bytes, cut: int = 0) -> Iterator[tuple[str, list[bytes]]]:
    """The address of a server that answers each request with these bytes, and what it was sent."""
    got: list[bytes] = []

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                caller, _ = listener.accept()
            except OSError:
                return
            with caller:
                got.append(b"")
                while not got[-1].endswith(BODY):
                    got[-1] += caller.recv(65_536)
                caller.sendall(reply[:cut])
                select.select([caller], [], [], 0.02 if cut else 0)
                caller.sendall(reply[cut:])
                caller.shutdown(socket.SHUT_WR)
                while caller.recv(65_536):
                    pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=[listener], daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", got
        listener.shutdown(socket.SHUT_RDWR)


def asked(url: str) -> tuple[int, list[tuple[str, str]], bytes]:
    """Status, headers and body as a client has them."""
    reply = httpx.post(f"{url}/v1/chat/completions", content=BODY)
    framing = ("x-flywheel-", "content-length", "transfer-encoding", "connection")
    headers = [(k, v) for k, v in reply.headers.multi_items() if not k.startswith(framing)]
    return reply.status_code, headers, reply.content


@pytest.mark.parametrize("name", UNUSUAL)
def test_an_unusual_reply_is_passed_on(name: str, tmp_path: Path) -> None:
    """The client has from the gateway what it has from the server itself."""
    with (
        answering(UNUSUAL[name]) as (teacher, _),
        running(served.gateway(tmp_path, None, f"{teacher}/v1")) as gateway,
    ):
        assert asked(gateway) == asked(teacher)


@pytest.mark.parametrize("cut", [3, 40, 60])
def test_a_head_that_comes_in_pieces_is_read_as_one(cut: int, tmp_path: Path) -> None:
    """Its length may stand in both of them."""
    with (
        answering(UNUSUAL["two lengths"], cut) as (teacher, _),
        running(served.gateway(tmp_path, None, f"{teacher}/v1")) as gateway,
    ):
        assert asked(gateway) == (200, [], b"{}")


def test_a_redirect_is_no_answer_in_the_journal(tmp_path: Path) -> None:
    """Its line says what came."""
    reply = b"HTTP/1.1 307 R\r\nlocation: http://[bad\r\ncontent-length: 0\r\n\r\n"
    with (
        answering(reply) as (teacher, _),
        running(served.gateway(tmp_path, None, f"{teacher}/v1")) as gateway,
    ):
        assert asked(gateway) == (307, [("location", "http://[bad")], b"")
    (line,) = served.journal(tmp_path)
    assert line["error"] == "HTTP 307"


CHUNKS = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
BROKEN = {
    "no length of a chunk": CHUNKS + b"2\r\nok\r\nzz\r\n",
    "lines without CR": CHUNKS + b"2\nok\n0\n\n",
    "events of a file": CHUNKS + b"7\r\ndata: x\r\n",
    "less than its length": b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\ndata: x\ny",
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("path", ["chat/completions", "files/1/content"])
def test_a_reply_that_breaks_off_does_not_look_whole(name: str, path: str, tmp_path: Path) -> None:
    """Nobody waits for its end, and the journal says who broke it off."""
    with (
        answering(BROKEN[name]) as (teacher, _),
        running(served.gateway(tmp_path, None, f"{teacher}/v1")) as gateway,
    ):
        if name.startswith("events") and path.startswith("chat"):
            assert b"broke off" in httpx.post(f"{gateway}/v1/{path}", content=BODY).content
        else:
            with pytest.raises(httpx.RemoteProtocolError):
                httpx.post(f"{gateway}/v1/{path}", content=BODY)
    if path.startswith("chat"):
        (line,) = served.journal(tmp_path)
        assert line["error"].startswith("the teacher's answer broke off")


WRONG = {
    b"x-a: a\x01b": "sent a reply whose header 'x-a' holds a control character",
    b"no colon": "sent a reply that cannot be read",
    b"x-a: a\rb": "sent a reply that cannot be read",
    b"x-a: a\0b": "sent a reply that cannot be read",
}


@pytest.mark.parametrize("header", WRONG)
def test_a_reply_that_is_no_http_is_an_error_that_says_so(header: bytes, tmp_path: Path) -> None:
    """Neither silence, nor an error of the gateway's own, nor a teacher that is down."""
    reply = b"HTTP/1.1 200 OK\r\n" + header + b"\r\ncontent-length: 2\r\n\r\n{}"
    with (
        answering(reply) as (teacher, _),
        running(served.gateway(tmp_path, None, f"{teacher}/v1")) as gateway,
    ):
        status, _, body = asked(gateway)
    assert status == 502
    assert f"the teacher at {teacher}/v1 {WRONG[header]}" in body.decode()


def test_a_status_that_ends_no_request_is_an_error(tmp_path: Path) -> None:
    """As 099 and 101 are."""
    for status in (b"099", b"101"):
        with (
            answering(b"HTTP/1.1 %b Odd\r\ncontent-length: 2\r\n\r\n{}" % status) as (teacher, _),
            running(served.gateway(tmp_path, None, f"{teacher}/v1")) as gateway,
        ):
            found, _, body = asked(gateway)
        assert found == 502
        assert f"the status {int(status)}" in body.decode()


@pytest.mark.parametrize("end", [b"", b"zz\r\n"])
def test_what_came_before_a_reply_broke_off_is_passed_on(end: bytes, tmp_path: Path) -> None:
    """Also where both were read at once."""
    with (
        answering(CHUNKS + b"2\r\nok\r\n" + end) as (teacher, _),
        running(served.gateway(tmp_path, None, f"{teacher}/v1")) as gateway,
    ):
        assert said(gateway, head("files", LENGTH) + BODY).endswith(b"\r\n\r\n2\r\nok\r\n")


def test_a_client_that_reads_slowly_gets_all(tmp_path: Path) -> None:
    """What is held back while it does not read still comes, the end of the reply too."""
    size = 20 << 20
    reply = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size + b"x" * size
    with (
        answering(reply) as (teacher, _),
        running(served.gateway(tmp_path, None, f"{teacher}/v1")) as gateway,
        httpx.stream("POST", f"{gateway}/v1/files", content=BODY) as slow,
    ):
        assert sum(len(part) for part in slow.iter_raw(1 << 20)) == size


def said(url: str, *pieces: bytes) -> bytes:
    """All that a server says to these bytes, each piece sent by itself, until it hangs up."""
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            client.sendall(piece)
            select.select([client], [], [], 0.02)
        return b"".join(iter(lambda: client.recv(65_536), b""))


@pytest.fixture
def asking(tmp_path: Path) -> Iterator[tuple[str, list[httpx.Request]]]:
    """A gateway, and what its teacher was sent; it answers in chunks."""
    got: list[httpx.Request] = []

    async def parts() -> AsyncIterator[bytes]:
        yield b"{"
        yield b"}"

    def answer(request: httpx.Request) -> httpx.Response:
        got.append(request)
        return httpx.Response(200, content=parts())

    with running(served.gateway(tmp_path, None, answer)) as url:
        yield url, got


def head(path: str = "chat/completions", *more: str, version: str = "1.1") -> bytes:
    """A request's head."""
    lines = [f"POST /v1/{path} HTTP/{version}", "Host: x", "Authorization: Bearer k", *more]
    return "\r\n".join([*lines, "", ""]).encode()


CHUNKED = "Transfer-Encoding: chunked"
LENGTH = f"Content-Length: {len(BODY)}"
OFFER = ("Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAEAAEAA", "Upgrade: h2c", LENGTH)
LAST = head("models", "Connection: close", "Content-Length: 0")


def test_a_client_that_offers_another_protocol_keeps_its_body(
    asking: tuple[str, list[httpx.Request]],
) -> None:
    """As Java's does with its first request, however the request is cut, and behind another."""
    url, got = asking
    offer = head("chat/completions", *OFFER)
    for cut in (len(offer) - 40, len(offer) - 20, len(offer) - 2, len(offer)):
        said(url, offer[:cut], offer[cut:] + BODY + LAST)
    said(url, head("embeddings", LENGTH) + BODY + offer + BODY + offer + BODY + LAST)
    asked = [one.content for one in got if not one.url.path.endswith("models")]
    assert asked == [BODY] * 7
    two = head("files", *OFFER, "Upgrade: websocket")
    said(url, two + BODY + LAST)
    assert got[-2].content == BODY
    assert not any("upgrade" in one.headers for one in got)


@pytest.mark.parametrize("path", ["chat/completions", "files"])
def test_a_body_that_looks_like_a_head_is_not_changed(
    path: str, asking: tuple[str, list[httpx.Request]]
) -> None:
    """Only a head can offer another protocol."""
    url, got = asking
    body = b'{"a": "\r\nUpgrade: h2c\r\n\r\n"}'
    request = head(path, f"Content-Length: {len(body)}") + body
    cut = request.index(b"\r\n\r\n") + 3
    said(url, request + LAST)
    said(url, request[:cut], request[cut:] + LAST)
    assert [one.content for one in got[::2]] == [body, body]


@pytest.mark.parametrize("path", ["chat/completions", "files"])
def test_what_follows_a_body_is_no_header(
    path: str, asking: tuple[str, list[httpx.Request]]
) -> None:
    """A trailer cannot give a request another key, or another encoding."""
    url, got = asking
    chunk = b"%x\r\n%b\r\n0\r\n" % (len(BODY), BODY)
    trailers = b"Authorization: Bearer evil\r\nContent-Encoding: gzip\r\n\r\n"
    begin = head(path, "Transfer-Encoding: chunked")
    said(url, begin + chunk + trailers + LAST)
    said(url, begin, chunk, trailers + LAST)
    for one in got[::2]:
        assert one.content == BODY
        assert one.headers.get_list("authorization") == ["Bearer k"]
        assert "content-encoding" not in one.headers


@pytest.mark.parametrize("version", ["1.0", "0.9"])
def test_a_client_that_knows_no_chunks_gets_none(
    version: str, asking: tuple[str, list[httpx.Request]]
) -> None:
    """A reply of unknown length ends with the connection."""
    begin, _, body = said(asking[0], head("files", LENGTH, version=version) + BODY).partition(
        b"\r\n\r\n"
    )
    assert body == b"{}"
    assert b"transfer-encoding" not in begin


def test_a_broken_reply_to_http_1_0_ends_with_an_error(tmp_path: Path) -> None:
    """A plain end would look whole."""
    with (
        answering(CHUNKS + b"2\r\nok\r\n") as (teacher, _),
        running(served.gateway(tmp_path, None, f"{teacher}/v1")) as gateway,
        pytest.raises(ConnectionResetError),
    ):
        said(gateway, head("files", LENGTH, version="1.0") + BODY)


@pytest.mark.parametrize("junk", [b"junk\r\n\r\n", b"\0", b'"}]}'])
def test_junk_behind_a_request_does_not_take_its_reply(
    junk: bytes, asking: tuple[str, list[httpx.Request]]
) -> None:
    """The request is answered, then the connection is closed."""
    chat, broken = head("chat/completions", LENGTH) + BODY, head("files", CHUNKED) + b"zz\r\n"
    for sent, answers in ((chat + junk, 1), (LAST + junk, 1), (chat + chat + broken, 2)):
        found = said(asking[0], sent)
        assert found.startswith(b"HTTP/1.1 200 OK\r\n")
        assert found.count(b"HTTP/1.1") == answers


NO_REQUESTS = [
    (b"junk\r\n\r\n", 400),
    (b"GET /v1/" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
    (head("files", "Transfer-Encoding: chunked") + b"zz\r\n", 400),
]


@pytest.mark.parametrize(("request_", "status"), NO_REQUESTS)
def test_what_is_no_request_is_refused_in_json(
    request_: bytes, status: int, asking: tuple[str, list[httpx.Request]]
) -> None:
    """As every other error of the gateway is."""
    begin, _, body = said(asking[0], request_).partition(b"\r\n\r\n")
    assert begin.startswith(b"HTTP/1.1 %d " % status)
    assert json.loads(body)["error"]["message"]
