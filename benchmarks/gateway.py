"""How much latency the gateway adds to a call, beside the same call made directly.

    python -m benchmarks.gateway [--calls 400] [--rates 50 100] [--seconds 5] \
        [--connections 1 16 64] [--litellm /path/to/litellm]

An upstream process answers at once as teacher and as pool; the gateway runs as in production, with
a route for eight tasks of the sample agent and its journal on. Two legs, each with a direct one:
*escalated* (no task matches; client → gateway → teacher) and *served* (client → gateway → pool).
First one call after the other, the legs taking turns; then at fixed rates, where latency counts
from the moment a call was due, so that a stall is charged to every call that it delays. On a busy
machine the processor time that the gateway takes for a call says more than the latencies.
Then wrk calls over 1, 16 and 64 connections, the gateway on one core; with --litellm LiteLLM's
proxy is measured beside it. Prints a table; the last line is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import msgspec

from benchmarks import load
from examples import desk, teacher
from serving.journal import Journal
from serving.route import Route
from tasks.cluster.template_mining import mine
from tasks.core.contract import answer_of, infer
from tasks.core.records import Json
from tasks.core.task import Task

DAY = date(2026, 3, 2)
PATH = "/v1/chat/completions"
WARM_UP = 20
Send = Callable[[], Awaitable[bool]]  # whether the answer came from where it should


async def upstream(scope: Json, receive: Any, send: Any) -> None:
    """An ASGI application that answers at once: with log-probabilities when they are asked for."""
    if scope["type"] != "http":
        return
    body = b""
    while (event := await receive())["type"] == "http.request":
        body += event.get("body", b"")
        if not event.get("more_body"):
            break
    asked = _asked(body)
    choice: Json = {"index": 0, "finish_reason": "stop"}
    choice["message"] = {"role": "assistant", "content": "other"}
    if asked.get("logprobs"):
        choice["logprobs"] = {"content": [{"token": "other", "logprob": -0.01}] * 2}
    usage = {"prompt_tokens": 200, "completion_tokens": 2, "total_tokens": 202}
    reply = {"id": "x", "object": "chat.completion", "model": asked.get("model"), "usage": usage}
    data = msgspec.json.encode({**reply, "choices": [choice]})
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(data))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": data})


def _asked(body: bytes) -> Json:
    try:
        asked = msgspec.json.decode(body)
    except ValueError:
        return {}
    return asked if isinstance(asked, dict) else {}


def routes() -> list[Route]:
    """A route for each kind of call of the sample agent but the letters."""
    asked: dict[str, list[Json]] = {}
    for case in desk.cases(DAY, 0, 900):
        asked.setdefault(case.kind, []).append(next(case.open()))
    return [_route(kind, found) for kind, found in asked.items() if kind != "complaint"]


def _route(kind: str, asked: list[Json]) -> Route:
    replies = [teacher.complete(request)["choices"][0]["message"] for request in asked]
    answers = [answer_of(reply, tools=kind == "tools") for reply in replies]
    task = Task(
        id=kind,
        name=kind,
        description=kind,
        category="classification",
        family="desk",
        template=mine(asked, answers),
        contract=infer(asked, answers),
        size=len(asked),
        share=0.1,
    )
    return Route(task=task, adapter=f"{kind}-v1-12345678", version=1, threshold=-5.0)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(home: Path) -> Iterator[tuple[str, str, int]]:
    """Upstream and gateway as processes of their own: their URLs and the gateway's process id."""
    ports = free_port(), free_port()
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    uvicorn = ["-m", "uvicorn", "--log-level", "warning", "--port", str(ports[0])]
    gateway = ["-m", "serving.gateway", "--home", str(home), "--port", str(ports[1])]
    env = {
        **os.environ,
        "TEACHER_BASE_URL": f"{urls[0]}/v1",
        "POOL_URL": urls[0],
        "POOL_TOKEN": "t",
    }
    programs = [
        subprocess.Popen([sys.executable, *command], env=env)
        for command in ([*uvicorn, "benchmarks.gateway:upstream"], gateway)
    ]
    try:
        for url, path in ((urls[0], "/"), (urls[1], "/healthz")):
            wait_for(url + path)
        yield urls[0], urls[1], programs[1].pid
    finally:
        for program in programs:
            program.terminate()
        for program in programs:
            program.wait(15)


