"""The parts of an address: which words name a street, which a town, in which country.

`parts` cuts an address into house numbers, names and what stays; `surrogates` draws a common street
of the country for a street, a real town (of the same state) for a town. Nothing to run.
"""

# ruff: noqa: SIM905 - word lists read best as text
from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

from tasks.deidentify.findings import Finding
from tasks.deidentify.languages import frequency, is_typo, language
from tasks.deidentify.patterns import STATES
from tasks.deidentify.wordlists import STATE_CODES, fold, pool, word_set

_TOKEN = r"\d+(?:(?:st|nd|rd|th)\b)?|[^\W\d_]+(?:['’][^\W\d_]+)*"
_CODES = {  # postal codes with letters
    "gb": r"\b[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}\b|",
    "nl": r"\b\d{4} ?[A-Z]{2}\b|",
}
_POSTAL = re.compile(rf"\b({STATES})\b,?\s+\d{{5}}\b")
_COUNTRIES = tuple(
    (country, re.compile(pattern, re.IGNORECASE))
    for country, pattern in (
        ("gb", r"\b[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}\b"),
        ("de", r"(?:stra(?:ß|ss)e|str\.|gasse|allee|weg|platz)\b|\b[DA]-\d{4,5}\b"),
        ("nl", r"(?:straat|laan|gracht|plein|kade|dijk)\b|\b\d{4} ?[A-Z]{2}\b"),
        ("fr", r"\b(?:rue|chemin|impasse|quai|allée|boulevard d\w+)\b"),
        ("es", r"\b(?:calle|c/|avda|paseo|carrer|plaza|glorieta)(?!\w)"),
        ("it", r"\b(?:via|viale|corso|piazza|piazzale|vicolo)\b"),
        ("pt", r"\b(?:rua|travessa|praça|alameda|estrada)\b"),
    )
)
_BEHIND = frozenset(  # the kind of street stands behind its name
    "street st avenue ave av road rd boulevard blvd drive dr lane ln court ct way place pl square "
    "sq terrace ter parkway pkwy circle cir highway hwy trail trl crescent cres close mews row "
    "loop walk gardens grove pike turnpike expressway path run hill ridge straße strasse str weg "
    "gasse allee platz ring ufer damm straat laan plein gracht kade".split()
)
_BEFORE = frozenset(  # or before it
    "rue avenue av boulevard chemin impasse quai route place allée allee calle avda avenida paseo "
    "plaza camino carrer carrera ronda via viale corso piazza piazzale largo vicolo strada rua "
    "travessa praça alameda estrada".split()
)
_LINKS = frozenset(
    "de la le les l du des del della dei degli di da das do dos el los las bis ter quater".split()
)
LINKS = _LINKS | set(
    "van der den dem het am im ob auf unter zum zur und y e et sur sous aan".split()
)
_FLOORS = frozenset("izq izda dcha piso puerta esc bajo top whg wohnung bus scala interno".split())
_TOWN_BEGINS = frozenset(
    "san santa santo los las el la saint st fort ft new port mount mt bad den le".split()
)
_COMPOUND = re.compile(
    r"(?<=[^\W\d_]{3})(?:straße|strasse|str|weg|gasse|allee|platz|ring|damm|ufer|steig|graben|"
    r"straat|laan|plein|gracht|kade|dijk|singel|dreef)$",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\d+(?:st|nd|rd|th)?", re.IGNORECASE)
Kind = Literal["number", "code", "street", "town", "stays"]


@dataclass(frozen=True, slots=True)
class AddressPart:
    """A stretch of an address and what it is."""

    start: int
    end: int
    kind: Kind


def country_of(text: str, language: str) -> tuple[str, str]:
    """The country that an address is written in the way of, and its state if it names one."""
    if state := _POSTAL.search(text):
        return "us", state[1]
    countries = (country for country, pattern in _COUNTRIES if pattern.search(text))
    return next(countries, "us" if language in {"", "en"} else language), ""


def parts(text: str, country: str) -> Iterator[AddressPart]:
    """Cut an address into its parts, without what stands between them."""
    tokens = list(re.finditer(_CODES.get(country, "") + _TOKEN, text, re.IGNORECASE))
    at = 0
    while at < len(tokens):
        last = _name_end(text, tokens, at)
        if last is None:
            yield AddressPart(*tokens[at].span(), _other(tokens[at].group()))
            at += 1
            continue
        start, end = tokens[at].start(), tokens[last].end()
        compound = _COMPOUND.search(tokens[last].group())
        if compound:
            yield AddressPart(start, tokens[last].start() + compound.start(), "street")
        else:
            street = _is_street(text, tokens, at, last, country)
            yield AddressPart(start, end, "street" if street else "town")
        at = last + 1


_CODE_AND_TOWN = re.compile(r"(?<![\w-])\d{5}\s([^\W\d_]+(?:[ -][^\W\d_]+)?)(?!\w)")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_BEGINS = re.compile(  # a postal code and a town's first word, or two
    r"\b(?:\d{4}\s?[A-Z]{2}|\d{4,5}(?:-\d{3})?)\s(?:(?:São|San|Santa|Santo|Sankt|Saint|Bad|Den|Le|La|"
    r"El|Los|Las|Rio|Belo|Porto|Vila|Nova)[ -])?[A-ZÀ-Þ][^\W\d_]+(?!\w)"
)
_NO_TOWNS = frozenset("waren norden regen brand bogen burg roth siegen halle bar lens".split())


@cache
def _towns() -> frozenset[str]:
    """Towns of the countries whose postal codes have five digits, if they are no words as well."""
    names = (
        fold(name) for country in ("de", "fr", "it", "es") for name in pool(f"towns {country}")
    )
    return frozenset(names) - _NO_TOWNS


def postal_towns(text: str) -> list[tuple[int, int]]:
    """A postal code and a known town behind it: `in 86150 Augsburg`."""
    found = []
    for match in _CODE_AND_TOWN.finditer(text):
        whole, first = match[1], re.split("[ -]", match[1])[0]
        name = next((n for n in (whole, first) if fold(n) in _towns()), "")
        if name:
            found.append((match.start(), match.start(1) + len(name)))
    return found


_BY = re.compile(r"(?:via|route|place|square|cours|passage|campo|parque|lago)\s[^\d]*")


def is_by_way_of(address: str, text: str) -> bool:
    """Return whether a supposed street is a word that others have, too: `via Tailscale`."""
    return _BY.fullmatch(address) is not None and (
        not address.startswith("via") or language(text) != "it"
    )


def to_town(text: str, finding: Finding) -> Finding:
    """An address that ends with the town behind its postal code, without the next sentence."""
    address = finding.kind == "ADDRESS"
    code = _BEGINS.search(text, finding.start, finding.end) if address else None
    tongue = language(text) if code else ""
    if code is None or tongue in {"", "en"}:
        return finding
    end = code.end()
    for word in _WORD.finditer(text, code.end(), finding.end):
        gap, name = text[end : word.start()], word.group()
        other = frequency(name, tongue) >= 5.0 or is_typo(name.lower(), tongue)
        if gap not in {" ", "-"} or (other and name not in LINKS):
            return replace(finding, end=end)
        end = word.end()
    return finding


def _other(token: str) -> Kind:
    if not any(c.isdecimal() for c in token):
        return "stays"
    return "number" if _NUMBER.fullmatch(token) else "code"


def _stays(token: str) -> bool:
    plain = fold(token)
    fixed = plain in word_set("address") | _LINKS | _FLOORS or plain in STATE_CODES
    return fixed or len(token) == 1


def _name_end(text: str, tokens: list[re.Match[str]], at: int) -> int | None:
    """Return where the name that begins at a token ends; None when none begins there."""
    token = tokens[at].group()
    if any(c.isdecimal() for c in token):
        return None
    if _stays(token):
        opens = at == 0 or not text[tokens[at - 1].end() : tokens[at].start()].isspace()
        joined = at + 1 < len(tokens) and _joined(text, tokens, at) and opens
        if not (joined and fold(token) in _TOWN_BEGINS):
            return None
    last = at
    while last + 1 < len(tokens) and _joined(text, tokens, last):
        last += 1
    return last


def _joined(text: str, tokens: list[re.Match[str]], at: int) -> bool:
    """Return whether the next word goes on with the name."""
    word, gap = tokens[at + 1].group(), text[tokens[at].end() : tokens[at + 1].start()]
    return gap in {" ", "-", ". "} and word.isalpha() and not _stays(word)


def _is_street(text: str, tokens: list[re.Match[str]], first: int, last: int, country: str) -> bool:
    behind = tokens[last + 1] if last + 1 < len(tokens) else None
    if behind and fold(behind.group()) in _BEHIND:
        return text[tokens[last].end() : behind.start()] in {" ", "-"}
    before = first - 1
    numbered = behind is not None and behind.group().isdecimal() and country not in {"us", "gb"}
    if numbered and (before < 0 or not tokens[before].group()[0].isdecimal()):
        return True  # the house stands behind, and no postal code in front
    while before >= 0 and fold(tokens[before].group()) in _LINKS:
        before -= 1
    return before >= 0 and fold(tokens[before].group()) in _BEFORE
