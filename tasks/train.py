"""Train: one task's rows become a LoRA adapter on the base model.

Completion-only loss, warm-up and cosine, early stopping on the validation rows; a loss that
diverges is tried once more with a lower rate and another seed. The same rows, params and seed give
the same adapter on the same machine; a checkpoint folder lets a killed training go on.

    python -m tasks.train        (the DVC stage: data/dataset → data/train/<task>/<rung>)
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from tasks import encoder, filling, forms, stage, writing
from tasks import params as settings
from tasks.adapters import Kind, adapter_digest
from tasks.contract import Contract
from tasks.dataset import Row, rows
from tasks.fitting import Diverged, Fitter, Mark, Progress, completion
from tasks.params import Train
from tasks.records import Counts, digest
from tasks.stage import Refused
from tasks.student import ADAPTER_FILES, base_digest, base_path, base_tokenizer
from tasks.task import load_one
from tasks.usage import Sample, watched

LARGER, ROWS_PER_BATCH = 4, 300  # the encoder's batches grow with the rows, up to so many times
FITTING = 0.5  # a student that cannot read half of a task's calls is not worth its training


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """How an adapter came about. `best` is the step whose weights were kept."""

    task: str
    kind: Kind = "causal"
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
    usage: list[Sample] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Attempt:
    """A model and the rows it learns from, the name and digest of its base, how to write it."""

    fitter: Fitter
    base: str
    base_digest: str
    save: Callable[[Path], None]


def adapter_name(task: str, version: int, digest: str) -> str:
    """The name that an adapter is served under; never used twice for different bytes."""
    return f"{task}-v{version}-{digest[:8]}"


def train(
    dataset: Path,
    out: Path,
    params: Train,
    *,
    rung: Kind = "causal",
    minutes: float | None = None,
    progress: Progress | None = None,
    warm: Path | None = None,
    checkpoint: Path | None = None,
) -> Training:
    """Train one task folder of `dataset` into `out`/adapter and `out`/training.json.

    `rung` is the kind of student; `minutes` (else those of the params) end the training with the
    best weights so far; `warm` is a causal adapter to start from; `checkpoint` a folder outside
    `out` that a killed training goes on from. Raises Refused.
    """
    began = time.monotonic()
    deadline = began + 60 * (params.minutes if minutes is None else minutes)
    task, note = load_one(dataset), ""
    for chosen in (params, second_try(params)):
        attempt = _attempt(dataset, rung, task.contract, chosen, warm)
        try:
            with watched() as usage:
                run = attempt.fitter.fit(deadline, progress, checkpoint)
            break
        except Diverged as error:
            note = f"{note}{error} at rate {chosen.learning_rate:g}; "
    else:
        raise Refused(f"the training of {task.id} diverged twice: {note[:-2]}")
    attempt.fitter.restore(run)
    attempt.save(out / "adapter")
    training = Training(
        task=task.id,
        kind=rung,
        base=attempt.base,
        base_digest=attempt.base_digest,
        adapter_digest=adapter_digest(out / "adapter"),
        seed=chosen.seed,
        learning_rate=attempt.fitter.params.learning_rate,
        rows=len(attempt.fitter.examples),
        too_long=len(rows(dataset / "train.parquet")) - len(attempt.fitter.examples),
        tokens=run.tokens,
        steps=run.step,
        best=run.best_mark.step,
        seconds=round(time.monotonic() - began, 2),
        losses=run.losses,
        validation=run.marks,
        note=f"{note}trained again at rate {chosen.learning_rate:g}" if note else "",
        usage=usage,
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


def ladder(dataset: Path, params: Train) -> tuple[list[Kind], dict[Kind, str]]:
    """The rungs of `params.rungs` worth a try for a task, and why the others are not."""
    task, found = load_one(dataset), rows(dataset / "train.parquet")
    if task.category == "open-ended":
        return [], dict.fromkeys(params.rungs, "open-ended, stays with the teacher")
    reasons = {rung: _unfit(rung, found, task.contract, params) for rung in params.rungs}
    aside = {rung: reason for rung, reason in reasons.items() if reason}
    return [rung for rung in params.rungs if rung not in aside], aside


def _unfit(rung: Kind, found: Sequence[Row], contract: Contract, params: Train) -> str:
    """Why a rung is not worth a try on these rows; empty when it is."""
    if rung == "encoder":
        known = forms.learn([r.prompt for r in found], [r.answer for r in found], contract)
        if isinstance(known, str):
            return known
        fit = filling.fitting(found, params.max_length)
    else:
        reader = base_tokenizer(base_path(params.base))
        fit = len(writing.examples(found, contract, reader, params.max_length))
    if fit < FITTING * len(found):
        return f"only {fit} of {len(found)} rows are within {params.max_length} tokens"
    return ""


def _attempt(
    dataset: Path, rung: Kind, contract: Contract, params: Train, warm: Path | None
) -> Attempt:
    """The model and the rows of one attempt. Raises Refused without usable rows."""
    found = rows(dataset / "train.parquet"), rows(dataset / "validation.parquet")
    known, checked = found[0], found[1][: params.validation_rows]
    make = _encoder if rung == "encoder" else _causal
    attempt = make(known, checked, contract, params, warm)
    if not attempt.fitter.examples or not attempt.fitter.validation:
        raise Refused(
            f"{dataset.name}: {len(attempt.fitter.examples)} training and "
            f"{len(attempt.fitter.validation)} validation rows of at most "
            f"{params.max_length} tokens, both are needed"
        )
    return attempt


def _causal(
    known: Sequence[Row],
    checked: Sequence[Row],
    contract: Contract,
    params: Train,
    warm: Path | None,
) -> Attempt:
    base = base_path(params.base)
    name = base_digest(base)
    model, tokenizer = writing.adapted(base, params, warm)
    learned, measured = (
        writing.examples(part, contract, tokenizer, params.max_length) for part in (known, checked)
    )
    ids = msgspec.json.encode([example.ids for example in (*learned, *measured)])
    origin = adapter_digest(warm) if warm else ""
    fingerprint = digest(name, origin, msgspec.json.encode(params), ids)
    fitter = Fitter(model, learned, measured, params, fingerprint, completion)
    return Attempt(fitter, params.base, name, lambda folder: save(model, folder, params.base, name))


def _encoder(
    known: Sequence[Row],
    checked: Sequence[Row],
    contract: Contract,
    params: Train,
    warm: Path | None,
) -> Attempt:
    """Always from fresh weights: the forms, and so the heads, change with the rows."""
    found = forms.learn([r.prompt for r in known], [r.answer for r in known], contract)
    if isinstance(found, str):
        raise Refused(f"the encoder cannot fill in these answers: {found}")
    shape, reader = found
    model = filling.fresh(shape, params)
    learned, measured = (
        filling.filled(part, shape, reader, params.max_length) for part in (known, checked)
    )
    filling.expect(model, shape, learned)
    batch = min(LARGER * params.batch, max(params.batch, len(learned) // ROWS_PER_BATCH))
    # Where linear heads know the answers already, the encoder is only refined.
    rate = params.learning_rate / (2 if filling.lead(model, shape, learned) else 1)
    params = msgspec.structs.replace(params, batch=batch, learning_rate=rate)
    body = [msgspec.json.encode(part) for part in (params, shape, learned, measured)]
    fingerprint = digest(encoder.DIGEST, *body)
    fitter = Fitter(model, learned, measured, params, fingerprint, filling.objective(shape))

    def write(folder: Path) -> None:
        save(model["encoder"], folder, encoder.NAME, encoder.DIGEST)
        filling.save_heads(model, shape, folder)

    return Attempt(fitter, encoder.NAME, encoder.DIGEST, write)


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
    """Train the first rung that fits each task folder of `dataset` into `out`/task/rung.

    Whether to climb higher is the night's to decide. Tasks that no rung fits are dropped.
    """
    kept, dropped = 0, Counter[str]()
    folders = sorted(path.parent for path in dataset.glob("*/task.json"))
    for folder in folders:
        try:
            rungs, aside = ladder(folder, params)
            for rung in rungs[:1]:
                train(folder, out / folder.name / rung, params, rung=rung)
            kept += bool(rungs)
            dropped.update(
                [] if rungs else [f"{folder.name}: {'; '.join(dict.fromkeys(aside.values()))}"]
            )
        except Refused as error:
            dropped[str(error)] += 1
    result = Counts("train", len(folders), kept, dict(dropped))
    stage.finish(out, result)
    return result


def main() -> Counts:
    """The DVC stage."""
    source, out = Path("data/dataset"), Path("data/train")
    params = settings.load().train
    return stage.hop("train", out, lambda folder: train_all(source, folder, params))


if __name__ == "__main__":
    stage.main(main)
