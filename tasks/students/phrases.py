"""Phrases: sentences that are put together of parts, each of which is one of a few.

"Customer ␀ reports a late delivery with order ␀; wants a refund." has two parts that differ on
their own. Where a task's sentences are so, each part is learned from all rows that have it, and not
each pair of parts from the few rows that have just that pair.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

from tasks.students.slots import SLOT

Said = tuple[str, tuple[str, ...]]  # a sentence with slots, and the names of the slots

KEPT = 0.5  # share of a sentence's words that others of its kind must have as well
SEEN = 0.5  # share of the pairs to be expected of parts that differ on their own
MOST = 5_000  # pairs of parts, and sentences that are compared
_TOKEN = re.compile(rf"{SLOT}|\w+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Phrase:
    """What sentences have in common, with SLOT for what differs, and the slots' names in order.

    `parts` are the values of those that are parts, the most frequent first.
    """

    text: str
    names: tuple[str, ...]
    parts: Mapping[str, tuple[str, ...]]
    pattern: re.Pattern[str]

    def read(self, sentence: str) -> dict[str, str] | None:
        """The parts of a sentence; None when it is put together otherwise."""
        match = self.pattern.fullmatch(sentence)
        found = dict(zip(self.parts, match.groups(), strict=True)) if match else {}
        return found if match and all(found[k] in v for k, v in self.parts.items()) else None


def phrases(said: Iterable[Said], path: str) -> dict[tuple[str, ...], Phrase]:
    """The phrase of the sentences with the same slots, by the names of these."""
    groups: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for sentence, names in said:
        groups[names][sentence] += 1
    found = {names: _phrase(counts, names, path) for names, counts in groups.items()}
    return {names: phrase for names, phrase in found.items() if phrase is not None}


def _phrase(counts: Counter[str], names: tuple[str, ...], path: str) -> Phrase | None:
    words = _common(counts)
    gaps = _gaps(words)
    rows = {s: m.groups() for s in counts if (m := gaps.fullmatch(s))}
    if not words or words.count(SLOT) != len(names) or len(rows) < 2:
        return None
    columns = [_values(rows, counts, place) for place in range(len(words) + 1)]
    made = _written(words, columns, names, path, next(iter(rows.values())))
    whole = Counter[tuple[str, ...]]()
    for sentence, count in counts.items():
        if (parts := made.read(sentence)) is not None:
            whole[tuple(parts.values())] += count
    return made if _apart(whole) else None


def _common(counts: Counter[str]) -> list[str]:
    """The words that the sentences have in common, in order; sentences of another kind left out."""
    known: list[str] = []
    for sentence, _ in counts.most_common(MOST):
        words = _TOKEN.findall(sentence)
        shared = _longest(known, words) if known else words
        known = shared if len(shared) >= KEPT * len(words) else known
    return known


def _longest(one: Sequence[str], other: Sequence[str]) -> list[str]:
    """The longest common subsequence."""
    rows: list[list[int]] = [[0] * (len(other) + 1) for _ in range(len(one) + 1)]
    for i in range(len(one) - 1, -1, -1):
        for j in range(len(other) - 1, -1, -1):
            same = one[i] == other[j]
            rows[i][j] = 1 + rows[i + 1][j + 1] if same else max(rows[i + 1][j], rows[i][j + 1])
    found, i, j = list[str](), 0, 0
    while i < len(one) and j < len(other):
        if one[i] == other[j]:
            found.append(one[i])
            i, j = i + 1, j + 1
        elif rows[i + 1][j] >= rows[i][j + 1]:
            i += 1
        else:
            j += 1
    return found


def _gaps(words: Sequence[str]) -> re.Pattern[str]:
    """A pattern of sentences with these words, and anything but slots between them."""
    gap = f"([^{SLOT}]*?)"
    return re.compile(gap + gap.join(map(_mark, words)) + gap, re.DOTALL)


def _mark(word: str) -> str:
    """The pattern of a whole word, a mark or a slot."""
    return rf"\b{word}\b" if re.match(r"\w", word) else re.escape(word)


def _values(rows: Mapping[str, Sequence[str]], counts: Counter[str], place: int) -> tuple[str, ...]:
    """What stands in a gap, the most frequent first; what stood there once is a slip."""
    seen = Counter[str]()
    for sentence, gaps in rows.items():
        seen[gaps[place]] += counts[sentence]
    return tuple(value for value, count in seen.most_common() if count > 1)


def _written(
    words: Sequence[str],
    columns: Sequence[tuple[str, ...]],
    names: tuple[str, ...],
    path: str,
    some: Sequence[str],
) -> Phrase:
    """The phrase of these words, whose gaps with more than one value are parts."""
    text, pattern, order, parts = "", "", list[str](), dict[str, tuple[str, ...]]()
    slots, before = iter(names), ""
    for place, values in enumerate(columns):
        if len(values) > 1:
            name = f"{path}~{before}"
            while name in names or name in parts:
                name += "+"
            parts[name] = values
            order.append(name)
            text, pattern = text + SLOT, pattern + f"([^{SLOT}]*?)"
        else:
            same = values[0] if values else some[place]
            text, pattern = text + same, pattern + re.escape(same)
        if place < len(words):
            word = words[place]
            text, pattern = text + word, pattern + _mark(word)
            if word == SLOT:
                order.append(next(slots))
            elif re.match(r"\w", word):
                before = word
    return Phrase(text, tuple(order), parts, re.compile(pattern, re.DOTALL))


def _apart(whole: Counter[tuple[str, ...]]) -> bool:
    """Return whether parts differ on their own.

    Nearly all pairs came that would come then, and many more than either part has values.
    """
    columns = list(zip(*whole, strict=True))
    if len(columns) < 2 or prod(len(set(column)) for column in columns) > MOST:
        return False
    total = whole.total()
    shares = [Counter[str]() for _ in columns]
    for parts, count in whole.items():
        for share, value in zip(shares, parts, strict=True):
            share[value] += count
    expected = sum(
        1 - (1 - prod(share[v] / total for share, v in zip(shares, values, strict=True))) ** total
        for values in product(*shares)
    )
    return len(whole) >= max(SEEN * expected, 2 * max(map(len, shares)))
