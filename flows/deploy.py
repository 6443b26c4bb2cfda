"""Register the deployments of a cluster, and leave paused what a person has paused.

`prefect deploy` alone would switch everything on again, each time a worker starts. When they run is
in the params file; runs whose machine is lost are marked as crashed.

    python -m flows.deploy infra/prefect.yaml
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound

from flows import dead_runs
from tasks.core.params import Schedule, load
from tasks.core.records import Json

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.responses import DeploymentResponse


def _prefect(*arguments: str) -> None:
    """Run Prefect's own command. Raises CalledProcessError."""
    subprocess.run([sys.executable, "-m", "prefect", "--no-prompt", *arguments], check=True)


async def _known(client: PrefectClient, wanted: Json) -> DeploymentResponse | None:
    """Return what the server has of a deployment."""
    flow = wanted["entrypoint"].rpartition(".")[2]
    try:
        return await client.read_deployment_by_name(f"{flow}/{wanted['name']}")
    except ObjectNotFound:
        return None


def paused(wanted: Json, deployed: DeploymentResponse | None) -> Json:
    """The deployment as it is to be registered: as paused as the one that the server knows.

    A schedule that a person has switched off stays off, also where its times were changed.
    """
    if deployed is None:
        return wanted
    off = bool(deployed.schedules) and not any(one.active for one in deployed.schedules)
    schedules = [{**one, "active": False} for one in wanted["schedules"]] if off else []
    return {**wanted, "paused": deployed.paused, "schedules": schedules or wanted["schedules"]}


def timed(wanted: Json, schedule: Schedule) -> Json:
    """The deployment with the times that the params file gives it."""
    times: dict[str, Json] = {
        "nightly": {"cron": schedule.nightly, "timezone": schedule.timezone},
        "promote": {"interval": schedule.promote},
        "watch": {"interval": schedule.watch},
    }
    name = wanted["name"]
    return {**wanted, "schedules": [times[name]]} if name in times else wanted


async def _pools(client: PrefectClient, names: set[str]) -> set[str]:
    """The work pools among these that the server does not have."""
    return names - {pool.name for pool in await client.read_work_pools()}


async def prepare(file: Path) -> tuple[set[str], Json]:
    """The work pools to create, and the file's content with what is paused now."""
    content = yaml.safe_load(file.read_text())
    schedule = load().schedule
    deployments = [timed(one, schedule) for one in content["deployments"]]
    async with get_client() as client:
        missing = await _pools(client, {one["work_pool"]["name"] for one in deployments})
        deployed = [await _known(client, one) for one in deployments]
    merged = [paused(*pair) for pair in zip(deployments, deployed, strict=True)]
    return missing, {**content, "deployments": merged}


def deploy(file: Path) -> None:
    """Create the work pools that are missing and register the deployments."""
    missing, content = asyncio.run(prepare(file))
    for name in missing:
        _prefect("work-pool", "create", name, "--type", "process")
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / file.name
        written.write_text(yaml.safe_dump(content, sort_keys=False))
        _prefect("deploy", "--all", "--prefect-file", str(written))
    asyncio.run(dead_runs.watch())


if __name__ == "__main__":
    deploy(Path(sys.argv[1]))
