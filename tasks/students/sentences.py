"""Slots in sentences: those that a task's answers repeat, and the values that stand in them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from tasks.students.slots import SLOT, places

NEARLY = 0.95  # share of a word's sights in answers that must be in the prompt, too, to be copied
OFTEN = 0.3  # share of the texts from which a word belongs to the sentence
_WORD = re.compile(r"[\w@.+:/-]*\w")
# What differs in a repeated sentence (a query, say), copied or not: what is quoted, and numbers.
_VALUE = re.compile(r'"%?([^"%\n]+)%?"|(?<![\w.:/-])(\d+(?:[.:]\d+)*)(?![\w:/-]|\.\d)')


def literal_words(pairs: Sequence[tuple[str, str]]) -> frozenset[str]:
    """The words that belong to the sentences: seen often, or without standing in the prompt."""
    seen: Counter[str] = Counter()
    missing: Counter[str] = Counter()
    for prompt, text in pairs:
        words, read = set(_WORD.findall(text)), set(_WORD.findall(prompt))
        seen.update(words)
        missing.update(words - read)
    often = OFTEN * len(pairs)
    return frozenset(w for w, n in seen.items() if n >= often or missing[w] > (1 - NEARLY) * n)


def slots(text: str, prompt: str, literal: frozenset[str], path: str) -> tuple[str, dict[str, str]]:
    """A sentence with slots in place of its values, and what stood in them by the slot's name."""
    out, values, end = "", dict[str, str](), 0
    for start, stop in _pieces(text, prompt, literal):
        before = _WORD.findall(out + text[end:start])
        name = f"{path}~{before[-1] if before else ''}"
        while name in values:
            name += "+"
        values[name] = text[start:stop]
        out, end = out + text[end:start] + SLOT, stop
    return out + text[end:], values


def _pieces(text: str, prompt: str, literal: frozenset[str]) -> Iterator[tuple[int, int]]:
    """Yield where the values of a sentence stand.

    Words of the prompt, else what is quoted, numbers.
    """
    spans = [match.span(1 if match.group(1) else 2) for match in _VALUE.finditer(text)]
    words = [match.span() for match in _WORD.finditer(text)]
    end = 0
    for place, (start, stop) in enumerate(words):
        if start < end:
            continue
        reach = start
        for word in words[place:]:
            copied = places(prompt, text[start : word[1]], "text")
            if not copied or text[slice(*word)] in literal:
                break
            reach = word[1]
        value = next((span for span in spans if span[0] < stop and start < span[1]), None)
        if value is not None and reach < value[1]:
            start, reach = value
        if reach > start:
            yield start, reach
            end = reach
