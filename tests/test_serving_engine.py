"""The embedded engine speaks vLLM's language, and refuses what it should not load."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import threading
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
import tiny
from upstream import application

from serving.chat_request import BadRequest
from serving.client import Client
from serving.decoder import MAX_WAITING, DecodeJob, Engine
from serving.engine import app, run
from serving.http_server import listen
from serving.pool import Pool
from tasks.core.params import Train
from tasks.core.stage import Refused
from tasks.students.adapters import open_student
from tasks.students.causal import ADAPTER_FILES, Student
from tasks.students.decoding import Answer, Ask
from tasks.train.train import train

NAME = "colour-0-v1-00000001"
PROMPT = "item 3: what colour is the apple"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base, and an adapter where the engine may load it from."""
    folder = tmp_path_factory.mktemp("home")
    base = tiny.base(folder / "tiny")
    params = Train(base=str(base), rank=4, learning_rate=1e-2, epochs=2)
    out = folder / "adapters" / NAME
    train(tiny.colours(folder / "colour-0", rows=24), out, params)
    return folder


@pytest.fixture(scope="module")
def engine(home: Path) -> Iterator[Engine]:
    engine = Engine(home / "tiny", home / "adapters", most=2)
    engine.start()
    engine.load(NAME, home / "adapters" / NAME / "adapter")
    yield engine
    engine.stop()


def send(engine: Engine, method: str, path: str, **options: Any) -> httpx.Response:
    """One request to the engine's own application."""

    async def run() -> httpx.Response:
        transport = httpx.ASGITransport(app(engine, options.pop("token", None)))
        async with httpx.AsyncClient(transport=transport, base_url="http://pool") as client:
            return await client.request(method, path, **options)

    return asyncio.run(run())


def chat(engine: Engine, **fields: Any) -> httpx.Response:
    body = {"model": NAME, "messages": [{"role": "user", "content": PROMPT}], **fields}
    return send(engine, "POST", "/v1/chat/completions", json=body)


def test_an_encoder_answers_beside_the_base(home: Path) -> None:
    """A student of the encoder loads and answers through the same endpoints, scores and all."""
    name = "colour-0-v2-00000002"
    out = home / "adapters" / name
    train(home / "colour-0", out, Train(epochs=2), rung="encoder")
    engine = Engine(home / "tiny", home / "adapters")
    engine.start()
    engine.load(name, out / "adapter")
    reply = chat(engine, model=name, logprobs=True).json()
    choice = reply["choices"][0]
    expected = open_student(out / "adapter").answer([PROMPT])[0]
    assert choice["message"]["content"] == expected.text
    told = [token["logprob"] for token in choice["logprobs"]["content"]]
    assert told == pytest.approx(list(expected.logprobs), abs=0.02)
    long = [{"role": "user", "content": "word " * 600}]
    assert chat(engine, model=name, messages=long).status_code == 400
    engine.stop()


def test_models_list_the_base_and_its_adapters(engine: Engine) -> None:
    """An adapter's parent is the base, as vLLM lists it."""
    assert send(engine, "GET", "/health").status_code == 200
    listed = send(engine, "GET", "/v1/models").json()
    assert listed["object"] == "list"
    assert {(m["id"], m["parent"]) for m in listed["data"]} == {("tiny", None), (NAME, "tiny")}


def test_the_engine_answers_as_the_student_was_measured(engine: Engine, home: Path) -> None:
    """Through HTTP, the pool's client reads the same text and log-probabilities."""

    async def run() -> Answer:
        async with Client() as client:
            return await Pool(application(app(engine)), client).answer(NAME, PROMPT, 64, 30.0)

    answer = asyncio.run(run())
    student = Student.load(home / "tiny", home / "adapters" / NAME / "adapter")
    measured = student.answer([PROMPT], max_tokens=64)[0]
    assert (answer.text, answer.finish_reason) == (measured.text, measured.finish_reason)
    assert answer.logprobs == pytest.approx(measured.logprobs, abs=1e-4)