def wait_for(url: str, seconds: float = 60.0) -> None:
    """Wait until something answers there."""
    end = time.monotonic() + seconds
    while True:
        try:
            httpx.get(url)
            return
        except httpx.HTTPError:
            if time.monotonic() > end:
                raise SystemExit(f"nothing answers at {url}") from None
            time.sleep(0.1)


def legs(client: httpx.AsyncClient, up: str, gateway: str) -> dict[str, Send]:
    """One way to make each kind of call."""
    first = {case.kind: next(case.open()) for case in desk.cases(DAY, 1, 400)}
    letter = {"model": "large", **first["complaint"]}
    payload = str(first["route"]["messages"][-1]["content"])
    student = {"model": "route-v1-12345678", "logprobs": True, "temperature": 0}
    student["messages"] = [{"role": "user", "content": payload}]
    calls = {
        "teacher directly": (up, letter, ""),
        "escalated": (gateway, letter, "teacher"),
        "pool directly": (up, student, ""),
        "served": (gateway, {"model": "large", **first["route"]}, "student"),
    }

    def one(url: str, request: Json, by: str) -> Send:
        body = msgspec.json.encode(request)

        async def send() -> bool:
            response = await client.post(url + PATH, content=body)
            return response.is_success and response.headers.get("x-flywheel-served-by", "") == by

        return send

    return {name: one(*call) for name, call in calls.items()}


async def sequential(made: dict[str, Send], calls: int) -> dict[str, list[float]]:
    """Seconds of each call, the legs taking turns, so that noise meets all of them alike."""
    times: dict[str, list[float]] = {name: [] for name in made}
    for number in range(calls + WARM_UP):
        for name, send in made.items():
            start = time.perf_counter()
            right = await send()
            if number >= WARM_UP:  # the first ones open connections
                times[name].append(time.perf_counter() - start if right else math.inf)
    return times


def cpu_seconds(process: int) -> float:
    """Processor time that a process has used, on Linux; not a number elsewhere."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return math.nan
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def at_rate(send: Send, rate: float, seconds: float) -> list[float]:
    """Seconds from when each call was due to its end, `rate` calls a second."""
    start = time.perf_counter()

    async def one(due: float) -> float:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        right = await send()
        return time.perf_counter() - due if right else math.inf

    dues = [start + 0.1 + number / rate for number in range(int(rate * seconds))]
    return list(await asyncio.gather(*map(one, dues)))


def percentiles(times: list[float]) -> list[float]:
    """p50, p95 and p99 in milliseconds (nearest rank)."""
    ordered = sorted(times)
    ranks = (math.ceil(share * len(ordered)) - 1 for share in (0.5, 0.95, 0.99))
    return [round(1e3 * ordered[max(rank, 0)], 3) for rank in ranks]


def added(times: dict[str, list[float]]) -> Json:
    """Percentiles of each leg, and what the gateway adds at the same percentile.

    A call that was answered from elsewhere (a student too slow) is counted and left out.
    """
    right = {name: [t for t in found if t < math.inf] for name, found in times.items()}
    found: Json = {name: percentiles(t) for name, t in right.items()}
    for leg, direct in (("escalated", "teacher directly"), ("served", "pool directly")):
        pairs = zip(found[leg], found[direct], strict=True)
        found[f"{leg}, added"] = [round(mine - theirs, 3) for mine, theirs in pairs]
    found["strays"] = sum(len(t) - len(right[name]) for name, t in times.items())
    return found


def journal_microseconds(home: Path, lines: int = 2_000) -> float:
    """Microseconds that it takes to append one line."""
    journal = Journal(home / "speed")
    request = next(desk.requests(desk.cases(DAY, 1, 1)))
    start = time.perf_counter()
    for _ in range(lines):
        journal.append({"at": 0.0, "request": request})
    took = time.perf_counter() - start
    journal.close()
    return round(1e6 * took / lines, 1)


def many(home: Path, connections: list[int], seconds: float, peer: str | None) -> dict[str, Json]:
    """The gateway and its peer at each number of connections; the calls are the teacher's."""
    letter = next(case for case in desk.cases(DAY, 1, 400) if case.kind == "complaint")
    body = msgspec.json.encode({"model": "large", **next(letter.open())})
    with running(home) as (up, gateway, process), ExitStack() as stack:
        servers = {"gateway": (gateway + PATH, process)}
        if peer:
            port = free_port()
            program = stack.enter_context(load.litellm(peer, up, port, home))
            wait_for(f"http://127.0.0.1:{port}/health/liveliness", 180)
            servers["LiteLLM"] = (f"http://127.0.0.1:{port}{PATH}", program.pid)
        for _, one in servers.values():
            load.one_core(one)
        return load.table(servers, body, connections, seconds, home, cpu_seconds)


