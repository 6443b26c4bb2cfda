"""The gate: may this student take its task over? Pure: figures in, a verdict and its reason out."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.calibrate import Certificate
from tasks.evaluate import Scorecard
from tasks.params import Judge


@dataclass(frozen=True, slots=True)
class Verdict:
    """The gate's decision and one sentence that says why."""

    passed: bool
    reason: str
