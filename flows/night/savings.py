"""Savings that a task's student may bring: a night's time is limited.

Tasks are trained in the order of the calls that a minute of training may take over.
"""

from __future__ import annotations

from flows.night import leak_guard
from flows.night.champions import champion
from flows.night.folders import Night
from tasks.core import economics, stage
from tasks.core.rows import rows
from tasks.core.task import Task
from tasks.train.train import load_training

CHARACTERS = 4  # of a token, about
BEGIN, SPEED = 10.0, 2_000.0  # seconds to begin a training, and tokens a second, about


def cost(night: Night, task: Task) -> float:
    """Dollars that the task's calls of a night, of those in the window, cost at the teacher."""
    learned = rows(night.out("dataset", task.id, "train.parquet"))
    answer = sum(len(row.answer) for row in learned) / max(1, len(learned)) / CHARACTERS
    whole = max(task.tokens / max(1, task.size), answer)
    price = economics.teacher_cost(economics.Usage(whole - answer, answer), night.params.economics)
    return task.size * price / len(night.clean())


def calls(night: Night, task: Task, served: float) -> float:
    """The task's calls of a night, of those in the window, that may be taken over.

    Before a student is there, nobody knows their share: the readiness of its data stands for it,
    less what is `served` already.
    """
    manifest = stage.manifest(night.out("dataset")) or {}
    ready = float(manifest["tasks"][task.id]["readiness"]["score"]) / 100
    return task.size / len(night.clean()) * max(0.0, ready - served)


def minutes(night: Night, task: Task) -> float:
    """Return how long its students will train: as long as they did last, else by what they read."""
    done = sorted(night.home.glob(f"nights/*/train/{task.id}/*/training.json"))
    last = [file for file in done if file.parents[3] == done[-1].parents[3]]
    if last:
        return sum(load_training(file.parent).seconds for file in last) / 60
    learned, params = rows(night.out("dataset", task.id, "train.parquet")), night.params.train
    read = sum(len(row.prompt) + len(row.answer) for row in learned) / CHARACTERS
    return (BEGIN + min(params.tokens, read * params.epochs) / SPEED) / 60


def pays(night: Night, task: Task, served: float, seconds: float) -> bool:
    """Return whether a training of so many seconds costs less than it may save within the window.

    What is not `served` yet may be saved, in as many nights as a window has.
    """
    most = cost(night, task) * (1 - served) * night.params.cluster.window_nights
    return seconds / 3600 * night.params.economics.compute_hour < most


def trainable(night: Night) -> list[str]:
    """The ids of the tasks that have a clean dataset, the most calls a minute first."""

    def gain(task: Task) -> float:
        try:
            serving = champion(night, task.id)
        except stage.Refused:  # a bundle that cannot be used: the task's own run says so
            serving = None
        certificate = serving.certificate if serving else None
        return calls(night, task, certificate.coverage if certificate else 0.0) / minutes(
            night, task
        )

    return [task.id for task in sorted(leak_guard.clean(night), key=gain, reverse=True)]
