"""vLLM takes the embedded engine's place: the same adapter gives the same answers and scores.

Needs vLLM in an environment of its own: `make vllm` builds it and runs this.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
import tiny

from flows.cli.stack import free_port
from serving.client import Client
from serving.pool import Pool, PoolError
from tasks.core.contract import Contract
from tasks.core.params import Train
from tasks.students.causal import BUNDLED, Student
from tasks.students.causal import ask as chat
from tasks.train.train import train

pytestmark = pytest.mark.vllm
ROOT = Path(__file__).parents[1]
PYTHON = ROOT / ".venv-vllm" / "bin" / "python"
NAME = "colour-0-v1-00000001"
PROMPTS = [f"item {i}: what colour is the {thing}" for i in (3, 77) for thing in tiny.COLOURS]
LABELS = Contract(kind="labels", labels=tuple(sorted(tiny.COLOURS.values())))
T = TypeVar("T")


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter of the bundled base."""
    folder = tmp_path_factory.mktemp("home")
    train(tiny.colours(folder / "colour-0"), folder / "out", Train(epochs=4))
    return folder / "out" / "adapter"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A running vLLM that serves the bundled base."""
    port, log = free_port(), tmp_path_factory.mktemp("vllm") / "log"
    command = [PYTHON, "-m", "vllm.entrypoints.openai.api_server", "--model", BUNDLED,
               "--served-model-name", "base", "--port", str(port), "--enable-lora",
               "--max-lora-rank", "32", "--dtype", "float32", "--enforce-eager"]  # fmt: skip
    settings = {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True", "VLLM_CPU_KVCACHE_SPACE": "1"}
    env = os.environ | settings | {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
    with log.open("wb") as file:
        server = subprocess.Popen(command, env=env, stdout=file, stderr=file, cwd=log.parent)
    try:
        _wait(f"http://127.0.0.1:{port}/health", server, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(60)


def _wait(health: str, server: subprocess.Popen[bytes], log: Path) -> None:
    """Until the server is healthy; a first start on two cores takes about a minute."""
    until = time.monotonic() + 300
    while time.monotonic() < until:
        assert server.poll() is None, log.read_text()[-2000:]
        try:
            if httpx.get(health).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            time.sleep(0.5)
    raise AssertionError(log.read_text()[-2000:])


def ask(url: str, work: Callable[[Pool], Awaitable[T]]) -> T:
    """Something done with the pool, as the gateway does it."""

    async def run() -> T:
        async with Client() as client:
            return await work(Pool(url, client))

    return asyncio.run(run())


@pytest.fixture(scope="module")
def loaded(url: str, adapter: Path) -> str:
    """The server, with the adapter loaded at run time."""
    ask(url, lambda pool: pool.load(NAME, adapter))
    return url


def test_vllm_answers_as_the_embedded_engine_does(loaded: str, adapter: Path) -> None:
    """Same text, and the same confidence to a thousandth: a certificate holds on either."""
    expected = Student.load(BUNDLED, adapter).answer(PROMPTS, max_tokens=32)
    for prompt, ours in zip(PROMPTS, expected, strict=True):
        theirs = ask(loaded, lambda pool, p=prompt: pool.answer(NAME, p, 32, 60))
        assert (theirs.text, theirs.finish_reason) == (ours.text, ours.finish_reason)
        assert sum(theirs.logprobs) == pytest.approx(sum(ours.logprobs), abs=0.001)


@pytest.mark.parametrize(
    ("contract", "form"),
    [
        (LABELS, {"structured_outputs": {"choice": list(LABELS.labels)}}),
        (
            tiny.colour_contract(),
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "a", "schema": tiny.colour_contract().schema},
                }
            },
        ),
    ],
    ids=["labels", "json"],
)
def test_vllm_guides_as_the_embedded_engine_does(
    loaded: str, adapter: Path, contract: Contract, form: dict[str, Any]
) -> None:
    """Who asks for an answer in form gets the same one."""
    expected = Student.load(BUNDLED, adapter).answer(PROMPTS, contract, max_tokens=32)
    for prompt, ours in zip(PROMPTS, expected, strict=True):
        asked = {"model": NAME, "messages": chat(prompt), "max_tokens": 32, "temperature": 0}
        reply = httpx.post(f"{loaded}/v1/chat/completions", json=asked | form, timeout=60).json()
        assert reply["choices"][0]["message"]["content"] == ours.text


def test_adapters_come_and_go(loaded: str, adapter: Path) -> None:
    """Listed with their base as parent, so that the base is not taken for one; gone is gone."""
    second = NAME.replace("v1", "v2")
    ask(loaded, lambda pool: pool.load(second, adapter))
    assert ask(loaded, lambda pool: pool.loaded()) == {NAME, second}
    ask(loaded, lambda pool: pool.unload(second))
    assert ask(loaded, lambda pool: pool.loaded()) == {NAME}
    with pytest.raises(PoolError, match="404"):
        ask(loaded, lambda pool: pool.answer(second, PROMPTS[0], 32, 60))
