"""A night's calls as columns of features, and what later nights need to know of them."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from statistics import median
from typing import Any

import msgspec

from tasks.core.records import TEACHER, digest
from tasks.ingest.wire.build import prompt_key
from tasks.validate.checks import StoredCall

KNOWN = 500  # models, tools and system prompts that a night hands on, most frequent first
MANY = 100_000  # different names that are told apart
STUDENT = "a student"  # the model of all answers that are not the teacher's: each has its own name
NAN = float("nan")
_named = lru_cache(maxsize=1024)(digest)  # a model, or a call's tools: a night has few


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """A night's figures that later nights compare themselves with."""

    calls: int
    newest: float
    prompt_tokens: float | None
    completion_tokens: float | None
    models: list[str]
    tools: list[str]
    systems: list[str]


@dataclass(slots=True)
class Batch:
    """The features of every call read, good or bad, a column each; names as numbers.

    What callers named is kept as a digest: manifest and Data Docs outlive the calls, unencrypted.
    """

    at: array[float] = field(default_factory=lambda: array("d"))
    prompt_tokens: array[float] = field(default_factory=lambda: array("d"))
    completion_tokens: array[float] = field(default_factory=lambda: array("d"))
    rejected: array[int] = field(default_factory=lambda: array("b"))
    error: array[int] = field(default_factory=lambda: array("b"))
    asked: array[int] = field(default_factory=lambda: array("q"))
    model: array[int] = field(default_factory=lambda: array("i"))
    tools: array[int] = field(default_factory=lambda: array("i"))
    system: array[int] = field(default_factory=lambda: array("i"))
    names: dict[str | None, int] = field(default_factory=lambda: {None: -1})

    def add(self, seen: StoredCall, rejected: bool) -> None:
        """Note one call."""
        row = seen.row
        self.at.append(row["at"] or NAN)
        self.prompt_tokens.append(_number(row["prompt_tokens"]))
        self.completion_tokens.append(_number(row["completion_tokens"]))
        self.rejected.append(rejected)
        self.error.append(row["error"] is not None)
        self.asked.append(hash(row["request"]))
        model = row["model"] if row["answered_by"] == TEACHER else STUDENT
        self.model.append(self._number_of(model if model in (None, STUDENT) else _named(model)))
        tools = seen.tools
        self.tools.append(self._number_of(_named(*sorted(tools)) if tools else "none"))
        instruction = max(seen.system.split("\n"), key=len)  # shorter lines are headers, or vary
        self.system.append(self._number_of(prompt_key(instruction) if instruction else "none"))

    def _number_of(self, name: str | None) -> int:
        """A name's number: a million calls share a few, or count as many."""
        if name not in self.names and len(self.names) >= MANY:
            name = "(many)"
        return self.names.setdefault(name, len(self.names) - 1)

    @property
    def labels(self) -> list[str]:
        """The names, by number."""
        return [name for name in self.names if name is not None]

    def repeats(self) -> Any:
        """For each call, whether the same was asked before: an array of booleans."""
        import numpy as np

        repeated = np.ones(len(self.asked), bool)
        repeated[np.unique(np.asarray(self.asked), return_index=True)[1]] = False
        return repeated


def _number(value: int | None) -> float:
    return NAN if value is None else float(value)


def profile(batch: Batch) -> Profile:
    """The batch in a few numbers and names."""
    return Profile(
        calls=len(batch.at),
        newest=max((a for a in batch.at if a == a), default=0.0),
        prompt_tokens=_median(batch.prompt_tokens),
        completion_tokens=_median(batch.completion_tokens),
        models=_frequent(batch.model, batch.labels),
        tools=_frequent(batch.tools, batch.labels),
        systems=_frequent(batch.system, batch.labels),
    )


def _median(column: array[float]) -> float | None:
    return median(numbers) if (numbers := [v for v in column if v == v]) else None


def _frequent(column: Sequence[int], labels: Sequence[str]) -> list[str]:
    return sorted(labels[n] for n, _ in Counter(column).most_common(KNOWN) if n >= 0)
