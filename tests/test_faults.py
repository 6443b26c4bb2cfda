"""Services die while calls are answered and students promoted; all of them real.

Each time the end state is right, nobody serves who was not verified, and a person reads one
sentence. Whoever is killed himself is in test_killed, full disks are in test_faults_disk.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest
from place import TASK, Place
from unattended import flywheel, until
from upstream import upstream

from flows.cli import processes
from flows.cli import stack as local
from flows.cli.credentials import credentials
from registry import ledger, plots
from serving.reconcile import routes

pytestmark = pytest.mark.flow
MLFLOW, PREFECT = "MLFLOW_TRACKING_URI", "PREFECT_API_URL"


@pytest.fixture(scope="module", autouse=True)
def patient() -> Iterator[None]:
    """Services may start slowly: this machine may do much beside."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "START_SECONDS", 600.0)
        yield


def died(service: str, home: Path) -> None:
    """Kill a service of a home as the kernel does, with all that it has started."""
    found = [p for p in processes.left(f"{home}#") if service in " ".join(p.cmdline())]
    os.killpg(min(found, key=psutil.Process.create_time).pid, signal.SIGKILL)


@dataclass(slots=True)
class Stack:
    """A home with MLflow and Prefect, three versions and a scripted pool."""

    place: Place
    look: processes.Look
    env: dict[str, str]

    def promote(self, *words: str) -> tuple[int, str]:
        """Run `flywheel promote`: its status, and its last line."""
        done = flywheel("promote", *words, "--home", str(self.place.home), **self.env)
        assert "Traceback" not in done.stdout
        return done.returncode, done.stdout.strip().split("\n")[-1]

    def serving(self) -> int:
        """The version that serves."""
        (route,) = routes(self.place.home)
        return int(route["version"])


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    home = tmp_path_factory.mktemp("stack") / "home"
    services = [local.mlflow_server(home, local.free_port())]
    services.append(local.prefect_server(home, local.free_port()))
    env = {
        **credentials(home).clients,
        MLFLOW: services[0].url,
        PREFECT: f"{services[1].url}/api",
        "POOL_URL": upstream(Place.pool.answer),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "plots", lambda *_: {})
        for name, value in {**local.QUIET, **env}.items():
            patch.setenv(name, value)
        with processes.running(services, home) as look:
            place = Place(home)
            for n in (300, 310, 320):
                place.register(n)
            place.promote(1)
            yield Stack(place, look, env)


def one_sentence(name: str, uri: str) -> str:
    return f"flywheel: {name} at {uri} cannot be reached ([Errno 111] Connection refused)"


@pytest.mark.parametrize(
    ("name", "variable", "when", "version"),
    [("MLflow", MLFLOW, "/models", 2), ("Prefect", PREFECT, "/load_lora_adapter", 3)],
)
def test_a_service_that_dies_in_a_promotion(
    stack: Stack, name: str, variable: str, when: str, version: int
) -> None:
    """In the middle of it, and still gone when it is run again; once it is back, all is well."""
    before, said = stack.serving(), one_sentence(name, stack.env[variable])

    def die(path: str) -> None:
        if path.endswith(when):
            Place.pool.before = lambda _: None
            died(f"{name.lower()} server", stack.place.home)

    Place.pool.before = die
    assert stack.promote(TASK, str(version)) == (2, said)
    between = stack.serving()
    assert between in (before, version)
    assert (stack.promote(), stack.serving()) == ((2, said), between)
    until(lambda: stack.look(0.0) + stack.look(60.0))
    until(lambda: httpx.get(stack.env[variable].removesuffix("/api") + "/health").status_code, 600)
    status, _ = stack.promote()
    assert (status, stack.serving()) == (0, version)
    assert stack.place.store.champion(TASK) == version
    ledger.verify(stack.place.home)
    moves = [(e.before, e.after) for e in ledger.entries(stack.place.home) if e.moved]
    assert moves[-1] == (before, version)


def test_two_promoters_at_once(stack: Stack) -> None:
    """Each move begins where the one before it ended; the last one serves."""
    seen, now = len(ledger.entries(stack.place.home)), stack.serving()
    others = [str(number) for number in (1, 2, 3) if number != now]
    with ThreadPoolExecutor(2) as threads:
        done = list(threads.map(lambda n: stack.promote(TASK, n), others))
    ledger.verify(stack.place.home)
    moves = [e for e in ledger.entries(stack.place.home)[seen:] if e.moved]
    assert [e.before for e in moves] == [now, *(e.after for e in moves[:-1])]
    assert moves[-1].after == stack.place.store.champion(TASK) == stack.serving()
    for status, said in done:
        assert status == 0 or f"somebody moved champion from {now} to" in said
    assert 0 in [status for status, _ in done]
