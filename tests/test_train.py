"""A training is repeatable, goes on where it was killed, and ends in a standard adapter."""

from __future__ import annotations

import json
import math
from collections import Counter
from functools import partial
from pathlib import Path

import msgspec
import pytest
import tiny

from tasks.core.contract import Contract
from tasks.core.params import Train
from tasks.core.rows import Row, some
from tasks.core.stage import Refused
from tasks.students.adapters import adapter_digest
from tasks.students.causal import ADAPTER_FILES, Student, base_digest
from tasks.train.loop import Fitter
from tasks.train.prepare import continues
from tasks.train.train import adapter_name, load_training, train


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def params(base: Path) -> Train:
    return Train(base=str(base), rank=8, learning_rate=1e-2, epochs=6, patience=9)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.colours(tmp_path_factory.mktemp("data") / "colour-0")


@pytest.fixture(scope="module")
def champion(dataset: Path, params: Train, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training with these params, whole."""
    folder = tmp_path_factory.mktemp("champion")
    train(dataset, folder, params)
    return folder


def test_a_student_learns(dataset: Path, params: Train, tmp_path: Path) -> None:
    """Loss falls, the best weights are kept, and the adapter changes how the base answers."""
    seen: list[int] = []
    found = train(dataset, tmp_path, params, progress=lambda step, steps, loss: seen.append(step))
    assert found == load_training(tmp_path)
    assert seen == list(range(1, found.steps + 1))
    first, best = found.validation[0], min(found.validation, key=lambda mark: mark.loss)
    assert best.loss < first.loss / 2
    student = Student.load(Path(params.base), tmp_path / "adapter")
    plain = Student.load(Path(params.base), None)
    prompt, contract = ["item 3: what colour is the apple"], tiny.colour_contract()
    ours, theirs = (s.answer(prompt, contract)[0].logprobs for s in (student, plain))
    assert math.fsum(ours) > math.fsum(theirs)


def test_the_adapter_is_standard_and_names_no_machine(
    dataset: Path, params: Train, tmp_path: Path
) -> None:
    """PEFT's two files and nothing else; the base is named by its digest."""
    found = train(dataset, tmp_path, msgspec.structs.replace(params, epochs=1))
    folder = tmp_path / "adapter"
    assert sorted(file.name for file in folder.iterdir()) == sorted(ADAPTER_FILES)
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["revision"] == base_digest(Path(params.base)) == found.base_digest
    assert config["target_modules"] == sorted(config["target_modules"])
    assert found.adapter_digest == adapter_digest(folder)
    assert adapter_name("route-1", 3, found.adapter_digest).startswith("route-1-v3-")


def test_the_same_seed_gives_the_same_adapter(dataset: Path, params: Train, tmp_path: Path) -> None:
    """Equal rows, params and seed: equal bytes. Another seed: other bytes."""
    short = msgspec.structs.replace(params, epochs=1)
    one, two = (train(dataset, tmp_path / name, short) for name in "ab")
    other = train(dataset, tmp_path / "c", msgspec.structs.replace(short, seed=7))
    assert one.adapter_digest == two.adapter_digest
    assert one.losses == two.losses
    assert one.usage[-1].values["system_memory_usage_megabytes"] > 0
    assert one.adapter_digest != other.adapter_digest


def test_the_first_losses_are_those_on_record(dataset: Path, params: Train, tmp_path: Path) -> None:
    """What is masked, shifted or weighed otherwise shows at once; processors move them by 2 %."""
    found = train(dataset, tmp_path, msgspec.structs.replace(params, epochs=1, seed=0))
    golden = [7.85, 6.10, 2.83, 4.52]
    assert [loss for _, loss in found.losses[:4]] == pytest.approx(golden, rel=0.1)


@pytest.mark.flow
def test_a_killed_training_goes_on(
    dataset: Path, params: Train, champion: Path, tmp_path: Path
) -> None:
    """Interrupted after a checkpoint and started again, it ends with the bytes of a whole run."""

    def killed(step: int, steps: int, loss: float) -> None:
        if step == 11:
            raise KeyboardInterrupt

    whole = load_training(champion)
    again: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        train(dataset, tmp_path / "x", params, progress=killed, checkpoint=tmp_path / "point")
    resumed = train(
        dataset,
        tmp_path / "y",
        params,
        progress=lambda step, steps, loss: again.append(step),
        checkpoint=tmp_path / "point",
    )
    assert again[0] > 1
    assert resumed.adapter_digest == whole.adapter_digest
    assert resumed.losses == whole.losses
    assert not (tmp_path / "point").exists()


@pytest.mark.flow
def test_a_checkpoint_of_other_rows_is_not_used(params: Train, tmp_path: Path) -> None:
    """Changed data starts from the beginning."""
    one, two = (tiny.colours(tmp_path / str(n), rows=n) for n in (24, 48))
    point = tmp_path / "point"

    def killed(step: int, steps: int, loss: float) -> None:
        if step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(one, tmp_path / "x", params, progress=killed, checkpoint=point)
    assert point.exists()
    fresh = train(two, tmp_path / "y", params)
    assert train(two, tmp_path / "z", params, checkpoint=point).losses == fresh.losses


@pytest.fixture
def wild(params: Train, monkeypatch: pytest.MonkeyPatch) -> Train:
    """Params of which the first try diverges, on every processor: 99 is added to its losses."""
    step, rate = Fitter._step, 0.02
    monkeypatch.setattr(
        Fitter, "_step", lambda self, *rest: step(self, *rest) + 99 * (self.params.rate() == rate)
    )
    return msgspec.structs.replace(params, learning_rate=rate, epochs=12)


@pytest.mark.flow
def test_a_rate_that_explodes_is_tried_again_lower(
    dataset: Path, wild: Train, champion: Path, tmp_path: Path
) -> None:
    """A diverging loss is caught, the second try has a lower rate and says so."""
    found = train(dataset, tmp_path / "new", wild, warm=champion / "adapter")
    assert "the loss rose" in found.note
    assert "trained again at rate 0.005" in found.note
    assert found.learning_rate == 0.005
    assert found.seed == wild.seed + 1


@pytest.mark.flow
def test_a_killed_second_try_goes_on(
    dataset: Path, wild: Train, champion: Path, tmp_path: Path
) -> None:
    """Neither the trials nor the training that diverged are run again."""
    run = partial(train, dataset, params=wild, warm=champion / "adapter")
    whole, heard = run(tmp_path / "whole"), list[int]()
    assert "trained again" in whole.note

    def killed(step: int, steps: int, loss: float) -> None:
        heard.append(step)
        if heard.count(1) == 3 and step == 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "x", progress=killed, checkpoint=tmp_path / "point")
    again: list[int] = []
    resumed = run(tmp_path / "y", checkpoint=tmp_path / "point",
                  progress=lambda step, steps, loss: again.append(step))  # fmt: skip
    assert again == list(range(again[0], whole.steps + 1))
    assert again[0] > 1
    assert (resumed.adapter_digest, resumed.note) == (whole.adapter_digest, whole.note)