def test_the_adapter_answers_and_not_the_base(engine: Engine) -> None:
    """The model name decides whose log-probabilities come back."""
    ours, base = (
        [token["logprob"] for token in reply.json()["choices"][0]["logprobs"]["content"]]
        for reply in (chat(engine, max_tokens=3, logprobs=True, model=m) for m in (NAME, "tiny"))
    )
    assert ours != pytest.approx(base, abs=1e-3)


def test_a_completion_has_vllms_shape(engine: Engine) -> None:
    """Logprobs with their most probable neighbours, usage, finish reason."""
    reply = chat(engine, max_tokens=4, logprobs=True, top_logprobs=2).json()
    choice = reply["choices"][0]
    content = choice["logprobs"]["content"]
    assert reply["object"] == "chat.completion"
    assert reply["model"] == NAME
    assert choice["message"]["role"] == "assistant"
    assert reply["usage"]["completion_tokens"] == len(content) <= 4
    used = reply["usage"]
    assert used["total_tokens"] == used["prompt_tokens"] + used["completion_tokens"]
    for token in content:
        assert {"token", "logprob", "bytes", "top_logprobs"} == token.keys()
        assert len(token["top_logprobs"]) == 2
        assert token["bytes"] == list(token["token"].encode())
    assert chat(engine, max_tokens=4).json()["choices"][0]["logprobs"] is None


@pytest.mark.parametrize(
    ("form", "pattern"),
    [
        ({"structured_outputs": {"choice": ["red", "blue"]}}, ("red", "blue")),
        ({"structured_outputs": {"regex": "x{3}"}}, ("xxx",)),
        ({"structured_outputs": {"json": '{"enum": ["a"]}'}}, ('"a"',)),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "a", "schema": {"enum": [1]}},
                }
            },
            ("1",),
        ),
    ],
)
def test_answers_are_held_to_their_form(
    engine: Engine, form: dict[str, Any], pattern: tuple[str, ...]
) -> None:
    """Choices, expressions and schemas bind the answer."""
    assert chat(engine, **form).json()["choices"][0]["message"]["content"] in pattern


def test_a_stream_adds_up_to_the_whole(engine: Engine) -> None:
    """Server-sent events: the role, the text, the reason, the usage and [DONE]."""
    whole = chat(engine, max_tokens=6).json()["choices"][0]
    streamed = chat(engine, max_tokens=6, stream=True, stream_options={"include_usage": True})
    assert streamed.headers["content-type"].startswith("text/event-stream")
    events = [line[6:] for line in streamed.text.splitlines() if line]
    assert events[-1] == "[DONE]"
    chunks = [json.loads(event) for event in events[:-1]]
    text = "".join(c["choices"][0]["delta"].get("content", "") for c in chunks if c["choices"])
    assert text == whole["message"]["content"]
    assert chunks[-2]["choices"][0]["finish_reason"] == whole["finish_reason"]
    assert chunks[-1]["usage"]["completion_tokens"] > 0


@pytest.mark.parametrize(
    ("fields", "status", "text"),
    [
        ({"model": "nothing"}, 404, "The model `nothing` does not exist."),
        ({"messages": [{"role": "user", "content": "sea " * 400}]}, 400, "context length"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400, "only text"),
        ({"temperature": 0.7}, 400, "greedy"),
        ({"logit_bias": {"3": 1}}, 400, "logit_bias"),
        ({"structured_outputs": {"regex": "("}}, 400, "regex"),
    ],
)
def test_what_cannot_be_honoured_is_refused(
    engine: Engine, fields: dict[str, Any], status: int, text: str
) -> None:
    """Errors have vLLM's shape and name what is wrong."""
    reply = chat(engine, **fields)
    assert reply.status_code == status
    error = reply.json()["error"]
    assert error["code"] == status
    assert text in error["message"]


