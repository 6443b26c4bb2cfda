"""The manifests in infra/ name programs, files and variables that exist."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
INFRA = ROOT / "infra"
IMAGES = sorted((INFRA / "images").glob("*.Dockerfile"))
MANIFESTS = sorted((INFRA / "kubernetes").glob("*.yaml"))


def documents() -> Iterator[dict[str, Any]]:
    for path in MANIFESTS:
        yield from (found for found in yaml.safe_load_all(path.read_text()) if found)


@pytest.mark.parametrize("path", IMAGES, ids=lambda path: path.stem)
def test_an_image_copies_what_it_runs(path: Path) -> None:
    """Every file that is copied exists, and so does every module that is started."""
    text = path.read_text()
    for line in re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE):
        assert all((ROOT / name).exists() for name in line.split())
    for module in re.findall(r'"-m", "([\w.]+)"', text):
        assert importlib.util.find_spec(module)


def test_prefect_finds_both_flows() -> None:
    """The deployments on a cluster are those of `flywheel up`."""
    found = yaml.safe_load((INFRA / "prefect.yaml").read_text())["deployments"]
    assert {d["name"]: d["entrypoint"] for d in found} == {
        "nightly": "flows.nightly.nightly",
        "promote": "flows.promote.promote",
    }
    for deployment in found:
        module, _, name = deployment["entrypoint"].rpartition(".")
        assert f"def {name}(" in (ROOT / f"{module.replace('.', '/')}.py").read_text()


def test_compose_mounts_and_waits_for_what_it_has() -> None:
    """Named volumes, configs and services that others wait for are all defined."""
    stack = yaml.safe_load((INFRA / "compose.yaml").read_text())
    for service in stack["services"].values():
        assert set(service.get("depends_on", ())) <= set(stack["services"])
        volumes = (volume.split(":")[0] for volume in service.get("volumes", ()))
        assert {v for v in volumes if not v.startswith(".")} <= set(stack["volumes"])
        built = service.get("build")
        assert built is None or (ROOT / built["dockerfile"]).exists()


def test_compose_asks_for_every_variable_that_it_needs() -> None:
    """Each variable in the compose file is in the example of the settings, or has a default."""
    text = (INFRA / "compose.yaml").read_text()
    offered = set(re.findall(r"^(?:# )?(\w+)=", (INFRA / "example.env").read_text(), re.MULTILINE))
    needed = {
        name for name, rest in re.findall(r"(?<!\$)\$\{(\w+)([^}]*)\}", text) if ":-" not in rest
    }
    assert needed <= offered


def test_kubernetes_lists_every_manifest() -> None:
    """Kustomize applies all manifests but the example of the secrets."""
    listed = set(yaml.safe_load((INFRA / "kubernetes/kustomization.yaml").read_text())["resources"])
    there = {path.name for path in MANIFESTS} - {"kustomization.yaml", "secret.example.yaml"}
    assert listed == there


def test_kubernetes_knows_where_our_images_are() -> None:
    """Each image of ours has a place in the list where a team puts its registry."""
    named = yaml.safe_load((INFRA / "kubernetes/kustomization.yaml").read_text())["images"]
    text = "".join(path.read_text() for path in MANIFESTS if path.name != "kustomization.yaml")
    used = set(re.findall(r"image: (flywheel/[\w-]+)", text))
    assert used == {image["name"] for image in named}
    loop = re.search(r"for part in ([\w ]+); do", (INFRA / "README.md").read_text())
    assert loop
    assert {f"flywheel/{part}" for part in loop[1].split()} == used
    assert {name.split("/")[1] for name in used} <= {path.stem for path in IMAGES}


def test_pods_mount_what_is_declared() -> None:
    """Mounts have volumes, services have pods, and every container may not gain privileges."""
    labels = set()
    for found in documents():
        if found["kind"] != "Deployment":
            continue
        pod = found["spec"]["template"]
        labels.add(pod["metadata"]["labels"]["app"])
        volumes = {volume["name"] for volume in pod["spec"].get("volumes", ())}
        for container in pod["spec"]["containers"]:
            assert {m["name"] for m in container.get("volumeMounts", ())} <= volumes
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
    served = {f["spec"]["selector"]["app"] for f in documents() if f["kind"] == "Service"}
    assert served <= labels


def test_the_pool_takes_orders_only_with_a_token() -> None:
    """Loading an adapter runs weights: token, read-only adapters and a network policy."""
    deployments = {f["metadata"]["name"]: f for f in documents() if f["kind"] == "Deployment"}
    pool = deployments["pool"]
    (vllm,) = pool["spec"]["template"]["spec"]["containers"]
    assert any(variable["name"] == "VLLM_API_KEY" for variable in vllm["env"])
    assert all(m.get("readOnly") for m in vllm["volumeMounts"] if m["name"] == "home")
    assert any(
        f["kind"] == "NetworkPolicy" and f["metadata"]["name"] == "pool" for f in documents()
    )
