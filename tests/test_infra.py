"""The manifests in infra/ are valid, fit one another, and name what exists.

Kustomize (in kubectl, a wheel) builds the cluster's manifests, and Kubernetes' own schemas judge
them. tests/test_roles.py runs what they start.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import kubernetes_validate
import pytest
import yaml
from roles import image_name

ROOT = Path(__file__).parents[1]
INFRA = ROOT / "infra"
IMAGES = sorted((INFRA / "images").glob("*.Dockerfile"))
KUBERNETES = INFRA / "kubernetes"
COMPOSE = yaml.safe_load((INFRA / "compose.yaml").read_text())
KUBECTL, HADOLINT = (str(Path(sys.executable).with_name(n)) for n in ("kubectl", "hadolint"))
Json = dict[str, Any]


def built(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([KUBECTL, "kustomize", str(folder)], capture_output=True, text=True)


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cluster's folder as README has it prepared: params and secrets filled in."""
    folder = tmp_path_factory.mktemp("cluster") / "kubernetes"
    shutil.copytree(KUBERNETES, folder)
    shutil.copy(ROOT / "params.yaml", folder)
    for example in (folder / "secrets").glob("*.example.env"):
        text = re.sub(r"=$", "=s3cr@t/:%#", example.read_text(), flags=re.MULTILINE)
        example.with_name(example.name.replace(".example", "")).write_text(text)
    return folder


@pytest.fixture(scope="session")
def manifests(filled: Path) -> list[Json]:
    """All that `kubectl apply -k` applies."""
    return list(yaml.safe_load_all(built(filled).stdout))


@pytest.fixture(scope="session")
def pods(manifests: list[Json]) -> dict[str, Json]:
    """The pod of each deployment."""
    found = (one for one in manifests if one["kind"] == "Deployment")
    return {one["metadata"]["name"]: one["spec"]["template"]["spec"] for one in found}


def volumes(service: Json) -> dict[str, str]:
    """Where a service of compose mounts what."""
    return dict(volume.split(":")[:2] for volume in service.get("volumes", ()))


@pytest.mark.parametrize("path", IMAGES, ids=lambda path: path.stem)
def test_an_image_installs_first_and_copies_what_it_runs(path: Path) -> None:
    """A change of the code installs nothing anew; files and modules exist; nobody is root."""
    text = path.read_text()
    copied = re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE)
    assert all((ROOT / name).exists() for line in copied for name in line.split())
    installing = text.index("pip install")
    code = [f"COPY {line} " for line in copied if any((ROOT / n).is_dir() for n in line.split())]
    assert all(text.index(line) > installing for line in code)
    for module in re.findall(r"-m\W+([\w.]+)", text.split("CMD", 1)[1]):
        name = module.split(".")[0]
        assert importlib.util.find_spec(module)
        assert f"COPY {name} {name}" in text
    assert re.search(r"--uid 10001 (?s:.*)\nUSER 10001\n", text)
    assert "-c constraints.txt" in text or "-c /constraints.txt" in text


def test_prefect_finds_the_flows() -> None:
    """The deployments on a cluster are those of `flywheel up`."""
    found = yaml.safe_load((INFRA / "prefect.yaml").read_text())["deployments"]
    assert {d["name"]: d["entrypoint"] for d in found} == {
        "nightly": "flows.nightly.nightly",
        "promote": "flows.promote.promote",
        "watch": "flows.watch.watch",
    }
    for deployment in found:
        module, _, name = deployment["entrypoint"].rpartition(".")
        assert f"def {name}(" in (ROOT / f"{module.replace('.', '/')}.py").read_text()