async def measure(home: Path, calls: int, rates: list[float], seconds: float) -> Json:
    """All legs, sequentially and at each rate."""
    with running(home) as (up, gateway, process):
        # Connections that idle while another leg runs are dropped before the upstream drops them.
        limits = httpx.Limits(keepalive_expiry=2.0)
        async with httpx.AsyncClient(limits=limits, timeout=60) as client:
            made = legs(client, up, gateway)
            used = cpu_seconds(process)
            found: Json = {"sequential": added(await sequential(made, calls))}
            used = cpu_seconds(process) - used
            found["gateway_cpu_ms_per_call"] = round(1e3 * used / (2 * (calls + WARM_UP)), 3)
            for rate in rates:
                times = {n: await at_rate(send, rate, seconds) for n, send in made.items()}
                found[f"{rate:g} calls/s"] = added(times)
    return found


def main() -> None:
    """Measure, print the table, then the JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=400, help="sequential calls of each leg")
    parser.add_argument("--rates", type=float, nargs="*", default=[50.0, 100.0], help="calls/s")
    parser.add_argument("--seconds", type=float, default=5.0, help="at each rate, for each leg")
    parser.add_argument("--connections", type=int, nargs="*", default=[1, 16, 64], help="of wrk")
    parser.add_argument("--litellm", help="the command of LiteLLM's proxy, to measure beside")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        body = msgspec.json.encode({"routes": routes(), "digest": "benchmark"})
        (home / "routes.json").write_bytes(body)
        found = asyncio.run(measure(home, chosen.calls, chosen.rates, chosen.seconds))
        found["journal_append_us"] = journal_microseconds(home)
        crowd = many(home, chosen.connections, chosen.seconds, chosen.litellm)
    print(f"{'milliseconds':<34}{'p50':>9}{'p95':>9}{'p99':>9}")
    for how, table in found.items():
        if isinstance(table, dict):
            print(f"{how} ({table['strays']} calls answered from elsewhere)")
            for name, row in table.items():
                if isinstance(row, list):
                    print(f"  {name:<32}" + "".join(f"{value:>9.2f}" for value in row))
    names = ("calls_per_second", "p50", "p99", "cpu_ms", "failed")
    print(f"{'':<34}{'calls/s':>9}{'p50 ms':>9}{'p99 ms':>9}{'cpu ms':>9}{'failed':>9}")
    for how, row in crowd.items():
        print(f"{how:<34}" + "".join(f"{row[name]:>9.2f}" for name in names))
    found["connections"] = crowd
    print(f"processor time of the gateway: {found['gateway_cpu_ms_per_call']} ms a call")
    print(f"a journal line: {found['journal_append_us']} µs")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
