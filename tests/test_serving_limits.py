"""The gateway cannot be drowned: sizes, times and numbers of what comes in have limits."""

from __future__ import annotations

import asyncio
import gzip
import json
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from itertools import count
from pathlib import Path

import httpx
import provider
import psutil
import pytest
import served
from upstream import upstream

from flows.cli.stack import free_port
from serving import body_limits, caller, http_server
from serving.body_limits import MEGABYTE, BodyLimits, NotTaken
from serving.teacher import Incoming

ROOT = Path(__file__).parents[1]
names = count()  # of clients
CHAT = "/v1/chat/completions"
REST = "HTTP/1.1\r\nhost: a\r\ncontent-length: 50\r\n\r\n"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, psutil.Process]]:
    """A gateway as a process that may open 256 files, and the address it listens on."""
    home, port = tmp_path_factory.mktemp("home"), free_port()
    command = [sys.executable, "-m", "serving.gateway", "--home", str(home), "--port", str(port)]
    env = {"TEACHER_BASE_URL": upstream(provider.answer) + "/v1", "PATH": "/usr/bin:/bin",
           "PYTHONPATH": str(ROOT)}  # fmt: skip
    few = (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    process = subprocess.Popen(
        command, env=env, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, few)
    )
    url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 60
    while not _up(url):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    yield url, psutil.Process(process.pid)
    process.terminate()
    process.wait()


def _up(url: str) -> bool:
    try:
        return httpx.get(url + "/healthz", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def connected(url: str) -> socket.socket:
    """A connection to the gateway."""
    place = httpx.URL(url)
    assert place.port
    return socket.create_connection((place.host, place.port), timeout=30)


def call(text: str = "hello") -> bytes:
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]}).encode()


def test_a_body_that_is_too_large_is_not_read(gateway: tuple[str, psutil.Process]) -> None:
    """Status 413 and the limit's name, with a length or in chunks; memory stays where it was."""
    url, process = gateway
    before, huge = process.memory_info().rss, call("x" * 100 * MEGABYTE)
    for _ in range(3):
        with closing(connected(url)) as raw:
            head = f"POST {CHAT} HTTP/1.1\r\nhost: a\r\ncontent-length: {len(huge)}\r\n\r\n"
            raw.sendall(head.encode() + huge[:1000])
            said = raw.recv(65536)
            while b"serve.max_body" not in said:  # the body may come after the head
                more = raw.recv(65536)
                assert more
                said += more
        assert said.startswith(b"HTTP/1.1 413")
    chunked = (huge[at : at + MEGABYTE] for at in range(0, len(huge), MEGABYTE))
    answer = httpx.post(url + CHAT, content=chunked, trust_env=False, timeout=60)
    assert answer.status_code == 413
    assert process.memory_info().rss - before < 100 * MEGABYTE


def test_what_is_packed_small_and_large_inside_reaches_the_teacher_packed(
    gateway: tuple[str, psutil.Process],
) -> None:
    """A body that unpacks to 100 MB is the teacher's to judge, and costs no such memory here."""
    url, process = gateway
    before = process.memory_info().rss
    packed = gzip.compress(call("x" * 100 * MEGABYTE), 1)
    headers = {"content-encoding": "gzip"}
    answer = httpx.post(url + CHAT, content=packed, headers=headers, trust_env=False, timeout=60)
    assert answer.status_code == 200
    assert process.memory_info().rss - before < 150 * MEGABYTE


def test_more_idle_connections_than_files_were_allowed(
    gateway: tuple[str, psutil.Process],
) -> None:
    """The gateway raises its own limit of open files: others are answered beside 400 idle ones."""
    url, _ = gateway
    idle = [connected(url) for _ in range(400)]
    try:
        assert httpx.post(url + CHAT, content=call(), trust_env=False).status_code == 200
        assert _up(url)
    finally:
        for one in idle:
            one.close()


