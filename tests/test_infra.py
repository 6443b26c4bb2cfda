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
import tomllib
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


def secrets(pod: Json) -> set[str]:
    """The secrets that a pod's containers get whole."""
    sources = (source for c in pod["containers"] for source in c.get("envFrom", ()))
    return {s["secretRef"]["name"].rpartition("-")[0] for s in sources if "secretRef" in s}


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
    installed = re.search(rf"pip install --no-cache-dir --require-hashes -r /?{path.stem}\.txt\n",
                          text.replace(" \\\n", "\n"))  # fmt: skip
    assert installed
    rest = [line for line in text.splitlines() if "pip install" in line and "-r" not in line]
    assert all("--no-deps" in line and "--no-index" in line for line in rest)


def name_of(requirement: str) -> str:
    """A distribution's name, as indexes compare it."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\[=\s]", requirement, maxsplit=1)[0]).lower()


@pytest.mark.parametrize("path", IMAGES, ids=lambda path: path.stem)
def test_an_image_installs_what_was_tested(path: Path) -> None:
    """`make lock` was run: all that it asks for, at the constraints' versions, with hashes."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    tested = {name_of(line): line.split("==")[1] for line in lines if "==" in line}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = set[str]()
    for line in path.with_suffix(".in").read_text().split():
        if line.startswith("."):
            wanted.update(map(name_of, project["dependencies"]))
            for extra in line[2:-1].split(","):
                wanted.update(map(name_of, project["optional-dependencies"][extra]))
        else:
            wanted.add(name_of(line))
    locked = re.findall(r"^(\S+)==(\S+)( \\\n    --hash=sha256:\w{64})?",
                        path.with_suffix(".txt").read_text(), re.MULTILINE)  # fmt: skip
    versions = {name_of(name): version for name, version, _ in locked}
    assert wanted <= versions.keys()
    assert all(hashed for _, _, hashed in locked)
    assert {n: v for n, v in versions.items() if tested.get(n, v) != v} == {}


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
    doors = {"PREFECT_PASSWORD", "MLFLOW_PASSWORD", "MLFLOW_FORM_KEY", "POOL_TOKEN"}
    assert must == {*doors, "POSTGRES_PASSWORD", "FLYWHEEL_PII_KEY", "TEACHER_BASE_URL"}
    assert not re.search(r"://[^\s]*:[^\s/]*PASSWORD", text)


def test_compose_gives_each_container_no_more_than_it_needs() -> None:
    """The pools see adapters alone; the journal is the gateway's and the worker's."""
    for name in ("pool", "vllm"):
        assert "home" not in volumes(COMPOSE["services"][name])
        assert "adapters:/flywheel/adapters:ro" in COMPOSE["services"][name]["volumes"]
    worker = volumes(COMPOSE["services"]["worker"])
    assert worker == {"home": "/flywheel", "adapters": "/flywheel/adapters"}


def test_a_container_of_compose_can_write_only_where_it_must() -> None:
    """None is root, and nothing gains rights."""
    for service in COMPOSE["services"].values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert "cap_add" not in service
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "/tmp" in service["tmpfs"]
        assert "build" in service or not str(service["user"]).startswith("0")


def test_an_empty_volume_of_compose_belongs_to_who_writes_to_it() -> None:
    """It gets the owner of the image's folder, so the folder is there, and is uid 10001's."""
    for name, service in COMPOSE["services"].items():
        if "build" not in service:
            continue
        image = (ROOT / service["build"]["dockerfile"]).read_text()
        user, made = re.findall(r"--uid 10001 (\w+) && install -d -o (\w+ .*)", image)[0]
        owner, *folders = made.split()
        assert owner == user
        assert set(volumes(service).values()) <= set(folders), name


