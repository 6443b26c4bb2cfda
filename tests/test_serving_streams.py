"""Streams through the gateway: a student's, the teacher's, broken ones, clients that leave."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import served
from served import REQUEST, post, sse

from examples import teacher as large

ROUTE = served.route("route")

TOOLS = served.route("tools")

QUEUE = str(large.complete(REQUEST)["choices"][0]["message"]["content"])

OTHER = "gift_card" if QUEUE != "gift_card" else "other"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    served.write_routes(tmp_path, ROUTE, TOOLS)
    return tmp_path


def test_a_student_streams_too(home: Path) -> None:
    """With stream=true the answer comes as chunks, the last of them with the usage asked for."""
    request = {**REQUEST, "stream": True, "stream_options": {"include_usage": True}}
    events = list(sse(post(served.gateway(home, served.student(OTHER)), request)))
    assert "".join(c["delta"].get("content") or "" for e in events for c in e["choices"]) == OTHER
    assert [c["finish_reason"] for e in events for c in e["choices"]] == [None, None, "stop"]
    assert events[-1]["usage"]["completion_tokens"] == 2


def stream(*parts: bytes, broken: bool = False) -> Any:
    """A teacher that streams these bytes, and may break off."""

    async def body() -> AsyncIterator[bytes]:
        for part in parts:
            yield part
        if broken:
            await asyncio.sleep(0.02)
            raise httpx.ReadError("gone")

    headers = {"content-type": "text/event-stream"}
    return lambda _: httpx.Response(200, content=body(), headers=headers)


CHUNKS = [
    b'data: {"model": "m", "choices": [{"index": 0, "delta": {"role": "assistant"}}]}\n\n',
    b'data: {"choices": [{"index": 0, "delta": {"content": "ref"}}]}\n\ndata: {"cho',
    b'ices": [{"index": 0, "delta": {"content": "und"}, "finish_reason": "stop"}]}\n\n',
    b"data: [DONE]\n\n",
]


def test_the_teachers_stream_passes_through(home: Path) -> None:
    """The client gets the teacher's bytes; the journal the reply put together from them."""
    response = post(served.gateway(home, None, stream(*CHUNKS)), {**REQUEST, "stream": True})
    assert response.content == b"".join(CHUNKS)
    (line,) = served.journal(home)
    assert line["reply"]["content"] == "refund"
    assert (line["finish_reason"], line["error"]) == ("stop", None)


def test_a_broken_stream_is_said_and_recorded(home: Path) -> None:
    """A stream that breaks off, here inside a line, ends with an error event of its own.

    Its line in the journal is not a reply to learn.
    """
    built = served.gateway(home, None, stream(*CHUNKS[:2], broken=True))
    response = post(built, {**REQUEST, "stream": True})
    torn, last = response.text.rstrip().rsplit("\n\n", 1)
    assert torn.strip() == b"".join(CHUNKS[:2]).decode().rsplit("data", 1)[0].strip()
    sentence = json.loads(last.removeprefix("data: "))["error"]["message"]
    assert sentence.startswith("the teacher's answer broke off")
    (line,) = served.journal(home)
    assert line["error"] == sentence


@pytest.mark.parametrize(
    ("parts", "reply_", "error"),
    [(1, None, "the client left before the end of the answer"), (3, "refund", None)],
)
def test_a_client_that_leaves_is_recorded(
    home: Path, parts: int, reply_: str | None, error: str | None
) -> None:
    """Hanging up in mid-stream is an error; after the finish reason it is not."""

    async def linger() -> AsyncIterator[bytes]:
        for part in CHUNKS[:parts]:
            yield part
        await asyncio.sleep(0.05)
        yield CHUNKS[3]

    headers = {"content-type": "text/event-stream"}
    built = served.gateway(
        home, None, lambda _: httpx.Response(200, content=linger(), headers=headers)
    )

    async def leave() -> None:
        got = 0
        there = asyncio.Event()

        async def receive() -> dict[str, Any]:
            if not got and not there.is_set():
                there.set()
                return {"type": "http.request", "body": json.dumps(REQUEST).encode()}
            while got < parts:
                await asyncio.sleep(0.001)
            return {"type": "http.disconnect"}

        async def send(event: dict[str, Any]) -> None:
            nonlocal got
            got += event.get("body", b"").count(b"data: {")

        path = "/v1/chat/completions"
        scope = {"method": "POST", "path": path, "raw_path": path.encode()}
        async with built.teacher.client:
            await built({**scope, "query_string": b"", "headers": []}, receive, send)

    asyncio.run(leave())
    built.journal.close()
    (line,) = served.journal(home)
    assert line["error"] == error
    assert (line["reply"] and line["reply"]["content"]) == reply_
