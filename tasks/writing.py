"""Writing: causal students in training, from rows to token ids and a base model with a new adapter.

Completion-only: the prompt is read, the answer and its end are learned.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tasks.contract import Contract
from tasks.fitting import Example
from tasks.fused import fuse
from tasks.params import Train
from tasks.rows import Row
from tasks.student import ask, load_base, render, written


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
