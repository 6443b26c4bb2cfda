"""The embedded stack: Prefect, MLflow, pool and gateway as processes on this machine.

On a cluster the same programs run as containers (see infra/); nothing else uses this module.
"""

from __future__ import annotations

import fcntl
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import msgspec

from tasks.core.stage import Refused

START_SECONDS = 120.0
STOP_SECONDS = 15.0
STACK = "stack.json"
QUIET = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": "false",
    "PREFECT_LOGGING_LEVEL": "WARNING",
    "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
    "TQDM_DISABLE": "1",
    "GX_ANALYTICS_ENABLED": "false",
}


@dataclass(frozen=True, slots=True)
class Service:
    """A program to run, the port it listens on and the path that answers 200 when it is ready."""

    name: str
    command: Sequence[str]
    port: int
    ready: str = "/health"
    env: Mapping[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Its address on this machine."""
        return f"http://127.0.0.1:{self.port}"


_PORTS = iter(random.sample(range(20_000, 32_000), 1_000))  # none is given twice


def free_port() -> int:
    """A port that nothing listens on, below those that outgoing connections are given.

    A service takes seconds until it listens, and one of these might be taken by then.
    """
    for port in _PORTS:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port
    raise Refused("no port between 20000 and 32000 is free on 127.0.0.1")


def claim_port(port: int, name: str) -> int:
    """Return `port` (or a free one for 0). Raises Refused when something listens there already."""
    if port == 0:
        return free_port()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise Refused(
                f"port {port} for the {name} is in use; choose another with --{name}-port"
            ) from None
    return port


@contextmanager
def lock(home: Path) -> Iterator[None]:
    """Hold a home folder for one stack at a time. Raises Refused when another one holds it."""
    home.mkdir(parents=True, exist_ok=True)
    with (home.parent / f".{home.name}.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(
                f"{home} is in use by a running flywheel; choose another --home"
            ) from None
        yield


def stack(home: Path) -> dict[str, str]:
    """The addresses and the process of what `up` started; empty where nothing runs any more."""
    file = home / STACK
    if not file.exists():
        return {}
    try:
        with lock(home):  # nobody holds it: what is written there was killed
            file.unlink(missing_ok=True)
        return {}
    except Refused:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, str])


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return lines[-1][:300] if lines else "it printed nothing"


def _await(service: Service, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise Refused(f"the {service.name} did not start: {_last_line(log)} (log: {log})")
        try:
            if httpx.get(service.url + service.ready, timeout=2.0).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    raise Refused(f"the {service.name} was not ready after {START_SECONDS:.0f} s (log: {log})")


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def running(services: Sequence[Service], home: Path) -> Iterator[None]:
    """Start all services at once, wait until each is ready, and stop them when the body ends.

    Each writes `home/logs/<name>.log`. Raises Refused with its last line when one does not start.
    """
    logs = home / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        started = []
        for service in services:
            log = logs / f"{service.name}.log"
            output = stack.enter_context(log.open("wb"))
            process = subprocess.Popen(
                list(service.command),
                env={**os.environ, **QUIET, **service.env},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            stack.callback(_stop, process)
            started.append((service, process, log))
        for service, process, log in started:
            _await(service, process, log)
        yield


def python(module: str, *args: str) -> list[str]:
    """The command that runs a module with this interpreter."""
    return [sys.executable, "-m", module, *args]


def prefect_server(home: Path, port: int) -> Service:
    """Prefect's API and UI on SQLite."""
    url = f"http://127.0.0.1:{port}/api"
    return Service(
        "prefect",
        python("prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)),
        port,
        "/api/health",
        {"PREFECT_HOME": str(home / "prefect"), "PREFECT_UI_API_URL": url},
    )


def mlflow_server(home: Path, port: int) -> Service:
    """MLflow's tracking server, registry and UI on SQLite and local artifacts."""
    command = python(
        *("mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", f"sqlite:///{home / 'mlflow.db'}"),
        *("--artifacts-destination", str(home / "mlartifacts")),
    )
    return Service("mlflow", command, port)


def pool_server(home: Path, port: int, base: str) -> Service:
    """The embedded engine, on adapters below `home/adapters`."""
    adapters = home / "adapters"
    adapters.mkdir(parents=True, exist_ok=True)
    command = python(
        *("serving.engine", "--base", base, "--adapters", str(adapters), "--port", str(port))
    )
    return Service("pool", command, port)


def gateway_server(home: Path, port: int, pool: str, *flags: str) -> Service:
    """The gateway that agents call; the teacher comes from the environment."""
    command = python("serving.gateway", "--home", str(home), "--port", str(port), *flags)
    return Service("gateway", command, port, "/healthz", {"POOL_URL": pool})


def teacher_server(port: int) -> Service:
    """The simulated large model of the sample agent."""
    return Service("teacher", python("examples.teacher", "--port", str(port)), port, "/v1/models")
