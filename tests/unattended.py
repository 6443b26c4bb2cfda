"""A stack that nobody attends to: a day of calls, `flywheel up` on a home, and Prefect's API."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import httpx
import msgspec
import yaml

from examples.agent import records
from examples.desk import kind_of
from flows.cli import processes
from flows.cli.credentials import BELONGS, USER, credentials

T = TypeVar("T")
ROOT = Path(__file__).parents[1]
YESTERDAY = datetime.now(UTC).date() - timedelta(days=1)
OURS = {
    "TEACHER_BASE_URL",
    "PREFECT_HOME",
    *BELONGS,
    *chain(*BELONGS.values()),
}


def calls(count: int, *kinds: str, seed: int = 7) -> list[dict[str, Any]]:
    """Calls of some kinds that the sample agent made yesterday, and the teacher's replies."""
    made = (one for one in records(40 * count, YESTERDAY, seed) if kind_of(one["request"]) in kinds)
    return [one for one, _ in zip(made, range(count), strict=False)]


def params(folder: Path, log: Path, **schedule: Any) -> Path:
    """A params file: quick students, any of which may serve, and short schedules."""
    found = yaml.safe_load((ROOT / "params.yaml").read_text())
    found["ingest"]["source"] = [str(log)]
    found["dataset"] |= {"min_rows": 40, "min_readiness": 0.0}
    found["train"] |= {"rungs": ["linear"]}
    found["calibrate"] |= {"alpha": 0.5, "delta": 0.3}
    found["judge"]["min_coverage"] = 0.0
    found["schedule"] |= schedule
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(found))
    return path


def elsewhere(**more: str) -> dict[str, str]:
    """The environment without the addresses of services, and what they ask for."""
    return {name: value for name, value in os.environ.items() if name not in OURS} | more


def until(found: Callable[[], T], seconds: float = 300) -> T:
    """Wait for something true, and return it; what cannot be reached yet is not."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if value := found():
                return value
        except httpx.HTTPError:
            pass
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.2)


def flywheel(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    command = [sys.executable, "-m", "flows.cli", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=elsewhere(**env), capture_output=True, text=True, timeout=300
    )


@dataclass(slots=True)
class Up:
    """A running `flywheel up`: what it said so far is in `said`."""

    process: subprocess.Popen[bytes]
    home: Path
    output: Path

    @property
    def said(self) -> str:
        """All that it printed."""
        return self.output.read_text()

    @property
    def addresses(self) -> dict[str, str]:
        """Where its services are."""
        return msgspec.json.decode((self.home / "stack.json").read_bytes(), type=dict[str, str])

    @property
    def auth(self) -> tuple[str, str]:
        """The user and the password of its Prefect and its MLflow."""
        return USER, credentials(self.home).password

    @property
    def gateway(self) -> str:
        """The address that agents call."""
        found = re.search(r"gateway\s+(\S+)/v1", self.said)
        assert found
        return found[1]

    def service(self, module: str) -> int:
        """The process of a service, by the module that it runs."""
        found = [p for p in processes.left(f"{self.home}#") if module in " ".join(p.cmdline())]
        return int(min(found, key=lambda p: p.create_time()).pid)

    def runs(self, deployment: str) -> list[dict[str, Any]]:
        """The runs of a deployment, as Prefect's API has them, oldest first."""
        return runs(self.addresses["PREFECT_API_URL"], deployment, self.auth)


def runs(api: str, deployment: str, auth: tuple[str, str]) -> list[dict[str, Any]]:
    """The runs of a deployment, as Prefect's API has them, oldest first."""
    body = {"deployments": {"name": {"any_": [deployment]}}, "sort": "EXPECTED_START_TIME_ASC"}
    found = httpx.post(f"{api}/flow_runs/filter", json=body, auth=auth).raise_for_status().json()
    return list(found)


def scheduled(runs: list[dict[str, Any]], state: str) -> list[dict[str, Any]]:
    """The runs that the scheduler made, in a state."""
    return [run for run in runs if run["auto_scheduled"] and run["state_type"] == state]


def _with_terminal() -> None:
    """Heed SIGHUP, also where the tests themselves run under nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@contextmanager
def up(home: Path, env: Mapping[str, str]) -> Iterator[Up]:
    """`flywheel up` on free ports, from the moment on that it says where everything is."""
    free = [part for name in ("gateway", "mlflow", "prefect") for part in (f"--{name}-port", "0")]
    up = [sys.executable, "-m", "flows.cli", "up", "--home", str(home), *free]
    command = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *up]  # as a script's background does
    output = home.parent / f"{home.name}.{time.time_ns()}.out"
    with output.open("wb") as file:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=elsewhere(**env),
            stdout=file,
            stderr=file,
            preexec_fn=_with_terminal,
        )
    running = Up(process, home, output)
    try:
        until(lambda: "Ctrl-C" in running.said or process.poll() is not None)
        assert process.poll() is None, running.said
        yield running
    finally:
        process.terminate()
        process.wait(60)
        print(running.said)
