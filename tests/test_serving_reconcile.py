"""The pool follows the registry; the tasks of a domain share one adapter there."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import served
import students
import tiny
from sqlalchemy import Engine, event
from upstream import nowhere, upstream

from registry import plots
from registry.store import Store
from registry.version import Version
from serving.client import Client
from serving.pool import Pool
from serving.reconcile import Changes, reconcile, routes
from tasks.train.domain import tag

NAME = "domain-desk"
Damage = Callable[[Path], None]


class FakePool:
    """A server with vLLM's endpoints, whose adapters know the tasks of `able` by their tags."""

    def __init__(self) -> None:
        self.able = {"a-1", "b-2"}
        self.models: list[str] = []
        self.asked: list[str] = []
        self.loads: list[str] = []
        self.late = ""  # an adapter that somebody loads between two questions

    def answer(self, request: httpx.Request) -> httpx.Response:
        """What vLLM answers: models, loading, unloading, or a chat completion."""
        body: Any = msgspec.json.decode(request.content) if request.content else {}
        if request.url.path.endswith("/models"):
            data = [{"id": name, "parent": "nano"} for name in self.models]
            return httpx.Response(200, json={"data": data})
        if request.url.path.endswith("/load_lora_adapter"):
            if self.late:
                self.models.append(self.late)
            if body["lora_name"] in self.models:
                return httpx.Response(400, json={"error": {"message": "loaded already"}})
            self.models.append(body["lora_name"])
            self.loads.append(body["lora_name"])
            return httpx.Response(200, text="Success")
        if request.url.path.endswith("/unload_lora_adapter"):
            self.models.remove(body["lora_name"])
            return httpx.Response(200, text="Success")
        prompt = body["messages"][0]["content"]
        self.asked.append(prompt)
        knows = prompt[1:].split("]")[0] in self.able
        return served.student(students.LABELS[1] if knows else "other")(request)


