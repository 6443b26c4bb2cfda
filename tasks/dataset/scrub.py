"""Rows that hold what de-identification replaced elsewhere: cleaned, or set aside.

What a detector sees in one call it may miss in another. A row with such a value gets a surrogate
there, the same everywhere in its conversation; where that breaks the answer the row is set aside. A
word that many conversations use is no original, whatever it was taken for once; where it was
replaced in the row's own conversation it is personal all the same.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from tasks.core.contract import Contract, violation
from tasks.core.rows import Candidate, Row
from tasks.deidentify.leak_check import Originals, ordinary_word
from tasks.deidentify.recall_probe import interval
from tasks.deidentify.surrogates import Surrogates

REASON = "holds an original"
USED, DICTIONARY = 20, 5  # conversations that make a word an ordinary one of this log
SELDOM = 0.1  # replaced in more of its conversations, it is personal
BEFORE = 8  # different words that stand before an ordinary one: it is no field of a form
FAILED = 0.02  # values missed for each row, from which de-identification failed for a task
_LAST = re.compile(r"\w+(?=\W*$)")

Spans = list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Scrubbed:
    """The rows without originals, those that could not be cleaned, and how many values stood there.

    Values are counted once, however many rows they stood in.
    """

    found: list[Candidate]
    aside: list[Candidate]
    cleaned: int
    values: int

    @property
    def failed(self) -> str | None:
        """Return why nothing may learn from these rows; None where the misses are few."""
        rows = len(self.found) + len(self.aside)
        low, _ = interval(min(self.values, rows), rows)
        if low <= FAILED:
            return None
        share = min(self.values, rows) / rows
        return (
            f"de-identification failed: {self.values} values that it replaced elsewhere stood in "
            f"{rows} rows ({share:.1%})"
        )


class Scrubber:
    """Knows the originals of all nights and where they stand in tonight's rows."""

    def __init__(self, originals: Originals, candidates: Iterable[Candidate]) -> None:
        self.originals = originals
        self._spans: dict[str, tuple[Spans, Spans]] = {}
        users: defaultdict[str, set[str]] = defaultdict(set)
        before: defaultdict[str, set[str]] = defaultdict(set)
        for candidate in candidates:
            row = candidate.row
            for text, spans in zip((row.prompt, row.answer), self._find(row), strict=True):
                for start, end in spans:
                    if (word := text[start:end].casefold()).isalpha():
                        users[word].add(row.opening or row.id)
                        last = _LAST.search(text[max(0, start - 40) : start])
                        before[word].add(last.group().casefold() if last else "")
        for word, seen in users.items():
            if self._ordinary(word, len(seen), len(before[word])):
                originals.ordinary.add(originals.print_of(word))

    def _ordinary(self, word: str, seen: int, before: int) -> bool:
        if self.originals.counts[self.originals.print_of(word)] > SELDOM * seen + 1:
            return False
        return seen >= DICTIONARY if ordinary_word(word) else seen >= USED and before >= BEFORE

    def _find(self, row: Row) -> tuple[Spans, Spans]:
        if row.id not in self._spans:
            spans = self.originals.spans(row.prompt), self.originals.spans(row.answer)
            if not any(spans):
                return spans
            self._spans[row.id] = spans
        return self._spans[row.id]

    def scrub(self, candidates: Sequence[Candidate], contract: Contract) -> Scrubbed:
        """The rows of a task without originals."""
        kept, aside, values, cleaned = list[Candidate](), list[Candidate](), set[bytes](), 0
        for candidate in candidates:
            row = candidate.row
            places = [
                self._personal(text, spans, row)
                for text, spans in zip((row.prompt, row.answer), self._find(row), strict=True)
            ]
            if not any(places):
                kept.append(candidate)
                continue
            for text, spans in zip((row.prompt, row.answer), places, strict=True):
                values.update(self.originals.print_of(text[a:b]) for a, b in spans)
            clean = self._cleaned(row, places)
            left = any(map(self.originals.within, (clean.prompt, clean.answer)))
            if left or violation(clean.answer, contract):
                aside.append(candidate)
            else:
                kept.append(replace(candidate, row=clean))
                cleaned += 1
        return Scrubbed(kept, aside, cleaned, len(values))

    def _personal(self, text: str, spans: Spans, row: Row) -> Spans:
        """The spans that are originals here: ordinary words only in their own conversation."""
        originals = self.originals
        return [
            (start, end)
            for start, end in spans
            if text[start:end] in originals
            or originals.personal(text[start:end], row.opening or "")
        ]

    def _cleaned(self, row: Row, places: Sequence[Spans]) -> Row:
        people = Surrogates(self.originals.key, row.opening or row.id)
        prompt, answer = (
            _replaced(text, spans, people)
            for text, spans in zip((row.prompt, row.answer), places, strict=True)
        )
        return replace(row, prompt=prompt, answer=answer)


def _replaced(text: str, spans: Spans, people: Surrogates) -> str:
    for start, end in reversed(spans):
        value = text[start:end]
        text = text[:start] + people.of(_kind(value), value) + text[end:]
    return text


def _kind(value: str) -> str:
    """Return what a value looks like; fingerprints do not tell its type."""
    if "@" in value:
        return "EMAIL_ADDRESS"
    if not any(map(str.isalpha, value)):
        return "PHONE_NUMBER"
    return "USERNAME" if sum(map(str.isdigit, value)) <= len(value) // 2 else "SECRET"
