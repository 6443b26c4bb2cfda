"""Slots in sentences: those that a task's answers repeat, and the values that stand in them."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from math import comb

from tasks.students.slots import SLOT, places

SLIP = 0.03  # chance that a copied word does not stand in the prompt: a wrong answer, a typo
OFTEN = 0.3  # share of the texts from which a word belongs to the sentence
LOOKED_AT = 2_000  # answers in which words that are always there are looked for
ALWAYS = 12  # answers with the same word in the same place, from which it is none of their values
_WORD = re.compile(r"[\w@.+:/-]*\w")
# What differs in a repeated sentence (a query, say), copied or not: what is quoted, and numbers.
_VALUE = re.compile(r'"%?([^"%\n]+)%?"|(?<![\w.:/-])(\d+(?:[.:]\d+)*)(?![\w:/-]|\.\d)')


def literal_words(pairs: Sequence[tuple[str, str]]) -> frozenset[str]:
    """The words that belong to the sentences: seen often, or without standing in the prompt.

    A word of a few answers, one of which is another prompt's by mistake, is still a value where
    values are many and the sentences' own words few: the more likely of the two is meant.
    """
    seen: Counter[str] = Counter()
    missing: Counter[str] = Counter()
    for prompt, text in pairs:
        words, read = set(_WORD.findall(text)), set(_WORD.findall(prompt))
        seen.update(words)
        missing.update(words - read)
    said = sum(missing[word] > n / 2 for word, n in seen.items())
    odds = (sum(not missing[word] for word in seen) + 1) / (said + 1)  # of a value

    def literal(word: str, n: int) -> bool:
        k = missing[word]
        chance = (
            comb(n, k) * SLIP**k * (1 - SLIP) ** (n - k)
        )  # of a value; else all k are as likely
        return odds * chance < 1 / (n + 1)

    often = OFTEN * len(pairs)
    own = frozenset(w for w, n in seen.items() if n >= often or literal(w, n))
    return own.union(_constant(pairs[:LOOKED_AT], own))


def _constant(pairs: Sequence[tuple[str, str]], literal: frozenset[str]) -> Iterator[str]:
    """Words that a sentence always has, though prompts have them too: "wants a call back"."""
    alike: dict[str, list[dict[str, str]]] = defaultdict(list)
    for prompt, text in pairs:
        sentence, values = slots(text, prompt, literal, "")
        alike[sentence].append(values)
    for rows in alike.values():
        for name, value in rows[0].items():
            if len(rows) >= ALWAYS and all(row[name] == value for row in rows):
                yield from (word for word in _WORD.findall(value) if word.isalpha())


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
