"""Readiness of a task's data for training: an index of 0 to 100, part by part.

The index is the weighted geometric mean of its parts, so that one bad part cannot hide behind good
ones; the lowest part says what to do.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tasks.core.contract import Contract, normal
from tasks.core.rows import Row

WEIGHTS = {
    "volume": 3.0,
    "consistency": 3.0,
    "diversity": 1.0,
    "format": 2.0,
    "duplicates": 1.0,
    "privacy": 1.0,
    "drift": 1.0,
}
ADVICE = {
    "volume": "wait for more calls, or widen the window of nights",
    "consistency": "similar prompts get different answers: make the prompt say which is right",
    "diversity": "the prompts are much alike: send more varied traffic before trusting the figures",
    "format": "answers often leave the contract: declare a response format",
    "duplicates": "most calls repeat others: a cache would serve them, the student learns little",
    "privacy": "personal data is left, or ordinary words were changed: see `flywheel pii`",
    "drift": "the answers of the newest calls differ from the oldest: shorten the window of nights",
}
ENOUGH = 600  # training rows from which volume is full
_RESIDUE = re.compile(
    r"\[(?:REDACTED|[A-Z_]{4,})\]|<(?:PERSON|EMAIL_ADDRESS|PHONE_NUMBER|LOCATION)>"
)


@dataclass(frozen=True, slots=True)
class Readiness:
    """The index, its parts (0 to 1) and what to do about the lowest."""

    score: float
    parts: Mapping[str, float]
    advice: str


def readiness(
    train: Sequence[Row],
    all_rows: Sequence[Row],
    dropped: Mapping[str, int],
    contract: Contract,
    damage: float = 0.0,
) -> Readiness:
    """The readiness of a task from its rows and what was dropped on the way.

    `damage` is the share of its words that de-identification changed though they are nobody's.
    """
    seen = max(1, len(all_rows) + sum(dropped.values()))
    repeated = dropped.get("duplicate", 0) + dropped.get("near-duplicate", 0)
    doubtful = dropped.get("conflicting answer", 0) + dropped.get("doubtful answer", 0)
    broken = sum(dropped.get(r, 0) for r in ("off contract", "off template", "old format"))
    residue = sum(bool(_RESIDUE.search(row.prompt)) for row in all_rows)
    parts = {
        "volume": min(1.0, math.log1p(len(train)) / math.log1p(ENOUGH)),
        "consistency": max(0.0, 1 - 3 * doubtful / max(1, len(train) + doubtful)),
        "diversity": _diversity(train),
        "format": max(0.0, 1 - 2 * broken / seen),
        "duplicates": 1 - 0.8 * repeated / max(1, len(train) + repeated),
        "privacy": 1 - min(1.0, 5 * residue / max(1, len(all_rows)) + 10 * damage),
        "drift": 1 - _drift(all_rows, contract),
    }
    total = sum(WEIGHTS.values())
    logs = sum(w * math.log(max(parts[name], 0.01)) for name, w in WEIGHTS.items())
    lowest = min(parts, key=lambda name: (parts[name], name))
    rounded = {name: round(value, 3) for name, value in parts.items()}
    advice = ADVICE[lowest] if parts[lowest] < 0.9 else ""
    return Readiness(round(100 * math.exp(logs / total), 1), rounded, advice)


def _diversity(train: Sequence[Row]) -> float:
    """The prompts' different words for their length (Heaps' law with exponent ½)."""
    words = [word for row in train[:2_000] for word in row.prompt.lower().split()]
    return min(1.0, len(set(words)) / (2 * math.sqrt(len(words)))) if words else 0.0


def _drift(rows: Sequence[Row], contract: Contract) -> float:
    """Total variation between the answers of the oldest and of the newest third, less chance."""
    ordered = sorted(rows, key=lambda row: (row.at, row.id))
    third = len(ordered) // 3
    if third < 30:
        return 0.0
    kinds = [_kind(row.answer, contract) for row in ordered]
    old, new = Counter(kinds[:third]), Counter(kinds[-third:])
    # Odd against even rows of the same time show what chance alone does.
    odd, even = Counter(kinds[::2]), Counter(kinds[1::2])
    moved = _variation(old, new)
    return max(0.0, moved - _variation(odd, even) * math.sqrt(1.5))


def _kind(answer: str, contract: Contract) -> str:
    if contract.kind == "labels":
        return normal(answer, contract)
    return str(min(8, len(answer).bit_length())) if contract.kind == "text" else answer[:24]


def _variation(a: Counter[str], b: Counter[str]) -> float:
    keys = a.keys() | b.keys()
    total_a, total_b = max(1, a.total()), max(1, b.total())
    return 0.5 * sum(abs(a[key] / total_a - b[key] / total_b) for key in keys)