def test_prefect_and_mlflow_ask_for_a_password(pods: dict[str, Json]) -> None:
    """The worker has both; the gateway and the pools have neither."""
    services = COMPOSE["services"]
    of = {name: set(service.get("environment", ())) for name, service in services.items()}
    asked = {"PREFECT_SERVER_API_AUTH_STRING"}, {"MLFLOW_AUTH_ADMIN_PASSWORD"}
    given = {"PREFECT_API_AUTH_STRING", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"}
    variables = {
        name: {v["name"] for c in pod["containers"] for v in c.get("env", ())}
        for name, pod in pods.items()
    }
    for found in (of, variables):
        assert asked[0] <= found["prefect"]
        assert asked[1] | {"MLFLOW_FLASK_SERVER_SECRET_KEY"} <= found["mlflow"]
        assert given <= found["worker"]
        assert not {v for v in found["gateway"] | found["pool"] if v.startswith(("PREFECT", "MLF"))}
    assert {one: secrets(pods[one]) for one in ("gateway", "pool", "encoder", "worker")} == {
        "gateway": {"pool", "teacher", "rest"},
        "pool": set(),
        "encoder": {"pool"},
        "worker": {"pool", "privacy", "rest"},
    }
    raw = {name for name, given in of.items() if "FLYWHEEL_KEY_AT_REST" in given}
    assert raw == {"gateway", "worker"}
    assert "basic-auth" in (INFRA / "images" / "mlflow.Dockerfile").read_text()
    origins = "PREFECT_SERVER_CORS_ALLOWED_ORIGINS=http://localhost:4200 "
    assert origins in (INFRA / "images" / "prefect.Dockerfile").read_text()


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
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert not context.keys() & {"runAsUser", "runAsNonRoot", "privileged"}  # the pod's
        mounts = {m["mountPath"] for c in pod["containers"] for m in c["volumeMounts"]}
        assert "/tmp" in mounts
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == 10001
        assert not pod.keys() & {"hostNetwork", "hostPID", "hostIPC"}
        kinds = {kind for volume in pod.get("volumes", ()) for kind in volume.keys() - {"name"}}
        assert kinds <= {"emptyDir", "configMap", "persistentVolumeClaim"}
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
    served = {o["spec"]["selector"]["app"] for o in manifests if o["kind"] == "Service"}
    assert served <= set(pods)


def test_shared_volumes_belong_to_the_one_who_writes(pods: dict[str, Json]) -> None:
    """By fsGroup: nobody is root to give them away, and the namespace would not let one start."""
    for name in ("gateway", "worker", "prefect"):
        context = pods[name]["securityContext"]
        assert context["runAsUser"] == context["runAsGroup"] == context["fsGroup"] == 10001
        assert "initContainers" not in pods[name]
    (namespace,) = yaml.safe_load_all((KUBERNETES / "data" / "namespace.yaml").read_text())
    levels = namespace["metadata"]["labels"]
    assert levels == {"pod-security.kubernetes.io/enforce": "restricted"}


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
    """Nothing is open that is not named, neither way; a pool is reached, and reaches nobody."""
    policies = {o["metadata"]["name"]: o["spec"] for o in manifests if o["kind"] == "NetworkPolicy"}
    both = ["Ingress", "Egress"]
    assert policies["nothing"] == {"podSelector": {}, "policyTypes": both}
    named = json.dumps([spec["podSelector"] for spec in policies.values()])
    assert all(f'"{name}"' in named for name in pods)
    assert all(spec["policyTypes"] == both for name, spec in policies.items() if name != "names")

    def reached(name: str) -> set[str]:
        return set(re.findall(r'"(pool|encoder|mlflow|prefect|gateway|worker)"',
                              json.dumps(policies[name]["egress"])))  # fmt: skip

    assert reached("gateway") == {"pool", "encoder"}
    assert reached("worker") == {"pool", "encoder", "mlflow", "prefect"}
    assert reached("mlflow") == reached("prefect") == set()
    assert policies["worker"]["ingress"] == []

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
