"""Every hop as a Prefect task: names, retries, time limits. No logic; that is in flows.night."""

from __future__ import annotations

from typing import Any

from prefect import Task, task
from prefect.cache_policies import NO_CACHE

from flows import night
from tasks.stage import Refused

MINUTE = 60


def _worth_a_retry(_task: Any, _run: Any, state: Any) -> bool:
    """Bad input stays bad: only other failures are tried again."""
    return not isinstance(state.result(raise_on_failure=False), Refused)


def _step(function: Any, *, minutes: int, retries: int = 2) -> Task[Any, Any]:
    return task(
        name=function.__name__,
        retries=retries,
        retry_delay_seconds=[5, 30][:retries],
        retry_condition_fn=_worth_a_retry,
        timeout_seconds=minutes * MINUTE,
        cache_policy=NO_CACHE,
        persist_result=False,
    )(function)


ingest = _step(night.ingest, minutes=120)
validate = _step(night.validate, minutes=60)
deidentify = _step(night.deidentify, minutes=240)
cluster = _step(night.cluster, minutes=120)
dataset = _step(night.dataset, minutes=120)
train = _step(night.train, minutes=480)
evaluate = _step(night.evaluate, minutes=60)
calibrate = _step(night.calibrate, minutes=60)
judge = _step(night.judge, minutes=5)
register = _step(night.register, minutes=10)
promote = _step(night.promote, minutes=10)
