"""The registry, against MLflow on a database of its own."""

from __future__ import annotations

import dataclasses
import math
import shutil
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import students
import tiny
from safetensors.numpy import load_file
from sqlalchemy import Engine, event

from registry import bundle as bundles
from registry import ledger, plots, router
from registry.gate import Verdict
from registry.store import CANDIDATE, CHAMPION, EXPERIMENT, Store, Version
from tasks.core.contract import Contract
from tasks.core.stage import Refused
from tasks.core.task import Task, load_one, save
from tasks.students.causal import Student

if TYPE_CHECKING:
    import pandas

PASSED = Verdict(True, "It answers 86% of the calls by itself.")
DRAWN = plots.plots
REFUSED = Verdict(False, "It would answer 3% of the calls.")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """One database for all tests here, each of which uses tasks of its own."""
    event.listen(Engine, "connect", lambda database, _: database.execute("PRAGMA synchronous=OFF"))
    return Store(f"sqlite:///{tmp_path_factory.mktemp('registry')}/mlflow.db", b"key")


@pytest.fixture(autouse=True)
def unpainted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures take half of a registration; they are drawn for the one test that looks at them."""
    monkeypatch.setattr(plots, "plots", lambda *_: {})


def register(
    store: Store, home: Path, subject: Task, seed: int = 0, verdict: Verdict = PASSED
) -> Version:
    folder, digest, lineage = students.bundle(home, seed=seed, subject=subject)
    card, proof = students.scorecard(digest), students.certificate(digest)
    return store.register(subject, folder, card, proof, verdict, lineage)


def aliases(store: Store, name: str) -> dict[str, int]:
    (model,) = store.client.search_registered_models(f"name='{name}'")
    return {alias: int(number) for alias, number in model.aliases.items()}


def table(path: str) -> pandas.DataFrame:
    import pandas

    return pandas.read_json(path, orient="split")


def test_a_student_becomes_a_version_with_its_lineage(store: Store, tmp_path: Path) -> None:
    """Task, adapter digest, data hash and figures can be read back from the registry alone."""
    subject = students.task("route-1")
    version = register(store, tmp_path, subject)
    assert (version.name, version.number, version.passed) == ("route-1", 1, True)
    assert version.adapter == f"route-1-v1-{version.adapter_digest[:8]}"
    assert version.dataset == "2dbf05a3d7b85a8709fcbb54de2643b4.dir"
    run = store.client.get_run(version.run)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["agreement"] == 0.953
    assert run.data.params["rows train"] == "420"
    assert run.data.tags["category"] == "classification"
    assert run.inputs.dataset_inputs[0].dataset.digest == version.dataset
    curve = store.client.get_metric_history(version.run, "training/loss")
    assert [point.step for point in curve] == list(range(10, 121, 10))


def test_a_run_shows_tables_pictures_and_the_machine(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The UI compares versions by them: test answers, the scorecard, plots, system metrics."""
    monkeypatch.setattr(plots, "plots", DRAWN)
    subject = students.task("route-11")
    client, run = store.client, register(store, tmp_path, subject).run
    asked = table(client.download_artifacts(run, "answers.json", str(tmp_path)))
    assert list(asked["prompt"]) == [f"my parcel {i} is late" for i in range(8)]
    assert list(asked["served"]) == [i <= 1 for i in range(8)]
    assert asked["confidence"][2] == pytest.approx(math.exp(-0.2), abs=1e-4)
    scores = table(client.download_artifacts(run, "scorecard.json", str(tmp_path)))
    assert list(scores["who"]) == ["student", "majority answer"]
    assert list(scores["calls"]) == [320, 320]
    assert "answers.json" in client.get_run(run).data.tags["mlflow.loggedArtifacts"]
    with_json = students.task("route-12", contract=Contract(kind="json", schema={}))
    other = register(store, tmp_path, with_json).run
    assert "fields.json" in {file.path for file in client.list_artifacts(other)}
    pictures = {file.path for file in client.list_artifacts(run, "plots")}
    assert pictures == {f"plots/{n}.png" for n in ("loss", "risk", "confusion")}
    used = client.get_metric_history(run, "system/cpu_utilization_percentage")
    assert [(one.step, one.timestamp) for one in used] == [
        (i, 10**12 + 5_000 * i) for i in range(3)
    ]


