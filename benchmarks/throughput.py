"""How fast causal students train, beside TRL's plain SFTTrainer on the same model and rows.

    python -m benchmarks.throughput [--data FILE.jsonl.gz] [--base bundled] [--steps 60]
    python -m benchmarks.throughput --shape Qwen3-0.6B --length 1024 [--steps 20]

Both train a LoRA adapter of the same rank on all linear layers, completion-only, from the same
token ids in batches of the same size. Ours groups rows of similar length, computes LoRA fused into
the weights and only the answers' logits, and validates on a batch before and after. `--shape` takes
random weights in the shape of a known model, `--length` packs rows to so many tokens each. Needs
the extra `bench` (TRL). Prints tokens a second, median of the rounds, and the model's FLOPs as a
share of what plain matrix products reach on this machine (MFU); the last line is one JSON object;
exit status 1 when SFTTrainer is faster.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from bases import tokens
from benchmarks import sets
from tasks.cluster.signatures import user_text
from tasks.core.contract import answer_of
from tasks.core.params import Train
from tasks.core.rows import Row
from tasks.students.causal import base_path, base_tokenizer, load_base
from tasks.train import causal
from tasks.train.causal import Example, completion
from tasks.train.distributed import Team
from tasks.train.loop import Fitter

SHAPES: dict[str, dict[str, object]] = {
    "Qwen3-0.6B": {
        "hidden_size": 1024,
        "intermediate_size": 3072,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "vocab_size": 151_936,
        "tie_word_embeddings": True,
    }
}


def shaped(name: str, folder: Path) -> str:
    """A folder with random weights in the shape of a known model, and the bundled tokenizer."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        Qwen3ForCausalLM(Qwen3Config(**SHAPES[name])).save_pretrained(folder)
    torch.set_default_dtype(torch.float32)
    tokens.save(base_tokenizer(base_path("bundled")), folder)
    return str(folder)


