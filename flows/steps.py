"""Every hop as a Prefect task: names, retries, time limits. No logic: see flows/night."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows import artifacts
from flows.night import (
    hops,
    ladder,
    pool_update,
    registration,
    retention,
    revocation,
    shadow_promotion,
)
from flows.night.champions import Champion
from flows.night.folders import Night
from registry.choice import Rung
from tasks.core.stage import Refused, limit_threads, room

MINUTE = 60
P = ParamSpec("P")
R = TypeVar("R")


def _worth_a_retry(_task: object, _run: Any, state: Any) -> bool:
    """Bad input stays bad: only other failures are tried again."""
    return not isinstance(state.result(raise_on_failure=False), Refused)


def _in_room(function: Callable[P, R]) -> Callable[P, R]:
    """A step that says where room is needed when the home's disk is full; it is not tried again."""

    @wraps(function)
    def step(*args: P.args, **more: P.kwargs) -> R:
        first = next(iter((*args, *more.values())))
        home = first.home if isinstance(first, Night) else Path(str(first)).resolve()
        limit_threads()
        with room(home):
            return function(*args, **more)

    return step


def _step(function: Callable[P, R], *, minutes: int, retries: int = 2) -> Callable[P, R]:
    step = task(
        name=function.__name__.lstrip("_"),
        retries=retries,
        retry_delay_seconds=[5.0, 30.0][:retries],
        retry_condition_fn=_worth_a_retry,
        timeout_seconds=minutes * MINUTE,
        cache_policy=NO_CACHE,
        persist_result=False,
    )(_in_room(function))
    return cast(Callable[P, R], step)


def _train(night: Night, task: str, rung: Rung, serving: Champion | None) -> Path:
    with artifacts.training(task, rung) as told:
        return ladder.train(night, task, rung, serving, told)


forget = _step(retention.forget, minutes=30)
ingest = _step(hops.ingest, minutes=120)
validate = _step(hops.validate, minutes=60)
deidentify = _step(hops.deidentify, minutes=240)
cluster = _step(hops.cluster, minutes=120)
dataset = _step(hops.dataset, minutes=120)
train = _step(_train, minutes=480)
evaluate = _step(ladder.evaluate, minutes=60)
calibrate = _step(ladder.calibrate, minutes=60)
judge = _step(ladder.judge, minutes=5)
register = _step(registration.register, minutes=10)
prove = _step(shadow_promotion.prove, minutes=5)
promote = _step(pool_update.promote, minutes=10)
watch = _step(revocation.watch, minutes=10)
