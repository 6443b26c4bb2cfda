"""Writing: causal students in training, from rows to token ids and a base model with a new adapter.

Completion-only: the prompt is read, the answer and its end are learned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.contract import Contract
from tasks.fused import fuse
from tasks.params import Train
from tasks.rows import Row
from tasks.student import ask, load_base, render, written

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Example:
    """A prompt and its answer as token ids. The answer begins at `start`; the end token is last."""

    ids: list[int]
    start: int


def examples(
    found: Sequence[Row], contract: Contract, tokenizer: Any, max_length: int
) -> list[Example]:
    """Rows as token ids, in the form that the guide will write; without the too long ones."""
    if not found:
        return []
    prompts = render(tokenizer, [ask(row.prompt) for row in found])
    texts = [written(row.answer, contract) for row in found]
    answers = tokenizer(texts, add_special_tokens=False)["input_ids"]
    end = [tokenizer.eos_token_id]
    made = [Example(p + a + end, len(p)) for p, a in zip(prompts, answers, strict=True)]
    return [example for example in made if len(example.ids) <= max_length]


def adapted(base: Path, params: Train, warm: Path | None) -> tuple[Any, Any]:
    """The base with a fresh adapter, or with `warm` to go on from, and its tokenizer."""
    import torch
    from peft import LoraConfig, PeftModel, get_peft_model

    torch.manual_seed(params.seed)
    gpu = torch.cuda.is_available()
    half = gpu or torch.cpu._is_avx512_bf16_supported()
    # Flash attention's backward pass on a CPU is slower than plain matrices at these lengths.
    model, tokenizer = load_base(
        base, "bfloat16" if half else "float32", "sdpa" if gpu else "eager"
    )
    if warm:
        made = PeftModel.from_pretrained(
            model, warm, is_trainable=True, autocast_adapter_dtype=False
        )
    else:
        config = LoraConfig(
            r=params.rank,
            lora_alpha=params.alpha,
            target_modules="all-linear",
            use_rslora=params.rslora,
            use_dora=params.dora,
            task_type="CAUSAL_LM",
        )
        made = get_peft_model(model, config, autocast_adapter_dtype=False)
    if not gpu:
        fuse(made)
    return made, tokenizer


def completion(model: Any, examples: Sequence[Example]) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss of every answer token, example after example, and which examples are right.

    Only the answers' positions go through the output layer. Padding is on the right, where causal
    attention cannot see it.
    """
    import torch
    from torch.nn import functional

    # Few different shapes: a new one costs the CPU's matrix library a kernel, in time and memory.
    width = -(-max(len(example.ids) for example in examples) // 16) * 16
    ids = torch.zeros(len(examples), width, dtype=torch.long)
    answers = torch.zeros_like(ids, dtype=torch.bool)
    for i, example in enumerate(examples):
        length = len(example.ids)
        ids[i, :length] = torch.tensor(example.ids)
        answers[i, example.start - 1 : length - 1] = True
    causal = model.get_base_model()
    places = answers.flatten().nonzero().squeeze(1)
    rounded = functional.pad(places, (0, -len(places) % 64)).to(causal.device)
    hidden = causal.get_decoder()(input_ids=ids.to(causal.device), use_cache=False)
    states = hidden.last_hidden_state.flatten(0, 1)[rounded]
    logits = causal.get_output_embeddings()(states)[: len(places)].float()
    targets = ids.roll(-1, dims=1).flatten()[places].to(causal.device)
    hits = (logits.argmax(-1) == targets).split([len(e.ids) - e.start for e in examples])
    right = torch.stack([hit.all() for hit in hits])
    return functional.cross_entropy(logits, targets, reduction="none"), right
