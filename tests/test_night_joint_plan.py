"""From shadows of several tasks in the registry to champions that were proven together."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine
from test_night_shadow_promotion import live, shadow

from flows.night import joint_plan, shadow_promotion
from flows.night.folders import Night, ended
from registry import plots
from registry.store import Store, Version
from serving.shadow import FOLDER
from tasks.calibrate.shadow_proof import ShadowAnswer
from tasks.core.certificate import load_certificate
from tasks.core.params import DEFAULT, load
from tasks.deidentify.deidentify import load_key

pytestmark = pytest.mark.flow
DAY, NEXT = "2026-03-14", "2026-03-15"  # the night that made the shadows, and the one after it
LATER = 1_800_000_000.0  # after both
FEW = {  # too few to prove it alone
    "attempt": 0,
    "guides": 40,
    "share": 1.0,
    "nightly": 30.0,
    "loaded": ended(NEXT),
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a registry of its own."""
    event.listen(Engine, "connect", lambda database, _: database.execute("PRAGMA synchronous=OFF"))
    monkeypatch.setattr(plots, "plots", lambda *_: {})
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    asked(tmp_path, monkeypatch, scope="all")
    return tmp_path


def asked(home: Path, monkeypatch: pytest.MonkeyPatch, **calibrate: Any) -> None:
    """Let params ask for proofs together, at some alpha."""
    known = msgspec.yaml.decode(DEFAULT.read_bytes())
    body = known | {"calibrate": known["calibrate"] | calibrate}
    (home / "params.yaml").write_bytes(msgspec.yaml.encode(body))
    monkeypatch.setenv("FLYWHEEL_PARAMS", str(home / "params.yaml"))


def night(home: Path, day: str = DAY, scope: Literal["task", "all"] = "all") -> Night:
    """A night whose params ask for proofs together, or for each task's own."""
    params = load()
    calibrate = msgspec.structs.replace(params.calibrate, scope=scope)
    return Night(home, day, msgspec.structs.replace(params, calibrate=calibrate))


def answer(home: Path, version: Version, n: int, wrong: int = 0) -> None:
    """Live calls that a shadow answers confidently, the first of them wrongly."""
    names = [f"{version.name}-{place}" for place in range(n)]
    said = [
        ShadowAnswer(call=name, at=LATER + at, conversation=name, score=-0.1, agrees=at >= wrong)
        for at, name in enumerate(names)
    ]
    later = ShadowAnswer(
        call="z", at=LATER + 9_000, conversation="z", score=None, agrees=True
    )  # when all of those are over
    live(home, version, [*said, later])


def written(home: Path) -> list[str]:
    """The plans of all nights."""
    return [str(file.relative_to(home)) for file in sorted(home.glob("nights/*/joint/*.json"))]


def test_tasks_of_few_calls_become_champions_together(home: Path) -> None:
    """A plan by night, a countdown for all, then a certificate for each that is not too bad."""
    store = Store(f"sqlite:///{home}/mlflow.db", load_key(home))
    good, other, bad = (shadow(home, name, (-0.5,), **FEW) for name in ("a-1", "b-1", "c-1"))
    joint_plan.write(night(home, scope="task"))
    assert written(home) == []
    joint_plan.write(night(home))
    plan = home / "nights" / DAY / "joint" / "0.05-selective.json"
    first = plan.read_bytes()
    joint_plan.write(night(home))
    assert plan.read_bytes() == first  # a night that is begun again ends the same

    for version in (good, other, bad):
        answer(home, version, 20)
    told = shadow_promotion.prove(home)
    assert "Its calls are too few to prove it by themselves. 3 tasks are proven" in told["b-1"]
    assert "60 answers, 0 of them wrong. At least 24 more" in told["b-1"]
    assert store.serving() == {}
    joint_plan.write(night(home, NEXT))
    assert json.loads((home / written(home)[-1]).read_bytes()) is None  # the first is nearer

    answer(home, good, 300)
    answer(home, other, 300)
    answer(home, bad, 300, wrong=22)
    told = shadow_promotion.prove(home)
    assert "Proven together with 2 other tasks by 900 answers, 22 of them wrong." in told["a-1"]
    assert told["c-1"].endswith("Its own are too few yet, or too often wrong.")
    assert store.serving() == {"a-1": 2, "b-1": 2}
    assert [version.name for version in store.shadows()] == ["c-1"]
    folder = store.fetch(store.version("b-1", 2), home / "fetched")
    proof = load_certificate(folder / "certificate.json")
    assert not isinstance(proof, str)
    assert (proof.method, proof.n, proof.attempt) == ("joint", 301, 1)
    assert shadow_promotion.prove(home).keys() == {"c-1"}
    page = store.client.get_model_version("b-1", "2").description
    assert "those of 3 tasks together, other than the teacher's" in page


