"""Requests go on to the teacher as they came, and its failures become one sentence."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from upstream import Handler, nowhere, upstream

from serving.client import Body, Client, is_loopback
from serving.teacher import Incoming, Teacher, TeacherDown, back

BODY = b'{"model": "large",  "messages": []}'
ASKED: dict[str, Any] = json.loads(BODY)
PATH = b"/v1/chat/completions"
PLACES: list[list[bytes]] = [  # of a Location, none of which is followed
    *([b"//[bad"], [b"http://127.0.0.1:99999/x"], [b""], [b"/a", b"/b"], [b"/r\xe9"], [b"/a b"]),
    *([b"http://127.0.0.1:9/x"], [b"http://me:word@127.0.0.1/x"], [b"ftp://127.0.0.1/"]),
]


def ask(
    answer: Handler | str, *incoming: Incoming, base: str = "/v1/", **changes: Any
) -> list[tuple[int, dict[str, str], bytes]]:
    """Status, headers and body of the replies to some requests."""

    async def run() -> list[tuple[int, dict[str, str], bytes]]:
        found = []
        async with Client() as client:
            url = answer if isinstance(answer, str) else upstream(answer) + base
            teacher = Teacher(url, client, **changes)
            for one in incoming:
                reply = await teacher.send(one)
                headers = {k.decode(): v.decode() for k, v in back(reply)}
                found.append((reply.status, headers, await reply.body()))
                reply.close()
        return found

    return asyncio.run(run())


def post(*headers: tuple[bytes, bytes], body: Body = BODY, query: bytes = b"") -> Incoming:
    return Incoming("POST", PATH, query, headers, body)


def sent(incoming: Incoming, base: str = "/v1/", **changes: Any) -> httpx.Request:
    """What the teacher receives."""
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={})

    ask(answer, incoming, base=base, **changes)
    return seen[0]


def test_the_request_goes_on_byte_for_byte() -> None:
    """Body, query and headers are the client's, but for those of the connection and of ours."""
    mine = [
        (b"authorization", b"Bearer mine"),
        (b"x-title", b"one"),
        (b"x-title", b"two"),
        (b"openai-beta", b"assistants=v2"),
        (b"idempotency-key", b"7"),
        (b"accept-encoding", b"br"),
    ]
    ours = [
        (b"host", b"gateway"),
        (b"connection", b"keep-alive, x-hop"),
        (b"x-hop", b"1"),
        (b"te", b"trailers"),
        (b"x-flywheel-at", b"1"),
        (b"content-length", b"999"),
    ]
    request = sent(post(*mine, *ours, query=b"api-version=2024-10-21&q=a%2Fb+c"))
    assert request.url.raw_path == b"/v1/chat/completions?api-version=2024-10-21&q=a%2Fb+c"
    assert request.content == BODY
    got = [(k.lower(), v) for k, v in request.headers.raw]
    assert [(k, v) for k, v in got if k not in (b"host", b"content-length")] == mine


@pytest.mark.parametrize(
    ("path", "base", "expected"),
    [
        ("/v1/models/a%2Fb", "/v1", "/v1/models/a%2Fb"),
        ("/v1/files/", "/api/v1/", "/api/v1/files/"),
        ("/v1/embeddings", "", "/embeddings"),
        ("/v1/x", "/openai/deployments/d?api-version=1", "/openai/deployments/d/x?api-version=1"),
        (
            "/openai/deployments/d/x",
            "/openai?api-version=1",
            "/openai/deployments/d/x?api-version=1",
        ),
        ("/openai/deployments/d/x", "/azure/openai/v1", "/azure/openai/deployments/d/x"),
        ("/openai/v1/x", "/v1", "/openai/v1/x"),
    ],
)
def test_paths_are_the_teachers(path: str, base: str, expected: str) -> None:
    """`/v1` is below the base URL, Azure's `/openai` at its root; a query of the base is added."""
    request = sent(Incoming("GET", path.encode(), b"", []), base=base)
    assert request.url.raw_path.decode() == expected


def test_the_clients_query_has_precedence() -> None:
    """A parameter of the base URL is the client's where it says otherwise."""
    request = sent(post(query=b"api-version=2"), base="/v1?api-version=1&more=1")
    assert request.url.query == b"api-version=2&more=1"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], {"authorization": "Bearer ours"}),
        ([(b"authorization", b"Bearer mine")], {"authorization": "Bearer ours"}),
        ([(b"api-key", b"mine")], {"api-key": "ours"}),
        ([(b"x-api-key", b"mine")], {"x-api-key": "ours"}),
    ],
)
def test_our_key_takes_the_place_of_the_clients(
    headers: list[tuple[bytes, bytes]], expected: dict[str, str]
) -> None:
    """With a key configured the client's keys are not sent on; ours is where the client had one."""
    got = sent(post(*headers), key="ours").headers
    names = ("authorization", "api-key", "x-api-key")
    assert {name: got[name] for name in names if name in got} == expected


def test_a_configured_model_takes_the_place_of_the_clients() -> None:
    """TEACHER_MODEL changes the bytes of that one value, where a model writes or counts."""
    assert sent(post(), model="huge").content == BODY.replace(b"large", b"huge")
    other = Incoming("POST", b"/v1/embeddings", b"", [], BODY)
    assert sent(other, model="huge").content == BODY


