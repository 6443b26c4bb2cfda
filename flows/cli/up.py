"""`make up` and `make down`: the stack that stays, with nights and promotions when they are due."""

from __future__ import annotations

import os
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import msgspec

from flows import console
from flows.cli import processes, stack
from flows.cli.credentials import USER, credentials, prefect_auth
from flows.cli.processes import Look, Service
from tasks.core.params import load
from tasks.core.stage import Refused, write_atomic

LOOK_SECONDS = 0.5
SILENCE_SECONDS = 30.0  # between two questions to the scheduler
PATIENCE = timedelta(seconds=90)  # that it may take to plan, or a runner to begin
DOWN_SECONDS = 60.0


def _services(home: Path, gateway: int, mlflow: int, prefect: int) -> dict[str, Service]:
    pool = stack.pool_server(home, stack.free_port(), load().train.base)
    services = [
        stack.prefect_server(home, stack.claim_port(prefect, "prefect")),
        stack.mlflow_server(home, stack.claim_port(mlflow, "mlflow")),
        pool,
        stack.gateway_server(home, stack.claim_port(gateway, "gateway"), pool.url),
        stack.runner(home, stack.free_port()),
    ]
    if "TEACHER_BASE_URL" not in os.environ:
        services.append(stack.teacher_server(stack.free_port()))
    return {service.name: service for service in services}


def _say_addresses(home: Path, services: dict[str, Service]) -> None:
    teacher = "simulated" if "teacher" in services else os.environ["TEACHER_BASE_URL"]
    console.say(f"gateway     {services['gateway'].url}/v1   (point your agents' base URL here)")
    read = console.console.is_terminal  # by a person; a log may be anybody's
    _say_uis(home, services["mlflow"].url, services["prefect"].url, shown=read)
    console.say(f"teacher     {teacher}")
    console.say("Ctrl-C or `make down` stops it.")


def _say_uis(home: Path, mlflow: str, prefect: str, *, shown: bool) -> None:
    """Say where the UIs are, and what they ask for where that may be shown."""
    password = credentials(home).password
    of_mlflow = of_prefect = f"(`flywheel ui --home {home}` shows the password)"
    if shown:
        of_mlflow = f"user {USER}, password {password}"
        of_prefect = f"{USER}:{password}   (all of it in the one field)"
    console.say(f"MLflow UI   {mlflow}/#/models   {of_mlflow}")
    console.say(f"Prefect UI  {prefect}   {of_prefect}")


def uis(home: Path) -> None:
    """Say where the UIs of a running stack are and what they ask for. Raises Refused."""
    running = stack.stack(home)
    if not running:
        raise Refused(f"nothing runs on {home}; `flywheel up` starts it")
    prefect = running["PREFECT_API_URL"].removesuffix("/api")
    _say_uis(home, running["MLFLOW_TRACKING_URI"], prefect, shown=True)


def up(home: Path, gateway: int, mlflow: int, prefect: int) -> None:
    """Run until a signal; raises Refused when a port or the home is taken, or a service dies on."""
    with stack.lock(home):
        _end_left(home)
        services = _services(home, gateway, mlflow, prefect)
        addresses = {
            "PREFECT_API_URL": services["prefect"].url + "/api",
            "MLFLOW_TRACKING_URI": services["mlflow"].url,
            "POOL_URL": services["pool"].url,
            "PREFECT_HOME": str(home / "prefect"),
            "FLYWHEEL_PID": str(os.getpid()),
        }
        if "teacher" in services:
            os.environ["TEACHER_BASE_URL"] = services["teacher"].url + "/v1"
        os.environ.update(addresses | credentials(home).clients)
        stack.prepare(home)
        file = home / stack.STACK
        with processes.running(list(services.values()), home) as look:
            write_atomic(file, msgspec.json.encode(addresses))
            try:
                _say_addresses(home, services)
                _stay(look, addresses["PREFECT_API_URL"])
            finally:
                file.unlink(missing_ok=True)


