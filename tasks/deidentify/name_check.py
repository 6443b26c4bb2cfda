"""Checks of what a model took for a name: vocabulary, spelling and what stands around it.

A small model reads a word that it never saw as a name: a German noun, a drug, a daemon, a typo. So
its findings are held against the words of the language (`languages`), and keep what is no word,
what is a known name in a name's place, and what stands behind a cue ("my name is", "Herr", "Dr.").
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from tasks.deidentify.address_check import is_address, place
from tasks.deidentify.cues import EPONYM, NAME_CUE, PERSON_ACT, PERSON_NOUN
from tasks.deidentify.findings import Finding
from tasks.deidentify.languages import COMMON, KNOWN, frequency, is_typo
from tasks.deidentify.languages import language as language_of
from tasks.deidentify.name_spans import LINK, joined, linked, runs
from tasks.deidentify.name_words import (
    ACRONYM,
    CODE,
    GIVEN,
    NAME,
    OPENING,
    ORDINARY,
    SURNAMES,
    compound,
    in_code,
    typical,
    weigh,
)
from tasks.deidentify.wordlists import all_roles, fold, is_town, ordinary, roles

_TOKEN = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
LIKELY_LISTED, LIKELY, NEARLY_SURE, SURE = 0.3, 0.7, 0.8, 0.95  # of the tagger
LONG = 10  # letters; German words of two words that are longer are hardly names
SELDOM, UNLISTED, LISTED, ABROAD = (
    2.8,
    4.2,
    5.5,
    0.5,
)  # rarer words may be names if the tagger says so
_BEGINS = re.compile(  # any word has a capital here
    r"(?:^|[^\W\d_]{3}[.!?]\s+|\d[.)]\s+|\n\s*|[-*•]\s*|:\s+)$"
)
_ABROAD = re.compile(
    "[ĄąĆćĘęŁłŃńŚśŹźŻżČčĎďĚěŇňŘřŠšŤťŮůŽžĞğİıŞşȚțȘșĂăŐőŰűØøÅåÐðÞþĐđ]"
)  # no letters of ours
_GIVEN = re.compile(r"(?<![^\W_])([A-ZÀ-Þ][^\W\d_]+) $")
_FAMILY = re.compile(
    r"((?: [a-zß-ÿ]{1,5}){0,3}) [A-ZÀ-Þ][^\W\d_]+(?:-[A-ZÀ-Þ][^\W\d_]+)?(?=[ \t]*(?:[:.,;)\n]|$))"
)
_DOSE = re.compile(r"\s?\d")  # behind a drug
RARE = {"de": KNOWN, "en": COMMON, "": KNOWN}  # words of two that may be a name no list has
CUED = 5.2  # words in lower case that are names, too, but hardly ever
RARER = 3.4  # the same where nothing but names has a capital
PLACES = frozenset({"LOCATION", "ORGANIZATION"})
_TOWNS = frozenset(
    {"san", "santa", "santo", "saint", "st", "los", "las", "el", "la", "new", "fort", "port"}
)
READERS = frozenset({"tagger", "spacy", "model"})


def checked(text: str, findings: list[Finding]) -> list[Finding]:
    """The findings of a segment that hold, cut to what is no ordinary word."""
    if not any(f.detector in READERS for f in findings):
        return findings
    tongue = language_of(text)
    homes = [f for f in findings if f.kind == "ADDRESS" and is_address(text, f, tongue)]
    out: list[Finding] = []
    for finding in (_recast(text, f, tongue) for f in findings):
        beside = any(
            -1 <= finding.start - h.end <= 4 or -1 <= h.start - finding.end <= 2 for h in homes
        )
        if finding.detector not in READERS or (finding.kind == "LOCATION" and beside):
            out.append(finding)
        elif finding.kind in PLACES and tongue == "en" and not _is_person(_capitals(text, finding)):
            out.append(finding)  # the tagger knows English places
        elif finding in homes:
            placed = place(text, finding)
            out += [placed] if is_address(text, placed, tongue) else []
        elif finding.kind == "ADDRESS" and tongue in {"", "en"}:
            continue
        else:
            out += (whole(text, name) for name in _names(text, finding, tongue))
    return out


def whole(text: str, finding: Finding) -> Finding:
    """A name with the given name before it, and with the family name that ends the clause.

    `Luiz` before `Henrique das Neves`, `Maus` in `wrote Birgit Maus:`.
    """
    if finding.kind != "PERSON":
        return finding
    tongue = language_of(text)
    before = _GIVEN.search(text, 0, finding.start)
    if before and is_given(before[1]) and frequency(before[1], tongue) < CUED:
        finding = replace(finding, start=before.start(1))
    behind = _FAMILY.match(text, finding.end)
    if not behind or not is_given(text[finding.start : finding.end].split()[-1]):
        return finding
    between = behind[1].split()  # of a name, or of another language: Anna auch Schlau
    named = all(LINK.fullmatch(w) or frequency(w, tongue) < COMMON for w in between)
    return replace(finding, end=behind.end()) if named else finding


def is_given(word: str) -> bool:
    """Return whether a word is a given name and no other word."""
    return all_roles().get(fold(word)) in {"female", "male"} and fold(word) not in ordinary()


def _recast(text: str, finding: Finding, tongue: str) -> Finding:
    """A supposed place or firm as a person, if it is a rare name and no town: `bei Anke`."""
    words = [token.group() for token in _capitals(text, finding) if not token.group().islower()]
    if finding.kind not in PLACES or finding.detector != "tagger" or not 1 <= len(words) <= 2:
        return finding
    rare = all(max(frequency(w, tongue), frequency(w, "en")) < GIVEN for w in words)
    named = all(fold(w) in all_roles() and not is_town(fold(w)) and w.istitle() for w in words)
    return replace(finding, kind="PERSON") if rare and named else finding


def _capitals(text: str, finding: Finding) -> list[re.Match[str]]:
    return list(_TOKEN.finditer(text, finding.start, finding.end))


def _names(text: str, finding: Finding, tongue: str) -> Iterator[Finding]:
    """The names in a finding, without the ordinary words around and between them."""
    tokens = list(_TOKEN.finditer(text, finding.start, finding.end))
    held = _weights(text, tokens, tongue, finding)
    for first, last in runs(text, tokens, held):
        run = tokens[first : last + 1]
        weights = held[first : last + 1]
        unknown = [token for token, weight in zip(run, weights, strict=True) if weight]
        if _is_eponym(text, run):
            continue
        if NAME not in weights and not _like_a_person(text, finding, unknown, tongue):
            continue
        start = finding.start if first == 0 else run[0].start()
        end = finding.end if last == len(tokens) - 1 else run[-1].end()
        kind = "PERSON" if finding.kind == "ADDRESS" or _is_person(run) else finding.kind
        yield Finding(start, end, kind, finding.score, finding.detector)


def _believed(text: str, token: re.Match[str], finding: Finding, tongue: str) -> bool:
    """Return whether the tagger's word is enough: the rarer the name, the less is asked."""
    word, score = token.group(), finding.score
    often = max(frequency(word, tongue), frequency(word, "en") - ABROAD)
    known = {fold(word), fold(word.lower().removesuffix("s"))} & all_roles().keys()
    listed = bool(known) and fold(word) not in ordinary()
    if _ABROAD.search(word) and not word.islower():
        return often < SELDOM
    if word.islower():
        return _low_believed(text, word, listed, often, score, tongue)
    if word.isupper() and len(word) <= ACRONYM and not text.isupper():
        return False
    if listed:
        noun = tongue == "de" and typical(word, tongue)
        return often < LISTED and score >= (SURE if noun else LIKELY_LISTED)
    opens = frequency(word, tongue) >= KNOWN and _BEGINS.search(text[: token.start()]) is not None
    if often >= UNLISTED or len(word) < 2 or opens or _DOSE.match(text, token.end()):
        return False
    if tongue == "de":  # where any noun has a capital
        joined_up = compound(word.lower())
        like_a_noun = joined_up or often or is_typo(word.lower(), "de")
        needed = SURE if like_a_noun else NEARLY_SURE
        return score >= needed and not (joined_up and len(word) > LONG)
    return score >= (SURE if tongue in {"", "en"} else LIKELY)


