"""A preview of a log, in a few lines, for someone who has just pointed us at it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tasks.core.records import Call, Rejected
from tasks.ingest.shards import turn
from tasks.ingest.wire.shape import NOT_A_CALL

SHOWN = 5  # problems, models and tools that are named


@dataclass(slots=True)
class Summary:
    """The counts of a look at some sources. `table` puts them in words."""

    records: int = 0
    calls: int = 0
    repeats: int = 0
    with_usage: int = 0
    with_latency: int = 0
    first: float = 0.0
    last: float = 0.0
    dialects: Counter[str] = field(default_factory=Counter)
    models: Counter[str] = field(default_factory=Counter)
    tools: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    problems: list[Rejected] = field(default_factory=list)
    _ids: set[int] = field(default_factory=set)

    def add(self, dialect: str, call: Call) -> None:
        """Count one call."""
        self.records += 1
        self.dialects[dialect] += 1
        if (key := hash((call.id, turn(call)))) in self._ids:
            self.repeats += 1
            return
        self._ids.add(key)
        self.calls += 1
        self.models[call.model or "(not stated)"] += 1
        self.tools.update(t["function"]["name"] for t in call.tools if "function" in t)
        self.with_usage += call.prompt_tokens is not None
        self.with_latency += call.latency_s is not None
        if call.at:
            self.first = min(self.first or call.at, call.at)
            self.last = max(self.last, call.at)

    def reject(self, dialect: str, rejected: Rejected) -> None:
        """Count a record that is no call."""
        self.records += 1
        self.reasons[rejected.reason] += 1
        if dialect:
            self.dialects[dialect] += 1
        if rejected.reason != NOT_A_CALL and len(self.problems) < SHOWN:
            self.problems.append(rejected)

    def table(self) -> str:
        """The summary as aligned lines of text."""
        lines = {
            "records": f"{self.records:,}",
            "calls": f"{self.calls:,}" + (f" and {self.repeats:,} repeats" if self.repeats else ""),
            "dialect": _top(self.dialects),
            "time span": f"{_when(self.first)} to {_when(self.last)}" if self.last else "no times",
            "models": _top(self.models),
            "tools": _top(self.tools) or "none",
            "with usage": self._share(self.with_usage),
            "with latency": self._share(self.with_latency),
            "not taken": _top(self.reasons) or "none",
        }
        shown = [f"{name:<14}{value}" for name, value in lines.items()]
        return "\n".join(shown + [_problem(p) for p in self.problems])

    def _share(self, count: int) -> str:
        return f"{count / self.calls:.0%}" if self.calls else "-"


def _top(counter: Counter[str]) -> str:
    named = ", ".join(f"{name} {n:,}" for name, n in counter.most_common(SHOWN))
    more = len(counter) - SHOWN
    return f"{named} and {more:,} more" if more > 0 else named


def _when(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")


def _problem(one: Rejected) -> str:
    return f"{one.source}: {one.reason}" + (f": {one.detail[:120]}" if one.detail else "")
