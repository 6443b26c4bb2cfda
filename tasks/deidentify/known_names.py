"""Full names that the tagger misses or cuts short: known given names, and capitals behind a cue."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from tasks.deidentify.cues import NAME_CUE, PERSON_ACT, PERSON_NOUN, SURE_CUE
from tasks.deidentify.findings import Finding
from tasks.deidentify.languages import COMMON, KNOWN, frequency, is_typo
from tasks.deidentify.languages import language as language_of
from tasks.deidentify.name_words import (
    CODE,
    GIVEN,
    NAME,
    RARE,
    SURNAMES,
    compound,
    doubt,
    weigh,
)
from tasks.deidentify.wordlists import all_roles, fold, is_name, is_town, ordinary, roles, word_set

CUED, OFTEN = 4.5, 5.2  # the same behind a cue; a listed name behind one
_CAPITAL = r"[A-ZÀ-Þ][^\W\d_]*(?:['’-][^\W\d_]+)*"
_PARTICLE = (
    r"(?:de la|de los|de las|van der|van den|van de|von der|de|del|della|di|da|das|do|dos|du|van|"
    r"dal|dalla|dello|degli|"
    r"(?:(?:Frhr\.|Freiherr|Freifrau|Graf|Gräfin)\s)?(?:von und zu|vo[nm]|zu)|"
    r"zur|zum|oude|op de|op den|in['’ ]{1,2}t|van['’ ]{1,2}t|in het|"
    r"von|zu|ten|ter|den|el|al|bin|y|e|le|la|lo|san|ó|ní)"
)
_CHAIN = re.compile(
    rf"(?<![\w@/.-])(?:{_PARTICLE} )?{_CAPITAL}"
    rf"(?:\s(?:{_PARTICLE}\s|[dlDL]['’])?{_CAPITAL}){{0,3}}(?![\w@/]|::|\(\))"
)
_SPEAKER = re.compile(  # [10:02] Mia Li: no sound
    rf"^[ \t]*(?:[\d./-]{{6,10}},?\s)?[\[(]?\d{{1,2}}(?:[:.]\d\d){{1,2}}\s?(?i:[ap]m)?"
    rf"[\])]?\s[-–]?\s?"
    rf"({_CAPITAL}(?:\s{_CAPITAL}){{1,2}})\s?:\s",
    re.MULTILINE,
)
_MEMBER = re.compile(  # - Mia Li (chair)
    rf"^[ \t]*[-*•][ \t]+({_CAPITAL}(?:\s{_CAPITAL}){{1,2}})\s\(", re.MULTILINE
)
_WROTE = r"(?:wrote|schrieb|escribió|a écrit|ha scritto|schreef|escreveu)"
_WRITER = re.compile(  # On 3 March Mia Li wrote:
    rf"(?:{_WROTE}\s({_CAPITAL}(?:\s{_CAPITAL}){{1,2}})\s?:|({_CAPITAL}(?:\s{_CAPITAL}){{1,2}})\s{_WROTE}\b)"
)
_OWNER = re.compile(  # CPF 329.010.167-31, Mia Li
    rf"[,;:]?\s(?:{_PARTICLE}\s)?({_CAPITAL}(?:\s(?:{_PARTICLE}\s)?{_CAPITAL}){{1,3}})(?=\s?[,;.(\n]|\s*$)"
)
NUMBERS = frozenset({"ID_NUMBER", "US_SSN", "IBAN_CODE"})
_GOES_ON = re.compile(r" [a-zß-ÿ]{2,}")
_WILL = re.compile(r"\s(?:will (?:call|come|be|pick|send|pay|sign|join)|comes|came)\b")
_REVERSED = re.compile(rf"(?<![\w@/.-])({_CAPITAL}), ({_CAPITAL})(?![\w@/])")
_MAILED = re.compile(rf"(?<![\w@/.-])({_CAPITAL}(?:\s{_CAPITAL}){{1,2}})\s?[<(]\s?([\w.+-]+)@")
_LOW = re.compile(r"(?<![\w@/.'-])([a-zß-ÿ]{3,}) (?=([a-zß-ÿ]{4,})(?![\w@/'-]))")
_SIGNED = re.compile(
    r"^[ \t*_–—-]*([a-zß-ÿ]{2,}(?:[ '’-]{1,2}[a-zß-ÿ]+){1,4})[ \t.,!*_]*$", re.MULTILINE
)
_PARTICLES = re.compile(rf"(?<=\s)(?:{_PARTICLE}\s)+$", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")


def known_names(text: str) -> list[Finding]:
    """Names in a segment, whoever else found them."""
    tongue = language_of(text)
    signed = list(_signed(text, tongue))
    if text.islower():
        return [*signed, *_low_names(text, tongue)]
    found = [*signed, *_spoken(text, tongue)]
    found += [f for chain in _CHAIN.finditer(text) for f in _in_chain(text, chain, tongue)]
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
        cued = _is_cued(text, match.start())
        given = all_roles() if cued else roles()
        named = given.get(fold(first)) in {"female", "male"} and fold(first) not in ordinary()
        often = max(frequency(second, tongue), frequency(second, "en"))
        listed = fold(second) in all_roles() and fold(second) not in ordinary()
        usual = max(frequency(first, tongue), frequency(first, "en"))
        if cued and (named or (listed and usual < RARE)):
            rare = often < OFTEN if listed else often < CUED
        else:
            rare = named and usual < CUED and _is_rare(second, often, listed, tongue)
        if rare:
            yield Finding(match.start(1), match.end(2), "PERSON", 0.7, "names")


def _is_rare(word: str, often: float, listed: bool, tongue: str) -> bool:
    """Return whether a word in lower case may be a family name: a listed one, or no word."""
    unknown = often < RARE and not is_typo(word, tongue or "en") and not compound(word)
    return often < GIVEN and (listed or unknown)


def owners(text: str, findings: Sequence[Finding]) -> Iterator[Finding]:
    """Names directly behind the number of an account or a document."""
    for finding in findings:
        match = _OWNER.match(text, finding.end) if finding.kind in NUMBERS else None
        if match and _are_rare(match[1], language_of(text)):
            yield Finding(*match.span(1), "PERSON", 0.7, "names")


def _spoken(text: str, tongue: str) -> Iterator[Finding]:
    """Who writes, in a chat and above a quoted mail."""
    for match in (m for form in (_SPEAKER, _WRITER, _MEMBER) for m in form.finditer(text)):
        span = match.span(1) if match[1] else match.span(2)
        if _are_rare(text[slice(*span)], tongue):
            yield Finding(*span, "PERSON", 0.7, "names")


def _are_rare(name: str, tongue: str) -> bool:
    """Return whether one of some words is a listed name, or none is a word of the language."""
    words = [w for w in _WORD.findall(name) if not _is_particle(w)]
    rest = [w for w in words if fold(w) not in all_roles() or fold(w) in ordinary()]
    often = max((frequency(w, code) for w in rest for code in (tongue, "en")), default=0.0)
    return often < (COMMON if tongue == "de" else CUED if len(rest) < len(words) else RARE)


def _signed(text: str, tongue: str) -> Iterator[Finding]:
    """Lines that are no more than a name in lower case: `jan-niklas petersen`, `bas de wit`."""
    for line in _SIGNED.finditer(text):
        names = [w for w in _WORD.findall(line[1]) if not _is_particle(w)]
        if 2 <= len(names) <= 3 and _are_low_names(names, line[1].count(" "), tongue):
            yield Finding(*line.span(1), "PERSON", 0.7, "names")


def _are_low_names(names: list[str], spaces: int, tongue: str) -> bool:
    """Return whether words are a given name and what may follow one."""
    first, linked = names[0], spaces >= len(names)
    given = all_roles().get(fold(first.split("-")[0])) in {"female", "male"}
    if not given or frequency(first, tongue) >= OFTEN:
        return False
    for number, name in enumerate(names[1:], 1):
        often = max(frequency(name, tongue), frequency(name, "en"))
        listed = fold(name) in all_roles() and fold(name) not in ordinary()
        third = number == 2 and often < CUED  # anna lisa ferri
        if often >= OFTEN or not (listed or linked or third or often < COMMON):
            return False
    return True


def _in_chain(text: str, chain: re.Match[str], tongue: str) -> Iterator[Finding]:
    words = [
        w
        for w in _WORD.finditer(text, chain.start(), chain.end())
        if not w.group().islower() and not _is_particle(w.group())
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
        if last > i or (cued and not _is_subject(text, word)) or _alone(text, word, tongue):
            start = chain.start() if i == 0 and cued else word.start()
            if i and _is_listed(words[i - 1]) and text[words[i - 1].end() : start] == " ":
                start = words[i - 1].start()  # the family name comes first: Nguyen Thi Lan
            yield Finding(start, words[last].end(), "PERSON", 0.7, "names")
            return


def _is_subject(text: str, word: re.Match[str]) -> bool:
    """Return whether a sentence begins behind a greeting: `Hello, AutoCAD says no seats`."""
    goes_on = text[: word.start()].endswith(", ") and _GOES_ON.match(text, word.end()) is not None
    return goes_on and fold(word.group()) not in all_roles()


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
    noun = text[start : start + 1].isupper() and PERSON_NOUN.search(before) is not None
    return noun or NAME_CUE.search(before) is not None


def _is_given(word: re.Match[str]) -> bool:
    name = fold(word.group())
    return (all_roles().get(name) or all_roles().get(name.split("-")[0])) in {"female", "male"}


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
        if not NAME_CUE.search(before):  # a noun for a person, which other words follow, too
            return weigh(text, word, tongue) == NAME or _is_half(behind, tongue)
        return given or often < doubt(before, tongue)
    if behind and given and fold(behind) in all_roles() and fold(behind) not in ordinary():
        return tongue != "de" or frequency(behind, tongue) < 4.5
    if behind and given and _is_pair(name, behind, tongue):
        return True
    return weigh(text, word, tongue) == NAME and (given or (not behind and is_name(fold(name))))


def _is_half(behind: str, tongue: str) -> bool:
    """Return whether a word is a listed name and not a common word: `Yildirim`."""
    listed = fold(behind) in all_roles() and fold(behind) not in ordinary()
    return listed and frequency(behind, tongue or "en") < GIVEN


def _is_pair(given: str, behind: str, tongue: str) -> bool:
    """Return whether a word behind a given name is no other word: `Solange Mbarga`."""
    often = max(frequency(behind, tongue), frequency(behind, "en"))
    noun = tongue in {"de", ""} and (often >= KNOWN or compound(behind.lower()))
    alike = given.isupper() == behind.isupper() and not CODE.search(behind)
    usual = fold(given) in ordinary() or frequency(given, tongue) >= GIVEN
    return alike and not usual and not noun and often < RARE


def _continues(text: str, word: re.Match[str], behind: re.Match[str], tongue: str) -> bool:
    """Return whether a name goes on.

    With a name, a rare word, or what stands behind `de` or `van`.
    """
    name = behind.group()
    often = max(frequency(name, tongue), frequency(name, "en"))
    joined = text[word.end() : behind.start()].strip() != ""
    limit = 5.0 if joined else COMMON if tongue in {"de", ""} else RARE
    acronym = name.isupper() and not word.group().isupper()
    return fold(name.split("-")[0]) in all_roles() or (often < limit and not acronym)


def _alone(text: str, word: re.Match[str], tongue: str) -> bool:
    """Return whether one known name is enough.

    In the languages that the tagger was not trained on.
    """
    rare = frequency(word.group(), tongue) < 4.5 and len(word.group()) > 3
    inside = re.search(r"(?:[.!?:]|^|\n)\s*$", text[: word.start()]) is None
    if word.group().isupper() or is_town(fold(word.group())):
        return False
    return tongue not in {"", "en", "de"} and rare and inside and is_name(fold(word.group()))


_STREET = re.compile(
    r"-(?:stra(?:ß|ss)e|str|allee|gasse|platz|weg|ring|damm|ufer)\b", re.IGNORECASE
)
_JOINED = re.compile(r"(?<![^\W_])([^\W\d_]{2,})[._-]([^\W\d_]{3,})(?![^\W_])")


def joined_names(text: str) -> list[Finding]:
    """A given and a family name in one token: `anna.kowalczyk-cv`, `CV_Anna_Kowalczyk.pdf`."""
    findings: list[Finding] = []
    tongue, at = language_of(text), 0
    while match := _JOINED.search(text, at):
        at = match.start(2)
        first, second = fold(match[1]), fold(match[2])
        given = roles().get(first) in {"female", "male"} and first not in ordinary()
        often = max(frequency(w, code) for w in (match[2], second) for code in ("en", tongue))
        common = second in all_roles() and second not in ordinary() and often < SURNAMES
        least = COMMON if "." in match.group() else KNOWN  # a dot seldom joins two words
        rare = len(first) > 3 and len(second) > 3 and often < least
        both = given and roles().get(second) in {"female", "male"}
        double = "-" in match.group() and (both or not match.group().islower())  # Jean-Claude
        if given and (common or rare) and not double and not _STREET.match(text, match.end()):
            findings.append(Finding(match.start(1), match.end(2), "USERNAME", 0.6, "names"))
    return findings