def _low_believed(
    text: str, word: str, listed: bool, often: float, score: float, tongue: str
) -> bool:
    """The same of a word in lower case: a listed name, or one that is no misspelled word."""
    if not text.islower():
        return listed and often < GIVEN and score >= SURE
    if listed:
        return often < GIVEN and score >= LIKELY
    misspelled = is_typo(word, tongue or "en")
    if tongue in {"", "en"}:
        return not misspelled and often < KNOWN and score >= SURE
    rare = often < SELDOM and not misspelled and score >= LIKELY
    return rare or (KNOWN <= often < UNLISTED and score >= SURE)


def _weights(text: str, tokens: list[re.Match[str]], tongue: str, finding: Finding) -> list[int]:
    """How much each word is a name where it stands, and beside the others."""
    held = [weigh(text, token, tongue) for token in tokens]
    if finding.kind == "PERSON" and finding.detector == "tagger":
        low = text[finding.start : finding.end].islower()
        for i, token in enumerate(tokens):
            word = token.group()
            if word.islower() and not low and not LINK.fullmatch(word):
                break  # the sentence goes on
            cued = NAME_CUE.search(text[max(0, token.start() - 40) : token.start()])
            if in_code(text, token):
                held[i] = ORDINARY
            elif _believed(text, token, finding, tongue):
                held[i] = NAME
            elif low and finding.score < LIKELY and not cued:
                held[i] = ORDINARY
    for first, last in runs(text, tokens, [t.group()[0].isupper() for t in tokens]):
        some = tokens[first : last + 1]
        if (tongue == "en" or len(some) == len(tokens)) and _are_names(text, some, tongue):
            held[first : last + 1] = [NAME] * len(some)
    for i, token in enumerate(tokens):  # beside a name, a name that is a word is a name
        beside = any(
            held[j] == NAME and joined(text, token, tokens[j], tongue)
            for j in (i - 2, i - 1, i + 1)
            if 0 <= j < len(tokens)
        )
        fit = beside and not _opens(text, token, tongue)
        if held[i] != NAME and fit and _second(token.group(), tongue):
            held[i] = NAME
    for i, j in linked([token.group() for token in tokens]):
        if NAME in (held[i], held[j]):
            held[i] = held[j] = NAME
    return held


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
    noun = bool(tokens) and (
        _is_noun(text, tokens[0]) or (tongue != "en" and _opens(text, tokens[0], tongue))
    )
    return 2 <= len(words) <= 3 and capital and any(listed) and rest and not german and not noun


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
    words = [t.group() for t in unknown]
    rare = all(
        max(frequency(w, "en"), frequency(w, tongue)) < RARE.get(tongue, RARER) for w in words
    )
    whole = all(w.istitle() for w in words) or all(w.isupper() for w in words)
    return len(words) > 1 and rare and whole and finding.score >= 0.9


def _is_noun(text: str, token: re.Match[str]) -> bool:
    """Return whether a word is what a person is called, in front of the name: `Patientin`."""
    return PERSON_NOUN.search(text[: token.end()][-60:] + " ") is not None


def _opens(text: str, token: re.Match[str], tongue: str) -> bool:
    """Return whether a word has its capital from the sentence that it begins: `Llamó Rocío`."""
    word = token.group()
    if _is_noun(text, token):
        return True
    known = fold(word) not in all_roles() and frequency(word, tongue) >= KNOWN
    return word[:1].isupper() and known and OPENING.search(text[: token.start()]) is not None


def _second(word: str, tongue: str) -> bool:
    """Return whether a word beside a name is its other half: a name, or one not too common."""
    if fold(word) in all_roles() and not (word.islower() and frequency(word, tongue) >= CUED):
        return True
    often = max(frequency(word, tongue), frequency(word, "en"))
    if word.isupper() and len(word) <= ACRONYM:
        return False
    if word.islower():
        return often < KNOWN and not is_typo(word, tongue or "en")
    if CODE.search(word) or (tongue == "de" and compound(word.lower())):
        return False
    return often < (3.5 if tongue == "de" else 4.5)
