"""Schedules of the flows on one machine: the runner that `flywheel up` keeps alive.

    python -m flows.schedule .flywheel/live 8200

On a cluster a worker takes its place (infra/prefect.yaml). A run that a dead runner left behind is
marked as crashed, and a night that crashed begins again: it finds what it had done.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from os import environ
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
from prefect import Flow, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import (
    ConcurrencyLimitConfig,
    ConcurrencyLimitStrategy,
    StateType,
)
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound
from prefect.runner import Runner
from prefect.states import Cancelled
from prefect.types.entrypoint import EntrypointType
from pydantic import ValidationError

from flows import dead_runs
from flows.nightly import nightly
from flows.promote import promote
from flows.watch import watch
from tasks.core import params
from tasks.core.stage import Refused

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun
    from prefect.deployments.runner import RunnerDeployment

log = logging.getLogger("flywheel")

ONE = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW)
ATTEMPTS = 3  # of a night that crashes
MINUTE = 60.0
NEEDED = ("PREFECT_API_URL", "MLFLOW_TRACKING_URI", "POOL_URL")
START_SECONDS = 120.0


def night_times(schedule: params.Schedule) -> CronSchedule:
    """Return when nights begin. Raises Refused."""
    try:
        return CronSchedule(cron=schedule.nightly, timezone=schedule.timezone)
    except ValidationError as error:
        problem = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise Refused(f"schedule in the params file: {problem}") from None


def deployments(
    client: SyncPrefectClient, home: str, schedule: params.Schedule
) -> list[RunnerDeployment]:
    """Nights, promotions and the watch with their times; what a person has paused stays paused.

    Of promotions and looks that are late, as after the machine slept, one runs. Nights wait for
    each other, by the lock of their home, which ends with its process.
    """
    every = IntervalSchedule(interval=timedelta(seconds=schedule.promote))
    look = IntervalSchedule(interval=timedelta(seconds=schedule.watch))
    return [
        _deployment(client, nightly, night_times(schedule), home),
        _deployment(client, promote, every, home, concurrency_limit=ONE),
        _deployment(client, watch, look, home, concurrency_limit=ONE),
    ]


def _deployment(
    client: SyncPrefectClient,
    flow: Flow[..., Any],
    times: CronSchedule | IntervalSchedule,
    home: str,
    **more: Any,
) -> RunnerDeployment:
    paused, active = False, True
    with suppress(ObjectNotFound):
        existing = client.read_deployment_by_name(f"{flow.name}/{flow.name}")
        paused, active = existing.paused, all(one.active for one in existing.schedules)
    deployment = flow.to_deployment(
        flow.name,
        schedules=[DeploymentScheduleCreate(schedule=times, active=active)],
        paused=paused,
        parameters={"home": home},
        entrypoint_type=EntrypointType.MODULE_PATH,
        **more,
    )
    assert not asyncio.iscoroutine(deployment)
    return deployment


def _runs(client: SyncPrefectClient, deployment: UUID, *states: StateType) -> list[FlowRun]:
    """The newest runs of a deployment, oldest first."""
    return client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            deployment_id=FlowRunFilterDeploymentId(any_=[deployment]),
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(states))),
        ),
        sort=FlowRunSort.EXPECTED_START_TIME_DESC,
        limit=200,
    )[::-1]


def drop_late(client: SyncPrefectClient, deployment: UUID, at: datetime) -> None:
    """Of the runs that were due while nothing ran leave the last one."""
    planned = _runs(client, deployment, StateType.SCHEDULED)
    late = [run for run in planned if run.expected_start_time and run.expected_start_time < at]
    for run in late[:-1]:
        client.set_flow_run_state(run.id, Cancelled(message="A later one runs in its place."))


def _day(run: FlowRun) -> str:
    """The day that a night learns from."""
    begun = run.expected_start_time or datetime.now(UTC)
    return str(run.parameters.get("day") or (begun - timedelta(days=1)).astimezone(UTC).date())


def resume(client: SyncPrefectClient, deployment: UUID, at: datetime) -> str | None:
    """Begin a night again that has crashed within a day; its day, or None where there is none.

    Not when it has crashed too often, nor beside a run that was begun or is due since.
    """
    every = _runs(client, deployment, *StateType)
    runs = [run for run in every if run.expected_start_time and run.expected_start_time <= at]
    last = runs[-1] if runs else None
    if last is None or last.state_type != StateType.CRASHED:
        return None
    day = _day(last)
    attempts = sum(_day(run) == day and run.state_type == StateType.CRASHED for run in runs)
    ended = last.end_time or last.expected_start_time or at
    if attempts >= ATTEMPTS or at - ended > timedelta(days=1):
        return None
    client.create_flow_run_from_deployment(deployment, parameters={**last.parameters, "day": day})
    return day


def _keep_resuming(deployment: UUID) -> None:
    while True:
        try:
            with get_client(sync_client=True) as client:
                if day := resume(client, deployment, datetime.now(UTC)):
                    print(f"the night of {day} crashed and begins again", flush=True)
        except Exception as error:  # Prefect's server is away for a moment
            log.warning("crashed nights were not looked for: %s", error)
        time.sleep(MINUTE)


def _await(*urls: str) -> None:
    """Wait until the services answer that the first promotion needs. Raises Refused."""
    deadline = time.monotonic() + START_SECONDS
    for url in urls:
        while True:
            with suppress(httpx.HTTPError):
                if httpx.get(url, timeout=5.0).is_success:
                    break
            if time.monotonic() > deadline:
                raise Refused(f"{url} did not answer within {START_SECONDS:.0f} s")
            time.sleep(0.2)


def serve(home: str, port: int, schedule: params.Schedule) -> None:
    """Promote, answer on a port that this is done, and run what is due. Raises Refused."""
    api, mlflow, pool = (environ[name] for name in NEEDED)
    _await(f"{api}/health", f"{mlflow}/health", f"{pool}/health")
    runner = Runner(name="flywheel", pause_on_shutdown=False)
    with get_client(sync_client=True) as client:
        ids = {d.name: _added(runner, d) for d in deployments(client, home, schedule)}
        dead_runs.mark(client, list(ids.values()))
        for each in ids.values():
            drop_late(client, each, datetime.now(UTC))
    asyncio.run(dead_runs.watch())
    promote(home=home, return_state=True)  # its first turn would come minutes later
    threading.Thread(target=_keep_resuming, args=[ids["nightly"]], daemon=True).start()
    ready = ThreadingHTTPServer(("127.0.0.1", port), Ready)  # Prefect's own fails before it polled
    threading.Thread(target=ready.serve_forever, daemon=True).start()
    asyncio.run(runner.start())


class Ready(BaseHTTPRequestHandler):
    """Answers that the runner has promoted and takes runs."""

    def do_GET(self) -> None:
        """Answer any path."""
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


def _added(runner: Runner, deployment: RunnerDeployment) -> UUID:
    deployment_id = runner.add_deployment(deployment)
    assert isinstance(deployment_id, UUID)  # a coroutine only where there is an event loop
    return deployment_id


if __name__ == "__main__":
    try:
        serve(sys.argv[1], int(sys.argv[2]), params.load().schedule)
    except Refused as error:
        print(f"flywheel: {error}", file=sys.stderr)
        raise SystemExit(2) from None