def _stay(look: Look, api: str) -> None:
    """Keep the services alive, and say when the scheduler has gone silent and is back."""
    since, asked, silent = datetime.now(UTC), time.monotonic(), ""
    while True:
        time.sleep(LOOK_SECONDS)
        now = time.monotonic()
        for sentence in look(now):
            console.say(sentence)
        if now - asked < SILENCE_SECONDS:
            continue
        asked = now
        try:
            gap = silence(api, since, datetime.now(UTC))
        except httpx.HTTPError:  # Prefect is starting again
            continue
        if gap != silent:
            console.say(gap or "the scheduler is back: every run is planned")
            silent = gap


class Every(msgspec.Struct):
    """The times of a schedule: every so many seconds, or else by a cron expression."""

    interval: float | None = None


class Times(msgspec.Struct):
    """A schedule of a deployment, as Prefect's API has it."""

    active: bool
    schedule: Every


class Deployment(msgspec.Struct):
    """A deployment, as Prefect's API has it."""

    id: str
    name: str
    paused: bool
    schedules: list[Times]


class Planned(msgspec.Struct):
    """A run that has not begun, as Prefect's API has it."""

    expected_start_time: datetime


def silence(api: str, since: datetime, now: datetime) -> str:
    """Return what the scheduler does not do, in a sentence; empty where all is well.

    Every deployment that nobody paused has a run planned, none is later than PATIENCE after it was
    due, or after the stack started (`since`), and none so far off as after a clock was set back.
    Raises httpx.HTTPError.
    """
    with httpx.Client(base_url=api, auth=prefect_auth(), timeout=10.0) as client:
        answer = client.post("/deployments/filter", json={}).raise_for_status()
        for one in msgspec.json.decode(answer.content, type=list[Deployment]):
            if one.paused or not any(times.active for times in one.schedules):
                continue
            due = next_run(client, one)
            if due is None and now - since > PATIENCE:
                return f"the scheduler is silent: no run of {one.name} is planned (prefect.log)"
            if due and now - max(due, since) > PATIENCE:
                return f"a run of {one.name} that was due at {due:%H:%M} UTC has not begun"
            every = [t.schedule.interval for t in one.schedules if t.active and t.schedule.interval]
            if due and every and due - now > timedelta(seconds=min(every)) + PATIENCE:
                return (
                    f"no run of {one.name} is planned before {due:%Y-%m-%d %H:%M} UTC, as if the "
                    "clock had been set back: `flywheel down` and `up` plan anew"
                )
    return ""


def next_run(client: httpx.Client, deployment: Deployment) -> datetime | None:
    """Return when the first run that has not begun is or was due."""
    wanted = {
        "deployment_id": {"any_": [deployment.id]},
        "state": {"type": {"any_": ["SCHEDULED"]}},
    }
    asked = {"flow_runs": wanted, "sort": "EXPECTED_START_TIME_ASC", "limit": 1}
    answer = client.post("/flow_runs/filter", json=asked).raise_for_status()
    planned = msgspec.json.decode(answer.content, type=list[Planned])
    return planned[0].expected_start_time if planned else None


def _end_left(home: Path) -> bool:
    """End what a killed stack of this home left running, and say so; whether there was anything."""
    ended = processes.left(f"{home}#")
    processes.end(ended)
    if ended:
        console.say(f"ended {len(ended)} processes that a killed flywheel had left on {home}")
    return bool(ended)


def down(home: Path) -> None:
    """Stop what `up` started on a home, and wait for its end. Raises Refused."""
    running = stack.stack(home)
    if running:
        os.kill(int(running["FLYWHEEL_PID"]), signal.SIGTERM)
        deadline = time.monotonic() + DOWN_SECONDS
        while stack.stack(home):
            if time.monotonic() > deadline:
                raise Refused(f"the stack on {home} has not ended after {DOWN_SECONDS:.0f} s")
            time.sleep(0.1)
        return
    with stack.lock(home):  # nobody else runs here
        if not _end_left(home):
            raise Refused(f"nothing runs on {home}")