def test_a_killed_training_has_the_time_of_one(
    dataset: Path, params: Train, tmp_path: Path
) -> None:
    """Its minutes do not begin again, and it says what it took in all."""
    import torch

    def killed(step: int, steps: int, loss: float) -> None:
        if step == 11:
            raise KeyboardInterrupt

    point = tmp_path / "point"
    with pytest.raises(KeyboardInterrupt):
        train(dataset, tmp_path / "x", params, progress=killed, checkpoint=point)
    (file,) = point.glob("*/state.pt")
    state = torch.load(file)
    state["run"]["seconds"] = 3_600.0
    torch.save(state, file)
    found = train(dataset, tmp_path / "y", params, checkpoint=point, minutes=59)
    assert found.steps < 11
    assert found.seconds > 3_600


@pytest.mark.flow
@pytest.mark.parametrize("muon", [True, False])
def test_a_killed_training_goes_on_with_either_optimizer(
    dataset: Path, params: Train, tmp_path: Path, muon: bool
) -> None:
    """A checkpoint holds the state of whatever moved the weights."""
    params = msgspec.structs.replace(params, muon=muon, epochs=3, swaps=1)
    whole = train(dataset, tmp_path / "whole", params)

    def killed(step: int, steps: int, loss: float) -> None:
        if step == whole.steps - 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(dataset, tmp_path / "x", params, progress=killed, checkpoint=tmp_path / "point")
    again = train(dataset, tmp_path / "y", params, checkpoint=tmp_path / "point")
    assert again.adapter_digest == whole.adapter_digest


