"""Causal students in training: from rows to token ids and a base model with a new adapter.

Completion-only: the prompt is read, the answer and its end are learned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.core.params import Train
from tasks.core.rows import Row
from tasks.core.stage import Refused
from tasks.students.causal import ask, load_base, render
from tasks.train.fused import fuse
from tasks.train.monitor import free_memory

if TYPE_CHECKING:
    import torch

ACTIVATION = 70  # bytes a token leaves per layer and unit of width (seen: Qwen3 66, Gemma 3 78)


@dataclass(frozen=True, slots=True)
class Example:
    """A prompt and its answer as token ids. The answer begins at `start`; the end token is last."""

    ids: list[int]
    start: int


def examples(rows: Sequence[Row], tokenizer: Any, max_length: int) -> list[Example]:
    """Rows as token ids, without the too long ones.

    Keys stay in the teacher's order: it often follows the prompt, and copying along is easier.
    """
    if not rows:
        return []
    prompts = render(tokenizer, [ask(row.prompt) for row in rows])
    answers = tokenizer([row.answer for row in rows], add_special_tokens=False)["input_ids"]
    end = [tokenizer.eos_token_id]
    result = [Example(p + a + end, len(p)) for p, a in zip(prompts, answers, strict=True)]
    return [example for example in result if len(example.ids) <= max_length]


def adapted(base: Path, params: Train, warm: Path | None) -> tuple[Any, Any]:
    """The base with a fresh adapter, or with `warm` to resume from, and its tokenizer.

    Where a batch's activations may not fit, few are kept and the others computed again on the way
    back (gradient checkpointing). Raises Refused when the base is to be quantised and cannot be.
    """
    import torch
    from peft import LoraConfig, PeftModel, get_peft_model

    torch.manual_seed(params.seed)
    model, tokenizer = _loaded(base, params.quantize)
    if crowded(model, params):
        # The other kind of checkpoint wants inputs with gradients, and a frozen base has none.
        model.activation_checkpointing_enable({"use_reentrant": False})
    if warm:
        wrapped = PeftModel.from_pretrained(
            model, warm, is_trainable=True, autocast_adapter_dtype=False
        )
    else:
        config = LoraConfig(
            r=params.rank,
            lora_alpha=params.alpha,
            target_modules="all-linear",
            exclude_modules=_unadapted(model),
            use_rslora=params.rslora,
            use_dora=params.dora,
            task_type="CAUSAL_LM",
        )
        wrapped = get_peft_model(model, config, autocast_adapter_dtype=False)
    fuse(wrapped)
    return wrapped, tokenizer


def crowded(model: Any, params: Train) -> bool:
    """Return whether a batch's activations and weights take over half the free memory."""
    config = model.config.get_text_config()
    token = ACTIVATION * config.hidden_size * config.num_hidden_layers
    needed = token * params.batch * params.max_length + 2 * model.num_parameters()
    return bool(needed > free_memory() / 2)


def _unadapted(model: Any) -> list[str] | None:
    """Layers that LoRA has to leave: state-space mixers read these weights past an adapter."""
    mixers = any(name.endswith(".conv1d") for name, _ in model.named_modules())
    return ["out_proj"] if mixers else None


def _loaded(base: Path, quantize: bool) -> tuple[Any, Any]:
    """The base as it is trained on, perhaps in 4 bits (QLoRA), and its tokenizer.

    All that is not in 4 bits stays in the type that computes, as without them: PEFT's
    `prepare_model_for_kbit_training` would lift the norms, and with them every activation, to
    float32. Evaluated and served is the whole base with the adapter: what its rounding costs is
    seen in the scorecard, and the certificate holds for what serves.
    """
    import torch
    from transformers import BitsAndBytesConfig

    gpu = torch.cuda.is_available()
    half = "bfloat16" if gpu or torch.cpu._is_avx512_bf16_supported() else "float32"
    # Flash attention's backward pass on a CPU is slower than plain matrices at these lengths.
    attention = None if gpu else "eager"
    if not quantize:
        return load_base(base, half, attention)
    if not find_spec("bitsandbytes"):
        raise Refused(
            "train.quantize needs bitsandbytes: pip install -c constraints.txt '.[qlora]'"
        )
    bits = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=half,
    )
    model, tokenizer = load_base(base, half, attention, bits)
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            # At the first validation it would pack its weights for inference, for good.
            module.support_avx512bf16_for_cpu = False
    return model, tokenizer


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
    head = causal.get_output_embeddings()  # some models scale or cap what comes out of it
    hook = head.register_forward_pre_hook(lambda _, given: given[0].flatten(0, 1)[rounded][None])
    with hook:
        logits = causal(input_ids=ids.to(causal.device), use_cache=False).logits[0]
    logits = logits[: len(places)].float()
    targets = ids.roll(-1, dims=1).flatten()[places].to(causal.device)
    hits = (logits.argmax(-1) == targets).split([len(e.ids) - e.start for e in examples])
    right = torch.stack([hit.all() for hit in hits])
    return functional.cross_entropy(logits, targets, reduction="none"), right
