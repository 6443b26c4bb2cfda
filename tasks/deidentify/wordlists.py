"""Word lists of surrogates and recognisers: names by role, place words, what addresses keep.

All lists are in `bases/tagger/words.json`; its names are Faker's (MIT).
"""

from __future__ import annotations

import unicodedata
from functools import cache
from pathlib import Path

import msgspec

from tasks.deidentify.patterns import STATES

WORDS = Path(__file__).parents[2] / "bases" / "tagger" / "words.json"
STATE_CODES = frozenset(STATES.lower().split("|"))


@cache
def _lists() -> dict[str, str]:
    return msgspec.json.decode(WORDS.read_bytes(), type=dict[str, str])


@cache
def words(name: str) -> tuple[str, ...]:
    """A list by its name, in the file's order."""
    return tuple(_lists()[name].split("|"))


@cache
def word_set(name: str) -> frozenset[str]:
    """A list by its name, to look words up in."""
    return frozenset(words(name))


@cache
def fold(word: str) -> str:
    """A word without case and accents."""
    plain = unicodedata.normalize("NFKD", word)
    return "".join(c for c in plain if not unicodedata.combining(c)).casefold() or word


def like(model: str, word: str) -> str:
    """The word in the case of the model."""
    if model.islower():
        return word.lower()
    if model.isupper() and (len(model) > 1 or len(word) == 1):
        return word.upper()
    return word[:1].upper() + word[1:]


@cache
def roles() -> dict[str, str]:
    """Each known name and the role it has most likely: family, male or female."""
    found: dict[str, str] = {}
    for role in ("family", "male", "female"):
        found |= {fold(name): role for name in words(f"names {role}")}
    return found


@cache
def all_roles() -> dict[str, str]:
    """The same with rarer names, which are names only beside another one or behind a cue."""
    found: dict[str, str] = {}
    for role in ("family", "male", "female"):
        found |= {fold(name): role for name in words(f"names {role} more")}
    return found | roles()


@cache
def ordinary() -> frozenset[str]:
    """Names that are English words too: Will, Rose, Mark."""
    return frozenset(map(fold, words("names words")))


@cache
def places() -> tuple[str, ...]:
    """Words that name streets and towns: longer family names, as most towns have."""
    return tuple(n for n in words("names family") if 5 <= len(n) <= 9)


def is_name(folded: str) -> bool:
    """Return whether a word is known as a name and not as an ordinary word."""
    return folded in roles()


def names_for(folded: str) -> tuple[str, ...]:
    """The pool that a name word's surrogate comes from."""
    return words(f"names {roles().get(folded, 'family')}")


def places_for(folded: str) -> tuple[str, ...]:
    """The pool that a place word's surrogate comes from."""
    return places()


@cache
def slip(a: str, b: str) -> bool:
    """Whether two words differ by one letter added, lost, changed or swapped with the next."""
    if a == b or abs(len(a) - len(b)) > 1 or a[0] != b[0]:
        return False
    i = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    if len(a) == len(b):
        return a[i + 1 :] == b[i + 1 :] or (
            a[i : i + 2] == b[i : i + 2][::-1] and a[i + 2 :] == b[i + 2 :]
        )
    longer, shorter = (a, b) if len(a) > len(b) else (b, a)
    return longer[i + 1 :] == shorter[i:]
