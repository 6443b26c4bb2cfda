"""Make the pool match the registry: every minute, and at the end of each night.

Shadows that live calls have proven since become candidates, and champions where the policy may
promote. Promotion is moving the alias `champion`, by the gate or by a person in the MLflow UI;
roll-back is the same move backwards. Run it with `flywheel promote`.
"""

from __future__ import annotations

from pathlib import Path

from prefect import flow

from flows import console, steps
from flows.night.folders import registry_of
from serving.reconcile import Changes


@flow(name="promote", flow_run_name="pool follows registry")
def promote(home: str = ".flywheel/live") -> Changes | None:
    """Promote what is proven, load it, switch the routes, unload the old; raises Refused."""
    registry_of(Path(home).resolve()).reach()
    console.shadows(steps.prove(home))
    changes: Changes | None = steps.promote(home)
    console.changes(changes)
    return changes
