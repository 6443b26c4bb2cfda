"""Preparation of a training: a base model with a fresh adapter, its rows, how it is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec

from tasks.cluster.naming import constant_text
from tasks.core.contract import Contract, violation
from tasks.core.params import Rung, Train
from tasks.core.records import digest
from tasks.core.rows import Row, rows, some
from tasks.core.stage import Refused
from tasks.core.task import load_one
from tasks.students import answer_templates, minilm
from tasks.students.adapters import adapter_digest
from tasks.students.answer_templates import Forms, Reader
from tasks.students.causal import ADAPTER_FILES, base_digest, base_path, base_width
from tasks.students.heads import Layout
from tasks.train import causal, encoder, folds, head_init, kernel_fit
from tasks.train.augmentation import swapped
from tasks.train.distributed import Team
from tasks.train.loop import Fitter

WRITING = ("alpha", "rslora", "swaps")  # params of causal students alone
LARGER, ROWS_PER_BATCH = 4, 300  # the encoder's batches grow with the rows, up to so many times


@dataclass(frozen=True, slots=True)
class TrainingSetup:
    """A model and the rows it learns from, how many were too long, its base, how to write it."""

    fitter: Fitter
    rows: int
    too_long: int
    base: str
    base_digest: str
    save: Callable[[Path], None]


def rated(params: Train, rung: Rung) -> Train:
    """The params with the rate and the optimizer that are used.

    Muon where it has pretrained the base: students of others, like the encoder, it makes worse (Qu
    et al. 2026, arXiv 2605.10468). The encoder's rate is that of nano. A linear student is one of
    the encoder whose adapter stays as it began: it changes nothing.
    """
    if rung == "linear":
        return msgspec.structs.replace(params, rank=1, epochs=0, sweep={})
    muon = params.muon
    if muon is None:
        muon = rung == "causal" and params.base == "bundled"
    if rung == "encoder":  # whose scale is fixed
        sweep = {name: v for name, v in params.sweep.items() if name not in WRITING}
        return msgspec.structs.replace(params, muon=muon, learning_rate=params.rate(), sweep=sweep)
    rate = params.rate(base_width(base_path(params.base)))
    return msgspec.structs.replace(params, muon=muon, learning_rate=rate)


def after_divergence(params: Train) -> Train:
    """The params after a divergence: a quarter of the rate, the next seed."""
    return msgspec.structs.replace(params, learning_rate=params.rate() / 4, seed=params.seed + 1)


def continues(warm: Path, params: Train, rung: Rung) -> bool:
    """Return whether an adapter can be resumed: same base and shape as these params make."""
    if rung != "causal":
        return False  # its heads change with the rows
    config = msgspec.json.decode((warm / ADAPTER_FILES[0]).read_bytes())
    shape = [config.get(name) for name in ("r", "lora_alpha", "use_rslora", "use_dora")]
    wanted = [params.rank, params.alpha, params.rslora, params.dora]
    return shape == wanted and config.get("revision") == base_digest(base_path(params.base))


def prepare(
    dataset: Path, rung: Rung, contract: Contract, params: Train, warm: Path | None, team: Team
) -> TrainingSetup:
    """Return the model and the rows of one training. Raises Refused without usable rows."""
    parts = rows(dataset / "train.parquet"), rows(dataset / "validation.parquet")
    train, checked = parts[0], some(parts[1], params.validation_rows)
    if rung == "causal":
        setup = _causal(train, checked, contract, params, warm, team)
    else:  # always from fresh weights: the forms, and so the heads, change with the rows
        told = constant_text(load_one(dataset).template)
        proves = rung == "linear" and (dataset / "calibration.parquet").exists()
        every = folds.raw(dataset) if proves else []
        setup = _encoder(train, checked, contract, params, team, told, every)
    if not setup.fitter.examples or not setup.fitter.validation:
        raise Refused(
            f"{dataset.name}: {len(setup.fitter.examples)} training and "
            f"{len(setup.fitter.validation)} validation rows of at most "
            f"{params.max_length} tokens, both are needed"
        )
    return setup


def _causal(
    train: Sequence[Row],
    checked: Sequence[Row],
    contract: Contract,
    params: Train,
    warm: Path | None,
    team: Team,
) -> TrainingSetup:
    base = base_path(params.base)
    name = base_digest(base)
    model, tokenizer = causal.adapted(base, params, warm)
    copies = swapped(train, params.swaps, params.seed)
    copies = [row for row in copies if not violation(row.answer, contract)]
    learned, again, measured = (
        causal.examples(part, tokenizer, params.max_length) for part in (train, copies, checked)
    )
    ids = msgspec.json.encode([example.ids for example in (*learned, *again, *measured)])
    origin = adapter_digest(warm) if warm else ""
    fingerprint = digest(name, origin, msgspec.json.encode(params), ids)
    every = [*learned, *again]
    fitter = Fitter(model, every, measured, params, fingerprint, causal.completion, team)
    write = partial(save, model, base=params.base, base_digest=name)
    return TrainingSetup(fitter, len(learned), len(train) - len(learned), params.base, name, write)


def _encoder(
    train: Sequence[Row],
    checked: Sequence[Row],
    contract: Contract,
    params: Train,
    team: Team,
    told: str,
    every: Sequence[Row] = (),
) -> TrainingSetup:
    """Return an encoder's training; `every` row that trains or proves makes a mixture of few."""
    blocks = kernel_fit.blocks(every) if 0 < len(every) <= kernel_fit.MOST else []
    learnable = [to_learn(block, contract, params) for block in blocks]
    shape, reader = _forms([*train, *chain.from_iterable(learnable)], contract, told)
    if blocks and Layout(shape).reads:
        blocks = []
        shape, reader = _forms(train, contract, told)
    model = encoder.fresh(shape, params)
    kept = encoder.readable(train, params.max_length)
    learned, measured = (
        encoder.filled(part, shape, reader, params.max_length, recased=part is kept)
        for part in (kept, checked)
    )
    read = (encoder.filled(part, shape, reader, params.max_length) for part in learnable)
    parts = list(map(kernel_fit.Block, blocks, learnable, read))
    if not parts and not params.epochs and len(learned) <= kernel_fit.MOST:
        parts = [kernel_fit.Block(kept, kept, learned)]
    fits = parts and parts[0].learned and not Layout(shape).reads
    fitted = kernel_fit.fit(model, shape, parts, told) if fits else None
    head_init.expect(model, shape, learned)
    batch = min(LARGER * params.batch, max(params.batch, len(learned) // ROWS_PER_BATCH))
    # Where linear heads know the answers already, the encoder is only refined.
    led = head_init.lead(model, shape, learned, always=not params.epochs and not fitted)
    rate = params.rate() / (2 if led else 1)
    params = msgspec.structs.replace(params, batch=batch, learning_rate=rate)
    body = [msgspec.json.encode(part) for part in (params, shape, learned, measured)]
    fingerprint = digest(minilm.DIGEST, *body)
    kernel = fitted.head if fitted else None
    goal = encoder.objective(shape, len(learned), kernel)
    fitter = Fitter(model, learned, measured, params, fingerprint, goal, team)

    def write(folder: Path) -> None:
        save(model["encoder"], folder, base=minilm.NAME, base_digest=minilm.DIGEST)
        encoder.save_heads(model, shape, folder, kernel)
        if fitted:
            folds.write(folder.parent, parts[0].kept, fitted)

    too_long = len(train) - len(learned)
    return TrainingSetup(fitter, len(learned), too_long, minilm.NAME, minilm.DIGEST, write)


def _forms(examples: Sequence[Row], contract: Contract, told: str) -> tuple[Forms, Reader]:
    """The forms of some rows' answers. Raises Refused where they have none."""
    forms = answer_templates.learn(
        [r.prompt for r in examples], [r.answer for r in examples], contract, told
    )
    if isinstance(forms, str):
        raise Refused(f"the encoder cannot fill in these answers: {forms}")
    return forms


def to_learn(candidates: Sequence[Row], contract: Contract, params: Train) -> list[Row]:
    """Those of calibration rows that may be learned from once they have been proof."""
    good = [r for r in candidates if (r.feedback or 0) >= 0 and not violation(r.answer, contract)]
    return encoder.readable(good, params.max_length)


def save(model: Any, folder: Path, *, base: str, base_digest: str) -> None:
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
