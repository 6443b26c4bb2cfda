"""Word lists of surrogates and recognisers: names by role, place words, what addresses keep.

Lists to look words up in are in `bases/tagger/words.json`, its names Faker's and Mimesis'
(both MIT); those that
surrogates are drawn from, the most common word first, in `pools.json` (`bases.tagger.pools`).
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from pathlib import Path

import msgspec

from tasks.deidentify.languages import COMMON, frequency
from tasks.deidentify.patterns import STATES

WORDS = Path(__file__).parents[2] / "bases" / "tagger" / "words.json"
POOLS = WORDS.with_name("pools.json")
PROVIDERS = frozenset(  # of mail in many countries: yahoo.de, hotmail.es, live.nl
    {"aol", "gmx", "hotmail", "icloud", "live", "msn", "outlook", "proton", "yahoo"}
)
STATE_CODES = frozenset(STATES.lower().split("|"))


@cache
def _lists() -> dict[str, str]:
    return msgspec.json.decode(WORDS.read_bytes(), type=dict[str, str])


@cache
def _pools() -> dict[str, str]:
    return msgspec.json.decode(POOLS.read_bytes(), type=dict[str, str])


@cache
def pool(name: str) -> tuple[str, ...]:
    """A pool by its name, the most common first; empty when there is none."""
    return tuple(_pools()[name].split("|")) if name in _pools() else ()


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
    role_of: dict[str, str] = {}
    for role in ("family", "male", "female"):
        role_of |= {fold(name): role for name in words(f"names {role}")}
    return role_of


@cache
def all_roles() -> dict[str, str]:
    """The same with rarer names, which are names only beside another one or behind a cue."""
    role_of: dict[str, str] = {}
    for role in ("family", "male", "female"):
        role_of |= {fold(name): role for name in words(f"names {role} more")}
    return role_of | roles()


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


def all_english(value: str) -> bool:
    """Return whether a supposed handle is made of ordinary English words: `opt_in`."""
    words = re.findall(r"[^\W\d_]+", value.lower())
    return all(frequency(word, "en") >= COMMON and not is_name(fold(word)) for word in words)


def is_town(folded: str) -> bool:
    """Return whether a word is a street or a town that surrogates are drawn from."""
    return folded in _known_places()


def names_for(folded: str, language: str) -> tuple[tuple[str, ...], ...]:
    """The pools of a name word's surrogate: the language's common names, then all."""
    role = roles().get(folded, "family")
    return pool(f"{role} {language}") or pool(f"{role} en"), words(f"names {role}")


@cache
def _short_forms() -> dict[str, str]:
    """Each common name, street and town of one word, by what is left when it loses a letter."""
    long_words = {fold(w) for name in _pools() for w in pool(name) if w.isalpha() and len(w) > 4}
    return {w[:i] + w[i + 1 :]: w for w in sorted(long_words) for i in range(1, len(w))}


@cache
def meant(folded: str) -> str:
    """The common name or town that a word is a typo of; the word itself when it is none."""
    if len(folded) < 5 or folded in all_roles() or folded in _drawn():
        return folded
    shorter = [folded, *(folded[:i] + folded[i + 1 :] for i in range(1, len(folded)))]
    candidates = (_short_forms().get(form, "") for form in shorter)
    return next((w for w in candidates if w and slip(w, folded)), folded)


@cache
def _drawn() -> frozenset[str]:
    return frozenset(fold(w) for name in _pools() for w in pool(name))


@cache
def _known_places() -> frozenset[str]:
    names = (n for n in _pools() if n.startswith(("towns ", "streets ")))
    return frozenset(fold(w) for name in names for w in pool(name))


def mistyped(right: str, wrong: str, word: str) -> str:
    """A word with the slip that made `wrong` of `right`."""
    i = next(
        (i for i, (x, y) in enumerate(zip(right, wrong, strict=False)) if x != y),
        min(len(right), len(wrong)),
    )
    at = min(max(i, 1), len(word) - 2)
    if at < 1:
        return word
    if len(wrong) < len(right):
        return word[:at] + word[at + 1 :]
    if len(wrong) > len(right):
        return word[: at + 1] + word[at:]  # a letter twice
    if right[i + 1 :] == wrong[i + 1 :]:
        return word[:at] + wrong[i] + word[at + 1 :]
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]


@cache
def slip(a: str, b: str) -> bool:
    """Return whether words differ by one letter: added, lost, changed or swapped."""
    if a == b or abs(len(a) - len(b)) > 1 or a[0] != b[0]:
        return False
    i = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    if len(a) == len(b):
        return a[i + 1 :] == b[i + 1 :] or (
            a[i : i + 2] == b[i : i + 2][::-1] and a[i + 2 :] == b[i + 2 :]
        )
    longer, shorter = (a, b) if len(a) > len(b) else (b, a)
    return longer[i + 1 :] == shorter[i:]
