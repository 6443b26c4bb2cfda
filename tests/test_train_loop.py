"""The training loop: rates, optimizers, marks, and the mean of the last weights."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest
import tiny

from tasks.core.params import Train
from tasks.students.causal import load_base
from tasks.train.causal import Example, completion
from tasks.train.distributed import Team
from tasks.train.fused import fuse
from tasks.train.loop import Diverged, Fitter, batches, check
from tasks.train.optimizers import optimizers, rate
from tasks.train.prepare import after_divergence, rated


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.base(tmp_path_factory.mktemp("base"))


def test_fused_layers_compute_the_same(base: Path) -> None:
    """Outputs and gradients of the fused forms are those of PEFT and transformers."""
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    model = get_peft_model(load_base(base, "float32")[0], LoraConfig(target_modules="all-linear"))
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    ids = torch.randint(3, 300, (2, 9))
    seen = []
    for form in (lambda _: None, fuse):
        form(model)
        model.zero_grad()
        logits = model(input_ids=ids).logits
        logits.square().mean().backward()
        seen.append((logits, [p.grad.clone() for p in model.parameters() if p.grad is not None]))
    (plain, gradients), (fused, others) = seen
    assert torch.allclose(plain, fused, atol=1e-4)
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(gradients, others, strict=True))


def test_divergence_is_recognised() -> None:
    """An infinite loss and one far above its beginning are caught; noise is not."""
    check([(i, 2.0 + i % 3) for i in range(1, 60)], 3.0)
    with pytest.raises(Diverged, match="nan"):
        check([(1, 2.0), (2, math.nan)], 2.0)
    with pytest.raises(Diverged, match="rose"):
        check([(i, 1.0 if i < 20 else 9.0) for i in range(1, 40)], 1.0)
    assert after_divergence(Train(seed=3, learning_rate=4e-3)) == Train(seed=4, learning_rate=1e-3)


def test_the_rate_falls_with_the_width(base: Path) -> None:
    """The bundled base keeps 2e-3, a wider one gets less; what a team sets is what it gets."""
    assert rated(Train(), "causal").learning_rate == 2e-3
    assert rated(Train(base=str(base)), "causal").learning_rate == 2e-3 * 256 / 48
    assert rated(Train(base=str(base), learning_rate=1e-4), "causal").learning_rate == 1e-4
    assert rated(Train(base="none"), "encoder").learning_rate == 2e-3
    assert Train().rate(2560) == pytest.approx(2e-4)


def test_muon_moves_adapters_of_the_bundled_base(base: Path) -> None:
    """Unless a team says otherwise; other bases, the encoder, heads and vectors are Adam's."""
    import torch

    assert rated(Train(), "causal").muon
    assert not rated(Train(), "encoder").muon
    assert rated(Train(muon=True), "encoder").muon
    assert not rated(Train(base=str(base)), "causal").muon
    assert not rated(Train(muon=False), "causal").muon
    named = [
        ("x.lora_A.default.weight", torch.zeros(4, 8)),
        ("x.lora_magnitude_vector.default.weight", torch.zeros(8)),
        ("choose.weight", torch.zeros(3, 8)),
    ]
    made = optimizers(named, Train(muon=True))
    moved = [[list(p.shape) for g in one.param_groups for p in g["params"]] for one in made]
    assert moved == [[[4, 8]], [[8], [3, 8]]]
    assert [type(one).__name__ for one in made] == ["Muon", "AdamW"]
    (adam,) = optimizers(named, Train(muon=False))
    assert len(adam.param_groups[0]["params"]) == 3


def test_what_is_kept_is_a_mean_of_the_last_steps() -> None:
    """Weights that rise by one a step: their mean lags behind by a ninth of the way."""
    import torch

    fitter = Fitter(torch.nn.Linear(1, 1), [], [], Train(), "", completion, Team())
    for step in range(1, 901):
        for master in fitter.masters:
            master.fill_(step)
        fitter._remember(step)
    assert fitter.means[0].item() == pytest.approx(800, rel=0.01)


def test_every_row_is_read_once_an_epoch() -> None:
    """Batches of similar length, each row once, in an order that the seed decides."""
    rng = random.Random(0)
    rows = [Example([0] * rng.randint(5, 90), 3) for _ in range(100)]
    made = list(batches(rows, 16, random.Random(5)))
    assert sorted(i for batch in made for i in batch) == list(range(100))
    assert made == list(batches(rows, 16, random.Random(5)))
    spread = [
        max(lengths) - min(lengths) for b in made for lengths in [[len(rows[i].ids) for i in b]]
    ]
    assert sum(spread) / len(spread) < 20


def test_the_rate_warms_up_and_fades() -> None:
    """From a fraction to the full rate within the warm-up, then down to a twentieth."""
    rates = [rate(step, 100, 0.1) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == pytest.approx(1.0)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.05, abs=0.01)
