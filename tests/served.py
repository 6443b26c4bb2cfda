"""A served task of the sample agent, a gateway around it, and a teacher and pool to script."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import msgspec
from upstream import Handler, upstream

from examples import desk, teacher
from serving.accepted_keys import AcceptedKeys
from serving.ask_student import Students
from serving.client import Client
from serving.client_keys import ClientKeys
from serving.evidence import Evidence
from serving.gateway import Gateway, app
from serving.http_server import listen, server
from serving.journal import Journal
from serving.pool import Pool
from serving.route import Route, RouteFile
from serving.shadow import FOLDER, Shadows
from serving.teacher import Teacher
from tasks.cluster.template_mining import mine
from tasks.core.contract import answer_of, infer
from tasks.core.params import Serve
from tasks.core.task import Task

Json = dict[str, Any]
DAY = date(2026, 3, 2)


def requests(kind: str, count: int = 60, seed: int = 0) -> list[Json]:
    """First requests of the sample agent's conversations of one kind."""
    found = (case for case in desk.cases(DAY, seed, 40 * count) if case.kind == kind)
    return [next(next(found).open()) for _ in range(count)]


def task(kind: str) -> Task:
    """The task that these calls make up, template and contract as the night would find them."""
    asked = requests(kind)
    replies = [teacher.complete(request)["choices"][0]["message"] for request in asked]
    tools = any(reply.get("tool_calls") for reply in replies)
    answers = [answer_of(reply, tools=tools) for reply in replies]
    return Task(
        id=f"{kind}-abc123",
        name=kind,
        description=f"{kind} calls of the support desk",
        category="classification",
        family="desk",
        template=mine(asked, answers),
        contract=infer(asked, answers),
        size=len(asked),
        share=1.0,
    )


def route(kind: str = "route", threshold: float = -0.5, **changes: Any) -> Route:
    """A route to the task's third version."""
    made = Route(
        task=task(kind), adapter=f"{kind}-abc123-v3-1a2b3c4d", version=3, threshold=threshold
    )
    return replace(made, **changes)


def write_routes(home: Path, *routes: Route) -> None:
    """Put a routes.json in place."""
    home.mkdir(parents=True, exist_ok=True)
    body = {"routes": routes, "digest": str(len(routes))}
    (home / "routes.json").write_bytes(msgspec.json.encode(body))


def student(text: str, logprob: float = -0.01, **changes: Any) -> Handler:
    """A pool whose students all say this, with two tokens of this log-probability."""

    def answer(request: httpx.Request) -> httpx.Response:
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": text},
            "finish_reason": "stop",
            "logprobs": {"content": [{"token": "x", "logprob": logprob}] * 2},
            **changes,
        }
        asked = msgspec.json.decode(request.content)
        return httpx.Response(200, json={"model": asked["model"], "choices": [choice]})

    return answer


def large(request: httpx.Request) -> httpx.Response:
    """The sample agent's teacher."""
    return httpx.Response(200, json=teacher.complete(msgspec.json.decode(request.content)))


def gateway(
    home: Path,
    pool: Handler | None,
    large: Handler | str = large,
    audit: float = 0.0,
    *,
    asks_for_keys: bool = False,
    model: str | None = None,
    **settings: Any,
) -> Gateway:
    """A gateway in `home` that talks to these two; the teacher may be a base URL."""
    serve, http = Serve(audit=audit, **settings), Client()
    students = {"causal": Pool(upstream(pool), http)} if pool else {}
    url = large if isinstance(large, str) else upstream(large) + "/v1"
    routes = RouteFile(home / "routes.json")
    return Gateway(
        students=Students(
            routes, students, serve, AcceptedKeys(open=not asks_for_keys), Evidence(routes)
        ),
        teacher=Teacher(url, http, model=model),
        journal=Journal(home / "journal"),
        settings=serve,
        shadows=Shadows(routes, students, serve, home / FOLDER),
        clients=ClientKeys(home),
        replay=True,
    )


@asynccontextmanager
async def client(built: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client of the gateway's application, whose own client is open as long."""
    transport = httpx.ASGITransport(app(built), raise_app_exceptions=True)
    async with (
        built.teacher.client,
        httpx.AsyncClient(transport=transport, base_url="http://gateway") as found,
    ):
        yield found


def journal(home: Path) -> list[Json]:
    """Every line of the journal."""
    files = sorted((home / "journal").glob("*.jsonl"))
    return [msgspec.json.decode(line) for file in files for line in file.read_bytes().splitlines()]


class running:  # noqa: N801 - a context manager
    """A gateway's server in a thread of its own."""

    def __init__(self, built: Gateway) -> None:
        self.place = listen("127.0.0.1", 0)
        self.server = server(app(built))
        self.thread = threading.Thread(target=self.server.run, args=([self.place],))

    def __enter__(self) -> str:
        self.thread.start()
        url = f"http://127.0.0.1:{self.place.getsockname()[1]}"
        httpx.get(f"{url}/healthz", timeout=30)
        return url

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self.thread.join(30)


REQUEST = {"model": "large", **requests("route", 1, seed=9)[0]}


def post(
    built: Gateway,
    request: Any = REQUEST,
    path: str = "/v1/chat/completions",
    **headers: str,
) -> httpx.Response:
    """One call, its audit included."""

    async def call() -> httpx.Response:
        async with client(built) as http:
            body = request if isinstance(request, bytes) else json.dumps(request).encode()
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            response = await http.post(path, content=body, headers=named)
            await built.audits.finish(5)
        built.journal.close()
        return response

    return asyncio.run(call())


def get(built: Gateway, path: str) -> httpx.Response:
    async def call() -> httpx.Response:
        async with client(built) as http:
            return await http.get(path)

    return asyncio.run(call())


def reply(response: httpx.Response) -> Any:
    return response.json()["choices"][0]["message"]


def sse(response: httpx.Response) -> Iterator[Any]:
    """The events of a stream, which must end with [DONE]."""
    assert response.headers["content-type"].startswith("text/event-stream")
    events = [part.removeprefix("data: ") for part in response.text.strip().split("\n\n")]
    assert events[-1] == "[DONE]"
    return map(json.loads, events[:-1])
