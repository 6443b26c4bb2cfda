"""HTTP as some servers and clients speak it: what other programs take, the gateway takes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
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
def answering(reply: bytes) -> Iterator[tuple[str, list[bytes]]]:
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
                caller.sendall(reply)
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


def test_a_client_that_offers_another_protocol_keeps_its_body(tmp_path: Path) -> None:
    """As Java's does with its first request, in case the server speaks HTTP/2."""
    head = (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\n"
        b"Content-Length: %d\r\nHTTP2-Settings: AAEAAEAA\r\nUpgrade: h2c\r\n\r\n" % len(BODY)
    )
    with (
        answering(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}") as (teacher, got),
        running(served.gateway(tmp_path, None, f"{teacher}/v1")) as gateway,
    ):
        port = int(gateway.rpartition(":")[2])
        for pieces in ([head + BODY], [head, BODY]):
            with socket.create_connection(("127.0.0.1", port)) as client:
                for piece in pieces:
                    client.sendall(piece)
                assert client.recv(65_536).startswith(b"HTTP/1.1 200 OK\r\n")
    assert [one.partition(b"\r\n\r\n")[2] for one in got] == [BODY, BODY]
