"""Drift: today's calls beside what the students learned from. A warning, never a revocation.

Distances are between 0 and 1: Kolmogorov and Smirnov's between two samples of numbers, with
scipy's test; the total variation between two counts, with scipy's test of a contingency table.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import msgspec

FILE = "drift.json"
FEW = 30  # numbers, or calls, below which nothing is said
FAR, UNLIKELY = 0.15, 0.001  # the distance and the p-value of what is worth a warning
REASONS, CONFIDENCE = "reasons for escalation", "confidence"
LENGTH, WORDS = "length of the payload", "unknown words in the payload"
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """How far a task's day is from what it is compared with: `n` calls today, `before` there."""

    task: str
    what: str
    distance: float
    p: float
    n: int
    before: int

    def odd(self, tests: int) -> bool:
        """Return whether it is worth a warning, where so many were looked at (Bonferroni)."""
        return self.distance >= FAR and self.p * tests < UNLIKELY

    def __str__(self) -> str:
        """Say it."""
        return (
            f"{self.task}: the {self.what} has changed (distance {self.distance:.2f}, "
            f"p = {self.p:.1g}, {self.n:,} calls beside {self.before:,})"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDay:
    """What is kept of a task's day: who served, and how often calls were answered for a reason."""

    version: int
    reasons: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftFile:
    """A night's `drift.json`."""

    tasks: Mapping[str, TaskDay]
    found: Sequence[Drift] = ()

    @property
    def odd(self) -> list[Drift]:
        """What is worth a warning."""
        return [one for one in self.found if one.odd(len(self.found))]


def read(night: Path) -> DriftFile | None:
    """Read what a night found; None of a night before this was measured."""
    file = night / FILE
    return msgspec.json.decode(file.read_bytes(), type=DriftFile) if file.exists() else None


def numbers(task: str, what: str, now: Sequence[float], before: Sequence[float]) -> list[Drift]:
    """Compare two samples; nothing where one is too small."""
    from scipy.stats import ks_2samp

    if min(len(now), len(before)) < FEW:
        return []
    found = ks_2samp(now, before)
    distance, p = float(found.statistic), float(found.pvalue)
    return [Drift(task=task, what=what, distance=distance, p=p, n=len(now), before=len(before))]


def counts(task: str, what: str, now: Mapping[str, int], before: Mapping[str, int]) -> list[Drift]:
    """Compare two counts; nothing where one is too small, or there is one value only."""
    from scipy.stats import chi2_contingency

    names = sorted(name for name in {*now, *before} if now.get(name, 0) + before.get(name, 0))
    both = [[of.get(name, 0) for name in names] for of in (now, before)]
    n, m = map(sum, both)
    if min(n, m) < FEW or len(names) < 2:
        return []
    p = float(chi2_contingency(both).pvalue)
    distance = sum(abs(a / n - b / m) for a, b in zip(*both, strict=True)) / 2
    return [Drift(task=task, what=what, distance=distance, p=p, n=n, before=m)]


def texts(task: str, now: Sequence[str], learned: Sequence[str]) -> list[Drift]:
    """Compare payloads with those learned from: their lengths, and the share of unknown words.

    Known are the words of every second one that was learned from; the others are compared with.
    """
    known = {word for text in learned[::2] for word in _WORD.findall(text.lower())}
    lengths = [[float(len(text)) for text in of] for of in (now, learned)]
    unknown = [[_unknown(text, known) for text in of] for of in (now, learned[1::2])]
    return [*numbers(task, LENGTH, *lengths), *numbers(task, WORDS, *unknown)]


def _unknown(text: str, known: set[str]) -> float:
    words = _WORD.findall(text.lower())
    return sum(word not in known for word in words) / len(words) if words else 0.0


def section(file: DriftFile | None) -> str:
    """The report's part about it; nothing where nothing is odd."""
    rows = "".join(f"<tr><td>{escape(str(one))}</td></tr>" for one in file.odd) if file else ""
    note = '<p class="soft">Warnings: nobody was taken out of service for these.</p>'
    return f"<h2>Drift</h2>{note}<table>{rows}</table>" if rows else ""