def test_a_time_limit_ends_with_the_best_so_far(
    dataset: Path, params: Train, tmp_path: Path
) -> None:
    """Out of minutes, a training still leaves a measured adapter."""
    found = train(dataset, tmp_path, params, minutes=1e-9)
    assert found.steps == 0
    assert found.validation
    assert (tmp_path / "adapter" / ADAPTER_FILES[1]).exists()


def test_a_champion_can_be_gone_on_from(
    dataset: Path, params: Train, champion: Path, tmp_path: Path
) -> None:
    """A warm start begins where the champion's loss was; the trials behind it are on record."""
    old = load_training(champion)
    new = train(dataset, tmp_path / "new", params, warm=champion / "adapter")
    kept = next(mark for mark in old.validation if mark.step == old.best)
    warm, fresh = new.trials
    assert (warm.params, fresh.params) == ({"warm": True}, {"warm": False})
    assert warm.mark
    assert warm.mark.loss == pytest.approx(kept.loss, rel=0.01)
    taken = warm.rank >= fresh.rank  # which of them is better is the processor's to say
    assert f"the best of 2 trials was warm={taken:d}" in new.note
    begun = warm.mark.loss if taken else old.validation[0].loss
    assert new.validation[0].loss == pytest.approx(begun, rel=0.01)


@pytest.mark.flow
def test_a_champion_that_fell_behind_is_left(params: Train, tmp_path: Path) -> None:
    """Where a fresh start is soon better on the validation rows, it is the start that is made."""
    contract = Contract(kind="labels", labels=("red", "green", "blue"))
    things = [(f"item {i}: the {thing}", thing) for i in range(16) for thing in tiny.COLOURS]
    turned = dict(zip(tiny.COLOURS, ("blue", "red", "green"), strict=True))
    for name, colours in (("before", tiny.COLOURS), ("now", turned)):
        rows = [(prompt, colours[thing]) for prompt, thing in things]
        tiny.dataset(tmp_path / name, contract, {"train": rows[:36], "validation": rows[36:]})
    params = msgspec.structs.replace(params, epochs=16)
    train(tmp_path / "before", tmp_path / "old", params)
    fresh = train(tmp_path / "now", tmp_path / "fresh", params)
    found = train(tmp_path / "now", tmp_path / "new", params, warm=tmp_path / "old" / "adapter")
    assert "the best of 2 trials was warm=0" in found.note
    assert found.adapter_digest == fresh.adapter_digest


def test_a_champion_of_another_shape_is_not_gone_on_from(
    dataset: Path, params: Train, tmp_path: Path
) -> None:
    """Another rank, or another base: the training is a fresh one."""
    short = msgspec.structs.replace(params, epochs=1)
    train(dataset, tmp_path / "old", short)
    old, other = tmp_path / "old" / "adapter", tiny.base(tmp_path / "base", seed=1)
    assert continues(old, short, "causal")
    assert not continues(old, short, "encoder")
    assert not continues(old, msgspec.structs.replace(short, base=str(other)), "causal")
    wider = msgspec.structs.replace(short, rank=4)
    found = train(dataset, tmp_path / "new", wider, warm=old)
    assert (found.trials, found.note) == ([], "")


def test_rows_that_are_too_long_are_counted(params: Train, tmp_path: Path) -> None:
    """A row over the length limit is left out, and a task of nothing else is refused."""
    contract = Contract(kind="text")
    rows = [("sea", "blue"), ("grass " * 200, "green")] * 8
    folder = tiny.dataset(tmp_path / "d", contract, {"train": rows, "validation": rows[:4]})
    short = msgspec.structs.replace(params, max_length=60, epochs=1)
    found = train(folder, tmp_path / "out", short)
    assert (found.rows, found.too_long) == (8, 8)
    with pytest.raises(Refused, match="both are needed"):
        train(folder, tmp_path / "none", msgspec.structs.replace(short, max_length=3))


def test_old_and_new_rows_are_checked() -> None:
    """Validation looks at rows of all times, the same ones each time."""
    made = [Row(str(i), float(i), "", "", "", 1.0) for i in range(1_000)]
    days = Counter(int(row.at) // 100 for row in some(made, 100))
    assert len(days) == 10
    assert max(days.values()) <= 20
    assert some(made, 100) == some(made, 100) == sorted(some(made, 100), key=lambda row: row.at)
    assert some(made, 5_000) == made