def packed(examples: Sequence[Example], length: int) -> list[Example]:
    """The same tokens in rows of `length`, half of each to learn: for speed, not for learning."""
    ids = [token for example in examples for token in example.ids]
    whole = range(0, len(ids) - length + 1, length)
    return [Example(ids[i : i + length], length // 2) for i in whole]


def flops(base: str, examples: Sequence[Example]) -> float:
    """A training token's FLOPs, mean: forward, and back to the activations of frozen weights.

    Two per weight and token each way, attention over half the square, the vocabulary for answers
    only; what is computed again or for LoRA alone is not counted.
    """
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(base_path(base))
    heads, layers = config.num_attention_heads, config.num_hidden_layers
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    attention = 2 * (heads + config.num_key_value_heads) * size
    weights = layers * config.hidden_size * (attention + 3 * config.intermediate_size)
    total = 0
    for example in examples:
        n, answer = len(example.ids), len(example.ids) - example.start
        total += 4 * weights * n + 6 * layers * n * n * heads * size
        total += 4 * config.hidden_size * config.vocab_size * answer
    return total / sum(len(example.ids) for example in examples)


def peak(rounds: int = 20) -> float:
    """FLOPs a second of plain matrix products, in the type that trains."""
    import torch

    gpu = torch.cuda.is_available()
    size = 8192 if gpu else 2048
    half = gpu or torch.cpu._is_avx512_bf16_supported()
    a = torch.randn(size, size, dtype=torch.bfloat16 if half else torch.float32)
    a = a.to("cuda" if gpu else "cpu")
    float((a @ a)[0, 0])
    began = time.perf_counter()
    for _ in range(rounds):
        b = a @ a
    float(b[0, 0])  # waits for the GPU
    return 2 * size**3 * rounds / (time.perf_counter() - began)


def rows_of(path: Path | None, count: int) -> list[Row]:
    """Questions and answers of a set, or of the sample agent."""
    if path is None:
        from benchmarks.growth import traffic

        pairs = [(call.request, call.reply) for call in traffic(count, 1)]
    else:
        records = islice(sets.read(path), count)
        pairs = [(r["request"], r["response"]["choices"][0]["message"]) for r in records]
    return [
        Row(str(i), float(i), "", user_text(request), answer_of(reply), 1.0)
        for i, (request, reply) in enumerate(pairs)
    ]


def ours(examples: Sequence[Example], params: Train) -> float:
    """Tokens a second of `tasks.train.loop`."""
    model, _ = causal.adapted(base_path(params.base), params, None)
    fitter = Fitter(model, examples, examples[: params.batch], params, "", completion, Team())
    began = time.perf_counter()
    run = fitter.fit(time.monotonic() + 3600, None, None)
    return run.tokens / (time.perf_counter() - began)


def theirs(examples: Sequence[Example], params: Train, steps: int) -> float:
    """Tokens a second of SFTTrainer."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    gpu = torch.cuda.is_available()
    half = gpu or torch.cpu._is_avx512_bf16_supported()
    model, tokenizer = load_base(base_path(params.base), "bfloat16" if half else "float32")
    sizes: list[int] = []

    def count(some: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        sizes.append(sum(len(one["input_ids"]) for one in some))
        return dict(plain(some))

    with tempfile.TemporaryDirectory() as folder:
        config = SFTConfig(
            output_dir=folder,
            max_steps=steps,
            per_device_train_batch_size=params.batch,
            learning_rate=params.rate(),
            lr_scheduler_type="cosine",
            max_length=params.max_length,
            completion_only_loss=True,
            gradient_checkpointing=False,
            bf16=half,
            use_cpu=not gpu,
            optim="adamw_torch_fused",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        trainer = SFTTrainer(
            model=model,
            args=config,
            processing_class=tokenizer,
            train_dataset=Dataset.from_list([_masked(example) for example in examples]),
            peft_config=LoraConfig(
                r=params.rank,
                lora_alpha=params.alpha,
                target_modules="all-linear",
                use_rslora=params.rslora,
                task_type="CAUSAL_LM",
            ),
        )
        plain, trainer.data_collator = trainer.data_collator, count
        began = time.perf_counter()
        trainer.train()
        return sum(sizes[:steps]) / (time.perf_counter() - began)


def _masked(example: Example) -> dict[str, list[int]]:
    answer = len(example.ids) - example.start
    return {"input_ids": example.ids, "completion_mask": [0] * example.start + [1] * answer}


def compared(
    examples: Sequence[Example], params: Train, steps: int, rounds: int
) -> dict[str, list[float]]:
    """Tokens a second of both, in turn."""
    mean = statistics.fmean(len(example.ids) for example in examples)
    params = msgspec.structs.replace(params, tokens=round(steps * params.batch * mean))
    speeds: dict[str, list[float]] = {"flywheel": [], "SFTTrainer": []}
    for _ in range(rounds):
        speeds["flywheel"].append(ours(examples, params))
        speeds["SFTTrainer"].append(theirs(examples, params, steps))
    return speeds


def main() -> None:
    """Measure both in turn and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="a set of call records, .jsonl.gz")
    model = parser.add_mutually_exclusive_group()
    model.add_argument("--base", default="bundled", help="a causal model's folder")
    model.add_argument("--shape", choices=SHAPES, help="random weights in the shape of a model")
    parser.add_argument("--length", type=int, help="pack rows to so many tokens")
    parser.add_argument("--batch", type=int, default=Train().batch)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        base = shaped(chosen.shape, Path(folder)) if chosen.shape else chosen.base
        room = chosen.length or Train().max_length
        params = msgspec.structs.replace(
            Train(), base=base, batch=chosen.batch, max_length=room, epochs=10**6, marks=1
        )
        found = rows_of(chosen.data, 4 * chosen.steps * params.batch)
        examples = causal.examples(found, base_tokenizer(base_path(base)), room)
        if chosen.length:
            examples = packed(examples, room)
        speeds = compared(examples, params, chosen.steps, chosen.rounds)
        one, most = flops(base, examples), peak()
    table = Table("trainer", "tokens/s", "least", "most", "MFU")
    for name, some in speeds.items():
        median = statistics.median(some)
        cells = (f"{x:,.0f}" for x in (median, min(some), max(some)))
        table.add_row(name, *cells, f"{median * one / most:.1%}")
    Console().print(table)
    ratio = statistics.median(speeds["flywheel"]) / statistics.median(speeds["SFTTrainer"])
    told = {"ratio": ratio, "FLOPs a token": one, "FLOPs a second, products": most}
    print(json.dumps({**told, "steps": chosen.steps, **speeds}))
    if ratio < 1:
        sys.exit(f"SFTTrainer is faster: ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
