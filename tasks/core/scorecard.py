"""The scorecard: how good a student is on its frozen test set, line by line."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorecardLine:
    """One candidate in the table: what it is and how well it does on the test rows.

    `intervals` are the 95 % ones of the metrics.
    """

    name: str
    agreement: float
    low: float
    high: float
    valid: float
    metrics: dict[str, float] = field(default_factory=dict)
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    n: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The lead of one student's metric over another's on the same rows, with 95 %."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Scorecard:
    """A student's measured quality. `table` holds the student first, then all it is compared to.

    `slices` are the student on some of the rows: where averages hide what goes wrong.
    `better` and `worse` count the rows on which only the student, or only the champion, agrees
    with the teacher; `p` is McNemar's, `ahead` how much higher than the champion's its metrics are.
    Costs are dollars per 1,000 calls answered.
    """

    task: str
    adapter_digest: str
    test_digest: str
    n: int
    agreement: float
    low: float
    high: float
    valid: float
    metrics: dict[str, float]
    table: list[ScorecardLine]
    latency_ms: float
    prompt_tokens: float
    completion_tokens: float
    student_cost: float
    teacher_cost: float
    slices: list[ScorecardLine] = field(default_factory=list)
    better: int = 0
    worse: int = 0
    p: float = 1.0
    ahead: dict[str, Difference] = field(default_factory=dict)

    @property
    def champion(self) -> ScorecardLine | None:
        """The champion's line, when one was measured."""
        return next((line for line in self.table if line.name == "champion"), None)
