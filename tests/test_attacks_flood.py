"""One client's flood, slow calls or large texts take nothing from the others."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import served
from upstream import Handler

from serving import body_limits, caller, escalate
from serving.ask_student import OF_ONE_CLIENT, UNDER_WAY
from serving.gateway import Gateway, app
from serving.journal import Journal
from serving.journal_quota import JournalQuota
from tasks.core.params import Ingest
from tasks.ingest.ingest import ingest

ROUTE, OTHER = served.route("route"), served.route("tools")
CHAT = "/v1/chat/completions"
ASKED = served.requests("route", 60, seed=4)
GOOD = {"model": "large", **ASKED[0]}
ANSWER = ROUTE.task.contract.labels[0] if ROUTE.task.contract.labels else "{}"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    served.write_routes(tmp_path, ROUTE, OTHER)
    return tmp_path


async def callers(stack: AsyncExitStack, built: Gateway) -> list[httpx.AsyncClient]:
    """Two clients at two addresses."""
    await stack.enter_async_context(built.teacher.client)
    made = []
    for address in ("10.0.0.1", "10.0.0.2"):
        transport = httpx.ASGITransport(app(built), client=(address, 1))
        client = httpx.AsyncClient(transport=transport, base_url="http://gateway")
        made.append(await stack.enter_async_context(client))
    return made


def reasons(answers: list[httpx.Response]) -> Counter[str]:
    assert {answer.status_code for answer in answers} == {200}
    return Counter(answer.headers["x-flywheel-reason"] for answer in answers)


def test_a_flood_of_one_client_leaves_room_for_the_others(home: Path) -> None:
    """Of the calls that a student may have under way, a quarter is for other clients."""
    asked, go = list[str](), threading.Event()
    answer = served.student(ANSWER)

    async def pool(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        await asyncio.to_thread(go.wait, 30)
        made = answer(request)
        assert isinstance(made, httpx.Response)
        return made

    async def run() -> tuple[Counter[str], Counter[str]]:
        async with AsyncExitStack() as stack:
            built = served.gateway(home, pool, student_timeout=60.0)
            one, other = await callers(stack, built)
            flood = [asyncio.create_task(one.post(CHAT, json=GOOD)) for _ in range(60)]
            await _until(lambda: len(asked) == OF_ONE_CLIENT)
            few = UNDER_WAY - OF_ONE_CLIENT
            calm = [asyncio.create_task(other.post(CHAT, json=GOOD)) for _ in range(few)]
            await _until(lambda: len(asked) == UNDER_WAY)
            go.set()
            return reasons(await asyncio.gather(*flood)), reasons(await asyncio.gather(*calm))

    flood, calm = asyncio.run(run())
    assert flood[escalate.BUSY] == 60 - OF_ONE_CLIENT
    assert escalate.BUSY not in calm


async def _until(true: Any) -> None:
    async with asyncio.timeout(30):
        while not true():
            await asyncio.sleep(0.01)


def broken(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("never")


def failing(request: httpx.Request) -> httpx.Response:
    return httpx.Response(500, text="out of memory")


@pytest.mark.parametrize("fails", [broken, failing])
def test_slow_and_broken_calls_of_one_client_rest_nobody_else(home: Path, fails: Handler) -> None:
    """Thirty of thirty calls of another client are asked of the student, in the same task too."""
    answer = served.student(ANSWER)

    def pool(request: httpx.Request) -> Any:
        hostile = b"BREAK" in request.content
        return fails(request) if hostile else answer(request)

    async def run() -> tuple[Counter[str], Counter[str]]:
        async with AsyncExitStack() as stack:
            built = served.gateway(home, pool, student_timeout=0.3)
            one, other = await callers(stack, built)
            bad = json.loads(json.dumps(GOOD))
            bad["messages"][-1]["content"] += " BREAK"
            hostile, calm = list[httpx.Response](), list[httpx.Response]()
            for number in range(30):
                hostile.append(await one.post(CHAT, json=bad))
                calm.append(await other.post(CHAT, json={"model": "m", **ASKED[number]}))
            return reasons(hostile), reasons(calm)

    hostile, calm = asyncio.run(run())
    assert hostile[escalate.CIRCUIT_OPEN] > 20
    assert escalate.CIRCUIT_OPEN not in calm
    assert escalate.TIMEOUT not in calm


def test_a_full_journal_keeps_no_texts_and_says_so(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Calls are answered; their lines have figures but no texts, and no night learns from them."""
    built = served.gateway(home, served.student(ANSWER))
    built.journal.quota.most = 1_000

    async def run() -> dict[str, Any]:
        async with served.client(built) as client:
            for asked in ASKED[:5]:
                assert (await client.post(CHAT, json={"model": "m", **asked})).status_code == 200
            built.journal.sync()
            built.metrics.journaled(built.journal.quota)
            assert "flywheel_calls_without_texts 4.0" in (await client.get("/metrics")).text
            state: dict[str, Any] = (await client.get("/")).json()
            return state

    with caplog.at_level(logging.ERROR, "flywheel.gateway"):
        state = asyncio.run(run())
    first, *rest = served.journal(home)
    assert first["request"]
    assert len(rest) == 4
    for line in rest:
        assert (line["request"], line["reply"], line["full"]) == (None, None, True)
        assert (line["student"] or {}).get("answer", "") == ""
        assert line["usage"]
    assert "as much as retention.journal" in state["journal"]
    assert len([r for r in caplog.records if "retention.journal" in r.getMessage()]) == 1
    counts = ingest([], home / "out", Ingest(), journal=home / "journal")
    assert counts.dropped == {"incomplete": 4}


