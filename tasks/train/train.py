"""Train: one task's rows become a LoRA adapter on the base model.

Completion-only loss, warm-up and cosine, early stopping on the validation rows; a loss that
diverges is tried once more with a lower rate and another seed. The same rows, params and seed give
the same adapter on the same machine; a checkpoint folder lets a killed training go on.

    python -m tasks.train        (the DVC stage: data/dataset → data/train/<task>/<rung>)
"""

from __future__ import annotations

import shutil
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from tasks.cluster.naming import constant_text
from tasks.core import params as settings
from tasks.core import stage
from tasks.core.params import Rung, Train
from tasks.core.records import Counts
from tasks.core.rows import Row, rows
from tasks.core.stage import Refused
from tasks.core.task import Task, load_one
from tasks.core.training import Training
from tasks.students import answer_templates
from tasks.students.adapters import adapter_digest
from tasks.students.answer_templates import Forms
from tasks.students.causal import base_path, base_tokenizer
from tasks.students.heads import Layout
from tasks.train import causal as writing
from tasks.train import domain, encoder, launch
from tasks.train.distributed import joined
from tasks.train.loop import Diverged, Progress, Run
from tasks.train.monitor import watched
from tasks.train.prepare import TrainingSetup, after_divergence, continues, prepare, rated
from tasks.train.sweep import Make, choose, start, summary

EACH = 5  # rows of each value under which the encoder, fine-tuned, is worse than frozen
FITTING = 0.5  # a student that cannot read half of a task's calls is not worth its training


def adapter_name(task: str, version: int, digest: str) -> str:
    """The name that an adapter is served under; never used twice for different bytes."""
    return f"{task}-v{version}-{digest[:8]}"


def train(
    dataset: Path,
    out: Path,
    params: Train,
    *,
    rung: Rung = "causal",
    minutes: float | None = None,
    progress: Progress | None = None,
    warm: Path | None = None,
    checkpoint: Path | None = None,
) -> Training:
    """Train one task folder of `dataset` into `out`/adapter and `out`/training.json.

    `rung` is the kind of student; `minutes` (else those of the params) end the training with the
    best weights so far; `warm` is a causal adapter of the same base, resumed where that wins;
    `checkpoint` a folder outside `out` that a killed training resumes. Raises Refused.
    """
    job = launch.TrainingJob(
        dataset=str(dataset),
        out=str(out),
        params=params,
        rung=rung,
        minutes=params.minutes if minutes is None else minutes,
        warm=str(warm or ""),
        checkpoint=str(checkpoint or ""),
    )
    count = launch.processes(params, rung)
    if count > 1:
        launch.run(job, count, progress)
    else:
        _train(job, progress)
    return load_training(out)


def _train(job: launch.TrainingJob, progress: Progress | None) -> None:
    """Do a job in this process, perhaps one of several: choose what to begin with, fit, write."""
    began, team = time.monotonic(), joined()
    dataset, out = Path(job.dataset), Path(job.out)
    warm, checkpoint = (Path(path) if path else None for path in (job.warm, job.checkpoint))
    task, how = load_one(dataset), (began + 60 * job.minutes, progress, checkpoint)
    make = partial(prepare, dataset, job.rung, task.contract, team=team)
    params, swept = choose(rated(job.params, job.rung), make, *how)
    if warm and not continues(warm, params, job.rung):
        warm = None
    warm, starts = start(params, make, warm, *how)
    with watched() as usage:
        setup, run, again = _fitted(params, make, warm, *how)
    if team.main:
        _write(
            out,
            setup,
            run,
            task=task.id,
            kind=job.rung,
            seconds=round(time.monotonic() - began + run.earlier, 2),
            note="; ".join(filter(None, [summary(swept), summary(starts), again])),
            trials=[*swept, *starts],
            usage=usage,
        )
        if checkpoint:
            shutil.rmtree(checkpoint, ignore_errors=True)
    team.wait()


def _fitted(
    params: Train,
    make: Make,
    warm: Path | None,
    deadline: float,
    progress: Progress | None,
    checkpoint: Path | None,
) -> tuple[TrainingSetup, Run, str]:
    """Train in full, once more after a divergence; the best weights, and what went wrong at first.

    Raises Refused when it goes wrong twice.
    """
    note = ""
    for chosen in (params, after_divergence(params)):
        setup = make(chosen, warm)
        try:
            run = _once(setup, deadline, progress, checkpoint)
        except Diverged as error:
            note = f"{note}{error} at rate {chosen.rate():g}; "
            del setup  # before the next base is loaded
            continue
        setup.fitter.restore(run)
        return setup, run, f"{note}trained again at rate {chosen.rate():g}" if note else ""
    raise Refused(f"the training diverged twice: {note[:-2]}")


def _once(
    setup: TrainingSetup, deadline: float, progress: Progress | None, checkpoint: Path | None
) -> Run:
    """Train in full, or go on with it. Raises Diverged, as before where it has done so already."""
    if not checkpoint:
        return setup.fitter.fit(deadline, progress, None)
    place = checkpoint / f"full-{setup.fitter.fingerprint[:16]}"
    ended = place / "diverged"
    if ended.exists():
        raise Diverged(ended.read_text())
    try:
        return setup.fitter.fit(deadline, progress, place)
    except Diverged as error:
        if setup.fitter.team.main:
            place.mkdir(parents=True, exist_ok=True)
            stage.write_atomic(ended, str(error).encode())
        raise


