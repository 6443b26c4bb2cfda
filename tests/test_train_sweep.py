"""A sweep tries params shortly on the validation rows, and trains the best in full."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import students
import tiny

from registry import figures
from registry.bundle import Lineage
from tasks.core.params import Params, Train
from tasks.core.stage import Refused
from tasks.core.training import Mark, Trial
from tasks.train.train import load_training, train


@pytest.fixture(scope="module")
def params(tmp_path_factory: pytest.TempPathFactory) -> Train:
    base = tiny.base(tmp_path_factory.mktemp("base"))
    sweep = {"learning_rate": [1e-5, 1e-2], "rank": [4, 8]}
    return Train(base=str(base), epochs=4, patience=9, sweep=sweep)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.colours(tmp_path_factory.mktemp("data") / "colour-0")


@pytest.mark.flow
def test_the_best_trial_is_trained_in_full(dataset: Path, params: Train, tmp_path: Path) -> None:
    """Every combination is a trial on record; what follows is the training with the best one."""
    found = train(dataset, tmp_path / "swept", params)
    assert [trial.params for trial in found.trials] == [
        {"learning_rate": rate, "rank": rank} for rate in (1e-5, 1e-2) for rank in (4, 8)
    ]
    marks = [trial.mark for trial in found.trials]
    assert all(mark and 0 <= mark.step <= 0.2 * 24 + 1 for mark in marks)
    best = max(found.trials, key=lambda trial: trial.rank)
    assert best.params["learning_rate"] == 1e-2 == found.learning_rate
    assert f"the best of 4 trials was learning_rate=0.01 rank={best.params['rank']}" in found.note
    plain = msgspec.convert({**msgspec.structs.asdict(params), **best.params, "sweep": {}}, Train)
    assert train(dataset, tmp_path / "plain", plain).adapter_digest == found.adapter_digest
    assert load_training(tmp_path / "swept").trials == found.trials


@pytest.mark.flow
def test_a_killed_sweep_goes_on(dataset: Path, params: Train, tmp_path: Path) -> None:
    """Trials that have ended are not run again; the end is that of a sweep in one go."""
    heard: list[int] = []

    def killed(step: int, steps: int, loss: float) -> None:
        heard.append(step)
        if heard.count(1) == 3:
            raise KeyboardInterrupt

    again: list[int] = []
    point = tmp_path / "point"
    with pytest.raises(KeyboardInterrupt):
        train(dataset, tmp_path / "x", params, progress=killed, checkpoint=point)
    assert len(list(point.glob("*/trial.json"))) == 2
    resumed = train(
        dataset,
        tmp_path / "y",
        params,
        progress=lambda step, steps, loss: again.append(step),
        checkpoint=point,
    )
    whole = train(dataset, tmp_path / "z", params)
    assert again.count(1) == 3  # two trials and the training
    assert (resumed.adapter_digest, resumed.trials) == (whole.adapter_digest, whole.trials)
    assert not point.exists()


@pytest.mark.flow
def test_a_sweep_comes_before_a_warm_start(dataset: Path, params: Train, tmp_path: Path) -> None:
    """The fresh start may be the sweep's best trial; it is on record as what it is here."""
    params = msgspec.structs.replace(params, sweep={"learning_rate": [1e-5, 1e-2]})
    train(dataset, tmp_path / "old", params)
    warm, point = tmp_path / "old" / "adapter", tmp_path / "point"
    new = train(dataset, tmp_path / "new", params, warm=warm, checkpoint=point)
    assert [list(trial.params.items()) for trial in new.trials] == [
        [("learning_rate", 1e-5)], [("learning_rate", 1e-2)], [("warm", True)], [("warm", False)],
    ]  # fmt: skip


def test_a_sweep_ends_in_time(dataset: Path, params: Train, tmp_path: Path) -> None:
    """Out of minutes, each trial is one mark, and there still is an adapter."""
    found = train(dataset, tmp_path, params, minutes=1e-9)
    assert [trial.mark.step for trial in found.trials if trial.mark] == [0] * 4


def test_a_trial_that_diverged_is_not_chosen() -> None:
    """It ranks below the worst mark, and says so."""
    wild, poor = Trial({"rank": 8}, None), Trial({"rank": 4}, Mark(step=3, loss=9.0, exact=0.0))
    assert poor.rank > wild.rank
    assert str(wild) == "rank=8: diverged"
    assert str(poor) == "rank=4: exact 0.0%, loss 9"


def test_only_what_can_be_swept_is_taken(dataset: Path, params: Train, tmp_path: Path) -> None:
    """An unknown name is refused with the params, a value of the wrong type by the training."""
    with pytest.raises(msgspec.ValidationError, match="sweep"):
        msgspec.yaml.decode(b"train: {sweep: {minutes: [1, 2]}}", type=Params)
    read = msgspec.yaml.decode(b"train: {sweep: {rank: [4, 8], dora: [true]}}", type=Params)
    assert read.train.sweep == {"rank": [4, 8], "dora": [True]}
    with pytest.raises(Refused, match=r"train\.sweep: Expected `int`"):
        train(dataset, tmp_path, msgspec.structs.replace(params, sweep={"rank": [0.5]}))


def test_the_registry_shows_the_trials() -> None:
    """Each trial is a param of the run, and a point of two curves."""
    trials = [
        Trial({"rank": 4}, Mark(step=9, loss=0.5, exact=0.8)),
        Trial({"rank": 8}, Mark(step=9, loss=0.4, exact=0.9)),
    ]
    made = students.training("d1", trials=trials)
    shown = figures.params(Lineage(night="", dataset=""), made)
    assert shown["trial 2"] == "rank=8: exact 90.0%, loss 0.4"
    curves = list(figures.curves(made))
    assert ("trials/exact", 1, 0.8) in curves
    assert ("trials/loss", 2, 0.4) in curves