def test_what_a_person_paused_stays_paused() -> None:
    """A worker that starts registers its deployments as paused and switched off as they are."""
    from flows.deploy import paused

    wanted = {"name": "nightly", "schedules": [{"cron": "0 2 * * *"}]}
    assert paused(wanted, None) == wanted

    def known(stopped: bool, *active: bool) -> Any:
        return SimpleNamespace(
            paused=stopped, schedules=[SimpleNamespace(active=a) for a in active]
        )

    assert paused(wanted, known(False, True)) == wanted | {"paused": False}
    assert paused(wanted, known(True, True)) == wanted | {"paused": True}
    off = {"paused": False, "schedules": [{"cron": "0 2 * * *", "active": False}]}
    assert paused(wanted, known(False, False)) == wanted | off
    assert paused(wanted, known(False)) == wanted | {"paused": False}


def test_compose_mounts_and_waits_for_what_it_has() -> None:
    """Named volumes, configs and services that others wait for are all defined."""
    for service in COMPOSE["services"].values():
        assert set(service.get("depends_on", ())) <= set(COMPOSE["services"])
        assert {v for v in volumes(service) if not v.startswith(".")} <= set(COMPOSE["volumes"])
        made = service.get("build")
        assert made is None or (ROOT / made["dockerfile"]).exists()


def test_compose_asks_for_every_variable_that_it_needs() -> None:
    """Each variable is in the example of the settings; no password is in an address."""
    text = (INFRA / "compose.yaml").read_text()
    offered = set(re.findall(r"^(?:# )?(\w+)=", (INFRA / "example.env").read_text(), re.MULTILINE))
    asked = re.findall(r"(?<!\$)\$\{(\w+)([^}]*)\}", text)
    assert {name for name, _ in asked} - {"GATEWAY_PORT"} <= offered
    must = {name for name, rest in asked if ":?" in rest}
    assert must == {"POOL_TOKEN", "POSTGRES_PASSWORD", "FLYWHEEL_PII_KEY", "TEACHER_BASE_URL"}
    assert not re.search(r"://[^\s]*:[^\s/]*PASSWORD", text)


def test_compose_gives_each_container_no_more_than_it_needs() -> None:
    """The pools see adapters alone; the journal is the gateway's and the worker's."""
    for name in ("pool", "vllm"):
        assert "home" not in volumes(COMPOSE["services"][name])
        assert "adapters:/flywheel/adapters:ro" in COMPOSE["services"][name]["volumes"]
    worker = volumes(COMPOSE["services"]["worker"])
    assert worker == {"home": "/flywheel", "adapters": "/flywheel/adapters"}
    owned = volumes(COMPOSE["services"]["owner"])
    assert set(COMPOSE["volumes"]) - {"postgres"} == set(owned)
    assert set(owned.values()) <= set(COMPOSE["services"]["owner"]["command"][2].split())


def test_the_servers_settings_are_the_same_in_compose_and_on_a_cluster(
    pods: dict[str, Json],
) -> None:
    """Postgres' password stands by itself in both, and leases outlive Prefect's server."""
    text = (INFRA / "images" / "prefect.Dockerfile").read_text()
    assert "PREFECT_HOME=/prefect" in text
    assert "lease_storage.filesystem" in text
    assert volumes(COMPOSE["services"]["prefect"])["leases"] == "/prefect"
    (prefect,) = pods["prefect"]["containers"]
    assert "/prefect" in {m["mountPath"] for m in prefect["volumeMounts"]}
    stores = (KUBERNETES / "secrets" / "stores.example.env").read_text()
    addresses = [*re.findall(r"=(postgresql\S+)", stores)]
    for name in ("prefect", "mlflow"):
        given = COMPOSE["services"][name]["environment"]
        assert given["PGPASSWORD"] == "${POSTGRES_PASSWORD}"
        addresses += [value for value in given.values() if value.startswith("postgresql")]
    drivers = {re.sub(r"//\w+@\w+/", "//", address) for address in addresses}
    assert drivers == {"postgresql+psycopg2://mlflow", "postgresql+asyncpg://prefect"}
    assert "PGPASSWORD=" in stores


def test_no_image_is_one_that_nobody_keeps(manifests: list[Json]) -> None:
    """Every image has a version, and none is MinIO's, whose last one has known holes."""
    text = json.dumps(manifests) + (INFRA / "compose.yaml").read_text()
    images = set(re.findall(r'image"?: "?([\w./-]+(?::[\w.-]+)?)', text))
    assert images
    assert all(":" in image and not image.endswith(":latest") for image in images)
    assert not any("minio" in image for image in images)


