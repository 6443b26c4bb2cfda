"""Tonight's domains, and the folders of a task's students: its own, a refit, or its domain's.

`nights/<day>/domain/<domain>/` holds the rows that the domain's student learns, and in a folder for
each task the rows that it is asked; the student is in `nights/<day>/train/<domain>/causal/`.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from flows.night import leak_guard
from flows.night.champions import champion, enough
from flows.night.folders import Night
from registry.choice import Rung
from registry.version import TASK
from tasks.core import stage
from tasks.train import domain
from tasks.train.train import domains as domains_of


def domains(night: Night) -> dict[str, list[str]]:
    """The domains that get a student tonight, and their tasks: decided once, when first asked.

    Each of their tasks can be learned by a causal student. A domain whose tasks are all served
    well enough by a student of the domain trains nothing.
    """
    if night.params.train.scope == "task":
        return {}
    out = night.out("domain")
    if not out.exists():
        with stage.fresh(out) as folder:
            _decide(night, folder)
    return msgspec.json.decode((out / "domains.json").read_bytes(), type=dict[str, list[str]])


def _decide(night: Night, out: Path) -> None:
    params, data = night.params, night.out("dataset")
    groups = domains_of([data / task.id for task in leak_guard.clean(night)], params.train)
    groups = {n: tasks for n, tasks in groups.items() if not all(_settled(night, t) for t in tasks)}
    for name, tasks in groups.items():
        domain.gather(data, name, tasks, out / name, params.dataset, params.train.validation_rows)
    stage.write_atomic(out / "domains.json", msgspec.json.encode(groups))


def _settled(night: Night, task: str) -> bool:
    serving = champion(night, task)
    return serving is not None and serving.version.scope != TASK and enough(night, serving)


def domain_of(night: Night, task: str) -> str:
    """The domain of tonight that a task is in; empty when it is in none."""
    return next((name for name, tasks in domains(night).items() if task in tasks), "")


def dataset(night: Night, task: str, rung: Rung) -> Path:
    """The rows that a task's student is asked, with its task.json."""
    if rung == "domain":
        return night.out("domain", domain_of(night, task), task)
    return night.out("refit" if rung == "refit" else "dataset", task)


def trained(night: Night, task: str, rung: Rung) -> Path:
    """Return where a task's student is; a domain's is in one place for all its tasks."""
    if rung == "domain":
        return night.out("train", domain_of(night, task), "causal")
    return night.out("train", task, rung)
