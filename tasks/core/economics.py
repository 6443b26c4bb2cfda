"""Economics: what calls cost, with and without students. Pure arithmetic on prices from params."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.core.params import Economics


@dataclass(frozen=True, slots=True)
class Usage:
    """Mean tokens of one call."""

    prompt: float
    completion: float


def teacher_cost(usage: Usage, prices: Economics) -> float:
    """Dollars for one call to the teacher."""
    return _cost(usage, prices.teacher_input, prices.teacher_output)


def student_cost(usage: Usage, prices: Economics) -> float:
    """Dollars for one answer of a student."""
    return _cost(usage, prices.student_input, prices.student_output)


def _cost(usage: Usage, input_price: float, output_price: float) -> float:
    return (usage.prompt * input_price + usage.completion * output_price) / 1e6


def cascade_cost(teacher: float, student: float, coverage: float, audit: float) -> float:
    """Dollars for one call of a task whose student is asked first.

    The student is paid for every call, the teacher for those escalated and for the audited share
    of those served.
    """
    return student + teacher * (1 - coverage + coverage * audit)


def saving(teacher: float, student: float, coverage: float, audit: float) -> float:
    """Dollars saved by one call; negative when asking the student first does not pay."""
    return teacher - cascade_cost(teacher, student, coverage, audit)


def break_even(training_seconds: float, saved: float, prices: Economics) -> float | None:
    """After how many calls a training has paid for itself; None when it never does."""
    if saved <= 0:
        return None
    return training_seconds / 3600 * prices.compute_hour / saved
