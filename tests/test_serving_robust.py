"""Whatever is wrong with a student, the pool or the disk, the client gets an answer."""

from __future__ import annotations

import asyncio
import json
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import served
from starlette.responses import JSONResponse
from test_serving_journal import full_at
from upstream import nowhere

from serving import chat_response, escalate
from serving.ask_student import UNDER_WAY
from serving.escalate import decide
from serving.exchange import CHAT, api_of
from serving.gateway import Gateway
from serving.pool import Pool, read
from tasks.students.decoding import Answer

ROUTE = served.route("route")
TOOLS = served.route("tools")
GOOD = {"model": "large", **served.requests("route", 1, seed=9)[0]}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    served.write_routes(tmp_path, ROUTE, TOOLS)
    return tmp_path


def send(built: Gateway, *bodies: Any, **headers: bytes) -> list[httpx.Response]:
    """Calls, one after the other; a body may be bytes already."""

    async def run() -> list[httpx.Response]:
        named = [(name.replace("_", "-").encode(), value) for name, value in headers.items()]
        async with served.client(built) as client:
            return [
                await client.post(
                    "/v1/chat/completions",
                    content=body if isinstance(body, bytes) else json.dumps(body).encode(),
                    headers=named,
                )
                for body in bodies
            ]

    return asyncio.run(run())


def reasons(responses: list[httpx.Response]) -> list[str]:
    assert {response.status_code for response in responses} == {200}
    return [response.headers["x-flywheel-reason"] for response in responses]


def test_a_refused_call_says_nothing_about_the_pool(home: Path) -> None:
    """A prompt that is too long is no reason to leave short ones to the teacher."""

    def long(request: httpx.Request) -> httpx.Response:
        error = {"error": {"message": "maximum context length"}}
        return httpx.Response(400, json=error)

    assert reasons(send(served.gateway(home, long), *[GOOD] * 5)) == ["pool refused"] * 5


def test_one_pool_rests_and_the_other_does_not(home: Path) -> None:
    """Students of the encoder may be served elsewhere: each server has its own record."""
    served.write_routes(home, replace(TOOLS, kind="encoder"), ROUTE)
    built = served.gateway(home, served.student("other"))
    apart = Pool(nowhere(), built.teacher.client)
    built.students.pools = {**built.students.pools, "encoder": apart}
    asked = {"model": "large", **served.requests("tools", 1)[0]}
    found = reasons(send(built, asked, GOOD, asked, GOOD, asked, asked, GOOD))
    assert found[::2] == ["pool error", "pool error", "pool error", "served"]
    assert found[1::2] == ["served", "served", "circuit open"]


def test_a_slow_task_rests_alone(home: Path) -> None:
    """What times out is one adapter's: the others of the same pool are asked as before."""

    def pool(request: httpx.Request) -> httpx.Response:
        if json.loads(request.content)["model"] == TOOLS.adapter:
            raise httpx.ReadTimeout("never")
        return served.student("other")(request)

    slow = {"model": "large", **served.requests("tools", 1)[0]}
    built = served.gateway(home, pool, student_timeout=0.05)
    found = reasons(send(built, slow, slow, slow, slow, GOOD, GOOD))
    assert found == ["timeout"] * 3 + ["circuit open"] + ["served"] * 2


def test_a_flood_of_one_task_goes_to_the_teacher(home: Path) -> None:
    """No more calls of a task are under way in the pool than it may have; others are served."""
    asked, most = Counter[str](), Counter[str]()

    async def pool(request: httpx.Request) -> httpx.Response:
        name = json.loads(request.content)["model"]
        asked[name] += 1
        most[name] = max(most[name], asked[name])
        await asyncio.sleep(0.05)
        asked[name] -= 1
        return served.student("other")(request)

    async def run() -> list[str]:
        async with served.client(served.gateway(home, pool)) as client:
            bodies = [{"model": "large", **served.requests("tools", 1)[0]}] * 90 + [GOOD]
            sent = [client.post("/v1/chat/completions", json=body) for body in bodies]
            return reasons(await asyncio.gather(*sent))

    *flood, other = asyncio.run(run())
    assert most[TOOLS.adapter] <= UNDER_WAY
    assert flood.count("busy") >= 90 - UNDER_WAY
    assert other == "served"


@pytest.mark.parametrize(
    "said", ['{"content": "Hi \\ud83d"}', '{"tool_calls": [{"name": {"a": 1}, "arguments": {}}]}']
)
def test_an_answer_that_cannot_be_sent_escalates(home: Path, said: str) -> None:
    asked = {"model": "large", **served.requests("tools", 1)[0]}
    (response,) = send(served.gateway(home, served.student(said)), asked)
    assert response.headers["x-flywheel-served-by"] == "teacher"
    (line,) = served.journal(home)
    assert line["answered_by"] == "teacher"


@pytest.mark.parametrize("content", [5, {"a": 1}, [7]])
def test_odd_contents_are_the_teachers_to_judge(home: Path, content: Any) -> None:
    """Nothing of ours fails on them."""
    odd = {"model": "large", "messages": [{"role": "user", "content": content}]}
    replies = served.gateway(home, served.student("other"), lambda _: httpx.Response(422, json={}))
    assert [response.status_code for response in send(replies, odd)] == [422]


