"""What a task's student may save: tasks are trained in this order, as a night's time is limited."""

from __future__ import annotations

from flows.night import Night
from tasks import economics, stage
from tasks.dataset import rows
from tasks.task import Task

CHARACTERS = 4  # of a token, about


def saving(night: Night, task: Task) -> float:
    """Dollars that the task's calls cost at the teacher, times the share that may be taken over.

    Before a student is there, that share is the readiness of its data.
    """
    made = stage.manifest(night.out("dataset")) or {}
    learned = rows(night.out("dataset", task.id, "train.parquet"))
    answer = sum(len(row.answer) for row in learned) / max(1, len(learned)) / CHARACTERS
    whole = max(task.tokens / max(1, task.size), answer)
    price = economics.teacher_cost(economics.Usage(whole - answer, answer), night.params.economics)
    return task.size * price * float(made["tasks"][task.id]["readiness"]["score"]) / 100
