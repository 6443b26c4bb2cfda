"""A night's calls as columns of features, and what later nights need to know of them."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import msgspec

from tasks.checks import View
from tasks.dialects.call import prompt_key

KNOWN = 500  # models, tools and system prompts that a night hands on, most frequent first
MANY = 100_000  # different names that are told apart
NAN = float("nan")


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """What later nights compare themselves with."""

    calls: int
    newest: float
    prompt_tokens: float | None
    completion_tokens: float | None
    models: list[str]
    tools: list[str]
    systems: list[str]


@dataclass(slots=True)
class Batch:
    """The features of every call read, good or bad, a column each."""

    at: array[float] = field(default_factory=lambda: array("d"))
    prompt_tokens: array[float] = field(default_factory=lambda: array("d"))
    completion_tokens: array[float] = field(default_factory=lambda: array("d"))
    rejected: array[int] = field(default_factory=lambda: array("b"))
    error: array[int] = field(default_factory=lambda: array("b"))
    repeat: array[int] = field(default_factory=lambda: array("b"))
    model: list[str] = field(default_factory=list)
    tools: list[str] = field(default_factory=list)
    system: list[str] = field(default_factory=list)
    ids: set[int] = field(default_factory=set)
    asked: set[int] = field(default_factory=set)
    names: dict[str, str] = field(default_factory=dict)

    def is_new(self, id: str) -> bool:
        """Whether no call of this id was seen; it is seen now."""
        known = len(self.ids)
        self.ids.add(hash(id))
        return len(self.ids) > known

    def add(self, seen: View, rejected: bool) -> None:
        """Note one call."""
        row = seen.row
        asked = hash(row["request"])
        self.at.append(row["at"] or NAN)
        self.prompt_tokens.append(_number(row["prompt_tokens"]))
        self.completion_tokens.append(_number(row["completion_tokens"]))
        self.rejected.append(rejected)
        self.error.append(row["error"] is not None)
        self.repeat.append(asked in self.asked)
        self.model.append(self._one(row["model"]))
        self.tools.append(self._one(",".join(sorted(seen.tools))))
        self.system.append(self._one(prompt_key(seen.system) if seen.system else "none"))
        self.asked.add(asked)

    def _one(self, name: str) -> str:
        """The same text object for equal names: a million calls share a few, or count as many."""
        if name not in self.names and len(self.names) >= MANY:
            return "(many)"
        return self.names.setdefault(name, name)

    def columns(self) -> dict[str, Any]:
        """The columns that expectations are about."""
        skipped = ("ids", "asked", "names")
        return {n: getattr(self, n) for n in self.__slots__ if n not in skipped}


def _number(value: int | None) -> float:
    return NAN if value is None else float(value)


def profile(batch: Batch) -> Profile:
    """The batch in a few numbers and names."""
    return Profile(
        calls=len(batch.at),
        newest=max((a for a in batch.at if a == a), default=0.0),
        prompt_tokens=_median(batch.prompt_tokens),
        completion_tokens=_median(batch.completion_tokens),
        models=_frequent(batch.model),
        tools=_frequent(batch.tools),
        systems=_frequent(batch.system),
    )


def _median(column: array[float]) -> float | None:
    return median(known) if (known := [v for v in column if v == v]) else None


def _frequent(column: Sequence[str]) -> list[str]:
    return sorted(name for name, _ in Counter(column).most_common(KNOWN))