def test_the_manifests_are_valid(filled: Path, manifests: list[Json]) -> None:
    """By the API's own schemas, strictly, with nothing left over from the folder."""
    kept = [d for f in (filled / "data").glob("*.yaml") for d in yaml.safe_load_all(f.read_text())]
    for one in manifests + kept:
        kubernetes_validate.validate(one, kubernetes_validate.latest_version(), strict=True)
    listed = set(yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())["resources"])
    assert listed == {path.name for path in KUBERNETES.glob("*.yaml")} - {"kustomization.yaml"}


def test_deleting_the_manifests_leaves_the_data(filled: Path, manifests: list[Json]) -> None:
    """Volumes, and the namespace that they are in, are no part of what `delete -k` deletes."""
    assert not {one["kind"] for one in manifests} & {"Namespace", "PersistentVolumeClaim"}
    kept = [d for f in (filled / "data").glob("*.yaml") for d in yaml.safe_load_all(f.read_text())]
    claims = {one["metadata"]["name"] for one in kept if one["kind"] == "PersistentVolumeClaim"}
    used = set(re.findall(r'"claimName": "([\w-]+)"', json.dumps(manifests)))
    assert claims == used


def test_settings_and_secrets_roll_out_and_must_be_there(
    filled: Path, manifests: list[Json], tmp_path: Path
) -> None:
    """Their names hold a hash of what is in them; without one of them nothing is built."""
    text = json.dumps(manifests)
    refs = re.findall(r'"(?:configMapRef|secretRef|secretKeyRef|configMap)": ({[^}]+})', text)
    made = {o["metadata"]["name"] for o in manifests if o["kind"] in ("ConfigMap", "Secret")}
    assert {json.loads(ref)["name"] for ref in refs} == made
    assert all(re.fullmatch(r"[a-z]+-[a-z0-9]{10}", name) for name in made)
    for secret in (filled / "secrets").glob("*[!e].env"):
        if ".example" in secret.name:
            continue
        other = shutil.copytree(filled, tmp_path / secret.stem)
        (other / "secrets" / secret.name).unlink()
        assert built(other).returncode != 0


def test_kubernetes_knows_where_our_images_are(manifests: list[Json]) -> None:
    """Each image of ours has a place in the list where a team puts its registry."""
    named = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())["images"]
    used = set(re.findall(r'"image": "(flywheel/[\w-]+):', json.dumps(manifests)))
    assert used == {image["name"] for image in named}
    loop = re.search(r"for part in ([\w ]+); do", (INFRA / "README.md").read_text())
    assert loop
    assert {f"flywheel/{part}" for part in loop[1].split()} == used
    assert {name.split("/")[1] for name in used} <= {path.stem for path in IMAGES}


def test_pods_mount_what_is_declared(manifests: list[Json], pods: dict[str, Json]) -> None:
    """Mounts have volumes, services have pods, and no container may gain privileges."""
    for pod in pods.values():
        declared = {volume["name"] for volume in pod.get("volumes", ())}
        for container in [*pod["containers"], *pod.get("initContainers", ())]:
            assert {m["name"] for m in container.get("volumeMounts", ())} <= declared
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert pod["automountServiceAccountToken"] is False
    served = {o["spec"]["selector"]["app"] for o in manifests if o["kind"] == "Service"}
    assert served <= set(pods)


def test_shared_volumes_belong_to_the_one_who_writes(pods: dict[str, Json]) -> None:
    """Drivers of shared volumes may ignore fsGroup: an init container gives them to uid 10001."""
    for name in ("gateway", "worker"):
        pod = pods[name]
        claims = {v["name"] for v in pod["volumes"] if "persistentVolumeClaim" in v}
        owner = next(c for c in pod["initContainers"] if c["securityContext"].get("runAsUser") == 0)
        assert {m["name"] for m in owner["volumeMounts"]} == claims
        paths = {m["mountPath"] for m in owner["volumeMounts"]}
        assert all(path in owner["command"][2] for path in paths)
        assert "chown 10001:10001" in owner["command"][2]
        assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["fsGroup"] == 10001


