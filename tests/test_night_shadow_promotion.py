"""From a shadow in the registry to a champion with a certificate of live calls."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import students
from sqlalchemy import event
from sqlalchemy.engine import Engine

from flows.night import shadow_promotion
from flows.night.shadow_plan import PLAN, REVOKED
from registry import bundle, ledger, plots
from registry.gate import Verdict
from registry.store import Store, Version
from serving.shadow import FOLDER
from tasks.calibrate.shadow_proof import ShadowAnswer, ShadowPlan
from tasks.core.certificate import Refusal, load_certificate
from tasks.core.stage import write_atomic
from tasks.deidentify.deidentify import load_key

pytestmark = pytest.mark.flow


def planned(task: str, digest: str, thresholds: tuple[float, ...]) -> ShadowPlan:
    """What a shadow has to prove, from the second 100 on."""
    return ShadowPlan(
        task=task,
        adapter_digest=digest,
        alpha=0.05,
        delta=0.1,
        attempt=2,
        thresholds=thresholds,
        loaded=100.0,
    )


def shadow(home: Path, task: str, thresholds: tuple[float, ...], **more: Any) -> Version:
    """A shadow in the registry, with what it has to prove; `more` is of its plan."""
    subject = students.task(task)
    folder, made, lineage = students.bundle(home / task, subject=subject)
    plan = replace(planned(subject.id, made, thresholds), **more)
    write_atomic(folder / PLAN, msgspec.json.encode(plan))
    refused = msgspec.json.encode(Refusal(refused="It only lacks proof.", attempt=2))
    write_atomic(folder / "certificate.json", refused)
    store = Store(f"sqlite:///{home}/mlflow.db", load_key(home))
    card, no = students.scorecard(made, task=subject.id), Verdict(False, "It only lacks proof.")
    version = store.register(subject, folder, card, None, no, lineage)
    store.set_shadow(subject.id, version.number)
    return version


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Version]]:
    """A home whose registry has one shadow, of one threshold."""
    event.listen(Engine, "connect", lambda database, _: database.execute("PRAGMA synchronous=OFF"))
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "plots", lambda *_: {})
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        version = shadow(home, "route-1", (-0.5,))
        yield home, version


def live(home: Path, version: Version, calls: list[ShadowAnswer]) -> None:
    """Put on record what the shadow was asked."""
    file = home / FOLDER / f"{version.name}-v{version.number}" / "2026-03-15.jsonl"
    write_atomic(file, b"".join(msgspec.json.encode(call) + b"\n" for call in calls))


def right(name: str, since: float) -> list[ShadowAnswer]:
    """Live calls that a shadow answers confidently, and as the teacher."""
    return [
        ShadowAnswer(
            call=f"{name}{n}", at=since + n, conversation=f"{name}{n}", score=-0.1, agrees=True
        )
        for n in range(150)
    ]


def test_live_calls_make_a_champion(registered: tuple[Path, Version]) -> None:
    """A countdown first; then a version with a certificate, its counts, and the alias champion."""
    home, version = registered
    store = Store(f"sqlite:///{home}/mlflow.db", load_key(home))
    calls = [
        ShadowAnswer(call=f"c{n}", at=101.0 + n, conversation=f"c{n}", score=-0.1, agrees=n != 50)
        for n in range(300)
    ]
    early = [replace(call, at=99.0) for call in calls]
    live(home, version, early)
    told = shadow_promotion.prove(home)[version.name]
    assert told.startswith("At least ")  # nothing before the loading counts
    live(home, version, calls[:40])
    told = shadow_promotion.prove(home)[version.name]
    assert "40 calls that its training never saw" in told
    assert msgspec.json.decode((home / "shadows.json").read_bytes()) == {version.name: told}
    page = store.client.get_model_version(version.name, str(version.number)).description
    assert told in page
    assert page.count("### In shadow") == 1
    assert store.champion(version.name) is None

    live(home, version, calls)
    told = shadow_promotion.prove(home)[version.name]
    assert "Proven by 300 live calls." in told
    number = store.champion(version.name)
    assert number == version.number + 1
    assert (store.shadow(version.name), store.shadows()) == (None, [])
    folder = store.fetch(store.version(version.name, number), home / "fetched")
    proof = load_certificate(folder / "certificate.json")
    assert not isinstance(proof, str)
    assert (proof.method, proof.attempt, proof.n, proof.wrong) == ("shadow", 2, 300, 1)
    assert store.version(version.name, number).adapter_digest == version.adapter_digest
    assert bundle.read(folder, "lineage")["night"] == "2026-03-14"
    assert ledger.entries(home)[-1].after == number
    assert shadow_promotion.prove(home) == {}


def test_a_revoked_version_is_proven_anew(registered: tuple[Path, Version]) -> None:
    """By calls since it was taken out; what it becomes serves, though the watch took it out."""
    home, _ = registered
    store, subject = Store(f"sqlite:///{home}/mlflow.db", load_key(home)), students.task("route-5")
    folder, made, lineage = students.bundle(home / "out", subject=subject)
    card, proof = students.scorecard(made, task=subject.id), students.certificate(made)
    version = store.register(subject, folder, card, proof, Verdict(True, "It passed."), lineage)
    store.revoke(version, "Revoked: 5 of 5 audited answers wrong.")
    store.set_shadow(subject.id, version.number)
    plan = planned(subject.id, made, (-0.5,))
    attempt = home / "nights" / "2026-03-14" / "calibrate" / subject.id
    write_atomic(attempt / REVOKED.format(version.number) / PLAN, msgspec.json.encode(plan))
    calls = right("i", 101.0)
    live(home, version, calls[:20])
    told = shadow_promotion.prove(home)[subject.id]
    assert "all of them right, prove it" in told
    page = store.client.get_model_version(subject.id, str(version.number)).description
    assert page.startswith("### Taken out of service\nRevoked: 5 of 5 audited answers wrong.\n")
    assert f"### In shadow\n{told}" in page
    live(home, version, calls)
    shadow_promotion.prove(home)
    assert store.champion(subject.id) == version.number + 1
    assert store.shadow(subject.id) is None


def test_a_candidate_that_waits_for_a_person_is_asked_in_the_background(
    registered: tuple[Path, Version],
) -> None:
    """Its page tells what live calls say; it is asked no more once it is champion."""
    home, _ = registered
    store, subject = Store(f"sqlite:///{home}/mlflow.db", load_key(home)), students.task("route-2")
    folder, made, lineage = students.bundle(home / "waits", subject=subject)
    card, proof = students.scorecard(made, task=subject.id), students.certificate(made)
    version = store.register(subject, folder, card, proof, Verdict(True, "It passed."), lineage)
    store.set_shadow(subject.id, version.number)
    calls = [
        ShadowAnswer(
            call=f"d{n}", at=version.at + n, conversation=f"d{n}", score=-0.001, agrees=n != 7
        )
        for n in range(30)
    ]
    live(home, version, calls)
    told = shadow_promotion.prove(home)[subject.id]
    assert told.startswith("Asked in the background about 30 live calls, it would have answered 30")
    assert "1 wrongly. It waits for a person." in told
    assert told in store.client.get_model_version(version.name, str(version.number)).description
    store.set_champion(subject.id, version.number)
    shadow_promotion.prove(home)
    assert store.shadow(subject.id) is None


def test_a_champion_serves_more_once_the_next_threshold_is_proven(
    registered: tuple[Path, Version],
) -> None:
    """It is asked on in the background, and its new certificate is of the same attempt."""
    home, _ = registered
    store = Store(f"sqlite:///{home}/mlflow.db", load_key(home))
    version = shadow(home, "route-3", (-0.5, -1.0))
    sure = right("e", 301.0)
    doubtful = [
        replace(call, call=f"f{n}", conversation=f"f{n}", at=call.at - 200, score=-0.8)
        for n, call in enumerate(sure)
    ]
    wrong = [replace(call, agrees=n > 40) for n, call in enumerate(doubtful)]
    live(home, version, [*wrong, *sure])
    shadow_promotion.prove(home)
    assert store.champion("route-3") == version.number + 1
    assert store.shadow("route-3") == version.number
    shadow_promotion.prove(home)
    assert store.champion("route-3") == version.number + 1  # nothing is new
    live(home, version, [*doubtful, *sure])
    shadow_promotion.prove(home)
    number = store.champion("route-3")
    assert number == version.number + 2
    assert store.shadow("route-3") is None
    folder = store.fetch(store.version("route-3", number), home / "fetched-3")
    proof = load_certificate(folder / "certificate.json")
    assert not isinstance(proof, str)
    assert (proof.threshold, proof.attempt, proof.coverage) == (-1.0, 2, 1.0)


def test_who_takes_a_champion_out_ends_what_it_had_to_prove(
    registered: tuple[Path, Version],
) -> None:
    """What was revoked, or replaced, does not come back by what it had proven before."""
    home, _ = registered
    store = Store(f"sqlite:///{home}/mlflow.db", load_key(home))
    version = shadow(home, "route-4", (-0.5, -1.0))
    calls = right("g", 101.0)
    live(home, version, [replace(c, score=-0.8, agrees=n > 60) for n, c in enumerate(calls)])
    shadow_promotion.prove(home)
    assert store.champion("route-4") is None
    again = [replace(c, call=f"h{c.call}", conversation=f"h{c.call}", at=c.at + 200) for c in calls]
    live(home, version, again)
    shadow_promotion.prove(home)
    assert store.champion("route-4") is not None
    store.set_shadow("route-4", version.number)
    store.set_champion("route-4", None)
    shadow_promotion.prove(home)
    assert (store.champion("route-4"), store.shadow("route-4")) == (None, None)