def test_headers_for_ever_are_refused(gateway: tuple[str, psutil.Process]) -> None:
    """A head of more than 256 KB ends with status 431; one of 7 KB is passed on."""
    url, _ = gateway
    with closing(connected(url)) as raw:
        raw.sendall(f"GET /v1/models HTTP/1.1\r\nhost: a\r\nx: {'y' * 7_000}\r\n\r\n".encode())
        assert raw.recv(4096).startswith(b"HTTP/1.1 200")
    with closing(connected(url)) as raw:
        raw.sendall(b"GET /v1/models HTTP/1.1\r\nhost: a\r\n" + b"x: y\r\n" * (160 << 10))
        assert raw.recv(4096).startswith(b"HTTP/1.1 431")


def test_who_says_nothing_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A silent connection is closed at the deadline; half a head and half a body get status 408."""
    monkeypatch.setattr(http_server, "HEAD_SECONDS", 0.3)
    monkeypatch.setattr(caller, "BODY_SECONDS", 0.3)
    with served.running(served.gateway(tmp_path, None)) as url:
        nothing, half_head, half_body = (
            _until_closed(url, sent)
            for sent in (b"", b"POST /v1/chat/comp", f"POST {CHAT} {REST}{{".encode())
        )
    assert nothing == b""
    assert half_head.startswith(b"HTTP/1.1 408")
    assert half_body.startswith(b"HTTP/1.1 408")
    assert b"nothing of the body came" in half_body


def _until_closed(url: str, sent: bytes) -> bytes:
    """What comes back until the gateway closes the connection."""
    with closing(connected(url)) as raw:
        raw.sendall(sent)
        return b"".join(iter(lambda: raw.recv(65536), b""))


def test_large_bodies_wait_for_one_another() -> None:
    """No more is held at once than there is room for; who waits too long is told to try again."""

    async def run(wait: float) -> int:
        built, held = BodyLimits(MEGABYTE), 0

        async def one() -> None:
            nonlocal held
            with built.room(sized(MEGABYTE), str(next(names))) as share:
                await share.grow(MEGABYTE)
                share.space.whole(share)
                held += 1
                assert held <= body_limits.BODIES
                await asyncio.sleep(0.01)
                held -= 1

        async with asyncio.timeout(wait):
            await asyncio.gather(*(one() for _ in range(3 * body_limits.BODIES)))
        return held

    assert asyncio.run(run(30)) == 0


def test_who_waits_too_long_for_room_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Status 503, which clients try again by themselves."""
    monkeypatch.setattr(body_limits, "WAIT_SECONDS", 0.01)

    async def run() -> None:
        built = BodyLimits(MEGABYTE)
        with ExitStack() as stack:
            for _ in range(body_limits.BODIES):
                share = stack.enter_context(built.room(sized(MEGABYTE), str(next(names))))
                await share.grow(MEGABYTE)
                share.space.whole(share)
            with built.room(sized(MEGABYTE), "z") as share:
                await share.grow(body_limits.SMALL)
                with pytest.raises(NotTaken, match="too many large requests") as told:
                    await share.grow(MEGABYTE)
            assert told.value.status == 503
        with built.room(sized(MEGABYTE), str(next(names))) as share:
            await share.grow(MEGABYTE)

    asyncio.run(run())


def test_bodies_that_are_half_here_do_not_all_wait_for_one_another() -> None:
    """The eldest goes on: of one client and of twelve, all become whole, and no more is held."""

    async def run(clients: int) -> None:
        built = BodyLimits(MEGABYTE)

        async def one(number: int) -> None:
            with built.room(sized(MEGABYTE), str(number % clients)) as share:
                for _ in range(16):
                    await share.grow(MEGABYTE // 16)
                    assert built.bodies._held.total() <= body_limits.BODIES * MEGABYTE
                    await asyncio.sleep(0)
                share.space.whole(share)
                await asyncio.sleep(0.001)

        async with asyncio.timeout(10):
            await asyncio.gather(*(one(number) for number in range(24)))

    asyncio.run(run(1))
    asyncio.run(run(12))


def sized(length: int) -> Incoming:
    """A request that says how long its body is."""
    return Incoming("POST", CHAT.encode(), b"", [(b"content-length", str(length).encode())])
