"""The containers' commands in their roles: a night and promotions that are due go through them all.

Postgres (of the system), an S3 server, MLflow, Prefect with a worker, pool and gateway, each the
command and the files of its image, as uid 10001 with a read-only root where we are root.
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
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psutil
import pytest
import yaml
from roles import ROOT, USER, Image, as_user, running, wait_for
from unattended import YESTERDAY, calls, params, runs, scheduled, until

from flows.cli.stack import free_port
from serving.reconcile import routes

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]
PASSWORD = "p@ss/w:rd%41#?"
KINDS = ("route", "triage")
AUTH = "flywheel", PASSWORD
COMMON = ("POOL_TOKEN", "POOL_URL", "FLYWHEEL_PARAMS", "MLFLOW_TRACKING_URI", "PREFECT_API_URL",
          "TEACHER_BASE_URL")  # fmt: skip
WORKERS = {
    "PREFECT_API_AUTH_STRING": f"flywheel:{PASSWORD}",
    "MLFLOW_TRACKING_USERNAME": "flywheel",
    "MLFLOW_TRACKING_PASSWORD": PASSWORD,
    "FLYWHEEL_PII_KEY": "surrogates",
}


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder that the containers' user may enter, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="roles-"))
    folder.chmod(0o755)
    (folder / "home" / "adapters").mkdir(parents=True)
    (folder / "tmp").mkdir()
    log = folder / "yesterday.jsonl"
    log.write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in calls(300, *KINDS)))
    params(folder, log, nightly="*/2 * * * *", promote=20)
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
    settings = {"/mlflow-auth.ini": str(place / "mlflow" / "mlflow-auth.ini")}
    mlflow = Image("mlflow", place, {"5000": ports["mlflow"], **settings})
    prefect = Image("prefect", place, {"4200": ports["prefect"], "/prefect": str(place / "leases")})
    pool = Image("pool", place, {**home, "8000": ports["pool"]})
    gateway = Image("gateway", place, {**home, "8080": ports["gateway"]})
    worker = Image("worker", place, home)
    for image in (mlflow, prefect, pool, gateway, worker):
        image.unpack()
    users = {"/tmp": str(place / "tmp")}
    for file, instead in (
        (worker.files / "infra" / "prefect.yaml", home),
        (mlflow.files / "mlflow-auth.ini", users),
    ):
        ((old, new),) = instead.items()
        file.write_text(file.read_text().replace(old, new))
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
            MLFLOW_AUTH_ADMIN_USERNAME="flywheel", MLFLOW_AUTH_ADMIN_PASSWORD=PASSWORD,
            MLFLOW_FLASK_SERVER_SECRET_KEY="forms",
            MLFLOW_BACKEND_STORE_URI=f"postgresql+psycopg2://{sql}/mlflow",
        ))  # fmt: skip
        start(prefect.running(
            at["prefect"] + "/api/health", **stores,
            PREFECT_SERVER_API_AUTH_STRING=WORKERS["PREFECT_API_AUTH_STRING"],
            PREFECT_API_DATABASE_CONNECTION_URL=f"postgresql+asyncpg://{sql}/prefect",
        ))  # fmt: skip
        start(pool.running(at["pool"] + "/health", **common))
        start(
            gateway.running(
                at["gateway"] + "/healthz", **common, GATEWAY_WALLED="1", JOURNAL_WRITER="gateway-a"
            )
        )
        start(worker.running(**common, **WORKERS))
        yield {**at, **common}


def deployment(stack: dict[str, str], name: str) -> str:
    """The address of a deployment in Prefect's API, by its name."""
    api = stack["PREFECT_API_URL"]
    found = httpx.get(f"{api}/deployments/name/{name}/{name}", auth=AUTH).raise_for_status().json()
    return f"{api}/deployments/{found['id']}"


def pause(url: str, change: dict[str, bool]) -> None:
    """What Prefect's UI sends when a person switches something off or on."""
    httpx.patch(url, json=change, auth=AUTH).raise_for_status()


