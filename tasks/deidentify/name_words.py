"""How much a single word is a name where it stands: by its spelling, lists, and what is before it.

`weigh` says it for `name_check`, which holds the findings of a model against it, and for
`known_names`, which finds what the model missed.
"""

from __future__ import annotations

import re
from functools import lru_cache

from tasks.deidentify.cues import DEVICES, FORM_CUE, NAME_CUE, PERSON_NOUN, SURE_CUE
from tasks.deidentify.languages import COMMON, KNOWN, frequency, is_typo
from tasks.deidentify.wordlists import (
    all_roles,
    fold,
    is_name,
    is_town,
    ordinary,
    roles,
    word_set,
)

CODE = re.compile(r"[a-zß-ÿ][A-Z]")  # camelCase
_PUT = re.compile(  # done with a device, which is called after somebody
    r"\b(?:d/?c|remov\w+|plac\w+|insert\w*|chang\w+|keep|cont\w*|via|the|an?|no)\s$",
    re.IGNORECASE,
)
_SCOTTISH = re.compile(r"(?:Mc|Mac|De|Di|La|Le|Van|O['’]|D['’])[A-ZÀ-Þ]")
OPENING = re.compile(r"(?:^|[.!?\n]\s*|[-*•\"'(]\s*)$")
_CALLED = re.compile(r"::|\(\)|\.\w+\(")  # what follows the name of something in a program
_BEHIND, _BEFORE = re.compile(r" ([^\W\d_]{3,})"), re.compile(r"([^\W\d_]{3,}) $")
_WORD_BEFORE = re.compile(r"([^\W\d_]+)-$")
_BESIDE_SHOUTED = re.compile(r"(?:[A-ZÀ-Þ]{3,} $)|(?:^ [A-ZÀ-Þ]{3,})")
_NOUN = re.compile(  # a German word in front of a noun, never of a name alone
    r"\b(?:d(?:as|en|em|es)|(?:k|m|d|s)?ein(?:e[nmrs]?)?|unser\w*|eur\w*|ihre?[nmrs]?|i[mns]|am|ans|"
    r"\d|aufs|zu[mr]|vo[mn]|beim|diese[nmrs]?|jede[nmrs]?|welche[nmrs]?|viele|alle|per|pro|ohne|(?!(?:hi|ab|od|üb|unt|imm|wied|leid|lieb)er\b)[a-zäöüß]+e[nmrs])\s+$",
)
TYPICAL = 0.8  # how much commoner a word is at home than in English, for a name that is a word too
SURNAMES = 4.0  # rarer English words with a capital may be names that no list has
RARE = 3.5  # rarer words may be a family name behind a given name
GIVEN = 4.3  # rarer words may be a given name in a text without capitals
ACRONYM = 4  # capitals that are more likely short for something
ORDINARY, UNKNOWN, NAME = 0, 1, 2


def weigh(text: str, token: re.Match[str], tongue: str) -> int:
    """Return how much a word is a name where it stands.

    ORDINARY, UNKNOWN (with a capital) or NAME.
    """
    word, before = token.group(), text[max(0, token.start() - 40) : token.start()]
    if fold(word) in word_set("particles") or in_code(text, token):
        return ORDINARY
    around = text[token.start() - 1 : token.start()] + text[token.end() : token.end() + 1]
    if set(around) & set("_/\\=<>@#") or re.search(r"\d", around):
        return NAME if is_name(fold(word)) else ORDINARY
    cued, sure = NAME_CUE.search(before) is not None, SURE_CUE.search(before) is not None
    shouted = word.isupper() and len(word) > 1
    if word.islower() or (shouted and text.isupper()):
        mixed = not (text.islower() or text.isupper())
        given = roles().get(fold(word)) in {"female", "male"}
        cued = cued and (sure or given or not mixed)
        return _low(word.lower(), tongue, cued, mixed and not _is_half(text, token))
    if shouted:
        beside = before[-30:] if before.endswith(" ") else text[token.end() : token.end() + 30]
        return _shouted(word, tongue, cued, _BESIDE_SHOUTED.search(beside) is not None)
    alone = _capital(word, tongue, cued, before)
    if not cued and PERSON_NOUN.search(before):
        return max(_behind_noun(word, tongue), alone if is_name(fold(word)) else ORDINARY)
    return alone


def _is_half(text: str, token: re.Match[str]) -> bool:
    """Return whether a listed name that is no other word stands beside: `mehmet öztürk`."""
    beside = [_BEHIND.match(text, token.end()), _BEFORE.search(text, 0, token.start())]
    names = [fold(match[1]) for match in beside if match]
    return any(n in all_roles() and n not in ordinary() for n in names)


def in_code(text: str, token: re.Match[str]) -> bool:
    """Return whether a word is part of a program, or of something that is called after people.

    `Option::unwrap`, `camelCase`, `Child-Pugh`, `remove the Foley`.
    """
    word, before = token.group(), text[max(0, token.start() - 40) : token.start()]
    if fold(word) in DEVICES and _PUT.search(before):
        return True
    if (CODE.search(word) and not _SCOTTISH.match(word)) or _CALLED.match(text, token.end()):
        return True
    half = _WORD_BEFORE.search(before)
    return half is not None and fold(half[1]) not in all_roles() and frequency(half[1], "en") >= 4.5


