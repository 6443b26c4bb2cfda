"""`make run`: days of sample traffic with a night between, on a stack of its own."""

from __future__ import annotations

import asyncio
import math
import os
import shutil
import time
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from flows import console
from flows.cli import processes, stack
from flows.cli.credentials import credentials
from tasks.core.params import load
from tasks.core.stage import Refused

if TYPE_CHECKING:
    from examples.desk import Case

Look = Callable[[], None]
FIRST = date(2026, 3, 2)  # a Monday, so that the sample's week looks like one
CONCURRENCY = 16  # of calls: with more, latencies are of the queue for two cores
LOOKS = 24  # a day, at registry and audits: a live stack has 1,440
SHADOW_SECONDS = 120.0
SHIFT = f"{FIRST + timedelta(days=2)}T06:00+00:00"


def _services(home: Path, base: str, shift: str) -> dict[str, processes.Service]:
    teacher = stack.teacher_server(stack.free_port(), *(("--shift", shift) if shift else ()))
    pool = stack.pool_server(home, stack.free_port(), base)
    services = [
        stack.prefect_server(home, stack.free_port()),
        stack.mlflow_server(home, stack.free_port()),
        teacher,
        pool,
        stack.gateway_server(home, stack.free_port(), pool.url, "--replay"),
    ]
    return {service.name: service for service in services}


def _traffic(gateway: str, calls: int, day: date, seed: int, look: Look | None) -> None:
    """Send a day's calls; `look` is called now and then, when their shadows are asked.

    A live stack does so every minute; this day lasts about one.
    """
    from openai import AsyncOpenAI

    from examples.agent import conversations, traffic

    cases, done = conversations(calls, day, seed), 0

    async def send(part: Sequence[Case], advance: console.Advance) -> None:
        def one(*_: object) -> None:
            nonlocal done
            done += 1
            advance(done)

        async with AsyncOpenAI(base_url=f"{gateway}/v1", api_key="sample") as client:
            await traffic(client, "large", part, calls - done, CONCURRENCY, one)

    size = math.ceil(len(cases) / LOOKS)
    with console.bar(f"traffic of {day}", calls) as advance:
        for first in range(0, len(cases), size):
            asyncio.run(send(cases[first : first + size], advance))
            if look:
                _ask_shadows(gateway)
                look()


def _ask_shadows(gateway: str) -> None:
    """Wait until the gateway has asked the shadows about all calls that wait for one."""
    end = time.monotonic() + SHADOW_SECONDS
    while time.monotonic() < end and httpx.get(gateway).json()["shadows"]["waiting"]:
        time.sleep(0.2)


def run(home: Path, calls: int, days: int, seed: int, shift: bool = False) -> None:
    """Start over in `home`, send the traffic, learn each night, and report.

    With `shift` the teacher answers two kinds of calls otherwise from the third day's morning on.
    """
    base = load().train.base
    with stack.lock(home):
        shutil.rmtree(home, ignore_errors=True)
        services = _services(home, base, SHIFT if shift else "")
        os.environ.update(
            TEACHER_BASE_URL=os.environ.get("TEACHER_BASE_URL", services["teacher"].url + "/v1"),
            PREFECT_API_URL=services["prefect"].url + "/api",
            MLFLOW_TRACKING_URI=services["mlflow"].url,
            POOL_URL=services["pool"].url,
            PREFECT_HOME=str(home / "prefect"),
            **credentials(home).clients,
        )
        stack.prepare(home)
        console.say("Starting Prefect, MLflow, the simulated teacher, the pool and the gateway")
        with processes.running(list(services.values()), home):
            from flows.nightly import nightly
            from flows.promote import promote
            from flows.watch import watch

            def look() -> None:
                watch(home=str(home))
                promote(home=str(home))

            for number in range(days):
                day = FIRST + timedelta(days=number)
                console.say(f"\nDay {number + 1} · {day}")
                if shift and number == 2:
                    console.say("At six the teacher begins to answer two kinds of calls otherwise")
                _traffic(
                    services["gateway"].url, calls, day, seed + number, look if number else None
                )
                if number < days - 1:
                    console.say(f"Night of {day}")
                    nightly(day=day.isoformat(), home=str(home))
        summary(home)


def summary(home: Path) -> None:
    """Print the table of days and write the report page."""
    from tasks.report import report

    if not any(home.glob("journal/*.jsonl")) and not any(home.glob("nights/*")):
        raise Refused(f"{home} has no journal and no night to report on; `flywheel run` makes both")
    params = load()
    days = report.days(home / "journal", params.economics)
    if days:  # none where nights learn from logs alone
        console.console.print(report.table(days))
    page = report.write(home, days, now=datetime.now(UTC), target=1 - params.calibrate.accepted())
    console.say(f"Report: {page}")