def of_mlflow(stack: dict[str, str], method: str, path: str, body: dict[str, str]) -> Any:
    """What MLflow's API answers."""
    url = f"{stack['mlflow']}/api/2.0/mlflow/{path}"
    asked = {"params": body} if method == "GET" else {"json": body}
    return httpx.request(method, url, auth=AUTH, **asked).raise_for_status().json()  # type: ignore[arg-type]


def served(place: Path) -> dict[str, str]:
    """The version that serves each task, as the gateway reads it."""
    return {r["task"]["id"]: str(r["version"]) for r in routes(place / "home")}


@pytest.fixture(scope="module")
def night(place: Path, stack: dict[str, str]) -> dict[str, Any]:
    """The first night that the scheduler began, at its end; what comes later is paused."""
    api = stack["PREFECT_API_URL"]

    def ended() -> list[dict[str, Any]]:
        states = [run["state_type"] for run in runs(api, "nightly", AUTH)]
        assert not {"FAILED", "CRASHED"} & set(states), (place / "worker.log").read_text()[-3000:]
        return scheduled(runs(api, "nightly", AUTH), "COMPLETED")

    first = until(ended, 600)[0]
    pause(deployment(stack, "nightly"), {"paused": True})
    return first


def test_a_scheduled_night_registers_and_scheduled_promotions_follow(
    place: Path, stack: dict[str, str], night: dict[str, Any]
) -> None:
    """On Postgres, through the work pool: nobody begins the night, nor the promotions after it.

    The night's students are champions in MLflow and loaded in the pool. Then a person takes the
    alias from one and gives it back, and promotions that the scheduler began do what that says.
    """
    assert night["work_pool_name"] == "flywheel"
    judged = place / "home" / "nights" / str(YESTERDAY) / "judge.json"
    with suppress(AssertionError):  # a busy machine: the next promotion does it
        until(lambda: served(place), 120)
    assert served(place), judged.read_text() + (place / "worker.log").read_text()[-6000:]
    (task, number), *_ = sorted(served(place).items())
    named = {"name": task, "version": number}
    version = of_mlflow(stack, "GET", "model-versions/get", named)["model_version"]
    tags = {tag["key"]: tag["value"] for tag in version["tags"]}
    assert tags["night"] == str(YESTERDAY)
    listed = {model["id"] for model in loaded(stack)}
    assert {route["adapter"] for route in routes(place / "home")} <= listed
    alias, end = "registered-models/alias", datetime.now(UTC).isoformat()
    of_mlflow(stack, "DELETE", alias, {"name": task, "alias": "champion"})
    until(lambda: task not in served(place), 180)
    of_mlflow(stack, "POST", alias, {**named, "alias": "champion"})
    until(lambda: served(place).get(task) == number, 180)
    every = runs(stack["PREFECT_API_URL"], "promote", AUTH)
    assert all(run["auto_scheduled"] for run in every)
    assert [run for run in scheduled(every, "COMPLETED") if run["start_time"] > end]
    assert list((place / "leases").rglob("concurrency_leases"))