def test_a_roll_out_cuts_no_stream(manifests: list[Json], pods: dict[str, Json]) -> None:
    """There is always a gateway, and an old one ends its streams before it is killed."""
    gateway = next(
        o["spec"] for o in manifests
        if o["kind"] == "Deployment" and o["metadata"]["name"] == "gateway"
    )  # fmt: skip
    assert gateway["replicas"] >= 2
    assert gateway["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    image = (INFRA / "images" / "gateway.Dockerfile").read_text()
    grace = int(image.split("SHUTDOWN_SECONDS=")[1].split()[0])
    pod = pods["gateway"]
    (container,) = pod["containers"]
    pause = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pause + grace < pod["terminationGracePeriodSeconds"]
    assert grace < int(COMPOSE["services"]["gateway"]["stop_grace_period"].removesuffix("s"))
    assert any(v["name"] == "JOURNAL_WRITER" for v in container["env"])  # replicas, one home
    assert any(o["kind"] == "PodDisruptionBudget" for o in manifests)


def test_every_pod_is_behind_a_network_policy(manifests: list[Json], pods: dict[str, Json]) -> None:
    """Nothing is open that is not named; gateway and worker reach a pool, which reaches nobody."""
    policies = {o["metadata"]["name"]: o["spec"] for o in manifests if o["kind"] == "NetworkPolicy"}
    assert policies["nothing"] == {"podSelector": {}, "policyTypes": ["Ingress"]}

    def callers(name: str) -> set[str]:
        (rule,) = policies[name]["ingress"]
        return {one["podSelector"]["matchLabels"]["app"] for one in rule.get("from", ())}

    assert callers("pool") == {"gateway", "worker"}
    assert callers("mlflow") == callers("prefect") == {"worker"}
    assert set(policies["pool"]["podSelector"]["matchExpressions"][0]["values"]) <= set(pods)
    assert (policies["pool"]["policyTypes"], policies["pool"]["egress"]) == (
        ["Ingress", "Egress"],
        [],
    )


def test_a_pool_takes_orders_only_with_a_token(pods: dict[str, Json]) -> None:
    """Loading an adapter runs weights: a token that is not empty, and the adapters read-only."""
    (vllm,) = pods["pool"]["containers"]
    (before,) = pods["pool"]["initContainers"]
    assert any(variable["name"] == "VLLM_API_KEY" for variable in vllm["env"])
    assert "${POOL_TOKEN:?" in before["command"][2]
    for name in ("pool", "encoder"):
        (container,) = pods[name]["containers"]
        claims = {v["name"] for v in pods[name]["volumes"] if "persistentVolumeClaim" in v}
        assert claims == {"adapters"}
        assert all(m["readOnly"] for m in container["volumeMounts"] if m["name"] == "adapters")


def test_mlflow_answers_to_the_names_that_are_set(manifests: list[Json]) -> None:
    """The names under which people open it are one setting, in compose and on a cluster."""
    maps = [o["data"] for o in manifests if o["kind"] == "ConfigMap"]
    hosts = next(data for data in maps if "MLFLOW_SERVER_ALLOWED_HOSTS" in data)
    assert "mlflow:5000" in hosts["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")
    assert hosts["MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"]
    given = cast(Json, COMPOSE["services"]["mlflow"]["environment"])
    assert "mlflow:5000" in given["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")
    assert "${MLFLOW_HOST" in given["MLFLOW_SERVER_ALLOWED_HOSTS"]


def test_every_image_of_ours_has_a_name() -> None:
    """A Dockerfile says in its head which image it builds."""
    assert {image_name(path) for path in IMAGES} == {f"flywheel/{path.stem}" for path in IMAGES}
