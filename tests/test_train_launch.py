"""A training in several processes is the training of one, only shared out."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any, ClassVar

import msgspec
import pytest
import tiny

from tasks.core.params import Train
from tasks.core.rows import rows
from tasks.core.stage import Refused
from tasks.students.causal import ADAPTER_FILES, load_base
from tasks.train.causal import completion, examples
from tasks.train.distributed import Team
from tasks.train.launch import processes
from tasks.train.loop import Fitter
from tasks.train.train import train


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.colours(tmp_path_factory.mktemp("data") / "colour-0", rows=49)


@pytest.fixture(scope="module")
def params(base: Path) -> Train:
    return Train(base=str(base), rank=8, learning_rate=5e-3, epochs=3, patience=9, processes=2)


class Paired(Team):
    """One of two threads that train together; it adds where Accelerate would."""

    meeting = Barrier(2, timeout=60)
    parts: ClassVar[dict[int, Any]] = {}

    def sum(self, part: Any) -> Any:
        """Wait for the other's part."""
        self.parts[self.place] = part
        self.meeting.wait()
        whole = self.parts[0] + self.parts[1]
        self.meeting.wait()
        return whole


def fitter(base: Path, dataset: Path, params: Train, team: Team) -> Fitter:
    """A training in float32, where rounding is small."""
    import torch
    from peft import LoraConfig, get_peft_model

    model, tokenizer = load_base(base, "float32")
    torch.manual_seed(0)
    model = get_peft_model(model, LoraConfig(target_modules="all-linear"))
    learned, checked = (
        examples(rows(dataset / f"{part}.parquet"), tokenizer, 99)
        for part in ("train", "validation")
    )
    return Fitter(model, learned, checked, params, "", completion, team)


def test_a_team_takes_the_same_steps(base: Path, dataset: Path, params: Train) -> None:
    """Losses, marks and weights are those of one process.

    The last batch of an epoch has one row: one process has nothing to do there.
    """
    import torch

    made = [fitter(base, dataset, params, team) for team in (Team(), Paired(2, 0), Paired(2, 1))]
    with ThreadPoolExecutor() as pool:
        alone, *ours = pool.map(lambda one: one.fit(time.monotonic() + 60, None, None), made)
    for run in ours:
        assert dict(run.losses) == pytest.approx(dict(alone.losses), rel=1e-3, abs=1e-4)
        for mark, theirs in zip(run.marks, alone.marks, strict=True):
            assert (mark.step, mark.exact) == (theirs.step, theirs.exact)
            assert mark.loss == pytest.approx(theirs.loss, rel=1e-3)
    one, two, three = (found.masters for found in made)
    assert all(torch.equal(a, b) for a, b in zip(two, three, strict=True))
    assert all(torch.allclose(a, b, atol=1e-3) for a, b in zip(one, two, strict=True))


@pytest.mark.flow
def test_two_processes_train_as_one(dataset: Path, params: Train, tmp_path: Path) -> None:
    """Killed after a checkpoint and started again, they end as one process does, up to rounding."""

    def killed(step: int, steps: int, loss: float) -> None:
        if step == 8:
            raise KeyboardInterrupt

    point, seen = tmp_path / "point", list[int]()
    with pytest.raises(KeyboardInterrupt):
        train(dataset, tmp_path / "x", params, progress=killed, checkpoint=point)
    two = train(
        dataset,
        tmp_path / "two",
        params,
        progress=lambda step, steps, loss: seen.append(step),
        checkpoint=point,
    )
    one = train(dataset, tmp_path / "one", msgspec.structs.replace(params, processes=1))
    assert 1 < seen[0] < seen[-1] == two.steps == one.steps
    ours, theirs = ([loss for _, loss in found.losses[:7]] for found in (two, one))
    assert ours == pytest.approx(theirs, rel=0.03)
    assert two.validation[0].loss == pytest.approx(one.validation[0].loss, rel=0.01)
    assert sorted(f.name for f in (tmp_path / "two" / "adapter").iterdir()) == sorted(ADAPTER_FILES)
    assert not point.exists()


@pytest.mark.flow
def test_a_refused_launch_says_why(dataset: Path, params: Train, tmp_path: Path) -> None:
    """The sentence of the processes arrives as it would have been said here."""
    with pytest.raises(Refused, match="both are needed"):
        train(dataset, tmp_path, msgspec.structs.replace(params, max_length=3))


def test_each_gpu_gets_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """With 0 processes as many as there are GPUs, one without; the encoder is never launched."""
    import torch

    assert processes(Train(), "causal") == processes(Train(processes=0), "causal") == 1
    assert processes(Train(processes=4), "causal") == 4
    assert processes(Train(processes=4), "encoder") == 1
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert processes(Train(processes=0), "causal") == 2
    with pytest.raises(Refused, match="has 2 GPUs"):
        processes(Train(processes=4), "causal")


def test_a_team_shares_out_everything_once() -> None:
    """Each item is one process's, some may have none, and a team of one passes all through."""
    items = list(range(7))
    shares = [list(Team(3, place).share(items)) for place in range(3)]
    assert sorted(item for share in shares for item in share) == items
    assert not Team(3, 2).share([1, 2])
    assert list(Team().share(items)) == items
    assert Team().main
    assert not Team(2, 1).main
    assert Team().any(True)
    assert not Team().any(False)
