"""Recorded calls as traffic: the teacher that says again what it said, and the agents that ask.

The key of a request names its call, so that equal requests have the answers of their own time.
"""

from __future__ import annotations

import asyncio
import os
import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import httpx
import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from flows.cli import processes, stack
from flows.cli.credentials import credentials
from serving.chat_response import written
from tasks.core.params import Ingest, load
from tasks.core.records import Call, Json, read
from tasks.core.stage import Refused
from tasks.core.task import Task
from tasks.ingest.ingest import ingest
from tasks.ingest.shards import day_of

CALL = "x-recorded-call"  # the header that says which call of the record this is
AT_ONCE = 16
SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Sent:
    """One recorded call's outcome: who answered it, why, with what, and how long it took."""

    call: Call
    by: str
    reason: str
    task: str
    reply: Json
    seconds: float

    @property
    def served(self) -> bool:
        """Return whether a student answered."""
        return self.by == "student"


def days(data: Path, more: Sequence[Path] = ()) -> list[tuple[str, list[Call]]]:
    """The calls of a log of any dialect by UTC day, oldest first. Raises Refused.

    Calls of `more` files that the log does not hold come evenly spread over its time, in their
    order, from its clients and with the headers that its prompts have.
    """
    calls = _answered(data)
    for path in more:
        calls += _spread(_answered(path), calls)
    calls.sort(key=lambda call: (call.at, call.id))
    return [(day, list(some)) for day, some in groupby(calls, key=lambda call: day_of(call.at))]


def _answered(data: Path) -> list[Call]:
    """The calls of a log that have an answer, in the order of time. Raises Refused."""
    with TemporaryDirectory() as folder:
        ingest([str(data)], Path(folder), Ingest())
        calls = sorted(read(Path(folder) / "calls"), key=lambda call: (call.at, call.id))
    whole = [
        c for c in calls if not c.error and (c.reply.get("content") or c.reply.get("tool_calls"))
    ]
    if not whole:
        raise Refused(f"{data} holds no answered calls")
    return whole


def _spread(more: Sequence[Call], calls: Sequence[Call]) -> list[Call]:
    """Return those of `more` that are not among the calls, as if they were of the same traffic."""
    known = {call.id for call in calls}
    new = [call for call in more if call.id not in known]
    first, last = min(call.at for call in calls), max(call.at for call in calls)
    step = (last - first) / max(len(new), 1)
    like = [call for call in calls if _system(call)]
    alike: dict[str, list[Call]] = {}
    for text in {_system(call) for call in new}:
        alike[text] = [call for call in like if text and _system(call).endswith(text)]
    random, made = Random(0), list[Call]()
    for number, call in enumerate(new):
        other = random.choice(alike[_system(call)] or calls)
        headed = _headed(call, other, random) if alike[_system(call)] else call.request
        at = first + number * step
        made.append(
            replace(call, at=at, request=headed, model=other.model, client=other.client, hint="")
        )
    return made


def _system(call: Call) -> str:
    """Return the system prompt of a call, or nothing."""
    first = call.request["messages"][0]
    text = first.get("content") if first["role"] == "system" else ""
    return text if isinstance(text, str) else ""


def _headed(call: Call, other: Call, random: Random) -> Json:
    """Return the request with the header of the other's prompt, its hexadecimal id drawn anew."""
    own, text = _system(call), _system(other)
    header = text[: len(text) - len(own)]
    header = re.sub(r"\b[0-9a-f]{8}\b", lambda _: f"{random.getrandbits(32):08x}", header)
    system, *rest = call.request["messages"]
    messages = [{**system, "content": header + own}, *rest]
    return {**call.request, "model": other.model, "messages": messages}


