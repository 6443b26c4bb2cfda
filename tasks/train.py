"""Train: one task's rows become a LoRA adapter on the base model.

Completion-only loss, warm-up and cosine, early stopping on the validation rows; a loss that
diverges is tried once more with a lower rate and another seed. The same rows, params and seed give
the same adapter on the same machine; a checkpoint folder lets a killed training go on.

    python -m tasks.train        (the DVC stage: data/dataset → data/train, one folder per task)
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from tasks import params as settings
from tasks import stage
from tasks.contract import Contract
from tasks.dataset import Row, rows
from tasks.fitting import Diverged, Example, Fitter, Mark, Progress
from tasks.fused import fuse
from tasks.params import Train
from tasks.records import Counts, digest
from tasks.stage import Refused
from tasks.student import ADAPTER_FILES, ask, base_digest, base_path, load_base, render, written
from tasks.student import adapter_digest as adapter_digest
from tasks.task import load_one


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """How an adapter came about. `best` is the step whose weights were kept."""

    task: str
    kind: str = "lora"
    base: str
    base_digest: str
    adapter_digest: str
    seed: int
    learning_rate: float
    rows: int
    too_long: int
    tokens: int
    steps: int
    best: int
    seconds: float
    losses: list[tuple[int, float]]
    validation: list[Mark]
    note: str = ""


def adapter_name(task: str, version: int, digest: str) -> str:
    """The name that an adapter is served under; never used twice for different bytes."""
    return f"{task}-v{version}-{digest[:8]}"


def train(
    dataset: Path,
    out: Path,
    params: Train,
    *,
    minutes: float | None = None,
    progress: Progress | None = None,
    warm: Path | None = None,
    checkpoint: Path | None = None,
) -> Training:
    """Train one task folder of `dataset` into `out`/adapter and `out`/training.json.

    `minutes` (else those of the params) end the training with the best weights so far; `warm` is an
    adapter to start from; `checkpoint` a folder outside `out` that a killed training goes on from.
    Raises Refused.
    """
    began = time.monotonic()
    deadline = began + 60 * (params.minutes if minutes is None else minutes)
    task, base, note = load_one(dataset), base_path(params.base), ""
    for attempt in (params, second_try(params)):
        fitter = _fitter(dataset, task.contract, base, attempt, warm)
        try:
            run = fitter.fit(deadline, progress, checkpoint)
            break
        except Diverged as error:
            note = f"{note}{error} at rate {attempt.learning_rate:g}; "
    else:
        raise Refused(f"the training of {task.id} diverged twice: {note[:-2]}")
    fitter.restore(run)
    save(fitter.model, out / "adapter", params.base, base_digest(base))
    training = Training(
        task=task.id,
        base=params.base,
        base_digest=base_digest(base),
        adapter_digest=adapter_digest(out / "adapter"),
        seed=attempt.seed,
        learning_rate=attempt.learning_rate,
        rows=len(fitter.examples),
        too_long=len(rows(dataset / "train.parquet")) - len(fitter.examples),
        tokens=run.tokens,
        steps=run.step,
        best=run.best_mark.step,
        seconds=round(time.monotonic() - began, 2),
        losses=run.losses,
        validation=run.marks,
        note=f"{note}trained again at rate {attempt.learning_rate:g}" if note else "",
    )
    stage.write_atomic(out / "training.json", msgspec.json.encode(training))
    if checkpoint:
        shutil.rmtree(checkpoint, ignore_errors=True)
    return training


def second_try(params: Train) -> Train:
    """The params after a divergence: a quarter of the rate, the next seed."""
    return msgspec.structs.replace(
        params, learning_rate=params.learning_rate / 4, seed=params.seed + 1
    )


def load_training(folder: Path) -> Training:
    """Read training.json of a trained task. Raises Refused."""
    try:
        return msgspec.json.decode((folder / "training.json").read_bytes(), type=Training)
    except FileNotFoundError:
        raise Refused(f"no training at {folder}") from None


def _fitter(
    dataset: Path, contract: Contract, base: Path, params: Train, warm: Path | None
) -> Fitter:
    """The model and the rows of one attempt. Raises Refused without usable rows."""
    model, tokenizer = _model(base, params, warm)
    known = examples(rows(dataset / "train.parquet"), contract, tokenizer, params.max_length)
    found = rows(dataset / "validation.parquet")[: params.validation_rows]
    checked = examples(found, contract, tokenizer, params.max_length)
    if not known or not checked:
        raise Refused(
            f"{dataset.name}: {len(known)} training and {len(checked)} validation rows of at most "
            f"{params.max_length} tokens, both are needed"
        )
    ids = msgspec.json.encode([example.ids for example in (*known, *checked)])
    origin = adapter_digest(warm) if warm else ""
    fingerprint = digest(base_digest(base), origin, msgspec.json.encode(params), ids)
    return Fitter(model, known, checked, params, fingerprint)


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


def _model(base: Path, params: Train, warm: Path | None) -> tuple[Any, Any]:
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
        adapted = PeftModel.from_pretrained(
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
        adapted = get_peft_model(model, config, autocast_adapter_dtype=False)
    if not gpu:
        fuse(adapted)
    return adapted, tokenizer


def save(model: Any, folder: Path, base: str, base_digest: str) -> None:
    """Write an adapter in PEFT's own format, with a configuration of stable bytes."""
    model.save_pretrained(folder, save_embedding_layers=False)
    for extra in set(folder.iterdir()) - {folder / name for name in ADAPTER_FILES}:
        extra.unlink()
    path = folder / ADAPTER_FILES[0]
    config = msgspec.json.decode(path.read_bytes())
    modules = {name.split(".")[-1] for name in config["target_modules"]}  # a set, in any order
    config |= {
        "base_model_name_or_path": base,
        "revision": base_digest,
        "target_modules": sorted(modules),
    }
    body = msgspec.json.encode(config, order="sorted")
    path.write_bytes(msgspec.json.format(body, indent=2))


def train_all(dataset: Path, out: Path, params: Train) -> Counts:
    """Train every task folder of `dataset` into a folder of `out`; refused tasks are dropped."""
    kept, dropped = 0, {}
    folders = sorted(path.parent for path in dataset.glob("*/task.json"))
    for folder in folders:
        try:
            train(folder, out / folder.name, params)
            kept += 1
        except Refused as error:
            dropped[str(error)] = 1
    result = Counts("train", len(folders), kept, dropped)
    stage.finish(out, result)
    return result


def main() -> Counts:
    """The DVC stage."""
    source, out = Path("data/dataset"), Path("data/train")
    params = settings.load().train
    return stage.hop("train", out, lambda folder: train_all(source, folder, params))


if __name__ == "__main__":
    stage.main(main)