def test_registering_twice_makes_one_version(store: Store, tmp_path: Path) -> None:
    """A night that is run again adds no version; another adapter does, and another proof."""
    subject = students.task("route-2")
    first = register(store, tmp_path / "a", subject)
    assert register(store, tmp_path / "b", subject) == first
    assert register(store, tmp_path / "c", subject, seed=1).number == 2
    assert [version.number for version in store.versions("route-2")] == [1, 2]
    folder, digest, lineage = students.bundle(tmp_path / "d", seed=1, subject=subject)
    proof = students.certificate(digest, alpha=0.01)  # for the same bytes
    again = store.register(subject, folder, students.scorecard(digest), proof, PASSED, lineage)
    assert again.number == 3


def test_candidate_follows_the_verdict_and_champion_does_not_move(
    store: Store, tmp_path: Path
) -> None:
    """Only a student that passed is candidate; nobody serves before somebody says so."""
    subject = students.task("route-3")
    register(store, tmp_path, subject)
    refused = register(store, tmp_path, subject, seed=1, verdict=REFUSED)
    assert not refused.passed
    assert aliases(store, "route-3") == {CANDIDATE: 1}
    assert store.champion("route-3") is None


def test_champion_moves_there_and_back(store: Store, tmp_path: Path) -> None:
    """Promotion, roll-back and taking the alias away are the same move."""
    subject = students.task("route-4")
    one, two = (register(store, tmp_path, subject, seed=seed) for seed in (0, 1))
    for number in (1, 2, 1):
        store.set_champion("route-4", number)
        assert store.champion("route-4") == number
    assert one in store.champions()
    assert two not in store.champions()
    store.set_champion("route-4", None)
    assert store.champion("route-4") is None
    assert "route-4" not in {version.name for version in store.champions()}


def test_a_move_made_in_the_ui_is_seen(store: Store, tmp_path: Path) -> None:
    """A person moves the alias behind our back; the ledger writes it down and it stands."""
    subject = students.task("route-5")
    for seed in (0, 1):
        register(store, tmp_path, subject, seed=seed)
    moved = {"reason": "it won", "now": 1.0}
    ledger.promote(tmp_path, store, "route-5", 2, expected=None, **moved)
    store.client.set_registered_model_alias("route-5", CHAMPION, "1")
    assert not ledger.promote(tmp_path, store, "route-5", 2, expected=2, **moved).moved
    assert store.champion("route-5") == 1


def test_a_fetched_bundle_is_the_registered_one(store: Store, tmp_path: Path) -> None:
    """Every file comes back byte for byte; fetching again is a check, not a download."""
    subject = students.task("route-6")
    version = register(store, tmp_path, subject)
    source = tmp_path / "route-6-0" / "bundle"
    folder = store.fetch(version, tmp_path / "adapters" / version.adapter)
    for file in (path for path in source.rglob("*") if path.is_file()):
        assert (folder / file.relative_to(source)).read_bytes() == file.read_bytes()
    assert load_one(folder) == subject
    assert bundles.scorecard(folder) == students.scorecard(version.adapter_digest)
    assert store.fetch(version, folder) == folder


def test_a_changed_adapter_is_not_served(store: Store, tmp_path: Path) -> None:
    """A damaged copy is fetched again; bytes that are not the registered ones are refused."""
    subject = students.task("route-7")
    version = register(store, tmp_path, subject)
    folder = store.fetch(version, tmp_path / "here")
    for torn in ("adapter/adapter_config.json", "certificate.json"):
        whole = (folder / torn).read_bytes()
        (folder / torn).write_bytes(whole[:9])
        assert (store.fetch(version, folder) / torn).read_bytes() == whole
    place = Path(store.client.get_model_version("route-7", "1").source.removeprefix("file://"))
    (next(place.rglob("adapter")) / "adapter_config.json").write_text("{}")
    with pytest.raises(Refused, match="has digest"):
        store.fetch(version, tmp_path / "there")
    assert not (tmp_path / "there").exists()