async def _parts() -> AsyncIterator[bytes]:
    yield BODY[:5]
    yield BODY[5:]


@pytest.mark.parametrize("arriving", [False, True])
def test_a_stale_connection_is_tried_once_more(arriving: bool) -> None:
    """A connection that the teacher closed while idle fails no request, whatever its path."""
    tries = []

    def answer(request: httpx.Request) -> httpx.Response:
        tries.append(request.content)
        if len(tries) == 2:
            raise httpx.RemoteProtocolError("Server disconnected without sending a response.")
        return httpx.Response(200, content=b"fine")

    body = _parts() if arriving else BODY
    second = Incoming("POST", b"/v1/embeddings", b"", [], body)
    assert ask(answer, post(), second)[1][2] == b"fine"
    assert tries == [BODY, BODY, BODY]


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_request_that_a_new_connection_failed_is_not_sent_again(method: str) -> None:
    """The teacher may have begun to answer it: that is the client's to decide."""
    tries = []

    def answer(request: httpx.Request) -> httpx.Response:
        tries.append(request)
        raise httpx.RemoteProtocolError("Server disconnected without sending a response.")

    with pytest.raises(TeacherDown, match="is down"):
        ask(answer, Incoming(method, PATH, b"", [], BODY))
    assert len(tries) == 1


def test_a_teacher_that_is_down_is_one_sentence() -> None:
    """The sentence names the teacher and what it did; it holds nothing of the request."""

    def slow(_: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("never")

    with pytest.raises(TeacherDown, match=f"the teacher at {nowhere()} is down"):
        ask(nowhere(), post())
    with pytest.raises(TeacherDown, match="did not answer in time"):
        ask(slow, post(), seconds=0.05)


def test_every_header_comes_back() -> None:
    """Limits, request ids and encodings are the client's to read, those of the connection not."""
    given = {
        "content-type": "application/json",
        "cf-ray": "zz",
        "set-cookie": "a=b",
        "retry-after": "3",
        "x-should-retry": "false",
        "anthropic-ratelimit-requests-remaining": "0",
        "keep-alive": "timeout=5",
    }
    ((status, headers, _),) = ask(lambda _: httpx.Response(429, headers=given), post())
    assert status == 429
    assert given.items() - headers.items() == {("keep-alive", "timeout=5")}


@pytest.mark.parametrize("status", [307, 308])
def test_a_redirect_is_followed_with_the_same_request(status: int) -> None:
    """To another path of the same host; what is elsewhere is the client's to follow."""
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        if request.url.path.startswith("/strict"):
            return httpx.Response(200, content=request.content)
        return httpx.Response(status, headers={"location": "/strict/v1/chat/completions"})

    for content in (BODY, _parts()):
        ((found, _, body),) = ask(answer, post((b"authorization", b"Bearer k"), body=content))
        assert (found, body) == (200, BODY)
        assert seen[-1].headers["authorization"] == "Bearer k"

    away = {"location": "http://elsewhere.invalid/v1"}
    ((found, headers, _),) = ask(lambda _: httpx.Response(status, headers=away), post())
    assert (found, headers["location"]) == (status, away["location"])


@pytest.mark.parametrize("status", [201, 303, 307])
@pytest.mark.parametrize("places", PLACES)
def test_a_location_that_is_not_followed_stays_as_it_came(status: int, places: list[bytes]) -> None:
    """Another port is another server: it gets neither the key nor the body."""
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(status, headers=[(b"location", place) for place in places])

    async def run() -> list[bytes]:
        async with Client() as client:
            reply = await Teacher(upstream(answer), client, "key").send(post())
            reply.close()
            return [v for k, v in back(reply) if k == b"location"]

    assert asyncio.run(run()) == [place.decode("latin-1").encode() for place in places]
    assert len(seen) == 1


def test_a_relative_location_stays_relative() -> None:
    """It would tell clients the teacher's own address, and lead them around the gateway."""
    given = {"location": "/v1/batches/1?x#y"}
    for status in (201, 303):
        ((_, headers, _),) = ask(lambda _, s=status: httpx.Response(s, headers=given), post())
        assert headers["location"] == given["location"]


def test_redirects_have_an_end() -> None:
    """A teacher that redirects in circles is passed on as it is."""
    round_ = {"location": "/again"}
    ((status, _, _),) = ask(lambda _: httpx.Response(308, headers=round_), post())
    assert status == 308


def test_no_cookie_goes_from_one_caller_to_the_next() -> None:
    """What the teacher sets in one caller's response is not sent with another's request."""
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={}, headers={"set-cookie": "session=mine; Path=/"})

    ask(answer, post(), post())
    assert [request.headers.get("cookie") for request in seen] == [None, None]


def test_loopback_needs_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTP_PROXY is for what is elsewhere."""
    monkeypatch.setenv("HTTP_PROXY", nowhere())
    assert ask(lambda _: httpx.Response(200), post())[0][0] == 200
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "127.1.2.3", "::1")))
    assert not is_loopback("api.openai.com")