def test_what_a_person_takes_out_stays_out(home: Path) -> None:
    """Proven together or not; and who is promoted by a person is not replaced."""
    store = Store(f"sqlite:///{home}/mlflow.db", load_key(home))
    unknown = {"guides": 0, "nightly": 0.0}
    for name in ("d-1", "e-1"):
        shadow(home, name, (-0.5, -1.0), **unknown)
    joint_plan.write(night(home))
    assert json.loads((home / written(home)[-1]).read_bytes()) is None  # nobody is asked anything
    versions = [shadow(home, name, (-0.5, -1.0), **FEW | {"attempt": 1}) for name in ("d-2", "e-2")]
    joint_plan.write(night(home, NEXT))
    for version in versions:
        answer(home, version, 50)
    shadow_promotion.prove(home)
    assert store.serving() == {"d-2": 2, "e-2": 2}
    assert store.shadow("d-2") == 1  # it is asked on, for looser thresholds
    store.set_champion("d-2", None)
    shadow_promotion.prove(home)
    assert (store.champion("d-2"), store.shadow("d-2")) == (None, None)


def test_nobody_is_carried_by_one_that_left(home: Path) -> None:
    """Whoever is to serve has to stand without it, were it taken out by a person or deleted."""
    store = Store(f"sqlite:///{home}/mlflow.db", load_key(home))
    versions = [shadow(home, name, (-0.5,), **FEW) for name in ("f-1", "g-1")]
    joint_plan.write(night(home))
    for version in versions:
        answer(home, version, 60, wrong=int(version.name == "g-1"))
    store.set_shadow("f-1", None)
    shadow_promotion.prove(home)
    assert store.serving() == {}
    store.client.delete_registered_model("f-1")
    shutil.rmtree(home / "adapters", ignore_errors=True)
    told = shadow_promotion.prove(home)
    assert told.keys() == {"g-1"}
    assert "proven together" not in told["g-1"]
    assert store.serving() == {}


def test_params_of_today_say_who_may_be_proven_together(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither with `scope: task`, nor a task that was given an alpha of its own since."""
    store = Store(f"sqlite:///{home}/mlflow.db", load_key(home))
    for name in ("h-1", "refund-1"):
        answer(home, shadow(home, name, (-0.5,), **FEW), 60)
    joint_plan.write(Night(home, "2026-03-01", night(home).params))  # before those answers
    for changed in ({"scope": "task"}, {"scope": "all", "alpha": {"refund-*": 0.01}}):
        changed = {**changed, "alpha": {"default": 0.05, **changed.get("alpha", {})}}
        asked(home, monkeypatch, **changed)
        shadow_promotion.prove(home)
        assert store.serving() == {}
        joint_plan.write(Night(home, NEXT, load()))
        assert not any(home.glob("nights/*/joint/0.01-*.json"))


@pytest.mark.parametrize("damage", [b'{"alpha":0.05,"del', b"", b'"\xff"'])
def test_a_damaged_plan_concerns_nobody_else(home: Path, damage: bytes) -> None:
    """Who proves itself is proven; the lost plan counts as an attempt; the night goes on."""
    store = Store(f"sqlite:///{home}/mlflow.db", load_key(home))
    alone = shadow(home, "i-1", (-0.5,))
    for name in ("j-1", "k-1"):
        shadow(home, name, (-0.5,), **FEW)
    answer(home, alone, 200)
    plan = home / "nights" / DAY / "joint" / "0.05-selective.json"
    plan.parent.mkdir(parents=True)
    plan.write_bytes(damage)
    log = home / FOLDER / "j-1-v1" / "2026-03-15.jsonl"
    log.parent.mkdir(parents=True)
    log.write_bytes(b'{"call":"a","at":1e9,"conversation":"\xff","score":-0.1,"agrees":true}\n')
    shadow_promotion.prove(home)
    assert store.serving() == {"i-1": 2}
    joint_plan.write(night(home, NEXT))
    assert json.loads((home / written(home)[-1]).read_bytes())["attempt"] == 2
