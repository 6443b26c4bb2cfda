"""A sweep: short trainings with other params; the best on the validation rows is trained in full.

With `train: {sweep: {learning_rate: [0.0005, 0.002], rank: [8, 16]}}` there are four.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path

import msgspec

from tasks.core.params import Train
from tasks.core.stage import Refused, write_atomic
from tasks.core.training import Trial, Values
from tasks.train.loop import Diverged, Progress
from tasks.train.prepare import TrainingSetup

STEPS, MINUTES = 0.2, 0.5  # shares of the full training: the steps of one trial, the time of all
MARKS = 2  # of one trial, beside the one before it

Make = Callable[[Train, Path | None], TrainingSetup]  # of params, and the adapter that is resumed


def choose(
    params: Train,
    make: Make,
    deadline: float,
    progress: Progress | None,
    checkpoint: Path | None,
) -> tuple[Train, list[Trial]]:
    """The params to train with, and the trials behind the choice: none without `params.sweep`.

    Trials take at most half of the time up to the deadline, in equal parts. Each that has ended is
    kept in the checkpoint and not run again. Raises Refused.
    """
    if not params.sweep:
        return params, []
    tried: list[Trial] = []
    names: list[str] = list(params.sweep)
    grid = [dict(zip(names, point, strict=True)) for point in product(*params.sweep.values())]
    each = MINUTES * (deadline - time.monotonic()) / max(1, len(grid))
    for values in grid:
        short = msgspec.structs.replace(_with(params, values), marks=MARKS)
        until = time.monotonic() + each
        tried.append(_tried(make(short, None), values, until, progress, checkpoint))
    if not tried or not best(tried).mark:
        return params, tried
    return _with(params, best(tried).params), tried


def start(
    params: Train,
    make: Make,
    warm: Path | None,
    deadline: float,
    progress: Progress | None,
    checkpoint: Path | None,
) -> tuple[Path | None, list[Trial]]:
    """The adapter to begin from, if any, and the trials behind the choice: none without `warm`.

    It wins when it is better on the validation rows, as it is, than a fresh start after a trial.
    Raises Refused.
    """
    if warm is None:
        return None, []
    params = msgspec.structs.replace(params, marks=MARKS)
    until = time.monotonic() + MINUTES * (deadline - time.monotonic())
    tried = [
        _tried(make(params, warm), {"warm": True}, 0.0, None, checkpoint),  # no time to train
        _tried(make(params, None), {"warm": False}, until, progress, checkpoint),
    ]
    return (warm if best(tried).params["warm"] else None), tried


def best(trials: Sequence[Trial]) -> Trial:
    """The best trial, the first one of equals."""
    return max(trials, key=lambda trial: trial.rank)


def _with(params: Train, values: Values) -> Train:
    """The params with some of them changed. Raises Refused when a value is of the wrong type."""
    try:
        return msgspec.convert({**msgspec.structs.asdict(params), **values, "sweep": {}}, Train)
    except msgspec.ValidationError as error:
        raise Refused(f"train.sweep: {error}") from None


def _tried(
    setup: TrainingSetup,
    values: Values,
    deadline: float,
    progress: Progress | None,
    checkpoint: Path | None,
) -> Trial:
    """Run a trial, or go on with it, or read what became of it."""
    place = checkpoint / f"trial-{setup.fitter.fingerprint[:16]}" if checkpoint else None
    ended = place / "trial.json" if place else None
    if ended and ended.exists():
        return Trial(values, msgspec.json.decode(ended.read_bytes(), type=Trial).mark)
    try:
        mark = setup.fitter.fit(deadline, progress, place, STEPS).best_mark
    except Diverged:
        mark = None
    trial = Trial(values, mark)
    if ended and setup.fitter.team.main:
        write_atomic(ended, msgspec.json.encode(trial))
    return trial


def summary(trials: Sequence[Trial]) -> str:
    """Return which trial was the best, in words; empty without trials."""
    if not trials:
        return ""
    return f"the best of {len(trials)} trials was {best(trials)}"
