"""From shadows of several tasks in the registry to champions that were proven together."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal

import msgspec
import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine
from test_night_shadow_promotion import live, shadow

from flows.night import joint_plan, shadow_promotion
from flows.night.folders import Night
from registry import plots
from registry.store import Store, Version
from tasks.calibrate.shadow_proof import ShadowAnswer
from tasks.core.certificate import load_certificate
from tasks.core.params import load
from tasks.deidentify.deidentify import load_key

pytestmark = pytest.mark.flow
DAY, NEXT = "2026-03-14", "2026-03-15"  # the night that made the shadows, and the one after it
LATER = 1_800_000_000.0  # after both
FEW = {"attempt": 0, "guides": 40, "share": 1.0, "nightly": 30.0}  # too few to prove it alone


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a registry of its own."""
    event.listen(Engine, "connect", lambda database, _: database.execute("PRAGMA synchronous=OFF"))
    monkeypatch.setattr(plots, "plots", lambda *_: {})
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


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
    live(home, version, said)


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
    plan = home / "nights" / DAY / "joint" / "0.05.json"
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
    assert len(written(home)) == 1  # the first plan will be proven sooner than a new one

    answer(home, good, 200)
    answer(home, other, 60)
    answer(home, bad, 30, wrong=5)
    told = shadow_promotion.prove(home)
    assert "Proven together with 2 other tasks by 290 answers, 5 of them wrong." in told["a-1"]
    assert told["c-1"].endswith("Its own are too few yet, or too often wrong.")
    assert store.serving() == {"a-1": 2, "b-1": 2}
    assert [version.name for version in store.shadows()] == ["c-1"]
    folder = store.fetch(store.version("b-1", 2), home / "fetched")
    proof = load_certificate(folder / "certificate.json")
    assert not isinstance(proof, str)
    assert (proof.method, proof.n, proof.attempt) == ("joint", 60, 1)
    assert shadow_promotion.prove(home).keys() == {"c-1"}
    page = store.client.get_model_version("b-1", "2").description
    assert "those of 3 tasks together, other than the teacher's" in page


def test_what_is_proven_serves_no_sooner_than_before_and_stays_out_when_taken_out(
    home: Path,
) -> None:
    """What a person takes out does not come back by what it has proven together with others."""
    store = Store(f"sqlite:///{home}/mlflow.db", load_key(home))
    versions = [shadow(home, name, (-0.5, -1.0)) for name in ("d-1", "e-1")]
    joint_plan.write(night(home))
    assert written(home) == []  # nothing is known of what they would answer
    versions = [shadow(home, name, (-0.5, -1.0), **FEW | {"attempt": 1}) for name in ("d-2", "e-2")]
    joint_plan.write(night(home))
    for version in versions:
        answer(home, version, 50)
    shadow_promotion.prove(home)
    assert store.serving() == {"d-2": 2, "e-2": 2}
    assert store.shadow("d-2") == 1  # it is asked on, for looser thresholds
    store.set_champion("d-2", None)
    shadow_promotion.prove(home)
    assert (store.champion("d-2"), store.shadow("d-2")) == (None, None)


def test_a_member_that_is_gone_takes_its_plan_with_it(home: Path) -> None:
    """What it said wrongly would be missing; the others go on by themselves."""
    store = Store(f"sqlite:///{home}/mlflow.db", load_key(home))
    versions = [shadow(home, name, (-0.5,), **FEW) for name in ("f-1", "g-1")]
    joint_plan.write(night(home))
    for version in versions:
        answer(home, version, 60)
    store.client.delete_registered_model("f-1")
    shutil.rmtree(home / "adapters", ignore_errors=True)
    told = shadow_promotion.prove(home)
    assert told.keys() == {"g-1"}
    assert "proven together" not in told["g-1"]
    assert store.serving() == {}
