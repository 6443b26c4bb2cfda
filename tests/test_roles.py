"""The containers' commands in their roles: a night and a promotion go through all of them.

Postgres (of the system), an S3 server, MLflow, Prefect with a worker, pool and gateway, each the
command and the files of its image, as uid 10001 where we are root.
"""

from __future__ import annotations

import glob
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import yaml
from roles import ROOT, USER, Image, as_user, running, wait_for

from flows.cli.stack import free_port

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]
PASSWORD = "p@ss/w:rd%41#?"
CALLS = "400"


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder that the containers' user may enter, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="roles-"))
    folder.chmod(0o755)
    (folder / "home" / "adapters").mkdir(parents=True)
    (folder / "tmp").mkdir()
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["train"] |= {"rungs": ["linear"], "tokens": 30_000}
    params["dataset"]["min_rows"] = 40
    params["calibrate"] |= {"alpha": 0.5, "delta": 0.3}
    params["judge"]["min_coverage"] = 0.01
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    own(folder)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def own(folder: Path, user: int = USER) -> None:
    """Give a folder to a user, the containers', as the init containers do."""
    if as_user(user):
        for path in (folder, *folder.rglob("*")):
            os.chown(path, user, user)


@pytest.fixture(scope="module")
def postgres(place: Path) -> Iterator[str]:
    """The port of a Postgres that asks for a password, with the two databases."""
    debian = glob.glob("/usr/lib/postgresql/*/bin/initdb")
    found = shutil.which("initdb") or (max(debian) if debian else None)
    if found is None:
        pytest.skip("Postgres is not installed (Debian: apt-get install postgresql)")
    users = {one.pw_name: one.pw_uid for one in pwd.getpwall()}
    user = os.geteuid() or users.get("postgres", 0)
    if not user or not (os.geteuid() or as_user(user)):
        pytest.skip("Postgres does not run as root, and there is no other user to run it as")
    import psycopg2

    tools, port, data = Path(found).resolve().parent, str(free_port()), place / "postgres"
    data.mkdir()
    own(data, user)
    (place / "password").write_text(PASSWORD)
    made = [str(tools / "initdb"), "-D", str(data), "-U", "flywheel", "-A", "scram-sha-256"]
    subprocess.run([*as_user(user), *made, f"--pwfile={place / 'password'}"], check=True,
                   cwd=data, stdout=subprocess.DEVNULL)  # fmt: skip
    server = [str(tools / "postgres"), "-D", str(data), "-p", port, "-k", str(data)]

    def connected() -> bool:
        try:
            link = psycopg2.connect(
                host="127.0.0.1", port=port, user="flywheel", password=PASSWORD, dbname="postgres"
            )
        except psycopg2.OperationalError:
            return False
        link.autocommit = True
        for name in ("mlflow", "prefect"):
            link.cursor().execute(f"CREATE DATABASE {name}")
        link.close()
        return True

    with running("postgres", [*server, "-c", "fsync=off"], place, {}, user=user):
        wait_for("the start of Postgres", connected)
        yield port