FORGERIES: dict[str, tuple[str, Any]] = {
    "template": ("task.json", {"template": {"tag": ""}}),
    "certificate": ("certificate.json", {"threshold": -1e9}),
    "questions": ("canary.json", []),
    "more": ("adapter/more.json", {}),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_what_was_changed_in_the_registry_is_not_served(
    store: Store, tmp_path: Path, name: str
) -> None:
    """Whoever may write artifacts and tags cannot have another template or threshold served."""
    file, changes = FORGERIES[name]
    version = register(store, tmp_path, students.task(f"forged-{name}"))
    source = store.client.get_model_version(version.name, "1").source.removeprefix("file://")
    path = next(Path(source).rglob("adapter")).parent / file
    if path.exists() and isinstance(changes, dict):
        changes = msgspec.json.decode(path.read_bytes()) | changes
    path.write_bytes(msgspec.json.encode(changes))
    with pytest.raises(Refused, match="does not have this flywheel's signature"):
        store.fetch(version, tmp_path / "there")
    assert not (tmp_path / "there").exists()


def test_what_somebody_else_registered_is_not_served(store: Store, tmp_path: Path) -> None:
    """Neither with another key, nor unsigned, nor as one of another task, verdict or scope."""
    subject = students.task("foreign-1")
    foreign = register(Store(store.uri, b"another key"), tmp_path, subject)
    genuine = register(store, tmp_path, students.task("foreign-2"))
    moved = dataclasses.replace(genuine, name="foreign-1", number=1)
    changed = [
        dataclasses.replace(genuine, **change)
        for change in ({"passed": False}, {"scope": "domain-desk"}, {"signature": "ä"})
    ]
    for version in (foreign, dataclasses.replace(foreign, signature=""), moved, *changed):
        with pytest.raises(Refused, match="somebody else registered or changed it"):
            store.fetch(version, tmp_path / "there")


def test_nothing_but_data_is_registered(store: Store, tmp_path: Path) -> None:
    """A pickle or a link in a bundle is refused before anything is written."""
    subject = students.task("route-8")
    folder, digest, lineage = students.bundle(tmp_path, subject=subject)
    card, proof = students.scorecard(digest), students.certificate(digest)
    (folder / "adapter" / "adapter_model.bin").write_bytes(b"\x80\x04")
    with pytest.raises(Refused, match="may not be in a bundle"):
        store.register(subject, folder, card, proof, PASSED, lineage)
    (folder / "adapter" / "adapter_model.bin").unlink()
    (folder / "notes.json").symlink_to("/etc/hostname")
    with pytest.raises(Refused, match="may not be in a bundle"):
        store.register(subject, folder, card, proof, PASSED, lineage)
    assert store.versions("route-8") == []


def test_an_interrupted_registration_is_made_good(store: Store, tmp_path: Path) -> None:
    """A run left over from a crash is replaced, and the version is the first."""
    subject = students.task("route-9")
    _, digest, _ = students.bundle(tmp_path / "a", subject=subject)
    tags = {"adapter_digest": digest, "night": "2026-03-14"}
    left = store._run(store.experiment(EXPERIMENT), subject, tags, "")
    version = register(store, tmp_path / "b", subject)
    assert version.number == 1
    assert store.client.get_run(left.info.run_id).info.lifecycle_stage == "deleted"


def test_students_are_registered_side_by_side(store: Store, tmp_path: Path) -> None:
    """Sub-flows of one night register at the same time."""
    subjects = [students.task(f"side-{i}") for i in range(4)]
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda s: register(store, tmp_path, s), subjects))
    assert [version.name for version in done] == [subject.id for subject in subjects]


def test_an_unknown_version_is_one_sentence(store: Store) -> None:
    """Asking for a version that does not exist names it."""
    with pytest.raises(Refused, match="has no version 7 of nobody"):
        store.version("nobody", 7)


