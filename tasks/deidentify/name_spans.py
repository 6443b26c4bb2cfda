"""Which words belong to one name: "Ana de la Cruz reports a late Delivery" is not all of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from tasks.deidentify.name_words import NAME
from tasks.deidentify.wordlists import word_set

_JOIN = re.compile(r"[\s.'’-]{1,3}")  # what stands between the words of a name
_ROW = re.compile(r",? (?:and |& )?")  # Mia Li, Bo Chen and Kai Roy
LINK = re.compile(  # particles, and an initial
    r"[^\W\d_]|(?i:de[lrnst]?|di|da[ls]?|d[ou]s?|dalla|della|dello|degli|van|von|vom|zu[rm]?|ten?|ter|el|al|bin|"
    r"ibn|y|le|la|lo|los|las|het|san|santa|frhr|freiherr|graf|in|op|aan|auf|mac|ó|ní)"
)
LINKING = frozenset(  # words that begin what links two parts of a name: von, de la, van der
    {"al", "bin", "da", "de", "del", "della", "di", "do", "dos", "du", "el"}
    | {"ibn", "la", "le", "ter", "van", "von"}
)


def linked(words: Sequence[str]) -> Iterator[tuple[int, int]]:
    """The places of capitalised words with only such a link between them."""
    for i, word in enumerate(words):
        j = i + 1
        while j < len(words) and words[j] in (LINKING if j == i + 1 else word_set("particles")):
            j += 1
        if i + 1 < j < len(words) and word[0].isupper() and words[j][0].isupper():
            yield i, j


def joined(text: str, one: re.Match[str], other: re.Match[str], tongue: str) -> bool:
    """Return whether nothing stands between two words; in English, names in a row are one."""
    between = text[min(one.end(), other.end()) : max(one.start(), other.start())]
    row = tongue == "en" and one.group().istitle() and other.end() < one.start()
    return _JOIN.fullmatch(between) is not None or (row and _ROW.fullmatch(between) is not None)


def runs(
    text: str, tokens: Sequence[re.Match[str]], held: Sequence[int]
) -> Iterator[tuple[int, int]]:
    """First and last of the words that make up a name, with the particles between them."""
    at = 0
    while at < len(tokens):
        if not held[at]:
            at += 1
            continue
        first = last = at
        while (after := _next(text, tokens, held, last)) is not None:
            last = after
        yield first, last
        at = last + 1


def _next(text: str, tokens: Sequence[re.Match[str]], held: Sequence[int], last: int) -> int | None:
    """Return where a name continues behind a word: `Wolfgang` `zur` `Mühlen`; None if it ends."""
    at = last + 1
    while at < len(tokens) and _JOIN.fullmatch(text[tokens[at - 1].end() : tokens[at].start()]):
        word = tokens[at].group()
        behind = at > last + 1 and held[last] == NAME and word[0].isupper()
        if held[at] or (behind and not held[at] and len(word) > 1 and not LINK.fullmatch(word)):
            return at
        if not LINK.fullmatch(word):
            return None
        at += 1
    whole = last == 0 and len(tokens) == 2 and held[-1]  # Öztürk, Mehmet
    return last + 1 if whole and text[tokens[last].end() : tokens[-1].start()] == ", " else None