def test_calls_are_answered_by_the_nights_students(
    place: Path, stack: dict[str, str], night: dict[str, Any]
) -> None:
    """The gateway writes its own journal, as the containers' user."""
    words = [sys.executable, "-m", "examples.agent", "--base-url", stack["gateway"] + "/v1"]
    subprocess.run([*words, "--calls", "100"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    (journal,) = (place / "home" / "journal").glob("*.jsonl")
    assert journal.name.endswith(".gateway-a.jsonl")
    assert not as_user() or journal.stat().st_uid == USER
    by = {msgspec.json.decode(line)["answered_by"] for line in journal.read_bytes().splitlines()}
    assert by - {"teacher"} <= {route["adapter"] for route in routes(place / "home")}
    assert len(by) > 1


def loaded(stack: dict[str, str]) -> list[dict[str, Any]]:
    """What the pool lists to one who has the token."""
    bearer = {"authorization": f"Bearer {stack['POOL_TOKEN']}"}
    found: list[dict[str, Any]] = httpx.get(stack["pool"] + "/v1/models", headers=bearer).json()[
        "data"
    ]
    return found


def test_the_artifacts_are_in_the_bucket(
    stack: dict[str, str], bucket: dict[str, str], night: dict[str, Any]
) -> None:
    """MLflow hands them through: no other container has the bucket's keys."""
    listed = httpx.get(bucket["MLFLOW_S3_ENDPOINT_URL"] + "/mlflow").text
    assert "adapter_model.safetensors" in listed


def test_a_night_whose_machine_is_lost_gives_its_slot_back(
    place: Path, stack: dict[str, str], night: dict[str, Any]
) -> None:
    """The worker and all that it runs are killed: the run has crashed, and the next one begins."""
    nightly = deployment(stack, "nightly")
    pause(nightly, {"paused": False})

    def begin() -> str:
        body = {"parameters": {"day": str(YESTERDAY - timedelta(days=1))}}
        return str(httpx.post(f"{nightly}/create_flow_run", json=body, auth=AUTH).json()["id"])

    def state(run: str) -> str:
        found = httpx.get(f"{stack['PREFECT_API_URL']}/flow_runs/{run}", auth=AUTH)
        found.raise_for_status()
        return str(found.json()["state_type"])

    lost = begin()
    until(lambda: state(lost) == "RUNNING")
    for process in processes_of(place / "worker"):
        process.kill()
    waiting = begin()
    again = Image("worker", place, {"/flywheel": str(place / "home")})
    with again.running(**{name: stack[name] for name in COMMON}, **WORKERS):
        until(lambda: state(lost) == "CRASHED", 150)
        until(lambda: state(waiting) not in ("SCHEDULED", "PENDING"), 150)
    pause(nightly, {"paused": True})


def processes_of(folder: Path) -> list[psutil.Process]:
    """A container's processes: the one that runs in its folder, and all that this has started."""
    (first,) = (p for p in psutil.process_iter(["cwd"]) if p.info["cwd"] == str(folder))
    return [*first.children(recursive=True), first]


def test_what_is_paused_survives_the_workers_next_start(
    place: Path, stack: dict[str, str], night: dict[str, Any]
) -> None:
    """Deployments are registered each time; what a person paused stays so."""
    api = stack["PREFECT_API_URL"]
    pause(f"{api}/work_pools/flywheel", {"is_paused": True})
    files = place / "worker"
    words = [sys.executable, "-m", "flows.deploy", "infra/prefect.yaml"]
    env = {**os.environ, **stack, **WORKERS, "PYTHONPATH": str(files)}
    subprocess.run(words, cwd=files, check=True, env=env)
    assert httpx.get(deployment(stack, "nightly"), auth=AUTH).json()["paused"]
    assert not httpx.get(deployment(stack, "promote"), auth=AUTH).json()["paused"]
    assert httpx.get(f"{api}/work_pools/flywheel", auth=AUTH).json()["is_paused"]


def test_who_asks_for_another_host_or_without_a_token_is_refused(stack: dict[str, str]) -> None:
    """MLflow answers to the names it is given; it, Prefect and the pool to who has the secret."""
    health = stack["mlflow"] + "/api/2.0/mlflow/experiments/search?max_results=1"
    for host, status in (("mlflow:5000", 200), ("localhost:5000", 200), ("evil.example", 403)):
        assert httpx.get(health, headers={"host": host}, auth=AUTH).status_code == status
    for auth in (None, ("flywheel", "guessed")):
        assert httpx.get(health, auth=auth).status_code == 401
        flows = httpx.post(stack["PREFECT_API_URL"] + "/flows/filter", json={}, auth=auth)
        assert flows.status_code == 401
    page = {"accept": "text/html", "origin": "http://evil.example"}
    opened = httpx.get(stack["prefect"], headers=page, follow_redirects=True)
    assert "<html" in opened.text  # the UI is there, and asks
    assert "access-control-allow-origin" not in opened.headers
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
        image.running(url + "/healthz", TEACHER_BASE_URL=teacher, GATEWAY_WALLED="1") as process,
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
