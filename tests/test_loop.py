"""The whole loop, every service real: traffic, a night, promotion, roll-back by the alias."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import yaml

from flows.cli import processes
from flows.cli import stack as local
from flows.cli.credentials import BELONGS, USER, credentials
from registry import bundle
from registry.gate import Verdict
from registry.store import Store, Version
from serving.reconcile import routes
from tasks.core import stage
from tasks.core.certificate import load_certificate
from tasks.core.params import load
from tasks.core.task import load_one
from tasks.deidentify.deidentify import load_key
from tasks.evaluate.evaluate import evaluate
from tasks.train.train import train

pytestmark = pytest.mark.soak
ROOT = Path(__file__).parents[1]
DAY = "2026-03-02"
CALLS = 800


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which `flywheel run` sent two short days with a quick, lenient night between."""
    folder = tmp_path_factory.mktemp("loop")
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["train"]["tokens"] = 8_000
    params["dataset"]["min_rows"] = 90  # the four largest tasks learn
    params["calibrate"] |= {"alpha": 0.5, "delta": 0.3}
    params["judge"]["min_coverage"] = 0.01
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    os.environ["FLYWHEEL_PARAMS"] = str(folder / "params.yaml")
    command = [sys.executable, "-m", "flows.cli", "run", "--calls", str(CALLS), "--days", "2"]
    run = subprocess.run(
        [*command, "--home", str(folder / "home")], cwd=ROOT, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    print(run.stdout)
    return folder / "home"


@pytest.fixture(scope="module")
def stack(home: Path) -> Iterator[dict[str, str]]:
    """Teacher, pool, gateway, MLflow and Prefect on the home that the run left behind."""
    teacher = local.teacher_server(local.free_port())
    pool = local.pool_server(home, local.free_port(), "bundled")
    os.environ.update(local.QUIET | credentials(home).clients, TEACHER_BASE_URL=teacher.url + "/v1")
    services = [
        teacher,
        pool,
        local.gateway_server(home, local.free_port(), pool.url),
        local.mlflow_server(home, local.free_port()),
        local.prefect_server(home, local.free_port()),
    ]
    with processes.running(services, home):
        yield {service.name: service.url for service in services}


def promote(home: Path, stack: dict[str, str]) -> None:
    """Run `flywheel promote`, as the deployment does every few minutes."""
    addresses = {
        "MLFLOW_TRACKING_URI": stack["mlflow"],
        "POOL_URL": stack["pool"],
        "PREFECT_API_URL": stack["prefect"] + "/api",
        **credentials(home).clients,
    }
    command = [sys.executable, "-m", "flows.cli", "promote", "--home", str(home)]
    subprocess.run(command, cwd=ROOT, env={**os.environ, **addresses}, check=True, timeout=120)


def of_prefect(home: Path, stack: dict[str, str], path: str, body: dict[str, Any]) -> Any:
    """What Prefect's API finds."""
    auth = USER, credentials(home).password
    found = httpx.post(f"{stack['prefect']}/api/{path}/filter", json=body, auth=auth)
    return found.raise_for_status().json()


def set_alias(home: Path, stack: dict[str, str], name: str, number: int) -> None:
    """What the MLflow UI sends when a person moves the alias `champion`."""
    body = {"name": name, "alias": "champion", "version": str(number)}
    path = "/api/2.0/mlflow/registered-models/alias"
    auth = USER, credentials(home).password
    httpx.post(stack["mlflow"] + path, json=body, auth=auth).raise_for_status()


def test_nothing_vanishes_on_the_way(home: Path) -> None:
    """Each hop takes in what the one before it kept, and the night kept every journal line."""
    night = home / "nights" / DAY
    ingest, validate, clean = (
        stage.counts(night / hop) for hop in ("ingest", "validate", "deidentify")
    )
    assert ingest
    assert validate
    assert clean
    assert ingest.read == len((home / "journal" / f"{DAY}.jsonl").read_text().splitlines())
    assert ingest.read >= CALLS
    assert validate.read == ingest.kept
    assert clean.read == validate.kept


def test_students_took_calls_over(home: Path) -> None:
    """On the second day some calls are answered by students, none of the complaints is."""
    lines = (home / "journal" / "2026-03-03.jsonl").read_text().splitlines()
    calls = [msgspec.json.decode(line) for line in lines]
    served = [call for call in calls if call["answered_by"] != "teacher"]
    assert served
    assert not [c for c in served if "letters that customers send" in str(c["request"])]
    assert (home / "report.html").exists()


def test_prefect_shows_a_sub_flow_per_task(home: Path, stack: dict[str, str]) -> None:
    """The nightly run is there, with one run of `student` for each task of that night."""
    body = {"flows": {"name": {"any_": ["student"]}}}
    runs = of_prefect(home, stack, "flow_runs", body)
    tasks = {p.parent.name for p in (home / "nights" / DAY / "dataset").glob("*/train.parquet")}
    assert {run["name"].split(" · ")[0] for run in runs} == tasks
    assert all(run["state_type"] == "COMPLETED" for run in runs)


def test_prefect_shows_how_far_trainings_are(home: Path, stack: dict[str, str]) -> None:
    """Each training has a progress artifact, full at the end; those with steps tell their loss."""
    body = {"artifacts": {"type": {"any_": ["progress"]}}}
    found = of_prefect(home, stack, "artifacts", body)
    assert found
    assert {float(one["data"]) for one in found} == {100.0}
    assert all("loss" in f["description"] or ", linear" in f["description"] for f in found)
    assert any("loss" in one["description"] for one in found)


def second_version(home: Path, stack: dict[str, str], route: dict[str, Any]) -> Version:
    """Train the served task again with another seed; the first one's certificate will do."""
    night, store = home / "nights" / DAY, Store(stack["mlflow"], load_key(home))
    task = load_one(night / "dataset" / route["task"]["id"])
    params = msgspec.structs.replace(load().train, tokens=8_000, seed=5)
    with stage.fresh(home / "again") as folder:
        train(night / "dataset" / task.id, folder, params, rung=route["kind"])
    with stage.fresh(home / "measured") as folder:
        evaluate(night / "dataset" / task.id, home / "again", folder, load().evaluate)
    lineage = bundle.Lineage(night=DAY, dataset="none", seed=5)
    packed = bundle.pack(
        home / "bundle",
        dataset=night / "dataset" / task.id,
        trained=home / "again",
        evaluated=home / "measured",
        calibrated=home / "adapters" / store.version(task.id, route["version"]).bundle,
        lineage=lineage,
    )
    first = load_certificate(packed / "certificate.json")
    assert not isinstance(first, str)
    card = bundle.scorecard(packed)
    proof = dataclasses.replace(first, adapter_digest=card.adapter_digest)
    (packed / "certificate.json").write_bytes(msgspec.json.encode(proof))
    return store.register(task, packed, card, proof, Verdict(True, "Another seed."), lineage)


def recorded(home: Path, name: str) -> list[dict[str, object]]:
    """The second day's requests of a task; none where it got its student after them."""
    lines = (home / "journal" / "2026-03-03.jsonl").read_text().splitlines()
    return [c["request"] for c in map(msgspec.json.decode, lines) if c["task"] == name]


def asked(home: Path, stack: dict[str, str], name: str) -> set[str]:
    """The adapters that answer when calls of a task are sent again."""
    requests = recorded(home, name)
    replies = [
        httpx.post(stack["gateway"] + "/v1/chat/completions", json=request, timeout=30)
        for request in requests[:40]
    ]
    return {reply.headers.get("x-flywheel-adapter", "") for reply in replies}


def test_moving_the_alias_changes_who_answers(home: Path, stack: dict[str, str]) -> None:
    """The registry is the truth: champion to v2 and back to v1, and the gateway follows."""
    route = max(routes(home), key=lambda r: r["certificate"]["coverage"])
    name, first = route["task"]["id"], route["version"]
    second = second_version(home, stack, route)
    bearer = {"authorization": f"Bearer {credentials(home).pool_token}"}
    for number in (second.number, first):
        set_alias(home, stack, name, number)
        promote(home, stack)
        serving = {r["task"]["id"]: r["version"] for r in routes(home)}
        assert serving[name] == number
        listed = httpx.get(stack["pool"] + "/v1/models", headers=bearer)
        names = {m["id"] for m in listed.json()["data"]}
        assert any(model.startswith(f"{name}-v{number}-") for model in names)
        assert any(a.startswith(f"{name}-v{number}-") for a in asked(home, stack, name))


def elsewhere() -> dict[str, str]:
    """The environment without the addresses of services."""
    ours = {"TEACHER_BASE_URL", *BELONGS, *chain(*BELONGS.values())}
    return {name: value for name, value in os.environ.items() if name not in ours}


def test_commands_reach_the_registry_without_the_services(home: Path) -> None:
    """`flywheel` starts what it needs where nothing runs: a champion's lost bundle comes back."""
    serving = routes(home)[0]
    name = f"{serving['task']['id']}-v{serving['version']}-"
    lost = next(path for path in (home / "adapters").iterdir() if path.name.startswith(name))
    shutil.rmtree(lost)
    service = local.pool_server(home, local.free_port(), "bundled")
    with processes.running([service], home):
        command = [sys.executable, "-m", "flows.cli", "promote", "--home", str(home)]
        env = elsewhere() | {"POOL_URL": service.url, "POOL_TOKEN": service.env["POOL_TOKEN"]}
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (lost / "adapter").exists()


def test_up_serves_at_once_until_down(home: Path) -> None:
    """`flywheel up` says where everything is once the champions answer; `down` ends it."""
    free = [part for name in ("gateway", "mlflow", "prefect") for part in (f"--{name}-port", "0")]
    command = [sys.executable, "-m", "flows.cli", "up", "--home", str(home), *free]
    served = subprocess.Popen(command, cwd=ROOT, env=elsewhere(), stdout=subprocess.PIPE, text=True)
    try:
        assert served.stdout
        said = ""
        while "Ctrl-C" not in said and (line := served.stdout.readline()):
            said += line
        names = [route["task"]["id"] for route in routes(home)]
        assert f"pool serves {len(names)}" in said
        gateway = re.search(r"gateway\s+(\S+)/v1", said)
        assert gateway
        busiest = max(names, key=lambda name: len(recorded(home, name)))
        assert any(asked(home, {"gateway": gateway[1]}, busiest))
        down = [sys.executable, "-m", "flows.cli", "down", "--home", str(home)]
        subprocess.run(down, cwd=ROOT, check=True, timeout=60)
        assert served.wait(60) in (0, 130)
    finally:
        served.terminate()
        served.communicate(timeout=60)
    assert local.stack(home) == {}
