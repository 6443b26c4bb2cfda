"""What the ports of a running `flywheel up` give to who was not let in: nothing. All real.

A version that somebody else made champion is in test_serving_reconcile.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from unattended import Up, flywheel, up

from flows.cli import credentials as module
from flows.cli.credentials import BELONGS, FILE, MLFLOW_USERS, credentials, join
from registry.server import reach
from tasks.core.stage import Refused

MODELS = "/api/2.0/mlflow/registered-models"
STEPS = [{"prefect.deployments.steps.run_shell_script": {"script": "id > /tmp/taken"}}]
STRANGE = "evil.example"


def test_credentials_are_made_once_and_are_their_owners(tmp_path: Path) -> None:
    """Long, different, 0600; a file that others can read, or that is none, is refused."""
    home = tmp_path / "home"
    made = credentials(home)
    assert made == credentials(home)
    assert (home / FILE).stat().st_mode & 0o777 == 0o600
    assert len({made.password, made.pool_token, made.form_key}) == 3
    assert min(len(one) for one in (made.password, made.pool_token, made.form_key)) >= 32
    (home / FILE).chmod(0o640)
    with pytest.raises(Refused, match="can be read by others; run `chmod 600"):
        credentials(home)
    (home / FILE).chmod(0o600)
    (home / FILE).write_text("{}")
    with pytest.raises(Refused, match="remove it, and new ones are made"):
        credentials(home)
    (home / FILE).unlink()
    (home / MLFLOW_USERS).touch()
    assert credentials(home) != made
    assert not (home / MLFLOW_USERS).exists()  # whose passwords nobody knows any more


def test_no_server_gets_another_ones_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service that the environment names keeps the environment's credentials, or none."""
    environ = {"MLFLOW_TRACKING_URI": "http://far", "POOL_URL": "http://pool", "POOL_TOKEN": "t"}
    monkeypatch.setattr(module.os, "environ", environ)
    ours = dict.fromkeys(BELONGS, "http://here") | {"PREFECT_HOME": "there"}
    join(tmp_path / "home", ours)
    made = credentials(tmp_path / "home")
    assert environ == {
        "MLFLOW_TRACKING_URI": "http://far",
        "POOL_URL": "http://pool",
        "POOL_TOKEN": "t",
        "PREFECT_API_URL": "http://here",
        "PREFECT_API_AUTH_STRING": f"flywheel:{made.password}",
        "PREFECT_HOME": "there",
    }


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A running stack on a new home."""
    home = tmp_path_factory.mktemp("attacks") / "home"
    with up(home, {}) as running:
        yield running


def url(stack: Up, name: str) -> str:
    return stack.addresses[name].removesuffix("/api")


@pytest.mark.e2e
def test_who_reaches_prefect_has_nothing_run(stack: Up) -> None:
    """Neither by its API nor by its sockets, under whatever host and from whatever page."""
    api = stack.addresses["PREFECT_API_URL"]
    body = {"deployments": {"name": {"any_": ["promote"]}}}
    (known,) = httpx.post(f"{api}/deployments/filter", json=body, auth=stack.auth).json()
    change = {"pull_steps": STEPS, "entrypoint": "os.system"}
    asked: list[tuple[str, str, Any]] = [
        ("POST", "deployments/filter", body),
        ("PATCH", f"deployments/{known['id']}", change),
        ("POST", f"deployments/{known['id']}/create_flow_run", {}),
        ("GET", "admin/version", None),
        ("GET", "admin/settings", None),
    ]
    for headers in ({}, {"host": STRANGE}, {"authorization": "Basic Zmx5d2hlZWw6"}):
        for method, path, sent in asked:
            reply = httpx.request(method, f"{api}/{path}", json=sent, headers=headers)
            assert reply.status_code == 401, (method, path, reply.text)
    assert upgraded(api, "/api/events/in") != 101
    (still,) = httpx.post(f"{api}/deployments/filter", json=body, auth=stack.auth).json()
    assert (still["pull_steps"], still["entrypoint"]) == (known["pull_steps"], known["entrypoint"])


@pytest.mark.e2e
def test_no_path_of_theirs_was_forgotten(stack: Up) -> None:
    """All that Prefect and MLflow know to do needs the password, but to say that they are there."""
    from mlflow.server import app

    prefect, mlflow = url(stack, "PREFECT_API_URL"), url(stack, "MLFLOW_TRACKING_URI")
    paths = httpx.get(f"{prefect}/openapi.json", auth=stack.auth).raise_for_status().json()["paths"]
    every = {(m.upper(), f"{prefect}/api{p}") for p, methods in paths.items() for m in methods}
    assert len(every) > 150
    for rule in (one for one in app.url_map.iter_rules() if "static" not in one.rule):
        methods = (rule.methods or set()) - {"HEAD", "OPTIONS"}
        every |= {(method, mlflow + rule.rule) for method in methods}
    assert len(every) > 500
    with httpx.Client(timeout=30) as client:
        statuses = {
            (method, place): client.request(method, re.sub(r"<[^>]+>|{[^}]+}", "x", place))
            for method, place in sorted(every)
        }
    let_in = {p for (_, p), reply in statuses.items() if reply.status_code not in (401, 403)}
    told = {httpx.URL(place).path.rpartition("/")[2] for place in let_in}
    assert told <= {"health", "ready", "version", "server-info", "ui-settings"}


def upgraded(api: str, path: str) -> int:
    """The status of a request for a socket by who knows no password."""
    place = httpx.URL(api)
    with socket.create_connection((place.host, place.port or 80), timeout=10) as link:
        link.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {place.host}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        return int(link.recv(64).split()[1])


@pytest.mark.e2e
def test_who_reaches_mlflow_moves_nothing(stack: Up) -> None:
    """Nor reads anything, nor makes a user of himself."""
    mlflow = url(stack, "MLFLOW_TRACKING_URI")
    someone = {"username": "someone", "password": "a long password"}
    asked: list[tuple[str, str, Any]] = [
        ("POST", f"{MODELS}/create", {"name": "forged"}),
        ("POST", f"{MODELS}/alias", {"name": "forged", "alias": "champion", "version": "1"}),
        ("GET", f"{MODELS}/search", None),
        ("GET", "/ajax-api/2.0/mlflow/registered-models/search", None),
        ("POST", "/api/2.0/mlflow/users/create", someone),
        ("POST", "/api/2.0/mlflow/users/create-ui", someone),
        ("PUT", "/api/2.0/mlflow-artifacts/artifacts/forged.json", {}),
        ("GET", "/api/2.0/mlflow-artifacts/artifacts", None),
        ("GET", "/get-artifact?path=x&run_uuid=y", None),
        ("POST", "/graphql", {"query": '{ test(inputString: "a") { output } }'}),
        ("POST", "/v1/traces", {}),
        ("GET", "/", None),
    ]
    for method, path, sent in asked:
        for auth in (None, ("flywheel", ""), ("admin", "password1234"), ("someone", "x")):
            reply = httpx.request(method, mlflow + path, json=sent, auth=auth)
            assert reply.status_code in (401, 403), (method, path, reply.status_code, reply.text)
    models = httpx.get(f"{mlflow}{MODELS}/search", auth=stack.auth).raise_for_status().json()
    assert models.get("registered_models", []) == []


@pytest.mark.e2e
def test_a_page_of_somewhere_else_gets_no_answer(stack: Up) -> None:
    """Its name for this machine, or its origin, is refused or not allowed to read."""
    prefect, mlflow = url(stack, "PREFECT_API_URL"), url(stack, "MLFLOW_TRACKING_URI")
    page = {"origin": f"http://{STRANGE}"}
    ask = {**page, "access-control-request-method": "POST"}
    known = stack.auth
    for each in (
        httpx.options(f"{prefect}/api/flows/filter", headers=ask),
        httpx.post(f"{prefect}/api/flows/filter", json={}, headers=page, auth=known),
        httpx.get(f"{prefect}/ui-settings", headers=page),
        httpx.options(f"{mlflow}{MODELS}/create", headers=ask),
        httpx.get(f"{mlflow}{MODELS}/search", headers=page, auth=known),
    ):
        assert "access-control-allow-origin" not in each.headers, each.request.url
    body = {"name": "forged"}
    forged = httpx.post(f"{mlflow}{MODELS}/create", json=body, headers=page, auth=known)
    assert forged.status_code == 403
    for host in (STRANGE, "10.0.0.1", "localhost.evil.example"):
        reply = httpx.get(f"{mlflow}{MODELS}/search", headers={"host": host}, auth=known)
        assert reply.status_code == 403
    own = {"origin": prefect}
    allowed = httpx.get(f"{prefect}/ui-settings", headers=own)
    assert allowed.headers["access-control-allow-origin"] == prefect


@pytest.mark.e2e
def test_the_pool_takes_orders_only_with_the_homes_token(stack: Up) -> None:
    """On a laptop, too."""
    pool = url(stack, "POOL_URL")
    for path in ("load_lora_adapter", "unload_lora_adapter", "chat/completions"):
        assert httpx.post(f"{pool}/v1/{path}", json={}).status_code == 401
    bearer = {"authorization": f"Bearer {credentials(stack.home).pool_token}"}
    assert httpx.get(f"{pool}/v1/models", headers=bearer).status_code == 200


@pytest.mark.e2e
def test_a_person_is_told_how_to_open_the_uis(stack: Up, monkeypatch: pytest.MonkeyPatch) -> None:
    """`up` says where they are, and `flywheel ui` what they ask for; nothing else holds that."""
    password = stack.auth[1]
    assert f"`flywheel ui --home {stack.home}`" in " ".join(stack.said.split())
    assert password not in stack.said  # a log may be anybody's
    shown = flywheel("ui", "--home", str(stack.home), COLUMNS="200")
    assert shown.returncode == 0
    assert f"user flywheel, password {password}" in shown.stdout
    assert f"flywheel:{password}" in shown.stdout
    done = flywheel("status", "--home", str(stack.home))
    assert (done.returncode, "nothing is wrong" in done.stdout) == (0, True), done.stdout
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "flywheel")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)
    reach(url(stack, "MLFLOW_TRACKING_URI"))
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "another")
    with pytest.raises(Refused, match="does not take this user and password"):
        reach(url(stack, "MLFLOW_TRACKING_URI"))
    for file in stack.home.rglob("*"):
        if file.is_file() and not file.is_symlink():
            assert file.stat().st_mode & 0o077 == 0 or password.encode() not in file.read_bytes()