def test_an_emptied_journal_keeps_texts_again(tmp_path: Path) -> None:
    """What a night removed makes room; a shadow's own journal has no limit."""
    journal = Journal(tmp_path, most=100)
    line = {"id": "a", "at": 1.0, "request": {"x": "y" * 200}, "student": None}
    for _ in range(2):
        journal.append(line)
    assert journal.quota.full
    for path in tmp_path.glob("*.jsonl"):
        path.unlink()
    journal.quota.measure()
    assert not journal.quota.full
    assert journal.quota.kept(line) is line
    assert not JournalQuota(tmp_path, held=10**15).full
    journal.close()


def test_who_says_much_and_sends_nothing_holds_no_room(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Room is for what is here: four bodies that never come used to stop a client's other calls."""
    monkeypatch.setattr(body_limits, "WAIT_SECONDS", 0.1)
    opened, go = list[int](), asyncio.Event()

    async def never() -> AsyncIterator[bytes]:
        opened.append(1)
        await go.wait()
        yield b""

    async def run() -> None:
        async with AsyncExitStack() as stack:
            one, _ = await callers(stack, served.gateway(home, None))
            length = {"content-length": str(32 << 20)}
            slow = [
                asyncio.create_task(one.post(CHAT, content=never(), headers=length))
                for _ in range(8)
            ]
            await _until(lambda: len(opened) == 8)
            padded = json.dumps(GOOD).encode() + b" " * 200_000
            assert (await one.post(CHAT, content=padded)).status_code == 200
            go.set()
            await asyncio.gather(*slow)

    asyncio.run(run())


async def chunked(body: bytes) -> AsyncIterator[bytes]:
    """A body that does not say its length."""
    yield body


COMMAS = json.dumps(
    {"messages": [{"role": "user", "content": "word, " * 20_000 + "\U0001f600"}]},
    ensure_ascii=False,
).encode()


@pytest.mark.parametrize("body", [json.dumps(GOOD).encode(), COMMAS])
def test_no_call_waits_for_anothers_slow_reply(
    home: Path, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the teacher writes a call holds its own body, not the largest, and nothing read."""
    monkeypatch.setattr(body_limits, "WAIT_SECONDS", 0.1)
    asked, go = list[int](), threading.Event()

    async def large(request: httpx.Request) -> httpx.Response:
        asked.append(1)
        await asyncio.to_thread(go.wait, 30)
        return served.large(httpx.Request("POST", CHAT, json=GOOD))

    async def run() -> set[int]:
        async with AsyncExitStack() as stack:
            one, _ = await callers(stack, served.gateway(home, None, large, max_body=1))
            calls = [asyncio.create_task(one.post(CHAT, content=chunked(body))) for _ in range(12)]
            await _until(lambda: len(asked) == 12 or any(call.done() for call in calls))
            go.set()
            return {answer.status_code for answer in await asyncio.gather(*calls)}

    assert asyncio.run(run()) == {200}
    lines = served.journal(home)
    assert len(lines) == 12
    assert all(line["request"]["messages"] for line in lines)


def test_what_the_gateway_refuses_is_on_record(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls too large and too many: a line without a request that says why, and a count."""
    monkeypatch.setattr(body_limits, "WAIT_SECONDS", 0.01)
    built = served.gateway(home, None, max_body=1)

    async def run() -> str:
        async with served.client(built) as one:
            huge = b" " * (2 << 20)
            for content in (huge, chunked(huge)):
                assert (await one.post(CHAT, content=content)).status_code == 413
            with built.bodies.bodies.share("127.0.0.1") as share:
                await share.grow(4 << 20)
                assert (await one.post(CHAT, content=huge[: 1 << 20])).status_code == 503
            return (await one.get("/metrics")).text

    counts = asyncio.run(run())
    assert 'flywheel_refused_total{status="413"} 2.0' in counts
    assert 'flywheel_refused_total{status="503"} 1.0' in counts
    lines = served.journal(home)
    assert [line["reason"] for line in lines] == [escalate.REFUSED] * 3
    assert [line["error"][:20] for line in lines] == [
        *["the body is larger t"] * 2,
        "too many large reque",
    ]
    dropped = ingest([], home / "out", Ingest(), journal=home / "journal").dropped
    assert sum(dropped.values()) == 3


def test_a_body_that_trickles_is_given_up(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part in time, and all of it never: status 408."""
    monkeypatch.setattr(caller, "SLOWEST", 1 << 40)
    monkeypatch.setattr(caller, "BODY_SECONDS", 0.2)

    with served.running(served.gateway(home, None)) as url, httpx.Client(trust_env=False) as one:
        trickle = iter(lambda: time.sleep(0.02) or b" ", b"")
        answer = one.post(url + CHAT, content=trickle, timeout=30)
    assert answer.status_code == 408
    assert "a second" in answer.text
