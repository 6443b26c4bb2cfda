"""Clean a training set: conflicting answers, doubtful answers, duplicates.

Each step gives back the rows that stay and, for the others, the reason. Calibration and test sets
are never curated: they have to look like the traffic.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from tasks.core.contract import Contract, normal, structure
from tasks.core.rows import Candidate
from tasks.dataset.label_errors import doubtful

CLEAR = 2.0  # an answer wins over the others to the same prompt with this many times their support

Dropped = list[tuple[Candidate, str]]


@dataclass(frozen=True, slots=True)
class Curated:
    """The rows that stay and those that do not, with the reason."""

    kept: list[Candidate]
    dropped: Dropped


def curate(candidates: Sequence[Candidate], contract: Contract, twins: Sequence[int]) -> Curated:
    """Clean training rows; `twins` gives each row's near-duplicate group."""
    kept = list(zip(candidates, twins, strict=True))
    dropped: Dropped = []
    steps: tuple[Callable[[list[Candidate]], dict[int, str]], ...] = (
        lambda some: conflicts(some, contract),
        lambda some: doubtful(some, contract),
    )
    for step in steps:
        reasons = step([candidate for candidate, _ in kept])
        dropped += [(kept[place][0], reason) for place, reason in sorted(reasons.items())]
        kept = [pair for place, pair in enumerate(kept) if place not in reasons]
    single, repeated = deduplicate(kept, contract)
    return Curated(single, dropped + repeated)


def conflicts(candidates: Sequence[Candidate], contract: Contract) -> dict[int, str]:
    """Different answers to one prompt: the best supported one stays, or none does.

    Support is how much traffic gave the answer, and feedback. Prose may be said in several ways.
    """
    if contract.kind == "text":
        return {}
    same: defaultdict[str, list[int]] = defaultdict(list)
    for place, candidate in enumerate(candidates):
        same[candidate.row.prompt].append(place)
    reasons: dict[int, str] = {}
    for places in same.values():
        support: defaultdict[str, float] = defaultdict(float)
        forms = {place: normal(candidates[place].row.answer, contract) for place in places}
        for place, form in forms.items():
            support[form] += candidates[place].row.weight * (
                1 + 4 * (candidates[place].row.feedback or 0)
            )
        if len(support) < 2 or all(map(_spoken, forms.values())):
            continue
        (best, most), (_, second) = sorted(support.items(), key=lambda one: -one[1])[:2]
        for place, form in forms.items():
            if most < CLEAR * second or form != best:
                reasons[place] = "conflicting answer"
    return reasons


def _spoken(answer: str) -> bool:
    value = structure(answer)
    return isinstance(value, dict) and set(value) == {"content"}


def deduplicate(
    weighted: Sequence[tuple[Candidate, int]], contract: Contract
) -> tuple[list[Candidate], Dropped]:
    """One row for each answer of a group of near-duplicates; its weight is the sum of theirs."""
    first: dict[tuple[int, str], int] = {}
    kept: list[Candidate] = []
    dropped: Dropped = []
    for candidate, twin in weighted:
        key = (twin, normal(candidate.row.answer, contract))
        if key not in first:
            first[key] = len(kept)
            kept.append(candidate)
            continue
        place = first[key]
        old = kept[place].row
        exact = old.prompt == candidate.row.prompt
        dropped.append((candidate, "duplicate" if exact else "near-duplicate"))
        kept[place] = replace(
            kept[place], row=replace(old, weight=old.weight + candidate.row.weight)
        )
    return kept, dropped