def test_artifacts_lie_beside_the_database(store: Store, tmp_path: Path) -> None:
    """Without a server nothing is written to the folder that the program was started in."""
    register(store, tmp_path, students.task("route-10"))
    assert (Path(store.uri.removeprefix("sqlite:///")).parent / "mlartifacts").is_dir()
    assert not Path("mlruns").exists()


def test_bundle_keeps_the_questions_it_was_most_confident_about(tmp_path: Path) -> None:
    """The canary of a bundle are the most confident test answers, with what was answered."""
    folder, _, _ = students.bundle(tmp_path)
    questions = bundles.read(folder, "canary")
    assert [q["prompt"] for q in questions] == [f"my parcel {i} is late" for i in range(5)]
    assert load_file(folder / "adapter" / "adapter_model.safetensors")["lora"].shape == (16, 256)
    shutil.rmtree(folder)
    assert bundles.read(folder, "canary") is None


@pytest.mark.e2e  # torch, transformers and MLflow in one process are slow to load
def test_a_champion_can_be_asked_through_mlflow(store: Store, tmp_path: Path) -> None:
    """`mlflow.pyfunc.load_model` gives the student, without running code from the registry."""
    import mlflow
    import pandas

    base = tiny.base(tmp_path / "base")
    students.lora(base, tmp_path / "trained" / "adapter")
    made = {"base": str(base), "trained": tmp_path / "trained"}
    subject = students.task("colour-0", contract=tiny.colour_contract())
    folder, digest, lineage = students.bundle(tmp_path, subject=subject, **made)
    card, proof = students.scorecard(digest), students.certificate(digest)
    version = store.register(subject, folder, card, proof, PASSED, lineage)
    store.set_champion(version.name, version.number)
    mlflow.set_tracking_uri(store.uri)
    model = mlflow.pyfunc.load_model(f"models:/{version.name}@champion")
    prompts = ["what colour is the sea", "what colour is the grass"]
    known = Student.load(base, folder / "adapter").answer(prompts)
    assert model.predict(pandas.DataFrame({"prompt": prompts})) == [a.text for a in known]
    place = Path(store.client.get_model_version(version.name, "1").source.removeprefix("file://"))
    assert not {path.suffix for path in place.rglob("*")} & {".pkl", ".pickle", ".bin", ".pt"}


def test_the_router_is_a_version_for_each_change(store: Store, tmp_path: Path) -> None:
    """The same templates stay one version; a changed one is the next, with its file to look at."""
    tasks = [students.task("route-7"), students.task("route-8")]
    save(tmp_path / "tasks.json", tasks)
    first = router.register(store, tmp_path / "tasks.json", "2026-03-02")
    save(tmp_path / "tasks.json", [dataclasses.replace(tasks[0], size=9), tasks[1]])
    assert router.register(store, tmp_path / "tasks.json", "2026-03-03") == first
    longer = dataclasses.replace(tasks[0].template, turns=not tasks[0].template.turns)
    save(tmp_path / "tasks.json", [dataclasses.replace(tasks[0], template=longer), tasks[1]])
    assert router.register(store, tmp_path / "tasks.json", "2026-03-04") == first + 1
    source = store.client.get_model_version_download_uri("router", str(first + 1))
    assert (tmp_path / "tasks.json").read_bytes() in {
        file.read_bytes() for file in Path(source.removeprefix("file://")).rglob("tasks.json")
    }
    assert "router" not in {version.name for version in store.champions()}


@pytest.mark.parametrize("answer", [b"HTTP/1.1 503 Away\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n"])
def test_a_registry_that_is_none_is_a_sentence(answer: bytes) -> None:
    """A server that cannot serve, or another one: nobody waits through a client's retries."""
    with socket.create_server(("127.0.0.1", 0)) as port, ThreadPoolExecutor(1) as thread:
        url = f"http://127.0.0.1:{port.getsockname()[1]}"
        tried = thread.submit(Store(url, b"").reach)
        with port.accept()[0] as client:
            client.sendall(answer)
        with pytest.raises(Refused, match=rf"MLflow at {url} cannot be reached \(.+\)$"):
            tried.result()
