"""How fast causal students train, beside TRL's plain SFTTrainer on the same model and rows.

    python -m benchmarks.throughput [--data FILE.jsonl.gz] [--base bundled] [--steps 60]

Both train a LoRA adapter of the same rank on all linear layers, completion-only, from the same
token ids in batches of the same size; ours groups rows of similar length, computes LoRA fused into
the weights and only the answers' logits. Needs the extra `bench` (TRL). Prints tokens a second,
median of the rounds; the last line is one JSON object; exit status 1 when SFTTrainer is faster.
"""

from __future__ import annotations

import argparse
import gzip
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.growth import traffic
from tasks import writing
from tasks.contract import Contract, answer_of
from tasks.evidence import user_text
from tasks.fitting import Fitter
from tasks.params import Train
from tasks.rows import Row
from tasks.student import base_path, base_tokenizer, load_base
from tasks.team import Team
from tasks.writing import Example, completion

TEXT = Contract(kind="text")


def rows_of(path: Path | None, count: int) -> list[Row]:
    """Questions and answers of a set, or of the sample agent."""
    if path is None:
        pairs = [(call.request, call.reply) for call in traffic(count, 1)]
    else:
        with gzip.open(path, "rt") as lines:
            records = [json.loads(line) for line, _ in zip(lines, range(count), strict=False)]
        pairs = [(r["request"], r["response"]["choices"][0]["message"]) for r in records]
    return [
        Row(str(i), float(i), "", user_text(request), answer_of(reply), 1.0)
        for i, (request, reply) in enumerate(pairs)
    ]


def ours(examples: Sequence[Example], params: Train) -> float:
    """Tokens a second of `tasks.fitting`."""
    model, _ = writing.adapted(base_path(params.base), params, None)
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


def main() -> None:
    """Measure both in turn and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="a set of call records, .jsonl.gz")
    parser.add_argument("--base", default="bundled", help="a causal model's folder")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    params = msgspec.structs.replace(Train(), base=chosen.base, epochs=10**6, patience=10**6)
    tokenizer = base_tokenizer(base_path(params.base))
    found = rows_of(chosen.data, 4 * chosen.steps * params.batch)
    examples = writing.examples(found, TEXT, tokenizer, params.max_length)
    mean = statistics.fmean(len(example.ids) for example in examples)
    params = msgspec.structs.replace(params, tokens=round(chosen.steps * params.batch * mean))
    speeds: dict[str, list[float]] = {"flywheel": [], "SFTTrainer": []}
    for _ in range(chosen.rounds):
        speeds["flywheel"].append(ours(examples, params))
        speeds["SFTTrainer"].append(theirs(examples, params, chosen.steps))
    table = Table("trainer", "tokens/s", "least", "most")
    for name, some in speeds.items():
        table.add_row(name, *(f"{x:,.0f}" for x in (statistics.median(some), min(some), max(some))))
    Console().print(table)
    ratio = statistics.median(speeds["flywheel"]) / statistics.median(speeds["SFTTrainer"])
    print(json.dumps({"ratio": ratio, "mean tokens": mean, "steps": chosen.steps, **speeds}))
    if ratio < 1:
        sys.exit(f"SFTTrainer is faster: ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