@pytest.fixture(scope="module")
def bucket(place: Path) -> Iterator[dict[str, str]]:
    """An S3 server with the bucket `mlflow`, as MLflow's container is told of it."""
    import boto3

    port = free_port()
    env = {
        "MLFLOW_ARTIFACTS_DESTINATION": "s3://mlflow/artifacts",
        "MLFLOW_S3_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "flywheel",
        "AWS_SECRET_ACCESS_KEY": PASSWORD,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    words = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with running("s3", words, place, env):
        url = env["MLFLOW_S3_ENDPOINT_URL"]
        wait_for("the start of the S3 server", lambda: httpx.get(url).status_code == 200)
        boto3.client(
            "s3", endpoint_url=url, region_name="us-east-1",
            aws_access_key_id="flywheel", aws_secret_access_key=PASSWORD,
        ).create_bucket(Bucket="mlflow")  # fmt: skip
        yield env


@pytest.fixture(scope="module")
def stack(place: Path, postgres: str, bucket: dict[str, str]) -> Iterator[dict[str, str]]:
    """The addresses of MLflow, Prefect, pool, gateway and teacher, and a worker beside them."""
    ports = {name: str(free_port()) for name in ("mlflow", "prefect", "pool", "gateway", "teacher")}
    at = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    compose = yaml.safe_load((ROOT / "infra" / "compose.yaml").read_text())["services"]
    hosts = compose["mlflow"]["environment"]["MLFLOW_SERVER_ALLOWED_HOSTS"].partition(",${")[0]
    common = {
        "POOL_TOKEN": "t/o:k@n%",
        "POOL_URL": at["pool"],
        "FLYWHEEL_PARAMS": str(place / "params.yaml"),
        "MLFLOW_TRACKING_URI": at["mlflow"],
        "PREFECT_API_URL": at["prefect"] + "/api",
        "TEACHER_BASE_URL": at["teacher"] + "/v1",
    }
    home = {"/flywheel": str(place / "home")}
    mlflow = Image("mlflow", place, {"5000": ports["mlflow"]})
    prefect = Image("prefect", place, {"4200": ports["prefect"], "/prefect": str(place / "leases")})
    pool = Image("pool", place, {**home, "8000": ports["pool"]})
    gateway = Image("gateway", place, {**home, "8080": ports["gateway"]})
    worker = Image("worker", place, home)
    for image in (mlflow, prefect, pool, gateway, worker):
        image.unpack()
    deployments = worker.files / "infra" / "prefect.yaml"
    text = deployments.read_text()
    for old, new in home.items():
        text = text.replace(old, new)
    deployments.write_text(text)
    (place / "leases").mkdir()
    own(place / "leases")
    stores = {"PGPASSWORD": PASSWORD}
    sql = f"flywheel@127.0.0.1:{postgres}"
    with ExitStack() as all_of:
        start = all_of.enter_context
        teacher = [sys.executable, "-m", "examples.teacher", "--port", ports["teacher"]]
        start(running("teacher", [*teacher, "--latency", "0"], place, {}, cwd=ROOT))
        start(mlflow.running(
            at["mlflow"] + "/health", **stores, **bucket, MLFLOW_SERVER_ALLOWED_HOSTS=hosts,
            MLFLOW_BACKEND_STORE_URI=f"postgresql+psycopg2://{sql}/mlflow",
        ))  # fmt: skip
        start(prefect.running(
            at["prefect"] + "/api/health", **stores,
            PREFECT_API_DATABASE_CONNECTION_URL=f"postgresql+asyncpg://{sql}/prefect",
        ))  # fmt: skip
        start(pool.running(at["pool"] + "/health", **common))
        start(gateway.running(at["gateway"] + "/healthz", **common, JOURNAL_WRITER="gateway-a"))
        start(worker.running(**common, FLYWHEEL_PII_KEY="surrogates"))
        yield {**at, **common}


def runs(stack: dict[str, str], name: str, **wanted: Any) -> list[dict[str, Any]]:
    """The flow runs of a deployment, with these fields."""
    body = {"deployments": {"name": {"any_": [name]}}}
    found = httpx.post(stack["PREFECT_API_URL"] + "/flow_runs/filter", json=body).json()
    return [one for one in found if wanted.items() <= one.items()]


def test_a_night_and_a_promotion_go_through_the_containers(
    place: Path, stack: dict[str, str]
) -> None:
    """Calls, a night that the worker runs, a version in Postgres and S3, an answer of a student.

    The scheduler on Postgres plans promotions, too, and one of them runs unasked.
    """
    api = stack["PREFECT_API_URL"]
    words = [sys.executable, "-m", "examples.agent", "--base-url", stack["gateway"] + "/v1"]
    subprocess.run([*words, "--calls", CALLS], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    (journal,) = (place / "home" / "journal").glob("*.jsonl")
    assert journal.name.endswith(".gateway-a.jsonl")
    assert not as_user() or journal.stat().st_uid == USER
    wait_for("the deployment", lambda: httpx.get(api + NIGHTLY).status_code == 200)
    deployment = httpx.get(api + NIGHTLY).json()["id"]
    body = {"parameters": {"day": datetime.now(UTC).date().isoformat()}}
    made = httpx.post(f"{api}/deployments/{deployment}/create_flow_run", json=body).json()["id"]

    def state() -> str:
        return str(httpx.get(f"{api}/flow_runs/{made}").json()["state_type"])

    wait_for("the end of the night", lambda: state() in ("COMPLETED", "FAILED", "CRASHED"))
    assert state() == "COMPLETED", (place / "worker.log").read_text()[-3000:]
    routes = msgspec.json.decode((place / "home" / "routes.json").read_bytes())["routes"]
    assert routes
    name, number = routes[0]["task"]["id"], str(routes[0]["version"])
    version = httpx.get(
        stack["mlflow"] + "/api/2.0/mlflow/model-versions/get",
        params={"name": name, "version": number},
    ).json()["model_version"]
    assert version["current_stage"] is not None
    listed = {model["id"] for model in loaded(stack)}
    assert {route["adapter"] for route in routes} <= listed
    wait_for("a promotion", lambda: bool(runs(stack, "promote", state_type="COMPLETED",
                                              auto_scheduled=True)))  # fmt: skip
    assert list((place / "leases").rglob("concurrency_leases"))


NIGHTLY = "/deployments/name/nightly/nightly"


def loaded(stack: dict[str, str]) -> list[dict[str, Any]]:
    """What the pool lists to one who has the token."""
    bearer = {"authorization": f"Bearer {stack['POOL_TOKEN']}"}
    found: list[dict[str, Any]] = httpx.get(stack["pool"] + "/v1/models", headers=bearer).json()[
        "data"
    ]
    return found


def test_the_artifacts_are_in_the_bucket(stack: dict[str, str], bucket: dict[str, str]) -> None:
    """MLflow hands them through: no other container has the bucket's keys."""
    listed = httpx.get(bucket["MLFLOW_S3_ENDPOINT_URL"] + "/mlflow").text
    assert "adapter_model.safetensors" in listed


def test_what_is_paused_survives_the_workers_next_start(place: Path, stack: dict[str, str]) -> None:
    """Deployments are registered each time; what a person paused stays so."""
    api = stack["PREFECT_API_URL"]
    deployment = httpx.get(api + NIGHTLY).json()["id"]
    httpx.patch(f"{api}/deployments/{deployment}", json={"paused": True}).raise_for_status()
    httpx.patch(f"{api}/work_pools/flywheel", json={"is_paused": True}).raise_for_status()
    files = place / "worker"
    words = [sys.executable, "-m", "flows.deploy", "infra/prefect.yaml"]
    env = {**os.environ, **stack, "PYTHONPATH": str(files)}
    subprocess.run(words, cwd=files, check=True, env=env)
    assert httpx.get(api + NIGHTLY).json()["paused"]
    assert httpx.get(f"{api}/work_pools/flywheel").json()["is_paused"]


def test_who_asks_for_another_host_or_without_a_token_is_refused(stack: dict[str, str]) -> None:
    """MLflow answers to the names it is given, the pool to those who have its token."""
    health = stack["mlflow"] + "/api/2.0/mlflow/experiments/search?max_results=1"
    for host, status in (("mlflow:5000", 200), ("localhost:5000", 200), ("evil.example", 403)):
        assert httpx.get(health, headers={"host": host}).status_code == status
    assert httpx.get(stack["pool"] + "/v1/models").status_code == 401


class Slow(BaseHTTPRequestHandler):
    """A teacher that begins a stream and goes silent."""

    def do_POST(self) -> None:
        """Say a little, and wait until the client leaves."""
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        self.wfile.write(b'data: {"choices": [{"index": 0, "delta": {"content": "Hel"}}]}\n\n')
        self.wfile.flush()
        threading.Event().wait(60)

    def log_message(self, format: str, *_: Any) -> None:
        """Say nothing."""


def test_a_stream_that_a_roll_out_cuts_is_in_the_journal(place: Path) -> None:
    """A gateway that is told to end gives calls its seconds; one that takes longer is on record."""
    upstream = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    upstream.daemon_threads = True
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    port, home = str(free_port()), place / "cut"
    home.mkdir()
    own(home)
    image = Image("gateway", place, {"/flywheel": str(home), "8080": port, "50": "1"})
    teacher = f"http://127.0.0.1:{upstream.server_port}/v1"
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    url = f"http://127.0.0.1:{port}"
    with (
        image.running(url + "/healthz", TEACHER_BASE_URL=teacher) as process,
        httpx.stream("POST", url + "/v1/chat/completions", json=body, timeout=30) as reply,
    ):
        first = next(reply.iter_bytes())
        assert b"Hel" in first
        process.send_signal(signal.SIGTERM)
        process.wait(20)
    upstream.shutdown()
    (journal,) = (home / "journal").glob("*.jsonl")
    (line,) = [msgspec.json.decode(line) for line in journal.read_bytes().splitlines()]
    assert line["error"]
