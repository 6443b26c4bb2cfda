"""A training on record: what was trained on what, how it went, what it cost the machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tasks.core.params import Rung

Values = Mapping[str, bool | int | float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A measurement on the validation rows at one step: mean loss, share of answers exact.

    An answer is exact when every token or choice of it is the most probable one.
    """

    step: int
    loss: float
    exact: float


@dataclass(frozen=True, slots=True)
class Sample:
    """The machine at a time (seconds since 1970): percentages and megabytes by name."""

    at: float
    values: dict[str, float]


@dataclass(frozen=True, slots=True)
class Trial:
    """The params that were tried and the best mark that they reached; none when they diverged."""

    params: Values
    mark: Mark | None

    @property
    def rank(self) -> tuple[float, float]:
        """Return what makes one trial better than another, as in a training."""
        return (self.mark.exact, -self.mark.loss) if self.mark else (-1.0, 0.0)

    def __str__(self) -> str:
        named = " ".join(f"{name}={value:g}" for name, value in self.params.items())
        reached = (
            f"exact {self.mark.exact:.1%}, loss {self.mark.loss:g}" if self.mark else "diverged"
        )
        return f"{named}: {reached}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """The making of an adapter. `best` is the step whose weights were kept."""

    task: str
    kind: Rung = "causal"
    base: str
    base_digest: str
    adapter_digest: str
    seed: int
    learning_rate: float
    rows: int
    too_long: int
    tokens: int
    steps: int
    best: int
    seconds: float
    losses: list[tuple[int, float]]
    validation: list[Mark]
    note: str = ""
    trials: list[Trial] = field(default_factory=list)
    usage: list[Sample] = field(default_factory=list)
