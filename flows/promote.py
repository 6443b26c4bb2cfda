"""Make the pool match the registry: every few minutes, and at the end of each night.

Promotion is moving the alias `champion`, by the gate or by a person in the MLflow UI; roll-back is
the same move backwards. Run it with `flywheel promote`.
"""

from __future__ import annotations

from prefect import flow

from flows import console, steps
from serving.reconcile import Changes


@flow(name="promote", flow_run_name="pool follows registry")
def promote(home: str = ".flywheel/live") -> Changes | None:
    """Load new champions, switch the routes, unload what served before; raises PoolError."""
    changes: Changes | None = steps.promote(home)
    console.changes(changes)
    return changes
