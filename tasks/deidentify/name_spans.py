"""Which words belong to one name: "Ana de la Cruz reports a late Delivery" is not all of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tasks.deidentify.wordlists import fold, word_set

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


def runs(words: Sequence[str], held: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The first and the last word of each name; `held` says what each word is, 0 an ordinary one.

    Titles, initials, particles and words with a capital may stand within a name.
    """
    begun: list[int] = []
    for i, word in enumerate(words):
        within = not word.islower() or len(word) == 1 or fold(word) in word_set("particles")
        if held[i]:
            begun.append(i)
        elif begun and not within:
            yield begun[0], begun[-1]
            begun = []
    if begun:
        yield begun[0], begun[-1]
