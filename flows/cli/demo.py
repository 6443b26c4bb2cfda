"""`make run`: days of sample traffic with a night between, on a stack of its own."""

from __future__ import annotations

import asyncio
import os
import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from flows import console
from flows.cli import processes, stack
from tasks.core.params import load
from tasks.core.stage import Refused

FIRST = date(2026, 3, 2)  # a Monday, so that the sample's week looks like one
CONCURRENCY = 48
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


def _traffic(gateway: str, calls: int, day: date, seed: int) -> None:
    from openai import AsyncOpenAI

    from examples.agent import traffic

    async def send(advance: console.Advance) -> None:
        done = 0

        def one(*_: object) -> None:
            nonlocal done
            done += 1
            advance(done)

        async with AsyncOpenAI(base_url=f"{gateway}/v1", api_key="sample") as client:
            await traffic(
                client, "large", calls, day=day, seed=seed, concurrency=CONCURRENCY, on_call=one
            )

    with console.bar(f"traffic of {day}", calls) as advance:
        asyncio.run(send(advance))


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
        )
        stack.prepare(home)
        console.say("Starting Prefect, MLflow, the simulated teacher, the pool and the gateway")
        with processes.running(list(services.values()), home):
            from flows.nightly import nightly
            from flows.promote import promote
            from flows.watch import watch

            for number in range(days):
                day = FIRST + timedelta(days=number)
                console.say(f"\nDay {number + 1} · {day}")
                if shift and number == 2:
                    console.say("At six the teacher begins to answer two kinds of calls otherwise")
                _traffic(services["gateway"].url, calls, day, seed + number)
                if number < days - 1:
                    if number:
                        watch(home=str(home))  # what a live stack does every minute
                        promote(home=str(home))
                    console.say(f"Night of {day}")
                    nightly(day=day.isoformat(), home=str(home))
        summary(home)


def summary(home: Path) -> None:
    """Print the table of days and write the report page."""
    from tasks.report import report

    if not any((home / "journal").glob("*.jsonl")):
        raise Refused(f"{home} has no journal to report on; `flywheel run` makes one")
    params = load()
    days = report.days(home / "journal", params.economics)
    console.console.print(report.table(days))
    page = report.write(home, days, now=datetime.now(UTC), target=1 - params.calibrate.accepted())
    console.say(f"Report: {page}")