class Desk:
    """A registry in which two tasks of a domain have one adapter, and a pool beside it."""

    def __init__(self, home: Path) -> None:
        self.home, self.pool = home, FakePool()
        self.apart: str | None = None
        self.store = Store(f"sqlite:///{home}/mlflow.db", b"key")
        self.versions = {name: self.register(name) for name in ("a-1", "b-2")}

    def register(
        self,
        name: str,
        trained: Path | None = None,
        *,
        store: Store | None = None,
        passed: bool = True,
        seed: int = 0,
        **proof: Any,
    ) -> Version:
        """A version of a task's own; `trained` holds its real adapter, if any.

        The gate let it pass or not, and its certificate says what `proof` does.
        """
        subject = students.task(name)
        subject = replace(subject, template=replace(subject.template, tag=tag(name)))
        folder, digest, lineage = students.bundle(
            self.home / "made", subject=subject, trained=trained, seed=seed
        )
        questions = [
            {"prompt": tag(name) + q["prompt"], "answer": q["answer"]}
            for q in msgspec.json.decode((folder / "canary.json").read_bytes())
        ]
        (folder / "canary.json").write_bytes(msgspec.json.encode(questions))
        certificate = replace(students.certificate(digest, task=name), **proof)
        (folder / "certificate.json").write_bytes(msgspec.json.encode(certificate))
        verdict, lineage = replace(students.PASSED, passed=passed), replace(lineage, domain=NAME)
        card = students.scorecard(digest)
        return (store or self.store).register(subject, folder, card, certificate, verdict, lineage)

    def promote(self, *names: str) -> Changes:
        """Make these the champions, and no others; then reconcile."""
        for name, version in self.versions.items():
            if name in names or self.store.champion(name) is not None:
                self.store.set_champion(name, version.number if name in names else None)
        return self.reconcile()

    def reconcile(self) -> Changes:
        """Make the pool match the registry."""

        async def act() -> Changes:
            async with Client() as client:
                pool = Pool(upstream(self.pool.answer), client)
                pools = {"causal": pool}
                if self.apart:
                    pools["encoder"] = Pool(self.apart, client)
                return await reconcile(
                    self.home, self.store, self.store.aliases(), pools, "bundled"
                )

        return asyncio.run(act())


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """One registry for all tests here, without pictures."""
    event.listen(Engine, "connect", lambda database, _: database.execute("PRAGMA synchronous=OFF"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "plots", lambda *_: {})
        yield Desk(tmp_path_factory.mktemp("home"))


@pytest.fixture
def desk(registered: Desk) -> Iterator[Desk]:
    """The registry without champions, and an empty pool."""
    registered.pool = FakePool()
    yield registered
    registered.promote()


def test_the_pool_holds_a_domains_adapter_once(desk: Desk) -> None:
    """Two champions, one adapter: loaded once, each task asked; it goes when the last one goes."""
    a, b = desk.versions.values()
    assert a.adapter == b.adapter == f"{NAME}-{a.adapter_digest[:8]}"
    assert a.bundle != b.bundle
    desk.promote("a-1")
    changes = desk.promote("a-1", "b-2")
    assert (changes.serving, changes.loaded, changes.refused) == ((a.adapter,), (), {})
    assert desk.pool.loads == [a.adapter]
    assert [prompt.split()[0] for prompt in desk.pool.asked] == ["[a-1]"] * 5 + ["[b-2]"] * 5
    found = {r["task"]["id"]: r for r in routes(desk.home)}
    assert found["b-2"]["task"]["template"]["tag"] == "[b-2] "
    for _ in range(2):
        assert desk.promote("b-2").unloaded == ()
    assert desk.promote().unloaded == ()  # one more round, for answers under way
    assert desk.promote().unloaded == (a.adapter,)
    assert desk.pool.models == []


def test_a_champion_of_another_base_is_not_loaded(desk: Desk, tmp_path: Path) -> None:
    """A pool that looks at the shapes alone would take it."""
    students.lora(tiny.base(tmp_path / "base"), tmp_path / "trained" / "adapter")
    version = desk.register("c-3", tmp_path / "trained")
    desk.store.set_champion("c-3", version.number)
    changes = desk.promote("a-1")
    desk.store.set_champion("c-3", None)
    said = f"{version.adapter} was trained on another base than bundled"
    assert changes.refused == {version.bundle: said}
    assert version.adapter not in desk.pool.loads
    assert [route["task"]["id"] for route in routes(desk.home)] == ["a-1"]


def test_one_champion_that_cannot_be_fetched_stops_no_other(desk: Desk) -> None:
    """Nor does it keep a route that a person has taken away."""
    a = desk.versions["a-1"]
    desk.promote("a-1", "b-2")
    shutil.rmtree(desk.home / "adapters" / a.bundle)
    place = Path(desk.store.client.get_model_version("a-1", "1").source.removeprefix("file://"))
    place.rename(place.with_name("gone"))
    try:
        changes = desk.promote("a-1")
        assert "cannot be fetched" in changes.refused[a.bundle]
        assert [r["task"]["id"] for r in routes(desk.home)] == ["a-1"]
    finally:
        place.with_name("gone").rename(place)


def tried(desk: Desk, version: Version) -> str:
    """Why a version that somebody has made champion does not serve, nor is loaded."""
    before = desk.promote("a-1").serving
    desk.store.set_champion(version.name, version.number)
    changes = desk.reconcile()
    assert changes.serving == before
    assert all(route["version"] == 1 for route in routes(desk.home))
    assert list(changes.refused) == [version.bundle]
    return changes.refused[version.bundle]


def test_a_version_that_somebody_else_made_is_not_served(desk: Desk) -> None:
    """Who writes to MLflow has a template, a threshold, an adapter and the alias, not the key."""
    stranger = Store(desk.store.uri, b"a guess")
    forged = desk.register("a-1", store=stranger, seed=66, threshold=-1e9)
    assert "does not have this flywheel's signature" in tried(desk, forged)
    genuine = desk.versions["a-1"].signature
    desk.store.client.set_model_version_tag("a-1", str(forged.number), "signature", genuine)
    signed = desk.store.version("a-1", forged.number)
    assert "does not have this flywheel's signature" in tried(desk, signed)


def test_a_version_that_the_gate_refused_is_not_served(desk: Desk) -> None:
    """Nor where its verdict was changed since."""
    refused = desk.register("a-1", seed=67, passed=False)
    assert tried(desk, refused) == "the gate has not let it pass"
    desk.store.client.set_model_version_tag("a-1", str(refused.number), "verdict", "passed")
    changed = desk.store.version("a-1", refused.number)
    assert "does not have this flywheel's signature" in tried(desk, changed)


def test_a_certificate_of_another_student_proves_nothing(desk: Desk) -> None:
    """It is for one task and one adapter."""
    for seed, other in enumerate(({"task": "b-2"}, {"adapter_digest": "00c0ffee"}), 68):
        version = desk.register("a-1", seed=seed, **other)
        assert tried(desk, version).startswith("its certificate is of the adapter")


def without(name: str) -> Damage:
    """A bundle that lacks a file."""
    return lambda bundle: (bundle / name).unlink()


def holding(name: str, content: object) -> Damage:
    """A bundle with another content of a file."""
    return lambda bundle: (bundle / name).write_bytes(msgspec.json.encode(content)) and None


@pytest.mark.parametrize(
    "damage",
    [
        *map(without, ("certificate.json", "task.json", "canary.json")),
        *(holding("certificate.json", c) for c in ("too few rows", {"threshold": 0.5}, None, 1)),
        *(holding("canary.json", c) for c in ({"prompt": 1}, [1], "x")),
        holding("task.json", {"id": "b-2"}),
        without("adapter/adapter_config.json"),
    ],
)
def test_a_bad_bundle_costs_only_itself(desk: Desk, damage: Damage) -> None:
    """Its task keeps who served; a roll-back of another task takes effect at once."""
    desk.promote("a-1", "b-2")
    a = desk.versions["a-1"]
    bundle = desk.home / "adapters" / a.bundle
    whole = {path: path.read_bytes() for path in bundle.rglob("*") if path.is_file()}
    desk.pool.models, desk.pool.loads = [], []  # started anew, so that nobody serves
    damage(bundle)
    place = Path(desk.store.client.get_model_version("a-1", "1").source.removeprefix("file://"))
    place.rename(place.with_name("gone"))  # a whole one cannot be fetched in its place
    try:
        changes = desk.promote("a-1", "b-2")
        assert [r["task"]["id"] for r in routes(desk.home)] == ["b-2"]
        assert list(changes.refused) == [a.bundle]
        assert desk.promote("a-1").serving == ()
    finally:
        place.with_name("gone").rename(place)
        for path, content in whole.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def test_an_adapter_that_another_promotion_loaded_is_loaded(desk: Desk) -> None:
    """Two homes may share a pool: that it is there already is no reason not to serve it."""
    a = desk.versions["a-1"]
    desk.pool.late = a.adapter
    changes = desk.promote("a-1")
    assert (changes.serving, changes.refused) == ((a.adapter,), {})


def test_a_server_that_is_down_costs_only_its_own_kind(desk: Desk) -> None:
    """Its routes stay as they are; the other server's students are switched on."""
    desk.apart = nowhere()
    try:
        desk.promote("a-1")
        assert [r["task"]["id"] for r in routes(desk.home)] == ["a-1"]
    finally:
        desk.apart = None


def test_a_task_that_fails_its_questions_leaves_the_others_served(desk: Desk) -> None:
    """In a pool that was started anew, each task proves the shared adapter for itself."""
    a, b = desk.versions.values()
    desk.promote("a-1", "b-2")
    desk.pool.models, desk.pool.able = [], {"b-2"}
    changes = desk.promote("a-1", "b-2")
    assert changes.refused == {a.bundle: "only 0 of 5 canary answers match the evaluation's"}
    assert [r["task"]["id"] for r in routes(desk.home)] == ["b-2"]
    assert desk.pool.models == [b.adapter]
    desk.pool.able = set()
    desk.pool.models = []
    assert desk.promote("a-1", "b-2").unloaded == (b.adapter,)
    assert (routes(desk.home), desk.pool.models) == ([], [])
