"""The outcome of a night for one task."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outcome:
    """One task's outcome of a night, by its best student; shares are 0..1.

    `champion` is the version that answers the task from now on; without one the teacher does.
    """

    task: str
    version: int | None
    passed: bool
    reason: str
    agreement: float | None = None
    coverage: float = 0.0
    rung: str = ""
    promoted: bool = False
    champion: int | None = None
