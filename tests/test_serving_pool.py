"""The pool's client trusts nothing that a server may leave out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from upstream import upstream

from serving.client import Client
from serving.escalate import NO_LOGPROBS, POOL_ERROR, POOL_REFUSED, TIMEOUT
from serving.pool import Pool, PoolError, read
from tasks.core.contract import Contract
from tasks.students.decoding import Answer

LABELS = Contract(kind="labels", labels=("refund", "delivery"))
REPLY: dict[str, Any] = {
    "model": "route-v1-0a1b2c3d",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "refund"},
            "finish_reason": "stop",
            "logprobs": {
                "content": [
                    {"token": "refund", "logprob": -0.25, "bytes": [], "top_logprobs": []},
                    {"token": "<|im_end|>", "logprob": -0.5, "bytes": [], "top_logprobs": []},
                ]
            },
        }
    ],
}


def ask(handler: Callable[[httpx.Request], httpx.Response], *, token: str | None = None) -> Answer:
    async def run() -> Answer:
        async with Client() as client:
            pool = Pool(upstream(handler) + "/v1/", client, token)
            return await pool.answer("route-v1-0a1b2c3d", "my money back", 8, 0.5)

    return asyncio.run(run())


def changed(**choice: Any) -> dict[str, Any]:
    return {**REPLY, "choices": [{**REPLY["choices"][0], **choice}]}


def test_an_answer_is_asked_for_in_vllms_words() -> None:
    """The request names the adapter, is greedy, wants log-probabilities and holds to no form."""
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=REPLY)

    answer = ask(handler, token="secret")
    assert answer == Answer("refund", (-0.25, -0.5), "stop")
    body = json.loads(seen[0].content)
    assert seen[0].url.path == "/v1/chat/completions"
    assert seen[0].headers["authorization"] == "Bearer secret"
    assert (body["model"], body["temperature"]) == ("route-v1-0a1b2c3d", 0)
    assert body["logprobs"] is True
    assert body["messages"] == [{"role": "user", "content": "my money back"}]
    assert not body.keys() & {"structured_outputs", "response_format"}


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (changed(logprobs=None), NO_LOGPROBS),
        (changed(logprobs={"content": []}), NO_LOGPROBS),
        (changed(message={"role": "assistant", "content": None}), POOL_ERROR),
        ({**REPLY, "model": "nano"}, POOL_ERROR),
        ({**REPLY, "choices": []}, POOL_ERROR),
        ({}, POOL_ERROR),
    ],
)
def test_a_reply_that_leaves_something_out_is_no_answer(reply: dict[str, Any], reason: str) -> None:
    """Missing log-probabilities, another model's answer or a broken shape: escalate."""
    with pytest.raises(PoolError) as caught:
        read(reply, "route-v1-0a1b2c3d")
    assert caught.value.reason == reason


def test_a_dead_or_slow_pool_is_a_reason_not_a_crash() -> None:
    """Timeouts, refused connections, errors and garbage become a PoolError with a sentence."""

    def slow(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("slow", request=request)

    def dead(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    missing = {"error": {"message": "The model `x` does not exist.", "code": 404}}
    cases: list[tuple[Callable[[httpx.Request], httpx.Response], str, str]] = [
        (slow, TIMEOUT, "within 0.5 s"),
        (dead, POOL_ERROR, "disconnected"),
        (lambda _: httpx.Response(404, json=missing), POOL_REFUSED, "does not exist"),
        (lambda _: httpx.Response(502, text="bad gateway"), POOL_ERROR, "bad gateway"),
        (lambda _: httpx.Response(200, text="<html>"), POOL_ERROR, "not JSON"),
        (lambda _: httpx.Response(200, content=b"\xff"), POOL_ERROR, "not JSON"),
        (lambda _: httpx.Response(502, content=b"\xff"), POOL_ERROR, "502"),
        (lambda _: httpx.Response(200, json=[1]), POOL_ERROR, "not a JSON object"),
    ]
    for handler, reason, text in cases:
        with pytest.raises(PoolError, match=text) as caught:
            ask(handler)
        assert caught.value.reason == reason


def test_adapters_are_those_with_a_parent() -> None:
    """The base itself is no adapter; loading and unloading send vLLM's fields."""
    models = [{"id": "nano", "parent": None}, {"id": "route-v1", "parent": "nano"}]
    sent: list[tuple[str, Any]] = []

    def handler(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json={"object": "list", "data": models})
        sent.append((request.url.path, json.loads(request.content)))
        return httpx.Response(200, text="Success")

    async def run() -> set[str]:
        async with Client() as client:
            pool = Pool(upstream(handler), client)
            await pool.load("route-v2", Path("/adapters/route-v2/adapter"))
            await pool.unload("route-v1")
            return await pool.loaded()

    assert asyncio.run(run()) == {"route-v1"}
    place = "/adapters/route-v2/adapter"
    assert sent == [
        ("/v1/load_lora_adapter", {"lora_name": "route-v2", "lora_path": place}),
        ("/v1/unload_lora_adapter", {"lora_name": "route-v1"}),
    ]
