"""The parts of an address: which words name a street, which a town, in which country.

`parts` cuts an address into house numbers, names and what stays; `surrogates` draws a common street
of the country for a street, a real town (of the same state) for a town. Nothing to run.
"""

# ruff: noqa: SIM905 - word lists read best as text
from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from tasks.deidentify.patterns import STATES
from tasks.deidentify.wordlists import STATE_CODES, fold, word_set

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


def _other(token: str) -> Kind:
    if not any(c.isdecimal() for c in token):
        return "stays"
    return "number" if _NUMBER.fullmatch(token) else "code"


def _stays(token: str) -> bool:
    plain = fold(token)
    fixed = plain in word_set("address") or plain in _LINKS or plain in STATE_CODES
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