@lru_cache(maxsize=65_536)
def _low(word: str, tongue: str, cued: bool, mixed: bool) -> int:
    """A word in lower case: a name only if known as one, or unknown and behind a cue.

    Where others have capitals (`mixed`), a family name alone is the word that it is too; outside
    of English, any name.
    """
    often = max(frequency(word, tongue), frequency(word, "en"))
    if not is_name(fold(word)):
        known = fold(word) in all_roles() and often < GIVEN
        unknown = often < KNOWN and not is_typo(word, tongue or "en")
        return NAME if cued and (known or unknown) else ORDINARY
    lone = roles()[fold(word)] == "family" or tongue not in {"en", ""}
    if often >= 5.5 or (mixed and not cued and lone):
        return ORDINARY
    doubtful = fold(word) in ordinary() | DEVICES or len(word) < 3 or typical(word, tongue)
    return ORDINARY if doubtful and not cued else NAME


def _shouted(word: str, tongue: str, cued: bool, beside: bool) -> int:
    """A word in capitals among others: `GERALDINE THISTLEWOOD`, but not `CUDA`."""
    listed = fold(word) in all_roles() and fold(word) not in ordinary()
    if cued and (listed or len(word) > ACRONYM):
        return NAME
    often = max(frequency(word, tongue), frequency(word, "en"))
    if not listed or len(word) <= ACRONYM:
        unknown = beside and len(word) > ACRONYM and often < RARE and tongue != "de"
        return UNKNOWN if unknown and not is_typo(word.lower(), tongue or "en") else ORDINARY
    given = all_roles()[fold(word)] != "family" and often < GIVEN
    return NAME if (is_name(fold(word)) and often < COMMON) or (given and beside) else ORDINARY


@lru_cache(maxsize=65_536)
def typical(word: str, tongue: str) -> bool:
    """Return whether a name is a word of the language.

    More common there than names are elsewhere.
    """
    own, english = frequency(word, tongue), frequency(word, "en")
    return tongue not in {"", "en"} and own >= 3.5 and own - english >= TYPICAL


def _behind_noun(word: str, tongue: str) -> int:
    """A word with a capital behind what a person is called: `patient Okoro`, `ma fille Odile`."""
    if fold(word) in all_roles():
        usual = frequency(word, tongue or "en") >= (GIVEN if tongue == "de" else 5.0)
        return ORDINARY if usual else NAME
    often = max(frequency(word, tongue), frequency(word, "en"))
    if tongue in {"de", ""} and (often >= KNOWN or compound(word.lower())):
        return ORDINARY
    typo = tongue == "de" and is_typo(word.lower(), "de")
    return ORDINARY if often >= RARE or typo else NAME


def _capital(word: str, tongue: str, cued: bool, before: str) -> int:
    low, opening = word.lower(), OPENING.search(before) is not None
    often = max(frequency(low, tongue), frequency(low, "en"))
    listed = is_name(fold(word))
    if cued:
        return ORDINARY if often >= doubt(before, tongue) and not listed else NAME
    if listed:
        if opening and often >= COMMON and roles()[fold(word)] == "family":
            return UNKNOWN  # any word begins with a capital there
        return ORDINARY if _as_word(word, tongue, often, opening, before) else NAME
    if not opening and tongue != "de" and is_rare_given(word, tongue):
        return NAME
    if often >= (SURNAMES if tongue == "en" else COMMON):
        return ORDINARY
    if tongue in {"de", ""} and (_NOUN.search(before) or compound(low)):
        return ORDINARY
    return ORDINARY if (opening or len(word) > 5) and is_typo(low, tongue or "en") else UNKNOWN


@lru_cache(maxsize=65_536)
def is_rare_given(word: str, tongue: str) -> bool:
    """Return whether a word with a capital is a given name that few lists have, and no town."""
    name = fold(word)
    given = all_roles().get(name) in {"female", "male"} and name not in ordinary()
    usual = frequency(word, tongue or "en") >= (RARE if tongue == "en" else GIVEN + 0.2)
    return given and not usual and len(word) > 3 and not is_town(name)


def doubt(before: str, tongue: str) -> float:
    """Return how common a word with a capital must be to be no name behind a cue."""
    if SURE_CUE.search(before):
        return 4.5 if FORM_CUE.search(before) else 5.5
    return COMMON if tongue == "de" else SURNAMES


def _as_word(word: str, tongue: str, often: float, opening: bool, before: str) -> bool:
    """Return whether a known name is used as the word that it is too.

    `der Koch`, `Will it come`.
    """
    if tongue == "de":
        return as_noun(word, before)
    doubtful = fold(word) in ordinary() or typical(word, tongue) or often >= 5.5
    return opening and doubtful


def as_noun(word: str, before: str) -> bool:
    """Return whether a German name is the noun that it is too: `der Koch`, `im Mai`."""
    often = max(frequency(word, "de"), frequency(word, "en"))
    return (typical(word, "de") or often >= COMMON) and _NOUN.search(before) is not None


@lru_cache(maxsize=65_536)
def compound(word: str) -> bool:
    """Return whether a German word is two or three common words in one."""
    for cut in range(4, len(word) - 3):
        head, tail = word[:cut], word[cut:]
        if frequency(tail, "de") < COMMON and not (len(tail) >= 8 and compound(tail)):
            continue
        if any(
            frequency(h, "de") >= COMMON
            for h in (head, head.removesuffix("s"), head + "e", head + "n")
        ):
            return True
    return False
