"""The embedded stack: Prefect, MLflow, pool and gateway as processes on this machine.

On a cluster the same programs run as containers (see infra/); nothing else uses this module.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
from filelock import FileLock, Timeout

from flows.cli.credentials import MLFLOW_AUTH, MLFLOW_USERS, USER, credentials
from flows.cli.processes import Service
from serving.no_proxy import direct
from tasks.core.stage import Refused, own_cores, private

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
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
}
_PORTS = iter(random.sample(range(20_000, 32_000), 1_000))  # none is given twice


def prepare(home: Path) -> None:
    """Set what the processes of a home are to know and is not set yet."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("PREFECT_HOME", str(home / "prefect"))
    os.environ.update(direct(os.environ))


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
    try:
        private(home)
        held = FileLock(home.parent / f".{home.name}.lock").acquire(timeout=0)
    except Timeout:
        raise Refused(f"{home} is in use by a running flywheel; choose another --home") from None
    except OSError as error:
        raise Refused(f"{home} cannot be used as a home: {error.strerror}") from None
    with held:
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
        with suppress(FileNotFoundError):  # it has ended in this moment
            return msgspec.json.decode(file.read_bytes(), type=dict[str, str])
        return {}


def python(module: str, *args: str) -> list[str]:
    """The command that runs a module with this interpreter."""
    return [sys.executable, "-m", module, *args]


def prefect_server(home: Path, port: int) -> Service:
    """Prefect's API and UI on SQLite, for who has the home's credentials; no other page may ask."""
    pages = [f"http://{host}:{port}" for host in ("127.0.0.1", "localhost")]
    return Service(
        "prefect",
        python("prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)),
        port,
        "/api/health",
        {
            "PREFECT_HOME": str(home / "prefect"),
            "PREFECT_UI_API_URL": f"{pages[0]}/api",
            "PREFECT_SERVER_API_AUTH_STRING": f"{USER}:{credentials(home).password}",
            "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": ",".join(pages),
        },
    )


def mlflow_server(home: Path, port: int) -> Service:
    """MLflow's server, registry and UI on SQLite and local artifacts, for the same people."""
    own, settings = credentials(home), home / "mlflow-auth.ini"
    settings.write_text(MLFLOW_AUTH.format(users=home / MLFLOW_USERS))
    command = python(
        *("mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", f"sqlite:///{home / 'mlflow.db'}"),
        *("--artifacts-destination", str(home / "mlartifacts")),
        *("--app-name", "basic-auth", "--allowed-hosts", f"127.0.0.1:{port},localhost:{port}"),
    )
    env = {
        "MLFLOW_AUTH_CONFIG_PATH": str(settings),
        "MLFLOW_AUTH_ADMIN_USERNAME": USER,
        "MLFLOW_AUTH_ADMIN_PASSWORD": own.password,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": own.form_key,
    }
    return Service("mlflow", command, port, env=env)


def pool_server(home: Path, port: int, base: str) -> Service:
    """The embedded engine, on adapters below `home/adapters` and half of the cores."""
    adapters = home / "adapters"
    adapters.mkdir(parents=True, exist_ok=True)
    command = python(
        *("serving.engine", "--base", base, "--adapters", str(adapters), "--port", str(port)),
        *("--threads", str(max(1, own_cores() // 2))),
    )
    return Service("pool", command, port, env={"POOL_TOKEN": credentials(home).pool_token})


def gateway_server(home: Path, port: int, pool: str, *flags: str) -> Service:
    """The gateway that agents call; the teacher comes from the environment."""
    command = python("serving.gateway", "--home", str(home), "--port", str(port), *flags)
    env = {"POOL_URL": pool, "POOL_TOKEN": credentials(home).pool_token}
    return Service("gateway", command, port, "/healthz", env)


def runner(home: Path, port: int) -> Service:
    """Return what runs nights and promotions when they are due; it prints what they say."""
    command = python("flows.schedule", str(home), str(port))
    # A night that is killed begins again when the stack is back; one that is cancelled does not.
    return Service("runner", command, port, stop=signal.SIGKILL, shown=True)


def teacher_server(port: int, *flags: str) -> Service:
    """The simulated large model of the sample agent."""
    command = python("examples.teacher", "--port", str(port), *flags)
    return Service("teacher", command, port, "/v1/models")