def test_many_requests_share_batches(engine: Engine) -> None:
    """Concurrent requests for several models and forms all get their own answer."""
    forms = [{"structured_outputs": {"choice": [word]}} for word in ("red", "green", "blue")]

    async def run() -> list[str]:
        transport = httpx.ASGITransport(app(engine))
        async with httpx.AsyncClient(transport=transport, base_url="http://pool") as client:
            bodies = [
                {
                    "model": (NAME, "tiny")[i % 2],
                    "messages": [{"role": "user", "content": f"{PROMPT} {i}"}],
                    **forms[i % 3],
                }
                for i in range(24)
            ]
            posts = [client.post("/v1/chat/completions", json=body) for body in bodies]
            replies = await asyncio.gather(*posts)
        return [reply.json()["choices"][0]["message"]["content"] for reply in replies]

    assert asyncio.run(run()) == ["red", "green", "blue"] * 8


def test_a_full_queue_refuses_and_an_odd_batch_ends_no_worker(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jobs count until they are answered; what a batch raises is told to those in it alone."""
    go = threading.Event()

    def stuck(asks: Sequence[Ask], top: int) -> list[Answer]:
        go.wait(30)
        raise TypeError("odd")

    monkeypatch.setattr(engine.student, "decode", stuck)
    jobs = [DecodeJob("tiny", Ask([1], None, 1), 0) for _ in range(MAX_WAITING)]
    told = [engine.submit(job) for job in jobs]
    with pytest.raises(BadRequest, match="requests are waiting"):
        engine.submit(DecodeJob("tiny", Ask([1], None, 1), 0))
    go.set()
    assert {type(done.exception(30)) for done in told} == {TypeError}
    monkeypatch.undo()
    assert chat(engine, max_tokens=2).status_code == 200


def test_adapters_come_and_go(engine: Engine, home: Path) -> None:
    """Loaded under a new name, refused under a taken one, gone when unloaded."""
    path = home / "adapters" / NAME / "adapter"

    async def run() -> set[str]:
        async with Client() as client:
            pool = Pool(application(app(engine)), client)
            for _ in range(2):  # the second time it is there, which is what was wanted
                await pool.load("second", path)
            return await pool.loaded()

    assert asyncio.run(run()) == {NAME, "second"}
    body = {"lora_name": "second", "lora_path": str(path)}
    again = send(engine, "POST", "/v1/load_lora_adapter", json=body)
    assert "already been loaded" in again.json()["error"]["message"]
    assert send(engine, "POST", "/v1/unload_lora_adapter", json=body).status_code == 200
    reply = send(engine, "POST", "/v1/unload_lora_adapter", json={"lora_name": "second"})
    assert reply.status_code == 404
    assert send(engine, "POST", "/v1/unload_lora_adapter", json={}).status_code == 400


def test_more_adapters_may_be_loaded_than_are_in_memory(engine: Engine, home: Path) -> None:
    """One more task can always be promoted; what was put aside is read again when it is asked."""
    path, names = home / "adapters" / NAME / "adapter", [f"more-{n}" for n in range(4)]
    before = chat(engine, max_tokens=4, logprobs=True).json()["choices"]
    for name in names:
        engine.load(name, path)
    assert len(engine._held) == engine.most == 2
    listed = {model["id"] for model in send(engine, "GET", "/v1/models").json()["data"]}
    assert listed == {"tiny", NAME, *names}
    for name in (NAME, *names):
        assert chat(engine, model=name, max_tokens=4, logprobs=True).json()["choices"] == before
        assert len(engine._held) == 2
    engine.models["more-0"] = home / "adapters" / "removed"
    assert chat(engine, model="more-0").status_code == 404
    for name in names[1:]:
        engine.unload(name)
    assert chat(engine, model="more-1").status_code == 404


def flipped(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


@pytest.mark.parametrize("damage", [flipped, lambda content: content[:-100], pickle.dumps])
def test_an_adapter_that_changed_on_disk_is_not_asked(
    engine: Engine, home: Path, damage: Callable[[bytes], bytes]
) -> None:
    """One bit, a torn file, or a pickle: whoever reads it again forgets it, and says why."""
    copy = shutil.copytree(home / "adapters" / NAME, home / "adapters" / "copy") / "adapter"
    path = copy / ADAPTER_FILES[1]
    whole = path.read_bytes()
    engine.load("copy", copy)
    for other in ("more", "most"):  # put it aside
        engine.load(other, home / "adapters" / NAME / "adapter")
    path.write_bytes(damage(whole))
    reply = chat(engine, model="copy")
    assert reply.status_code == 404
    said = "The files of 'copy' have changed since it was loaded."
    assert reply.json()["error"]["message"] == said
    assert "copy" not in engine.models
    if damage is not flipped:
        with pytest.raises(BadRequest, match="cannot be read"):
            engine.load("copy", copy)
    path.write_bytes(whole)
    engine.load("copy", copy)
    assert chat(engine, model="copy").status_code == 200
    for name in ("copy", "more", "most"):
        engine.unload(name)
    shutil.rmtree(copy.parent)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_token_is_needed(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """On loopback, too; an empty one is none, and the engine ends before it listens."""
    for set_up in (lambda: monkeypatch.setenv("POOL_TOKEN", ""), monkeypatch.undo):
        set_up()
        with pytest.raises(Refused, match="POOL_TOKEN is empty: a pool takes orders to load"):
            run(Namespace(host=host, port=0, token_env="POOL_TOKEN"))


def test_only_safe_adapters_of_this_base_are_loaded(engine: Engine, home: Path) -> None:
    """Outside the allowed folder, through a link, with pickles, of another base: refused."""
    good, root = home / "adapters" / NAME / "adapter", home / "adapters"
    outside = shutil.copytree(good, home / "outside")
    (root / "link").symlink_to(outside)
    pickled = shutil.copytree(good, root / "pickled")
    (pickled / "adapter_model.bin").write_bytes(b"x")
    foreign = shutil.copytree(good, root / "foreign")
    config = json.loads((foreign / "adapter_config.json").read_text())
    (foreign / "adapter_config.json").write_text(json.dumps({**config, "revision": "other"}))
    wide = shutil.copytree(good, root / "wide")
    (wide / "adapter_config.json").write_text(json.dumps({**config, "r": 999}))
    cases = [
        (outside, 400, "outside"),
        (root / "link", 400, "outside"),
        (root / ".." / "outside", 400, "outside"),
        (pickled, 400, "safetensors"),
        (foreign, 400, "another base"),
        (wide, 400, "rank"),
        (root / "nothing", 404, "No adapter found"),
    ]
    for path, status, text in cases:
        body = {"lora_name": "bad", "lora_path": str(path)}
        reply = send(engine, "POST", "/v1/load_lora_adapter", json=body)
        assert reply.status_code == status, path
        assert text in reply.json()["error"]["message"]


def test_a_token_is_asked_for(engine: Engine) -> None:
    """With a token set, /v1 answers only its bearer; /health answers anyone."""
    assert send(engine, "GET", "/v1/models", token="t").status_code == 401
    bearer = {"authorization": "Bearer t"}
    assert send(engine, "GET", "/v1/models", token="t", headers=bearer).status_code == 200
    assert send(engine, "GET", "/health", token="t").status_code == 200


def test_a_port_in_use_is_one_sentence() -> None:
    """The port and the reason, no stack trace."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(Refused, match="cannot listen on"):
            listen("127.0.0.1", taken.getsockname()[1])


@pytest.mark.flow
def test_the_command_serves_until_it_is_told_to_stop(home: Path) -> None:
    """One line when ready, answers over the wire, and a clean end on SIGTERM."""
    command = [sys.executable, "-m", "serving.engine", "--base", str(home / "tiny")]
    command += ["--adapters", str(home / "adapters"), "--port", "0", "--threads", "1"]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "POOL_TOKEN": "t"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        body = {
            "model": "tiny",
            "messages": [{"role": "user", "content": PROMPT}],
            "structured_outputs": {"choice": ["red"]},
        }
        for path in ("load_lora_adapter", "unload_lora_adapter"):
            assert httpx.post(f"{url}/v1/{path}", json={"lora_name": "a"}).status_code == 401
        bearer = {"authorization": "Bearer t"}
        reply = httpx.post(f"{url}/v1/chat/completions", json=body, headers=bearer, timeout=30)
        assert reply.json()["choices"][0]["message"]["content"] == "red"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0
