"""Full names that the tagger misses or cuts short: known given names, and capitals behind a cue."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tasks.deidentify.cues import NAME_CUE, PERSON_ACT, SURE_CUE
from tasks.deidentify.findings import Finding
from tasks.deidentify.languages import COMMON, KNOWN, frequency, is_typo
from tasks.deidentify.languages import language as language_of
from tasks.deidentify.name_check import NAME, SURNAMES, compound, doubt, weigh
from tasks.deidentify.wordlists import all_roles, fold, is_name, ordinary, roles, word_set

GIVEN, RARE = 4.3, 3.5  # rarer words may be a given name, a family name, in a text without capitals
_CAPITAL = r"[A-ZÀ-Þ][^\W\d_]*(?:['’-][^\W\d_]+)*"
_PARTICLE = (
    r"(?:de la|de los|de las|van der|van den|van de|von der|de|del|della|di|da|das|do|dos|du|van|"
    r"von|zu|ten|ter|den|el|al|bin|y|e|le|la|lo)"
)
_CHAIN = re.compile(
    rf"(?<![\w@/.-])(?:{_PARTICLE} )?{_CAPITAL}(?:\s(?:{_PARTICLE}\s)?{_CAPITAL}){{0,3}}(?![\w@/])"
)
_WILL = re.compile(r"\s(?:will (?:call|come|be|pick|send|pay|sign|join)|comes|came)\b")
_REVERSED = re.compile(rf"(?<![\w@/.-])({_CAPITAL}), ({_CAPITAL})(?![\w@/])")
_MAILED = re.compile(rf"(?<![\w@/.-])({_CAPITAL}(?:\s{_CAPITAL}){{1,2}})\s?[<(]\s?([\w.+-]+)@")
_LOW = re.compile(r"(?<![\w@/.'-])([a-zß-ÿ]{3,}) (?=([a-zß-ÿ]{4,})(?![\w@/'-]))")
_PARTICLES = re.compile(rf"(?<=\s)(?:{_PARTICLE}\s)+$", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")


def known_names(text: str) -> list[Finding]:
    """Names in a segment, whoever else found them."""
    tongue = language_of(text)
    if text.islower():
        return list(_low_names(text, tongue))
    found = [f for chain in _CHAIN.finditer(text) for f in _in_chain(text, chain, tongue)]
    for match in _REVERSED.finditer(text):  # Öztürk, Mehmet
        given = all_roles().get(fold(match[2])) in {"female", "male"}
        often = max(frequency(match[1], tongue), frequency(match[1], "en"))
        if given and often < COMMON and NAME_CUE.search(text[: match.start()][-40:]):
            found.append(Finding(*match.span(), "PERSON", 0.7, "names"))
    for match in _MAILED.finditer(text):  # Mia Li <m.li@web.de>
        names, local = match[1].split(), fold(match[2])
        alike = any(len(name) > 2 and fold(name) in local for name in names)
        if alike and not all(frequency(name, "en") >= COMMON for name in names):
            found.append(Finding(*match.span(1), "PERSON", 0.7, "names"))
    return found


def _low_names(text: str, tongue: str) -> Iterator[Finding]:
    """A given name and a word that is no other, in a text that has no capitals."""
    for match in _LOW.finditer(text):
        first, second = match[1], match[2]
        if roles().get(fold(first)) not in {"female", "male"} or fold(first) in ordinary():
            continue
        if max(frequency(first, tongue), frequency(first, "en")) >= GIVEN:
            continue
        often = max(frequency(second, tongue), frequency(second, "en"))
        listed = fold(second) in all_roles() and fold(second) not in ordinary()
        rare = often < RARE and not is_typo(second, tongue or "en") and not compound(second)
        if often < GIVEN and (listed or rare):
            yield Finding(match.start(1), match.end(2), "PERSON", 0.7, "names")


def _in_chain(text: str, chain: re.Match[str], tongue: str) -> Iterator[Finding]:
    words = [
        w
        for w in _WORD.finditer(text, chain.start(), chain.end())
        if w.group()[0].isupper() and not _is_particle(w.group())
    ]
    for i, word in enumerate(words):
        behind = words[i + 1].group() if len(words) > i + 1 else ""
        cued = _is_cued(text, word.start()) or (i == 0 and _is_cued(text, chain.start()))
        linked = behind != "" and text[word.end() : words[i + 1].start()].strip() != ""
        acts = behind and _acts(text, word, words[i + 1])
        named = acts or (linked and _is_given(word))
        if not named and not _begins(text, word, tongue, cued, behind):
            continue
        last, sure = i, _is_sure(text, word.start())
        while last + 1 < len(words) and (
            (sure and last == i and _is_given(word))
            or acts
            or _continues(text, words[last], words[last + 1], tongue)
        ):
            last, acts = last + 1, False
        if last > i or cued or _alone(text, word, tongue):
            start = chain.start() if i == 0 and cued else word.start()
            if i and _is_listed(words[i - 1]) and text[words[i - 1].end() : start] == " ":
                start = words[i - 1].start()  # the family name comes first: Nguyen Thi Lan
            yield Finding(start, words[last].end(), "PERSON", 0.7, "names")
            return


def _is_particle(word: str) -> bool:
    return fold(word) in word_set("particles") or re.fullmatch(_PARTICLE, word.lower()) is not None


def _is_listed(word: re.Match[str]) -> bool:
    name = fold(word.group())
    return name in all_roles() and name not in ordinary() and frequency(name, "en") < COMMON + 1


def _is_sure(text: str, start: int) -> bool:
    return SURE_CUE.search(text[max(0, start - 40) : start]) is not None


def _acts(text: str, word: re.Match[str], behind: re.Match[str]) -> bool:
    """Return whether two words that may be names do what people do: `Will Hunter called`."""
    names = _is_given(word) and fold(behind.group()) in all_roles()
    return (
        names
        and text[word.end() : behind.start()] == " "
        and (PERSON_ACT.match(text, behind.end()) or _WILL.match(text, behind.end())) is not None
    )


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
        often = max(frequency(name, tongue), frequency(name, "en"))
        raw = text[max(0, word.start() - 40) : word.start()]
        before = _PARTICLES.sub("", raw)
        if before != raw and SURE_CUE.search(before):  # mevrouw de Groot
            return True
        return given or often < doubt(before, tongue)
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


_STREET = re.compile(
    r"-(?:stra(?:ß|ss)e|str|allee|gasse|platz|weg|ring|damm|ufer)\b", re.IGNORECASE
)
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
        least = COMMON if "." in match.group() else KNOWN  # a dot seldom joins two words
        rare = len(first) > 3 and len(second) > 3 and often < least
        double = "-" in match.group() and not match.group().islower()  # Jean-Claude
        if given and (common or rare) and not double and not _STREET.match(text, match.end()):
            findings.append(Finding(match.start(1), match.end(2), "USERNAME", 0.6, "names"))
    return findings
