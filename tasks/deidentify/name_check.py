"""Checks of what a model took for a name: vocabulary, spelling and what stands around it.

A small model reads a word that it never saw as a name: a German noun, a drug, a daemon, a typo. So
its findings are held against the words of the language (`languages`), and keep what is no word,
what is a known name in a name's place, and what stands behind a cue ("my name is", "Herr", "Dr.").
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from tasks.deidentify.cues import AMOUNT, DEVICES, EPONYM, NAME_CUE, PERSON_ACT, STREET, SURE_CUE
from tasks.deidentify.findings import Finding
from tasks.deidentify.languages import COMMON, KNOWN, frequency, is_typo
from tasks.deidentify.languages import language as language_of
from tasks.deidentify.name_spans import linked, runs
from tasks.deidentify.places import LINKS
from tasks.deidentify.wordlists import all_roles, fold, is_name, ordinary, roles, word_set

_TOKEN = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_PART = re.compile(r"[^\W_]+(?:[.'’/-][^\W_]+)*")
_CLAUSE = re.compile(r",\s+(?=(?:[a-zß-ÿ]{3,}|[a-zß-ÿ]+\s[a-zß-ÿ]+)\b)")  # the sentence goes on
_CODE = re.compile(r"[a-zß-ÿ][A-Z]")  # camelCase
_PUT = re.compile(  # done with a device, which is called after somebody
    r"\b(?:d/?c|remov\w+|plac\w+|insert\w*|chang\w+|keep|cont\w*|via|the|an?|no)\s$",
    re.IGNORECASE,
)
_SCOTTISH = re.compile(r"(?:Mc|Mac|De|Di|La|Le|Van|O['’]|D['’])[A-ZÀ-Þ]")
_OPENING = re.compile(r"(?:^|[.!?\n]\s*|[-*•\"'(]\s*)$")
_NOUN = re.compile(  # a German word in front of a noun, never of a name alone
    r"\b(?:d(?:as|en|em|es)|(?:k|m|d|s)?ein(?:e[nmrs]?)?|unser\w*|eur\w*|ihre?[nmrs]?|i[mns]|am|ans|"
    r"aufs|zu[mr]|vo[mn]|beim|diese[nmrs]?|jede[nmrs]?|welche[nmrs]?|viele|alle|per|pro|ohne|(?!(?:hi|ab|od|üb|unt|imm|wied|leid|lieb)er\b)[a-zäöüß]+e[nmrs])\s+$",
)
TYPICAL = 0.8  # how much commoner a word is at home than in English, for a name that is a word too
SURNAMES = 4.0  # rarer English words with a capital may be names that no list has
PLACES = frozenset({"LOCATION", "ORGANIZATION"})
_TOWNS = frozenset(
    {"san", "santa", "santo", "saint", "st", "los", "las", "el", "la", "new", "fort", "port"}
)
LOOSE = re.compile(  # streets only beside a number: other things are called so, too
    r"court|ct|place|pl|way|close|path|row|walk|plaza|point|cove|ridge|unit|floor|suite|square|sq|"
    r"trail|loop|pike|circle|cir|st|dr|via|route|strada|camino|largo|paseo",
    re.IGNORECASE,
)
ORDINARY, UNKNOWN, NAME = 0, 1, 2
READERS = frozenset({"tagger", "spacy", "model"})


def checked(text: str, findings: list[Finding]) -> list[Finding]:
    """The findings of a segment that hold, cut to what is no ordinary word."""
    if not any(f.detector in READERS for f in findings):
        return findings
    tongue = language_of(text)
    homes = [f for f in findings if f.kind == "ADDRESS" and is_address(text, f, tongue)]
    out: list[Finding] = []
    for finding in findings:
        beside = any(
            -1 <= finding.start - h.end <= 4 or -1 <= h.start - finding.end <= 4 for h in homes
        )
        if finding.detector not in READERS or (finding.kind == "LOCATION" and beside):
            out.append(finding)
        elif finding.kind in PLACES and tongue == "en" and not _is_person(_capitals(text, finding)):
            out.append(finding)  # the tagger knows English places
        elif finding.kind == "ADDRESS":
            out += [_place(text, finding)] if finding in homes else []
        else:
            out += _names(text, finding, tongue)
    return out


def _capitals(text: str, finding: Finding) -> list[re.Match[str]]:
    return list(_TOKEN.finditer(text, finding.start, finding.end))


def _place(text: str, finding: Finding) -> Finding:
    """An address without the small words in front of it and behind it."""
    clause = _CLAUSE.search(text, finding.start, finding.end)
    end = clause.start() if clause else finding.end
    start = finding.start
    number = re.search(r"\d", text[start:end])
    if number and not text[start:end].islower():  # `Bitte liefern an Hauptstraße 4`
        small = [
            m
            for m in _TOKEN.finditer(text, start, start + number.start())
            if m.group().islower() and m.group() not in LINKS and not STREET.search(m.group())
        ]
        start = small[-1].end() if small else start
    parts = [
        m
        for m in _PART.finditer(text, start, end)
        if not m.group().islower() or STREET.search(m.group())
    ]
    return replace(finding, start=parts[0].start(), end=parts[-1].end()) if parts else finding


def _names(text: str, finding: Finding, tongue: str) -> Iterator[Finding]:
    """The names in a finding, without ordinary words between and around them."""
    tokens = list(_TOKEN.finditer(text, finding.start, finding.end))
    if _is_eponym(text, tokens):
        return
    held = [weigh(text, token, tongue) for token in tokens]
    if _are_names(text, tokens, tongue):
        held = [NAME] * len(tokens)
    for i, token in enumerate(tokens):  # beside a name, a name that is a word is a name
        beside = NAME in held[max(0, i - 1) : i + 2]
        if held[i] != NAME and beside and _second(token.group(), tongue):
            held[i] = NAME
    words = [token.group() for token in tokens]
    for i, j in linked(words):
        if NAME in (held[i], held[j]):
            held[i] = held[j] = NAME
    for first, last in runs(words, held):
        some = tokens[first : last + 1]
        unknown = [t for t, weight in zip(some, held[first : last + 1], strict=True) if weight]
        named = NAME in held[first : last + 1]
        if not named and not _like_a_person(text, finding, unknown, tongue):
            continue
        start = finding.start if first == 0 else tokens[first].start()
        end = finding.end if last == len(tokens) - 1 else tokens[last].end()
        kind = "PERSON" if _is_person(some) else finding.kind
        yield Finding(start, end, kind, finding.score, finding.detector)


def _is_eponym(text: str, tokens: list[re.Match[str]]) -> bool:
    """Return whether something is called after a name: `Murphy sign`, `Jenkins pipeline`."""
    if len(tokens) != 1 or NAME_CUE.search(
        text[max(0, tokens[0].start() - 40) : tokens[0].start()]
    ):
        return False
    return EPONYM.match(text, tokens[0].end()) is not None


def _are_names(text: str, tokens: list[re.Match[str]], tongue: str) -> bool:
    """Return whether all of two or three words with capitals are names, if also words.

    `Raj Brown`.
    """
    words = [t.group() for t in tokens]
    capital = all(w[0].isupper() and not w[1:].isupper() for w in words)
    german = tongue == "de" and any(frequency(w, "de") >= 4.5 for w in words)
    listed = [fold(w) in all_roles() for w in words]
    rest = all(k or frequency(w, "en") < SURNAMES for k, w in zip(listed, words, strict=True))
    return 2 <= len(words) <= 3 and capital and any(listed) and rest and not german


def _is_person(tokens: list[re.Match[str]]) -> bool:
    """Return whether a supposed place or firm is a full name: a name that is missed does harm."""
    words = [t.group() for t in tokens]
    if len(words) != 2 or not all(w[0].isupper() for w in words):
        return False
    first, second = map(fold, words)
    if second in all_roles() and (first in all_roles() or frequency(first, "en") < SURNAMES):
        return first not in _TOWNS and (first not in ordinary() or second not in ordinary())
    given = roles().get(first) in {"female", "male"} and first not in ordinary()
    rare = frequency(second, "en") < COMMON
    return rare and (given or frequency(first, "en") < KNOWN)


def _like_a_person(text: str, finding: Finding, unknown: list[re.Match[str]], tongue: str) -> bool:
    """Return whether unknown capitalised words stand where a person does, or are alike."""
    if not unknown:
        return False
    start, end = unknown[0].start(), unknown[-1].end()
    line = text[text.rfind("\n", 0, start) + 1 :].partition("\n")[0].strip(" \t.,!;:\"'*_-")
    if PERSON_ACT.match(text, end) or line == text[start:end]:
        return True
    rare = all(
        max(frequency(t.group(), "en"), frequency(t.group(), tongue)) < KNOWN for t in unknown
    )
    return len(unknown) > 1 and rare and finding.score >= 0.9


def _second(word: str, tongue: str) -> bool:
    """Return whether a word beside a name is its other half: a name, or one not too common."""
    if fold(word) in all_roles():
        return True
    often = max(frequency(word, tongue), frequency(word, "en"))
    if word.islower():
        return often < KNOWN and not is_typo(word, tongue or "en")
    if _CODE.search(word) or (tongue == "de" and compound(word.lower())):
        return False
    return often < (3.5 if tongue == "de" else 4.5)


def weigh(text: str, token: re.Match[str], tongue: str) -> int:
    """Return how much a word is a name where it stands.

    ORDINARY, UNKNOWN (with a capital) or NAME.
    """
    word, before = token.group(), text[max(0, token.start() - 40) : token.start()]
    if fold(word) in word_set("particles"):
        return ORDINARY
    if _CODE.search(word) and not _SCOTTISH.match(word):
        return ORDINARY
    if fold(word) in DEVICES and _PUT.search(before):
        return ORDINARY
    around = text[token.start() - 1 : token.start()] + text[token.end() : token.end() + 1]
    if set(around) & set("_/\\=<>@#") or re.search(r"\d", around):
        return NAME if is_name(fold(word)) else ORDINARY
    cued = NAME_CUE.search(before) is not None
    shouted = word.isupper() and len(word) > 1
    if word.islower() or (shouted and text.isupper()):
        return _low(word.lower(), tongue, cued)
    if shouted:
        listed = is_name(fold(word)) and frequency(word, tongue) < COMMON
        return NAME if cued or listed else ORDINARY
    return _capital(word, tongue, cued, before)


@lru_cache(maxsize=65_536)
def _low(word: str, tongue: str, cued: bool) -> int:
    """A word in lower case: a name only if known as one, or unknown and behind a cue."""
    often = max(frequency(word, tongue), frequency(word, "en"))
    if not is_name(fold(word)):
        return NAME if cued and often < KNOWN and not is_typo(word, tongue or "en") else ORDINARY
    if often >= 5.5:
        return ORDINARY
    doubtful = fold(word) in ordinary() | DEVICES or len(word) < 3 or _typical(word, tongue)
    return ORDINARY if doubtful and not cued else NAME


@lru_cache(maxsize=65_536)
def _typical(word: str, tongue: str) -> bool:
    """Return whether a name is a word of the language.

    More common there than names are elsewhere.
    """
    own, english = frequency(word, tongue), frequency(word, "en")
    return tongue not in {"", "en"} and own >= 3.5 and own - english >= TYPICAL


def _capital(word: str, tongue: str, cued: bool, before: str) -> int:
    low, opening = word.lower(), _OPENING.search(before) is not None
    often = max(frequency(low, tongue), frequency(low, "en"))
    listed = is_name(fold(word))
    if cued:
        return ORDINARY if often >= doubt(before, tongue) and not listed else NAME
    if listed:
        if opening and often >= COMMON and roles()[fold(word)] == "family":
            return UNKNOWN  # any word begins with a capital there
        return ORDINARY if _as_word(word, tongue, often, opening, before) else NAME
    if often >= (SURNAMES if tongue == "en" else COMMON):
        return ORDINARY
    if tongue in {"de", ""} and (_NOUN.search(before) or compound(low)):
        return ORDINARY
    return ORDINARY if (opening or len(word) > 5) and is_typo(low, tongue or "en") else UNKNOWN


def doubt(before: str, tongue: str) -> float:
    """Return how common a word with a capital must be to be no name behind a cue."""
    if SURE_CUE.search(before):
        return 5.5
    return COMMON if tongue == "de" else SURNAMES


def _as_word(word: str, tongue: str, often: float, opening: bool, before: str) -> bool:
    """Return whether a known name is used as the word that it is too.

    `der Koch`, `Will it come`.
    """
    if tongue == "de":
        return as_noun(word, before)
    doubtful = fold(word) in ordinary() or _typical(word, tongue) or often >= 5.5
    return opening and doubtful


def as_noun(word: str, before: str) -> bool:
    """Return whether a German name is the noun that it is too: `der Koch`, `im Mai`."""
    often = max(frequency(word, "de"), frequency(word, "en"))
    return (_typical(word, "de") or often >= COMMON) and _NOUN.search(before) is not None


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


def is_address(text: str, finding: Finding, tongue: str) -> bool:
    """Return whether a supposed address has what addresses have.

    A street word, or a number and a name.
    """
    address = text[finding.start : finding.end]
    numbered = any(c.isdigit() for c in address)
    if any(numbered or not LOOSE.fullmatch(m.group()) for m in STREET.finditer(address)):
        return True
    if tongue not in {"", "en"} or AMOUNT.search(text, finding.start, finding.end + 6):
        return False  # the streets of other languages have patterns of their own
    house = re.search(r"\b\d{1,6}[A-Za-z]? [A-ZÀ-Þ]|[A-ZÀ-Þ][\w.' -]+,? \d{4,5}\b", address)
    return house is not None and any(_unusual(t, tongue) for t in _TOKEN.findall(address))


def _unusual(word: str, tongue: str) -> bool:
    often = max(frequency(word, tongue), frequency(word, "en"))
    named = is_name(fold(word)) or often < COMMON
    return word[0].isupper() and len(word) > 1 and not _CODE.search(word) and named
