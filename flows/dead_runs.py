"""Runs whose process is gone: by itself Prefect does not notice, and shows them running for ever.

A run sends a heartbeat every half minute. An automation in Prefect's server marks a run as crashed
when three are missing, wherever it ran and however it ended ("Detect zombie flows" in its docs).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from prefect.automations import Automation
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.states import Crashed

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

HEARTBEAT_SECONDS = 30  # the least that Prefect allows
SILENT_SECONDS = 3 * HEARTBEAT_SECONDS
NAME = "nights and promotions without a heartbeat have crashed"
FLOWS = ["nightly", "student", "promote", "watch"]  # others on that server may send none
BEGINS, BEAT = "prefect.flow-run.Running", "prefect.flow-run.heartbeat"
ENDS = ("Completed", "Failed", "Cancelled", "Crashed")
ALIVE = (StateType.PENDING, StateType.RUNNING, StateType.CANCELLING)


async def watch() -> None:
    """Have Prefect's server mark runs that went silent as crashed."""
    wanted = Automation(
        name=NAME,
        description=f"A run that was silent for {SILENT_SECONDS} s has died with its machine.",
        trigger=EventTrigger(
            after={BEGINS, BEAT},  # one may be killed before its first
            expect={BEAT, *(f"prefect.flow-run.{end}" for end in ENDS)},
            match=ResourceSpecification({"prefect.resource.id": ["prefect.flow-run.*"]}),
            match_related=ResourceSpecification(
                {"prefect.resource.role": "flow", "prefect.resource.name": FLOWS}
            ),
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=SILENT_SECONDS),
        ),
        actions=[
            ChangeFlowRunState(
                name=None,
                force=False,
                state=StateType.CRASHED,
                message=f"Nothing was heard of its process for {SILENT_SECONDS} s.",
            )
        ],
    )
    try:
        await Automation.aread(name=NAME)
    except ValueError:
        await wanted.acreate()


def mark(client: SyncPrefectClient, deployments: Sequence[UUID]) -> list[FlowRun]:
    """Mark the runs of deployments as crashed that their last runner left behind; return them.

    For one who starts as the only runner: no run of theirs can be alive.
    """
    runs = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            deployment_id=FlowRunFilterDeploymentId(any_=list(deployments)),
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(ALIVE))),
        )
    )
    for run in runs:
        client.set_flow_run_state(run.id, Crashed(message="Its process ended with the stack."))
    return runs