def test_half_an_emoji_goes_on_as_it_came(home: Path) -> None:
    """Text that was cut inside a surrogate pair is legal JSON; the journal has U+FFFD for it."""
    seen: list[bytes] = []

    def large(request: httpx.Request) -> httpx.Response:
        seen.append(request.content)
        return httpx.Response(200, json={"choices": []})

    texts = [rb"cut \ud83d", rb"cut \uDE00 too", rb"whole \ud83d\ude00"]
    bodies = [b'{"messages": [{"role": "user", "content": "%s"}]}' % text for text in texts]
    send(served.gateway(home, None, large), *bodies)
    assert seen == bodies
    kept = [line["request"]["messages"][0]["content"] for line in served.journal(home)]
    assert kept == ["cut \ufffd", "cut \ufffd too", "whole \U0001f600"]


def test_a_clients_name_may_have_an_umlaut(home: Path) -> None:
    """UTF-8 in a header goes on byte for byte, Latin-1 as the same text."""
    seen: list[bytes] = []

    def large(request: httpx.Request) -> httpx.Response:
        seen.append(dict(request.headers.raw)[b"user-agent"])
        return served.large(request)

    for encoding in ("utf-8", "latin-1"):
        send(served.gateway(home, None, large), GOOD, user_agent="Müller".encode(encoding))
    assert seen == ["Müller".encode()] * 2


@pytest.mark.parametrize("audit", [0.0, 1.0])
def test_a_full_disk_costs_no_client_its_answer(
    home: Path, audit: float, caplog: pytest.LogCaptureFixture
) -> None:
    """No student's answer is given that could not be recorded, audited or not; the teacher's is.

    It is said once, and once there is room again all is as before.
    """
    built = served.gateway(home, served.student("other"), audit=audit)
    with full_at(10):
        assert reasons(send(built, GOOD, GOOD)) == ["not recorded"] * 2
    assert "flywheel_unwritten_total 2.0" in built.metrics.text()
    assert "flywheel_served_total{" not in built.metrics.text()
    assert "(File too large): until it can, the teacher answers" in built.state()["journal"]
    assert not list((home / "journal").glob(".aside-*/*.json"))
    other = {"model": "large", **served.requests("tools", 1)[0]}
    assert reasons(send(built, other, GOOD)) == ["off contract", "served"]
    said = [record.getMessage() for record in caplog.records if record.name == "flywheel.gateway"]
    assert [one.split(" (")[0] for one in said if "call " not in one] == [
        f"nothing can be written to {home}/journal",
        f"calls are kept again in {home}/journal",
    ]


def test_an_answer_that_found_nothing_can_be_told() -> None:
    """JSON has no infinity; the gateway reads a logprob that no threshold reaches."""
    nothing = Answer("", (0.0, -math.inf), "stop", (0, 1), pieces=("form", "None"))
    scores = chat_response.logprobs(nothing, nothing.pieces.__getitem__)
    message = {"role": "assistant", "content": ""}
    told = {"created": 0, "finish_reason": "stop", "tokens": (3, 2), "logprobs": scores}
    body = chat_response.completion("1", "a", message, **told)
    text = JSONResponse(body).body
    heard = read(json.loads(bytes(text)), "a")
    assert heard.logprobs == (0.0, chat_response.LEAST)
    assert not decide(ROUTE.task, -9000.0, {}, heard).serve


DEEP = b'{"a":' * 5_000 + b"1" + b"}" * 5_000


@pytest.mark.parametrize(
    ("body", "encoding", "why"),
    [
        (DEEP, b"", "nested too deeply"),
        (b'{"seed": ' + b"7" * 5_000 + b"}", b"", "a number has too many digits"),
        (b"{}", b"rot13", "unknown encoding rot13"),
        (b"[1]", b"", "no JSON object"),
        (b"{", b"", "no JSON"),
        (b"[" + b"[]," * 50_000 + b"1]", b"", "larger than may be read"),
    ],
)
def test_a_line_without_a_request_says_why(
    home: Path, body: bytes, encoding: bytes, why: str
) -> None:
    """What cannot be read goes on as it came; header and journal have the reason."""
    built = served.gateway(home, None, lambda _: httpx.Response(200, json=ANSWERED))
    built.bodies.largest = 1_000_000
    (response,) = send(built, body, content_encoding=encoding)
    assert response.status_code == 200
    (line,) = served.journal(home)
    assert (line["request"], line["reason"]) == (None, f"{escalate.UNREAD}: {why}")
    assert response.headers["x-flywheel-reason"] == line["reason"]


ANSWERED = {"choices": [{"message": {"role": "assistant", "content": "x"}}]}


@pytest.mark.parametrize(
    "path", ["/v1//chat/completions", "/v1/chat//completions", "/v1/chat/completions//"]
)
def test_a_slash_too_many_is_a_call_all_the_same(home: Path, path: str) -> None:
    """The teacher gets the path as it came and the model that is set, and the journal its line."""
    seen = list[tuple[str, str]]()

    def large(request: httpx.Request) -> httpx.Response:
        seen.append((request.url.path, json.loads(request.content)["model"]))
        return httpx.Response(200, json=ANSWERED)

    served.post(served.gateway(home, None, large, model="big"), path=path)
    assert seen == [(path, "big")]
    assert len(served.journal(home)) == 1
    assert api_of("POST", "/v1/./chat/completions") == CHAT
    assert api_of("POST", "/v1/chat/completions/x") is None
