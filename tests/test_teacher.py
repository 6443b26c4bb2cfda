"""Requests go on to the teacher as they came, and its failures become one sentence."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from serving.teacher import Teacher, TeacherDown, back, http_client, read

BODY = b'{"model": "large",  "messages": []}'
ASKED: dict[str, Any] = json.loads(BODY)


def teacher(answer: Callable[[httpx.Request], httpx.Response], **changes: str) -> Teacher:
    client = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    return Teacher("http://teacher/v1/", client, **changes)


def sent(headers: dict[str, str], **changes: str) -> httpx.Request:
    """What the teacher receives."""
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={})

    asyncio.run(teacher(answer, **changes).ask(BODY, ASKED, headers))
    return seen[0]


def test_the_body_goes_on_byte_for_byte() -> None:
    """The teacher gets the client's bytes and the client's own key, and nothing of ours."""
    request = sent({"authorization": "Bearer mine", "cookie": "no", "x-flywheel-at": "1"})
    assert request.url == "http://teacher/v1/chat/completions"
    assert request.content == BODY
    assert request.headers["authorization"] == "Bearer mine"
    assert "cookie" not in request.headers
    assert "x-flywheel-at" not in request.headers


def test_our_key_takes_the_place_of_the_clients() -> None:
    """With a key configured the client's keys are not sent on."""
    request = sent({"authorization": "Bearer mine", "api-key": "mine"}, key="ours")
    assert request.headers["authorization"] == "Bearer ours"
    assert "api-key" not in request.headers


def test_a_configured_model_takes_the_place_of_the_clients() -> None:
    """TEACHER_MODEL changes the model of the request and leaves the rest alone."""
    assert json.loads(sent({}, model="huge").content) == {**ASKED, "model": "huge"}


def test_a_stale_connection_is_tried_once_more() -> None:
    """A connection that the teacher closed while idle does not fail the call."""
    tries = []

    def answer(request: httpx.Request) -> httpx.Response:
        tries.append(request)
        if len(tries) == 1:
            raise httpx.RemoteProtocolError("Server disconnected without sending a response.")
        return httpx.Response(200, content=b"fine")

    async def ask() -> bytes:
        made = teacher(answer)
        return await read(await made.ask(BODY, ASKED, {}), made.url)

    assert asyncio.run(ask()) == b"fine"
    assert len(tries) == 2


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (httpx.ConnectError("refused"), "is down"),
        (httpx.ReadTimeout("slow"), "did not answer in time"),
    ],
)
def test_a_teacher_that_is_down_is_one_sentence(error: httpx.HTTPError, sentence: str) -> None:
    """The sentence names the teacher and what it did; it holds nothing of the request."""

    def answer(_: httpx.Request) -> httpx.Response:
        raise error

    with pytest.raises(TeacherDown, match=f"the teacher at http://teacher/v1/ {sentence}"):
        asyncio.run(teacher(answer).ask(BODY, ASKED, {}))


def test_only_useful_headers_come_back() -> None:
    """The client learns the teacher's limits and content type, not its cookies or encoding."""
    given = {
        "content-type": "application/json",
        "content-encoding": "identity",
        "set-cookie": "a=b",
        "retry-after": "3",
        "x-ratelimit-remaining-tokens": "9",
        "openai-version": "1",
    }
    kept = set(back(httpx.Response(429, headers=given)))
    assert kept == {
        "content-type", "retry-after", "x-ratelimit-remaining-tokens", "openai-version"
    }  # fmt: skip


def test_no_cookie_goes_from_one_caller_to_the_next() -> None:
    """What the teacher sets in one caller's response is not sent with another's request."""
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={}, headers={"set-cookie": "session=mine; Path=/"})

    async def twice() -> None:
        made = Teacher("http://teacher/v1", http_client(1.0, httpx.MockTransport(answer)))
        for _ in range(2):
            await read(await made.ask(BODY, ASKED, {}), made.url)

    asyncio.run(twice())
    assert [request.headers.get("cookie") for request in seen] == [None, None]
