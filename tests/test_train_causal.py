"""A causal base in training: whole or in 4 bits, its activations kept or computed again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
import tiny

from tasks.core.params import Train
from tasks.core.stage import Refused
from tasks.students.adapters import kind_of
from tasks.students.causal import Student, base_digest
from tasks.train import causal, fused
from tasks.train.causal import Example, adapted, completion
from tasks.train.prepare import save
from tasks.train.train import train

if TYPE_CHECKING:
    import torch

ROWS = [Example([1, 5 + n, *range(20, 30 + n), 2], 4 + n) for n in range(5)]


@pytest.fixture(scope="module")
def params(tmp_path_factory: pytest.TempPathFactory) -> Train:
    base = tiny.base(tmp_path_factory.mktemp("base"), width=64)
    return Train(base=str(base), rank=8, learning_rate=1e-2, epochs=4, patience=9)


def gradients(params: Train) -> tuple[bool, list[torch.Tensor]]:
    """Whether activations are computed again, and the gradients of one batch."""
    import torch

    model, _ = adapted(Path(params.base), params, None)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    model.train()
    completion(model, ROWS)[0].sum().backward()
    base = model.get_base_model()
    return base.is_gradient_checkpointing, [
        weight.grad for weight in model.parameters() if weight.grad is not None
    ]


@pytest.mark.parametrize("dora", [False, True])
def test_activations_that_are_computed_again_change_nothing(
    params: Train, dora: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where memory is short they are not kept; the gradients are the same bits, fused or not."""
    import torch

    params = msgspec.structs.replace(params, dora=dora)
    kept, plain = gradients(params)
    monkeypatch.setattr(causal, "free_memory", lambda: 1_000_000)
    again, same = gradients(params)
    assert (kept, again) == (False, True)
    assert len(plain) == 2 * 7 * (3 if dora else 2)
    assert all(torch.equal(a, b) for a, b in zip(plain, same, strict=True))


def test_wide_layers_learn_the_same(params: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    """LoRA's gradients without the whole weight's are the same up to bfloat16's rounding."""
    _, plain = gradients(params)
    monkeypatch.setattr(fused, "WIDE", 0)
    _, same = gradients(params)
    for a, b in zip(plain, same, strict=True):
        assert float((a - b).float().norm()) < 0.02 * float(a.float().norm())


KINDS = ["llama", "qwen3", "smollm3", "gemma2", "gemma3_text", "phi3", "cohere", "nemotron_h"]


@pytest.mark.filterwarnings("ignore:Input and output embeddings")  # of Nemotron; no LoRA on either
@pytest.mark.parametrize("kind", KINDS)
def test_any_causal_model_learns_and_answers(kind: str, tmp_path: Path) -> None:
    """The loss is that of the model's own logits, scaled or capped; batches change no answer."""
    import torch

    base = tiny.base(tmp_path / "base", kind=kind)
    model, _ = adapted(base, Train(base=str(base), rank=8), None)
    losses, _ = completion(model.eval(), ROWS)
    own = [model(input_ids=torch.tensor([row.ids])).logits[0].float() for row in ROWS]
    wanted = [
        torch.nn.functional.cross_entropy(
            logits[row.start - 1 : -1], torch.tensor(row.ids[row.start :]), reduction="none"
        )
        for row, logits in zip(ROWS, own, strict=True)
    ]
    assert torch.allclose(losses, torch.cat(wanted), atol=1e-2)  # a tile of bfloat16 may round
    losses.sum().backward()
    save(model, tmp_path / "adapter", base=str(base), base_digest=base_digest(base))
    student = Student.load(base, tmp_path / "adapter")
    prompts = ["what colour is the apple", "grass"]
    together = student.answer(prompts, max_tokens=6)
    alone = [student.answer([prompt], max_tokens=6)[0] for prompt in prompts]
    for a, b in zip(together, alone, strict=True):
        assert a.logprobs == pytest.approx(b.logprobs, abs=1e-4)


@pytest.mark.parametrize("short", [True, False])
def test_a_base_in_4_bits_learns(
    params: Train, short: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """QLoRA leaves an adapter as any other, repeatably; it is served on the whole base."""
    import torch

    pytest.importorskip("bitsandbytes")
    monkeypatch.setattr(causal, "crowded", lambda *_: short)
    params = msgspec.structs.replace(params, quantize=True)
    model, _ = adapted(Path(params.base), params, None)
    layer = model.get_base_model().get_decoder().layers[0].mlp.up_proj
    assert layer.base_layer.weight.dtype == torch.uint8
    assert {w.dtype for w in model.parameters() if w.requires_grad} <= {torch.bfloat16, torch.float}
    dataset = tiny.colours(tmp_path / "colour-0")
    found = train(dataset, tmp_path / "a", params)
    assert min(mark.loss for mark in found.validation) < found.validation[0].loss / 2
    assert kind_of(tmp_path / "a" / "adapter") == "causal"
    assert train(dataset, tmp_path / "b", params).adapter_digest == found.adapter_digest
    student = Student.load(Path(params.base), tmp_path / "a" / "adapter")
    assert student.answer(["item 3: what colour is the apple"], tiny.colour_contract())[0].text


def test_4_bits_need_bitsandbytes(params: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it, asking for them is refused with what to install."""
    monkeypatch.setattr(causal, "find_spec", lambda _: None)
    with pytest.raises(Refused, match=r"pip install .*qlora"):
        adapted(Path(params.base), msgspec.structs.replace(params, quantize=True), None)
