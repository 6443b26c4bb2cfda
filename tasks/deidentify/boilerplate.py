"""What is the same for everybody: lines of prompts, templates and labels, and everyday words.

A line is public when it recurs in many conversations and what was found in it does not vary from
person to person. "You are Ada, the assistant of Acme" is; "You are talking to Mia Li" is not. It
keeps its names, and no everyday word is taken for one.
"""

from __future__ import annotations

import re
from collections import defaultdict
from functools import cache

from tasks.deidentify.scanner import Mark
from tasks.deidentify.wordlists import fold, is_name, ordinary, slip, word_set
from tasks.students.minilm import tokenizer

CAP = 256  # distinct conversations and fillers counted per line; more change nothing
HURRIED = 6  # letters from which a word one slip away from another is that word
SYSTEM = frozenset({"system", "developer"})
SECRET_KINDS = frozenset(
    {
        "SECRET",
        "PASSWORD",
        "CREDIT_CARD",
        "IBAN_CODE",
        "US_SSN",
        "CRYPTO",
        "ID_NUMBER",
        "BANK_NUMBER",
    }
)


def is_secret(kind: str) -> bool:
    """Whether a type is replaced wherever it stands, in a public line too."""
    return kind in SECRET_KINDS


class Public:
    """Counts in how many conversations a line, and a skeleton with how many fillers, was seen."""

    def __init__(self, conversations: int) -> None:
        self._enough = conversations
        self._lines: dict[str, set[str]] = defaultdict(set)
        self._skeletons: dict[str, tuple[set[str], set[str]]] = defaultdict(lambda: (set(), set()))

    def note(self, conversation: str, mark: Mark) -> None:
        """One more sight of a line with findings."""
        _add(self._lines[mark.line], conversation)
        fillers, conversations = self._skeletons[mark.skeleton]
        _add(fillers, mark.filler)
        _add(conversations, conversation)

    def __call__(self, role: str, mark: Mark) -> bool:
        """Whether the line belongs to the template and not to a person."""
        seen = len(self._lines[mark.line])
        fillers, conversations = map(len, self._skeletons[mark.skeleton])
        if seen >= self._enough and fillers * 10 <= conversations:
            return True
        return role in SYSTEM and fillers == 1 and seen >= 2


_WORD = re.compile(r"[^\W\d_]+")


@cache
def dictionary() -> frozenset[str]:
    """English words that are no names, or names that are words too: of the encoder's vocabulary."""
    found = (word for word in tokenizer().get_vocab() if word.isalpha() and len(word) > 1)
    return frozenset(word for word in found if not is_name(word) or word in ordinary())


class Everyday:
    """Words of the dictionary that many conversations use in lower case: the shop's own goods, say.

    A tagger that reads a short message takes "the oak kettle" for somebody; the traffic of a day
    knows better.
    """

    def __init__(self, conversations: int) -> None:
        self._enough = conversations
        self._seen: dict[str, set[str]] = defaultdict(set)
        self._words: set[str] = set()

    def note(self, conversation: str, text: str) -> None:
        """One more text of a conversation."""
        for word in (dictionary().intersection(_WORD.findall(text))) - self._words:
            seen = self._seen[word]
            seen.add(conversation)
            if len(seen) >= self._enough:
                self._words.add(word)
                del self._seen[word]

    def __call__(self, text: str, kind: str) -> bool:
        """Whether a supposed name is made of everyday words alone, in hurried spelling too."""
        words = _WORD.findall(text)
        street = kind == "ADDRESS" and not word_set("address").isdisjoint(map(fold, words))
        return bool(words) and not street and all(self._plain(word) for word in words)

    def _plain(self, word: str) -> bool:
        folded = fold(word)
        if len(folded) == 1 or folded in self._words:
            return word.islower() or not is_name(folded)
        hurried = word.islower() and len(folded) >= HURRIED and not is_name(folded)
        return hurried and any(slip(folded, known) for known in self._words)


def _add(seen: set[str], value: str) -> None:
    if len(seen) < CAP:
        seen.add(value)
