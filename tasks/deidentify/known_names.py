"""Full names that the tagger misses or cuts short: known given names, and capitals behind a cue."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tasks.deidentify.cues import NAME_CUE
from tasks.deidentify.findings import Finding
from tasks.deidentify.languages import COMMON, KNOWN, frequency
from tasks.deidentify.languages import language as language_of
from tasks.deidentify.name_check import NAME, SURNAMES, weigh
from tasks.deidentify.wordlists import all_roles, fold, is_name, ordinary, roles, word_set

_CAPITAL = r"[A-ZÀ-Þ][^\W\d_]*(?:['’-][^\W\d_]+)*"
_PARTICLE = (
    r"(?:de la|de los|de las|van der|van den|van de|von der|de|del|della|di|da|das|do|dos|du|van|"
    r"von|zu|ten|ter|den|el|al|bin|y|e|le|la|lo)"
)
_CHAIN = re.compile(
    rf"(?<![\w@/.-])(?:{_PARTICLE} )?{_CAPITAL}(?:\s(?:{_PARTICLE}\s)?{_CAPITAL}){{0,3}}(?![\w@/])"
)
_PARTICLES = re.compile(rf"(?<=\s)(?:{_PARTICLE}\s)+$", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")


def known_names(text: str) -> list[Finding]:
    """Names in a segment, whoever else found them."""
    if text.islower():
        return []
    tongue = language_of(text)
    return [f for chain in _CHAIN.finditer(text) for f in _in_chain(text, chain, tongue)]


def _in_chain(text: str, chain: re.Match[str], tongue: str) -> Iterator[Finding]:
    words = [
        w
        for w in _WORD.finditer(text, chain.start(), chain.end())
        if w.group()[0].isupper() and fold(w.group()) not in word_set("particles")
    ]
    for i, word in enumerate(words):
        behind = words[i + 1].group() if len(words) > i + 1 else ""
        cued = _is_cued(text, word.start()) or (i == 0 and _is_cued(text, chain.start()))
        linked = behind != "" and text[word.end() : words[i + 1].start()].strip() != ""
        if not (linked and _is_given(word)) and not _begins(text, word, tongue, cued, behind):
            continue
        last = i
        while last + 1 < len(words) and _continues(text, words[last], words[last + 1], tongue):
            last += 1
        if last > i or cued or _alone(text, word, tongue):
            start = chain.start() if i == 0 and cued else word.start()
            yield Finding(start, words[last].end(), "PERSON", 0.7, "names")
            return


def _is_cued(text: str, start: int) -> bool:
    """Return whether a cue stands in front of a word, or of its particles: `Mevrouw De Smet`."""
    before = _PARTICLES.sub("", text[max(0, start - 40) : start])
    return NAME_CUE.search(before) is not None


def _is_given(word: re.Match[str]) -> bool:
    return all_roles().get(fold(word.group())) in {"female", "male"}


def _begins(text: str, word: re.Match[str], tongue: str, cued: bool, behind: str) -> bool:
    """Return whether a word is a given name, or any name behind a cue."""
    name = word.group()
    given = _is_given(word)
    if cued:
        return given or max(frequency(name, tongue), frequency(name, "en")) < 5.5
    if behind and given and fold(behind) in all_roles() and fold(behind) not in ordinary():
        return tongue != "de" or frequency(behind, tongue) < 4.5
    return weigh(text, word, tongue) == NAME and (given or (not behind and is_name(fold(name))))


def _continues(text: str, word: re.Match[str], behind: re.Match[str], tongue: str) -> bool:
    """Return whether a name goes on.

    With a name, a rare word, or what stands behind `de` or `van`.
    """
    name = behind.group()
    often = max(frequency(name, tongue), frequency(name, "en"))
    joined = text[word.end() : behind.start()].strip() != ""
    return fold(name.split("-")[0]) in all_roles() or often < (5.0 if joined else COMMON)


def _alone(text: str, word: re.Match[str], tongue: str) -> bool:
    """Return whether one known name is enough.

    In the languages that the tagger was not trained on.
    """
    rare = frequency(word.group(), tongue) < 4.5 and len(word.group()) > 3
    inside = re.search(r"(?:[.!?:]|^|\n)\s*$", text[: word.start()]) is None
    return tongue not in {"", "en", "de"} and rare and inside and is_name(fold(word.group()))


_JOINED = re.compile(r"(?<![^\W_])([^\W\d_]{2,})[._-]([^\W\d_]{3,})(?![^\W_])")


def joined_names(text: str) -> list[Finding]:
    """A given and a family name in one token: `anna.kowalczyk-cv`, `CV_Anna_Kowalczyk.pdf`."""
    findings: list[Finding] = []
    at = 0
    while match := _JOINED.search(text, at):
        at = match.start(2)
        first, second = fold(match[1]), fold(match[2])
        given = roles().get(first) in {"female", "male"} and first not in ordinary()
        often = max(frequency(match[2], "en"), frequency(second, "en"))
        common = second in all_roles() and second not in ordinary() and often < SURNAMES
        rare = len(first) > 3 and len(second) > 3 and often < KNOWN
        double = "-" in match.group() and not match.group().islower()  # Jean-Claude
        if given and (common or rare) and not double:
            findings.append(Finding(match.start(1), match.end(2), "USERNAME", 0.6, "names"))
    return findings