def _write(out: Path, setup: TrainingSetup, run: Run, **facts: Any) -> None:
    """Write the adapter, and then how it came about: these facts, and what the run tells."""
    fitter = setup.fitter
    setup.save(out / "adapter")
    training = Training(
        base=setup.base,
        base_digest=setup.base_digest,
        adapter_digest=adapter_digest(out / "adapter"),
        seed=fitter.params.seed,
        learning_rate=fitter.params.rate(),
        rows=setup.rows,
        too_long=setup.too_long,
        tokens=run.tokens,
        steps=run.step,
        best=run.best_mark.step,
        losses=run.losses,
        validation=run.marks,
        **facts,
    )
    stage.write_atomic(out / "training.json", msgspec.json.encode(training))


def load_training(folder: Path) -> Training:
    """Read training.json of a trained task. Raises Refused."""
    try:
        return msgspec.json.decode((folder / "training.json").read_bytes(), type=Training)
    except FileNotFoundError:
        raise Refused(f"no training at {folder}") from None


def ladder(dataset: Path, params: Train) -> tuple[list[Rung], dict[Rung, str]]:
    """The rungs of `params.rungs` worth a try for a task, and why the others are not."""
    task, examples = load_one(dataset), rows(dataset / "train.parquet")
    reasons = {rung: _unfit(rung, examples, task, params) for rung in params.rungs}
    aside = {rung: reason for rung, reason in reasons.items() if reason}
    return [rung for rung in params.rungs if rung not in aside], aside


def _unfit(rung: Rung, rows: Sequence[Row], task: Task, params: Train) -> str:
    """Return why a rung is not worth a try on these rows; empty when it is.

    Answers that look open-ended may have forms all the same; without any nobody writes them.
    """
    if rung != "causal":
        prompts, wishes = [r.prompt for r in rows], [r.answer for r in rows]
        forms = answer_templates.learn(prompts, wishes, task.contract, constant_text(task.template))
        if isinstance(forms, str):
            return forms
        if reason := _unfit_forms(rung, forms[0], len(rows), params):
            return reason
        fit = len(encoder.readable(rows, params.max_length))
    elif task.category == "open-ended":
        return "open-ended, stays with the teacher"
    else:
        reader = base_tokenizer(base_path(params.base))
        fit = len(writing.examples(rows, reader, params.max_length))
    if fit < FITTING * len(rows):
        return f"only {fit} of {len(rows)} rows are within {params.max_length} tokens"
    return ""


def _unfit_forms(rung: Rung, forms: Forms, count: int, params: Train) -> str:
    if Layout(forms).reads:
        return "answers hold values that are copied" if rung == "linear" else ""
    values = max((len(field.values) for field in forms.fields), default=0)
    few = rung == "encoder" and "linear" in params.rungs and count < EACH * values
    return f"{count} rows are too few to fine-tune for {values} labels" if few else ""


def train_all(dataset: Path, out: Path, params: settings.Params) -> Counts:
    """Train the first rung that fits each task folder of `dataset` into `out`/task/rung.

    Whether to climb higher is the night's to decide. With `scope: domain`, each domain has a causal
    student in `out`/domain/causal too. What no rung fits is dropped.
    """
    kept, dropped, own = 0, Counter[str](), params.train
    folders = sorted(path.parent for path in dataset.glob("*/task.json"))
    groups = domains(folders, own)
    for folder in folders:
        try:
            rungs, aside = ladder(folder, own)
            for rung in rungs[:1]:
                train(folder, out / folder.name / rung, own, rung=rung)
            kept += bool(rungs)
            dropped.update(
                [] if rungs else [f"{folder.name}: {'; '.join(dict.fromkeys(aside.values()))}"]
            )
        except Refused as error:
            dropped[str(error)] += 1
    for name, tasks in groups.items():
        source = out / name / domain.ROWS
        domain.gather(dataset, name, tasks, source, params.dataset, own.validation_rows)
        try:
            train(source, out / name / "causal", domain.budget(own, len(tasks)))
            kept += 1
        except Refused as error:
            dropped[f"{name}: {error}"] += 1
    result = Counts("train", len(folders) + len(groups), kept, dict(dropped))
    stage.finish(out, result)
    return result


def domains(folders: Sequence[Path], params: Train) -> dict[str, list[str]]:
    """Return the domains of the tasks that a causal student can learn, and their tasks' ids.

    `folders` are the tasks' datasets. There are none unless `scope` asks for them.
    """
    if params.scope == "task":
        return {}
    causal = msgspec.structs.replace(params, rungs=["causal"])
    able = [load_one(folder) for folder in folders if ladder(folder, causal)[0]]
    return domain.group(able, params.domains)


def main() -> Counts:
    """The DVC stage."""
    source, out, params = Path("data/dataset"), Path("data/train"), settings.load()
    return stage.hop("train", out, lambda folder: train_all(source, folder, params))


def part(job: launch.TrainingJob) -> None:
    """One process of a launched training: what it is refused goes to the one that launched it."""
    warnings.filterwarnings("ignore", category=FutureWarning)  # libraries to one another
    try:
        _train(job, lambda *told: launch.say(launch.TrainingStep(*told)))
    except Refused as error:
        launch.say(launch.TrainingRefusal(str(error)))
