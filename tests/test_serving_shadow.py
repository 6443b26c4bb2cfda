"""Shadows at the gateway: asked in the background, never in a caller's way, all on record."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import msgspec
import pytest
from served import client, gateway, large, requests, route, student

from serving.gateway import Gateway
from serving.route import Route
from serving.shadow import FOLDER, seen

pytestmark = pytest.mark.anyio
SHADOW = "route-abc123", 4


def shadowed(home: Path, *champions: Route) -> Path:
    """A home whose routes name a shadow beside these champions."""
    body = {
        "routes": champions,
        "shadows": [route(adapter="route-abc123-v4-5e6f7a8b", version=4)],
        "digest": "1",
    }
    (home / "routes.json").write_bytes(msgspec.json.encode(body))
    return home


async def answered(built: Gateway, count: int, **more: object) -> list[httpx.Response]:
    """The replies to some calls, once each has been shown to its shadow or let go of."""
    async with client(built) as agent, asyncio.timeout(30):
        working = asyncio.create_task(built.shadows.run())
        asked = [{**one, **more} for one in requests("route", count)]
        found = [await agent.post("/v1/chat/completions", json=one) for one in asked]
        await built.audits.finish(10)
        while built.shadows.waiting:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)  # the last one is being written
        working.cancel()
    return found


@pytest.mark.parametrize("wrong", [False, True])
async def test_calls_of_the_teacher_are_shown_to_the_shadow(tmp_path: Path, wrong: bool) -> None:
    """Each call is answered by the teacher, and what the shadow says to it is on record."""
    first = large(httpx.Request("POST", "http://t", json=requests("route", 5)[0]))
    said = "no label" if wrong else first.json()["choices"][0]["message"]["content"]
    built = gateway(shadowed(tmp_path), student(said), shadow=1.0)
    found = await answered(built, 5)
    assert {reply.headers["x-flywheel-served-by"] for reply in found} == {"teacher"}
    calls = list(seen(tmp_path, *SHADOW))
    assert {call.call for call in calls} == {r.headers["x-flywheel-call"] for r in found}
    assert {call.share for call in calls} == {1.0}
    assert all((call.score is None) == wrong for call in calls)
    assert any(call.agrees for call in calls) != wrong


async def test_a_shadow_that_is_too_slow_is_in_nobodys_way(tmp_path: Path) -> None:
    """A pool that does not answer in time costs callers nothing; the call counts as not served."""

    def late(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("late", request=request)

    built = gateway(shadowed(tmp_path), late, shadow=1.0, student_timeout=0.02)
    found = await answered(built, 2)
    assert all(reply.status_code == 200 for reply in found)
    assert [call.score for call in seen(tmp_path, *SHADOW)] == [None, None]


async def test_a_pool_that_is_down_proves_nothing(tmp_path: Path) -> None:
    """Where the pool fails nothing is on record: that is no answer of the shadow's."""
    built = gateway(shadowed(tmp_path), lambda _: httpx.Response(500), shadow=1.0)
    await answered(built, 2)
    assert list(seen(tmp_path, *SHADOW)) == []


@pytest.mark.parametrize(("logprob", "share"), [(-0.01, 1.0), (-5.0, 0.25)])
async def test_beside_a_champion_calls_weigh_by_the_audit(
    tmp_path: Path, logprob: float, share: float
) -> None:
    """Where a champion answers first, an audited call stands for as many as the rate says."""
    home, label = shadowed(tmp_path, route()), route().task.contract.labels[0]
    rate = 1.0 if share == 1.0 else share
    built = gateway(home, student(label, logprob), audit=rate, shadow=1.0)
    await answered(built, 3)
    assert [call.share for call in seen(home, *SHADOW)] == [share] * 3


@pytest.mark.parametrize("reason", ["length", "content_filter"])
async def test_what_is_no_whole_answer_proves_nothing(tmp_path: Path, reason: str) -> None:
    """Neither for nor against a shadow: with half of an answer nobody can agree."""

    def cut(request: httpx.Request) -> httpx.Response:
        body = large(request).json()
        body["choices"][0]["finish_reason"] = reason
        return httpx.Response(200, json=body)

    built = gateway(shadowed(tmp_path), student("x"), large=cut, shadow=1.0)
    await answered(built, 2)
    assert list(seen(tmp_path, *SHADOW)) == []


async def test_no_budget_no_shadow(tmp_path: Path) -> None:
    """With serve.shadow at 0 nothing is put aside."""
    built = gateway(shadowed(tmp_path), student("x"), shadow=0.0)
    await answered(built, 2)
    assert not (tmp_path / FOLDER).exists()


async def test_a_torn_line_costs_only_itself(tmp_path: Path) -> None:
    """What a crash tore is left out of the evidence."""
    built = gateway(shadowed(tmp_path), student("x"), shadow=1.0)
    await answered(built, 2)
    (file,) = (tmp_path / FOLDER / "route-abc123-v4").glob("*.jsonl")
    with file.open("ab") as torn:
        torn.write(b'{"v":1,"call":"a","at')
    assert len(list(seen(tmp_path, *SHADOW))) == 2
