"""`flywheel up` with nobody at the keyboard, behind a proxy that leads nowhere; all real."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import msgspec
import psutil
import pytest
from unattended import YESTERDAY, Up, calls, flywheel, params, scheduled, until, up

from flows.cli import processes
from flows.cli.credentials import credentials
from serving.reconcile import routes

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]
PROXY = {"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}
KINDS = ("route", "triage")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with yesterday's calls and params whose schedules are short."""
    folder = tmp_path_factory.mktemp("unattended")
    lines = [msgspec.json.encode(call) + b"\n" for call in calls(300, *KINDS)]
    (folder / "log.jsonl").write_bytes(b"".join(lines))
    params(folder, folder / "log.jsonl", nightly="*/2 * * * *", promote=60)
    return folder


@pytest.fixture(scope="module")
def stack(folder: Path) -> Iterator[Up]:
    """A stack on that home, from the first night that ran by itself on."""
    env = {"FLYWHEEL_PARAMS": str(folder / "params.yaml"), **PROXY}
    with up(folder / "home", env) as running:
        until(lambda: scheduled(running.runs("nightly"), "COMPLETED"), 900)
        yield running


def registered(stack: Up) -> dict[str, int]:
    """The champions in MLflow, by task."""
    url = stack.addresses["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/registered-models/search"
    models = httpx.get(url, auth=stack.auth).raise_for_status().json().get("registered_models", ())
    aliases = {
        m["name"]: {a["alias"]: int(a["version"]) for a in m.get("aliases", ())} for m in models
    }
    return {name: found["champion"] for name, found in aliases.items() if "champion" in found}


def set_champion(stack: Up, task: str, number: int | None) -> None:
    """What the MLflow UI sends when a person moves the alias, or takes it away."""
    url = stack.addresses["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/registered-models/alias"
    body = {"name": task, "alias": "champion"}
    if number is None:
        httpx.request("DELETE", url, json=body, auth=stack.auth).raise_for_status()
    else:
        body |= {"version": str(number)}
        httpx.post(url, json=body, auth=stack.auth).raise_for_status()


def served(stack: Up) -> set[str]:
    """The tasks that the gateway has students for."""
    state = httpx.get(stack.gateway, headers={"accept": "application/json"}).raise_for_status()
    return {route["task"] for route in state.json()["routes"]}


def test_a_scheduled_night_registers_students(stack: Up) -> None:
    """The scheduler began it, nobody else; its students are champions and answer at once."""
    assert all(run["auto_scheduled"] for run in stack.runs("nightly"))
    assert (stack.home / "nights" / str(YESTERDAY) / "judge.json").exists()
    champions = registered(stack)
    assert champions
    until(lambda: served(stack) == set(champions), 30)


def test_a_scheduled_promotion_follows_the_alias(stack: Up) -> None:
    """A person takes a champion away, and later gives it back: the gateway does both by itself."""
    (task, number), *_ = sorted(registered(stack).items())
    set_champion(stack, task, None)
    until(lambda: task not in served(stack), 150)
    set_champion(stack, task, number)
    until(lambda: task in served(stack), 150)
    assert scheduled(stack.runs("promote"), "COMPLETED")


def test_promotions_at_once_lose_nothing(stack: Up) -> None:
    """Three at a time, on a pool that forgot everything: each ends well, all champions serve."""
    champions = set(registered(stack))
    pool, adapters = stack.addresses["POOL_URL"], stack.home / "adapters"
    bearer = {"authorization": f"Bearer {credentials(stack.home).pool_token}"}
    for model in httpx.get(f"{pool}/v1/models", headers=bearer).json()["data"]:
        if model.get("parent"):
            url, body = f"{pool}/v1/unload_lora_adapter", {"lora_name": model["id"]}
            httpx.post(url, json=body, headers=bearer).raise_for_status()
    shutil.rmtree(adapters)
    adapters.mkdir()
    with ThreadPoolExecutor(3) as threads:
        done = list(threads.map(lambda _: flywheel("promote", "--home", str(stack.home)), range(3)))
    assert [one.returncode for one in done] == [0, 0, 0], done
    assert not [one for one in done if "was not switched on" in one.stdout]
    assert {route["task"]["id"] for route in routes(stack.home)} == champions


@pytest.mark.parametrize("name", ["gateway", "mlflow"])
def test_a_service_that_is_killed_comes_back(stack: Up, name: str) -> None:
    """One line says so, and it answers again by itself."""
    mlflow = stack.addresses["MLFLOW_TRACKING_URI"] + "/health"
    module, url = {
        "gateway": ("serving.gateway", f"{stack.gateway}/healthz"),
        "mlflow": ("mlflow server", mlflow),
    }[name]
    os.kill(stack.service(module), signal.SIGKILL)
    until(lambda: f"the {name} died (SIGKILL) and starts again" in stack.said, 10)
    until(lambda: httpx.get(url).is_success, 150)


def test_without_its_registry_a_promotion_says_so(stack: Up) -> None:
    """One sentence within fifteen seconds, and what serves goes on."""
    before, began = routes(stack.home), time.monotonic()
    nowhere = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
    done = flywheel("promote", "--home", str(stack.home), **nowhere)
    crowd = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))  # what this machine does beside
    assert time.monotonic() - began < 15 * crowd
    assert done.returncode == 2
    assert "MLflow at http://127.0.0.1:9 cannot be reached" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert routes(stack.home) == before


def test_a_closed_terminal_ends_everything(stack: Up) -> None:
    """SIGHUP is what SIGTERM is: no process lives on, no port stays taken."""
    gateway = stack.gateway
    stack.process.send_signal(signal.SIGHUP)
    stack.process.wait(60)
    assert processes.left(f"{stack.home}#") == []
    with pytest.raises(httpx.ConnectError):
        httpx.get(gateway)
    assert flywheel("down", "--home", str(stack.home)).returncode == 2


def test_a_night_that_was_killed_begins_again(folder: Path) -> None:
    """All is killed in mid-night: `down` ends the rest, `up` marks the run and ends the night."""
    env = {"FLYWHEEL_PARAMS": str(folder / "params.yaml")}
    home = folder / "home2"
    with up(home, env) as first:
        running = until(lambda: [r for r in first.runs("nightly") if r["state_type"] == "RUNNING"])
        started = psutil.Process(first.process.pid).children()
        first.process.kill()
        for process in started:
            if "flows.cli.processes" in process.cmdline():
                process.kill()  # the guard
        first.process.wait()
    assert processes.left(f"{home}#")
    down = flywheel("down", "--home", str(home))
    assert (down.returncode, "ended" in down.stdout) == (0, True), down.stdout
    assert not processes.left(f"{home}#")
    with up(home, env) as second:
        began = time.monotonic()

        def crashed() -> bool:
            found = {r["id"]: r["state_type"] for r in second.runs("nightly")}
            return found[running[0]["id"]] == "CRASHED"

        until(crashed, 120)
        assert time.monotonic() - began < 120
        until(lambda: [r for r in second.runs("nightly") if r["state_type"] == "COMPLETED"], 900)
        late = [r for r in second.runs("promote") if r["state_name"] == "Late"]
        assert len(late) <= 1
    assert (home / "nights" / str(YESTERDAY) / "judge.json").exists()