@dataclass(slots=True)
class Teacher:
    """Answers each call as recorded, or as `shifted` says from some moment on."""

    calls: dict[str, Call]
    shifted: dict[str, Json] = field(default_factory=dict)

    def reply(self, name: str) -> Json:
        """Return what the teacher says to a call today."""
        return self.shifted.get(name) or self.calls[name].reply

    def shift(self, task: Task) -> int:
        """Rename the task's answers from now on; return how many calls that concerns.

        Each answer becomes the next one of the task's different answers: what a model says whose
        labels were renamed, or whose schema means something else.
        """
        mine = [c for c in self.calls.values() if task.template.payload(c.request) is not None]
        said = sorted({_said(call.reply) for call in mine})
        after = dict(zip(said, [*said[1:], *said[:1]], strict=True))
        for call in mine:
            renamed = msgspec.json.decode(after[_said(call.reply)])
            self.shifted[call.id] = {**call.reply, **renamed}
        return len(mine)

    async def chat(self, http: Request) -> Response:
        """POST /v1/chat/completions."""
        request, name = await http.json(), http.headers[CALL]
        call, message = self.calls[name], self.reply(name)
        finish = "tool_calls" if message.get("tool_calls") else call.finish_reason or "stop"
        usage = {
            "prompt_tokens": call.prompt_tokens or 0,
            "completion_tokens": call.completion_tokens or 0,
            "total_tokens": (call.prompt_tokens or 0) + (call.completion_tokens or 0),
        }
        body = {
            "id": f"chatcmpl-{name}",
            "object": "chat.completion",
            "created": int(call.at),
            "model": call.model or "recorded",
            "choices": [{"index": 0, "message": message, "finish_reason": finish}],
            "usage": usage,
        }
        content, kind = written(body, request)
        return Response(content, media_type=kind.decode())


def _said(reply: Json) -> bytes:
    """Return what a reply says, to be compared."""
    return msgspec.json.encode({key: reply.get(key) for key in ("content", "tool_calls")})


@contextmanager
def served(teacher: Teacher) -> Iterator[str]:
    """The teacher's base URL while the body runs."""
    import uvicorn

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    routes = [
        Route("/v1/chat/completions", teacher.chat, methods=["POST"]),
        Route("/v1/models", health),
    ]
    port = stack.free_port()
    server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.05)
    try:
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def services(home: Path, teacher: str, offline: bool) -> Iterator[str]:
    """The services of a home, with a teacher of its own; gives the gateway's address."""
    pool = stack.pool_server(home, stack.free_port(), load().train.base)
    started = [pool, stack.gateway_server(home, stack.free_port(), pool.url, "--replay")]
    if not offline:
        started.append(stack.prefect_server(home, stack.free_port()))
        started.append(stack.mlflow_server(home, stack.free_port()))
    named = {service.name: service.url for service in started}
    os.environ.update(
        TEACHER_BASE_URL=teacher,
        POOL_URL=named["pool"],
        PREFECT_HOME=str(home / "prefect"),
        **credentials(home).clients,
        **stack.QUIET,
    )
    if not offline:
        os.environ["PREFECT_API_URL"] = named["prefect"] + "/api"
        os.environ["MLFLOW_TRACKING_URI"] = named["mlflow"]
    with processes.running(started, home):
        yield named["gateway"]


async def send(gateway: str, calls: Sequence[Call]) -> list[Sent]:
    """Ask the gateway the calls in their order, some at once."""
    waiting, sent = iter(calls), list[Sent]()

    async def work(client: httpx.AsyncClient) -> None:
        for call in waiting:
            sent.append(await _asked(client, gateway, call))

    async with httpx.AsyncClient(timeout=SECONDS) as client:
        await asyncio.gather(*(work(client) for _ in range(AT_ONCE)))
    return sent


def drain(gateway: str) -> None:
    """Wait until the gateway has asked the shadows about all calls that wait for one."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        if not httpx.get(gateway).json().get("shadows", {}).get("waiting"):
            return
        time.sleep(0.2)


async def _asked(client: httpx.AsyncClient, gateway: str, call: Call) -> Sent:
    headers = {
        CALL: call.id,
        "x-flywheel-at": str(call.at),
        "x-client-id": call.client,
        "x-conversation-id": call.conversation,
    }
    began = time.perf_counter()
    plain = {k: v for k, v in call.request.items() if k not in ("stream", "stream_options")}
    found = await client.post(f"{gateway}/v1/chat/completions", json=plain, headers=headers)
    seconds = time.perf_counter() - began
    if found.is_error:
        raise Refused(f"call {call.id}: the gateway answered {found.status_code}: {found.text}")
    said = found.headers
    return Sent(
        call,
        said["x-flywheel-served-by"],
        said["x-flywheel-reason"],
        said.get("x-flywheel-task", ""),
        found.json()["choices"][0]["message"],
        seconds,
    )
