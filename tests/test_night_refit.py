"""A night whose student has too little to learn from: it learns what was to prove it, too."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from test_night_shadow_plan import TASK, begun

from benchmarks import plain
from flows.night import refit, shadow_plan
from flows.night.champions import attempts
from flows.night.folders import Night, ended
from registry import bundle
from registry.choice import JudgedStudent
from registry.gate import Verdict
from tasks.calibrate.threshold import needed
from tasks.core.certificate import Refusal, read_proof, spent
from tasks.core.params import Params, Train, load
from tasks.core.rows import UNCURATED, rows, write_rows
from tasks.train.folds import proving

pytestmark = pytest.mark.flow  # trainings and a registry


def params() -> Params:
    train = Train(rungs=["encoder"], tokens=20_000, epochs=6)
    return msgspec.structs.replace(load(), train=train)


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    """A night with one task of 60 rows that train and 24 that prove.

    One of those is off contract and, as in logs that a person names, of the day after.
    """
    with begun(tmp_path_factory.mktemp("home"), params()) as made:
        proof = made.out("dataset", TASK, "calibration.parquet")
        first, *others = rows(proof)
        first = replace(first, answer="I would rather not say.", at=ended(made.day) + 60)
        write_rows(proof, [first, *others])
        plain.student(made, TASK)
        yield made


def test_it_learns_what_was_to_prove_it(night: Night) -> None:
    """All but what nobody should learn; what measures it stays unseen."""
    data, own = night.out("refit", TASK), night.out("dataset", TASK)
    learned = {row.id for row in rows(data / "train.parquet")}
    proof = [row.id for row in rows(own / "calibration.parquet")]
    assert learned == {row.id for row in rows(own / "train.parquet")} | set(proof[1:])
    for part in ("validation", "test"):
        assert rows(data / f"{part}.parquet") == rows(own / f"{part}.parquet")
    assert {row.id for row in rows(data / UNCURATED)} == learned | {proof[0]}


def test_so_few_rows_train_once(night: Night) -> None:
    """24 rows prove nothing, however right the answers are: no student is trained without them."""
    assert refit.instead(night, TASK)
    assert [path.name for path in night.out("train", TASK).iterdir()] == ["refit"]


def test_live_calls_are_its_only_proof(night: Night) -> None:
    """No attempt is spent at night; the shadow's plan begins without a single call."""
    refused = read_proof(night.out("calibrate", TASK, "refit", "certificate.json"))
    assert (refused.refused, refused.attempt) == (refit.LEARNED, 0)
    number = night.store.shadow(TASK)
    assert number
    folder = night.store.fetch(night.store.version(TASK, number), night.home / "fetched")
    plan = shadow_plan.plan_of(folder)
    lineage = bundle.read(folder, "lineage")
    assert plan.before == ()
    learned = rows(night.out("dataset", TASK, "calibration.parquet"))
    assert all(row.at < plan.loaded < ended(night.day) + 61 for row in learned)
    assert lineage["rows"] == {"train": 84, "validation": 12, "calibration": 0, "test": 24}
    assert proving(night.out("refit", TASK), night.out("train", TASK, "refit")) == []


@pytest.mark.parametrize(
    ("changed", "left", "tried"),
    [
        ({}, 1_000.0, True),
        ({}, 5.0, False),  # the next night's calls prove it as it is
        ({"passed": True}, 1_000.0, False),
        ({"rung": "linear"}, 1_000.0, False),  # a mixture has learned all rows as it is
        ({"shadow": 0.0}, 1_000.0, False),
    ],
)
def test_it_is_tried_where_a_proof_is_far(
    night: Night, monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any], left: float, tried: bool
) -> None:
    """Not beside a proven student, nor where nothing is asked in the background."""
    monkeypatch.setattr(refit, "instead", lambda *_: False)
    monkeypatch.setattr(shadow_plan, "calls_left", lambda *_: left)
    serve = msgspec.structs.replace(night.params.serve, shadow=changed.get("shadow", 0.2))
    other = replace(night, params=msgspec.structs.replace(night.params, serve=serve))
    begun_before = (night.out("refit", TASK), night.out("calibrate", TASK, "shadow"))
    monkeypatch.setattr(Path, "exists", lambda p: p not in begun_before and os.path.exists(p))
    verdict = Verdict(changed.get("passed", False), "")
    card = bundle.scorecard(night.out("evaluate", TASK, "refit"))
    one = JudgedStudent(changed.get("rung", "encoder"), card, "not proven", verdict)
    assert refit.worth(other, TASK, [one], None) is tried


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Night]:
    """A night whose rows are just enough to prove the first student that is tried, no second."""
    with begun(tmp_path, params()) as made:
        asked, proof = made.params.calibrate, made.out("dataset", TASK, "calibration.parquet")
        first, second = (needed(asked.accepted(TASK), spent(asked.delta, n)) for n in (1, 2))
        assert first < second
        write_rows(proof, rows(proof)[:1] * first)
        yield made


def tried(night: Night, *folder: str, attempt: int) -> None:
    """A student of tonight that was put to the proof in vain."""
    path = night.out("calibrate", TASK, *folder, "certificate.json")
    path.parent.mkdir(parents=True)
    path.write_bytes(msgspec.json.encode(Refusal(refused="not proven", attempt=attempt)))


def test_a_night_begun_again_tries_the_same_students(other: Night) -> None:
    """The encoder's own attempt does not put a refit in its place."""
    assert not refit.instead(other, TASK)
    tried(other, "encoder", attempt=1)
    assert not refit.instead(other, TASK)
    tried(other, "linear", attempt=1)
    assert refit.instead(other, TASK)


def test_no_refit_after_the_shadow_is_planned(other: Night) -> None:
    """A night that was killed then has chosen: a refit would get what another has to prove."""
    other.out("refit", TASK).mkdir(parents=True)
    assert refit.worth(other, TASK, [], None)
    tried(other, "shadow", attempt=2)
    assert not refit.worth(other, TASK, [], None)
    tried(other, "refit", attempt=0)
    assert refit.worth(other, TASK, [], None)


def test_what_was_half_written_is_no_attempt(other: Night) -> None:
    """A night that is killed before a proof is whole makes it again, as the same attempt."""
    tried(other, "encoder", attempt=1)
    tried(other, ".shadow.partial", attempt=2)
    assert attempts(other, TASK) == 1
