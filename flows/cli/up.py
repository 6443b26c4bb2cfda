"""`make up`: the stack that stays, with the schedule that runs nights and promotions."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, cast

import msgspec

from flows import console
from flows.cli import stack as local
from tasks.core.params import load
from tasks.core.stage import write_atomic

if TYPE_CHECKING:
    from prefect.deployments.runner import RunnerDeployment


def _services(home: Path, gateway: int, mlflow: int, prefect: int) -> dict[str, local.Service]:
    pool = local.pool_server(home, local.free_port(), load().train.base)
    services = [
        local.prefect_server(home, local.claim_port(prefect, "prefect")),
        local.mlflow_server(home, local.claim_port(mlflow, "mlflow")),
        pool,
        local.gateway_server(home, local.claim_port(gateway, "gateway"), pool.url),
    ]
    if "TEACHER_BASE_URL" not in os.environ:
        services.append(local.teacher_server(local.free_port()))
    return {service.name: service for service in services}


def _addresses(services: dict[str, local.Service]) -> None:
    teacher = "simulated" if "teacher" in services else os.environ["TEACHER_BASE_URL"]
    console.say(f"gateway     {services['gateway'].url}/v1   (point your agents' base URL here)")
    console.say(f"MLflow UI   {services['mlflow'].url}/#/models")
    console.say(f"Prefect UI  {services['prefect'].url}")
    console.say(f"teacher     {teacher}")
    console.say("Ctrl-C or `make down` stops it.")


def up(home: Path, gateway: int, mlflow: int, prefect: int) -> None:
    """Run until a signal; raises Refused when a port or the home is taken."""
    with local.lock(home):
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
        os.environ.update(addresses)
        os.environ.update(local.QUIET)
        stack = home / local.STACK
        with local.running(list(services.values()), home):
            write_atomic(stack, msgspec.json.encode(addresses))
            try:
                _serve(home, services)
            finally:
                stack.unlink(missing_ok=True)


def _serve(home: Path, services: dict[str, local.Service]) -> None:
    from prefect import serve
    from prefect.types.entrypoint import EntrypointType

    from flows.nightly import nightly
    from flows.promote import promote

    where = {"home": str(home)}
    module = EntrypointType.MODULE_PATH
    promote(home=str(home), return_state=True)  # its first turn would come minutes later
    _addresses(services)
    schedules = (
        nightly.to_deployment(
            "nightly",
            cron="0 2 * * *",
            parameters=where,
            entrypoint_type=module,
            concurrency_limit=1,
        ),
        promote.to_deployment("promote", interval=180, parameters=where, entrypoint_type=module),
    )
    serve(*cast("tuple[RunnerDeployment, ...]", schedules), print_starting_message=False)
