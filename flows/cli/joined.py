"""The services that a command needs: those of a running `flywheel up`, or its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.cli.credentials import join
from registry.server import answer, reach
from tasks.core.params import load
from tasks.core.stage import Refused, room


class Gone(Refused):
    """A service went away in the middle of a command."""


@contextmanager
def joined(home: Path) -> Iterator[None]:
    """Use the services of a running `flywheel up` on this home, or start Prefect and MLflow.

    A home's artifacts are read through an MLflow server once one has written them. Raises Refused
    where one that is named does not answer, or goes away meanwhile, and where the disk is full.
    """
    load()  # what is wrong there is said before anything starts
    with room(home), _started(home):
        try:
            yield
        except Refused:
            raise
        except Exception:
            try:
                _reach()
            except Refused as gone:  # this is why
                raise Gone(str(gone)) from None
            raise


def _reach() -> None:
    """Raise Refused where a service that the environment names does not answer."""
    reach(os.environ.get("MLFLOW_TRACKING_URI", ""))
    if api := os.environ.get("PREFECT_API_URL"):
        answer("Prefect", f"{api.rstrip('/')}/health", api)


@contextmanager
def _started(home: Path) -> Iterator[None]:
    from flows.cli import processes
    from flows.cli import stack as local

    local.prepare(home)
    join(home, local.stack(home))
    _reach()
    if os.environ.get("PREFECT_API_URL"):
        yield
        return
    with local.lock(home):
        services = [local.prefect_server(home, local.free_port())]
        addresses = {"PREFECT_API_URL": services[0].url + "/api"}
        if not os.environ.get("MLFLOW_TRACKING_URI"):
            services.append(local.mlflow_server(home, local.free_port()))
            addresses["MLFLOW_TRACKING_URI"] = services[1].url
        join(home, addresses)
        with processes.running(services, home):
            yield
