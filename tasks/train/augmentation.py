"""Augmentation: rows again with other values, so that a student that writes learns to copy.

A value that a prompt says once and its answer holds once is exchanged, in both, for what stood in
the same place of another row's answer whose other leaves are the same, but for what is said in
the prompts: the same function, the same intent, the same country that follows from the city.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from tasks.core.rows import Row
from tasks.students.flatten import Flat, Lists, flatten
from tasks.students.slots import FEW, Path, places

SHARE = 0.7  # of a row's values, that are exchanged


def swapped(rows: Sequence[Row], copies: int, seed: int) -> list[Row]:
    """So many copies of each row with other values; rows without any to exchange have none."""
    flats = [flatten(row.answer, Lists()) or {} for row in rows] if copies else []
    seen: dict[Path, set[str]] = defaultdict(set)
    for flat in flats:
        for path, value in flat.items():
            seen[path].add(json.dumps(value))
    free = {path for path, values in seen.items() if len(values) > FEW and _own(path)}
    pairs = [(row, _said(row, flat, free)) for row, flat in zip(rows, flats, strict=False)]
    bank: dict[str, list[str]] = defaultdict(list)
    for _, exchangeable in pairs:
        for kind, value in exchangeable.items():
            bank[kind].append(value)
    rng = random.Random(seed)
    turns = pairs * copies
    return [copy for row, exchangeable in turns if (copy := _swapped(row, exchangeable, bank, rng))]


def _own(path: Path) -> bool:
    """Return whether a path always means the same.

    No function's name, no key of objects in a list.
    """
    if path[:1] == ("tool_calls",):
        return path[2:] != ("name",)
    return not any(isinstance(a, int) and isinstance(b, str) for a, b in pairwise(path))


def _said(row: Row, flat: Flat, free: set[Path]) -> dict[str, str]:
    """The values that may be exchanged, by what they are exchanged with."""
    values = {path: value for path, value in flat.items() if path in free and _once(row, value)}
    rest = [[path, value] for path, value in flat.items() if path not in values]
    tag = row.prompt[: row.prompt.find("] ") + 1] if row.prompt.startswith("[") else ""
    return {json.dumps([tag, path, rest]): value for path, value in values.items()}


def _once(row: Row, value: object) -> bool:
    """Return whether a value is text that the prompt and the answer both have once."""
    once = isinstance(value, str) and row.answer.count(_quoted(value)) == 1
    return once and len(places(row.prompt, value, "text")) == 1


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def _swapped(
    row: Row, values: Mapping[str, str], bank: Mapping[str, Sequence[str]], rng: random.Random
) -> Row | None:
    """A row with some of its values exchanged; None when none could be."""
    prompt, answer, now = row.prompt, row.answer, dict(values)
    for kind, value in values.items():
        if rng.random() >= SHARE:
            continue
        other = rng.choice(bank[kind])
        [(begin, end)] = places(prompt, value, "text")
        changed = prompt[:begin] + other + prompt[end:]
        kept = {**now, kind: other}
        if all(len(places(changed, one, "text")) == 1 for one in kept.values()):
            prompt, now = changed, kept
            answer = answer.replace(_quoted(value), _quoted(other))
    return replace(row, prompt=prompt, answer=answer) if now != values else None
