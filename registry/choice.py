"""Choice among a task's students: its own, or the one that it shares with its domain. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from registry.gate import NOISE, Verdict
from tasks.core import params
from tasks.core.certificate import Certificate
from tasks.core.scorecard import Scorecard
from tasks.evaluate.answers import Answers
from tasks.evaluate.significance import mcnemar

Rung = params.Rung | Literal["domain", "refit"]
MARGIN = 0.02  # of the calls, that a domain's student may be certified for less than a task's own


@dataclass(frozen=True, slots=True)
class JudgedStudent:
    """A student of a task, measured and judged. `rung` is its kind, `domain`, or `refit`."""

    rung: Rung
    scorecard: Scorecard
    certificate: Certificate | str
    verdict: Verdict

    @property
    def coverage(self) -> float:
        """The share of the calls that it is certified for."""
        return 0.0 if isinstance(self.certificate, str) else self.certificate.coverage

    @property
    def rank(self) -> tuple[bool, float, float]:
        """Return what makes one student better than another."""
        return self.verdict.passed, self.coverage, self.scorecard.agreement


@dataclass(frozen=True, slots=True)
class Paired:
    """Test calls on which only the domain's student is right, and only the task's own."""

    better: int
    worse: int

    @property
    def p(self) -> float:
        """Return how likely such a difference is by chance: McNemar's test."""
        return mcnemar(self.better, self.worse)


def pair(domain: Answers, own: Answers) -> Paired:
    """Two students' answers to the same test calls."""
    pairs = [(a.agrees, b.agrees) for a, b in zip(domain.rows, own.rows, strict=True)]
    return Paired(pairs.count((True, False)), pairs.count((False, True)))


def as_good(domain: JudgedStudent, own: JudgedStudent, paired: Paired) -> bool:
    """Return whether the evidence lets one adapter do the work of several."""
    less = own.coverage - domain.coverage
    return round(less, 4) <= MARGIN and not (paired.worse > paired.better and paired.p < NOISE)


def choose(domain: JudgedStudent, own: JudgedStudent, paired: Paired) -> JudgedStudent:
    """The domain's student where it passed and is as good, or is alone in passing; else its own.

    The verdict's reason tells the figures of both.
    """
    if domain.verdict.passed and own.verdict.passed:
        kept = domain if as_good(domain, own, paired) else own
    else:
        kept = max(own, domain, key=lambda one: one.rank)
    comparison = f"{_said('The domain', domain)}, {_said(f'its own student ({own.rung})', own)}"
    only = f"of the {own.scorecard.n} test calls {paired.better} are right only with the domain's"
    compared = f"{comparison}; {only}, {paired.worse} only with its own (p = {paired.p:.2g})."
    reason = f"{kept.verdict.reason} {compared}"
    return replace(kept, verdict=replace(kept.verdict, reason=reason))


def best(judged: Sequence[JudgedStudent]) -> JudgedStudent | None:
    """The best of some students; None of none."""
    return max(judged, key=lambda one: one.rank, default=None)


def _said(name: str, one: JudgedStudent) -> str:
    passed = "" if one.verdict.passed else ", refused"
    return f"{name} agrees on {one.scorecard.agreement:.1%}, certified {one.coverage:.1%}{passed}"
