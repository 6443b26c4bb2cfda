"""Finds phone numbers by shape and cue, checked with the `phonenumbers` library.

Presidio's own recogniser takes nine of ten ten-digit item ids; here a number counts when it is
written like a phone number or stands behind a cue, and is possible in some region.
"""

from __future__ import annotations

import re
from typing import Any

from tasks.deidentify.identifier_cues import THINGS
from tasks.deidentify.languages import language

_PHONE = re.compile(
    r"(?<![\w.#/@-])(?<!\d[ ,])\+?\(?\d[\d\s().x/-]{5,22}\d(?:\s?(?:x|ext\.?)\s?\d{1,6})?"
    r"(?![\w@])(?!-\d)",
    re.IGNORECASE,
)
_PHONE_CUE = re.compile(
    r"\b(?:phone|tel|telephone|cell|cellphone|mobile|fax|whatsapp|sms|handy|dial|ring|text\s+me|"
    r"reach(?:\s+(?:me|us|him|her|them))?|call(?:ed|ing)?|answering\s+(?:at|on)|"
    r"(?:contact|my|your|his|her|their|our)\s+number|(?:desk|office|line|direct)\s*:|"
    r"telefon\w*|tel\.|mobil\w*|handynummer|rufnummer|ruf(?:en|t)|rückruf|erreich\w*|fon|"
    r"tel[eé]fono|m[oó]vil|celular|cel\.|llam\w+|contact\w+|t[eé]l[eé]phone|t[eé]l|portable|joign?\w*|joindre|(?:r?appel\w*)|num[eé]ro|"
    r"cellulare|contatt\w+|contact\w*|cell\.|(?:ri)?chiam\w+|numero|telefoon\w*|tel\.?nr|mobiel\w*|gsm|bel|belt|bellen|bereik\w*|nummer|"
    r"telefone|telem[oó]vel|lig(?:ue|uem|ar)|n[uú]mero)(?!\w)",
    re.IGNORECASE,
)
_PHONE_AFTER = re.compile(
    r"\s?[-(,]?\s?(?:office|fax|mobile|cell|home|work|desk|phone)\b", re.IGNORECASE
)
_NOT_PHONE = re.compile(
    r"(?:\d{4}-\d\d-\d\d|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}|[\d ]+[.,]\d{1,2}|"
    r"\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}\s\d{1,2}$|\d{4}\s?-\s?\d{4}|\d{5}-\d{3})(?!\d)(?![ .-]\d)"
)
_THING = re.compile(rf"\b(?:{THINGS})\b[^\d\n,;:!?]{{0,12}}[\s:]$", re.IGNORECASE)
_EXTENSION = re.compile(r"\s?(?:x|ext)", re.IGNORECASE)
_GROUPED = re.compile(r"\d[\s().-]+\d{2,}[\s().-]+\d{2,}")
PHONE_REGIONS = (
    *("US", "GB", "DE", "FR", "ES", "IN", "BR", "IT", "AU", "IL"),
    *("NL", "BE", "AT", "CH", "PT", "MX"),
)


_MOBILES = {10: "IT", 9: "PT"}  # digits of a number that is written without a prefix
_MINE = re.compile(  # whose it is, and that it is to be used
    r"\b(?:il (?:mio|suo|nuovo)|mi[oa]|scriv\w+|messagg\w+|mand\w+ (?:un )?sms|trov\w+ al|"
    r"risponde al|(?:o )?(?:meu|seu|novo)|mand\w+ (?:mensagem|sms)|atend\w+|encontr\w+ no|"
    r"responde no)\b(?:\s(?:[^\W\d_]{1,8}|è|é)){0,3}[\s:]{1,3}$",
    re.IGNORECASE,
)
TRUNK_REGIONS = ("DE", "FR", "IT", "NL", "BE", "AT", "CH", "GB")


def phones(text: str) -> list[tuple[int, int, float]]:
    """Phone numbers: valid for a region, and either written like one or behind a cue."""
    import phonenumbers

    findings = []
    for match in _PHONE.finditer(text):
        value = match.group()
        digits = sum(c.isdigit() for c in _EXTENSION.split(value)[0])
        bare = value.lstrip("(")
        if not 7 <= digits <= 16 or _NOT_PHONE.match(bare):
            continue
        if value[0] != "+" and _THING.search(text, max(0, match.start() - 32), match.start()):
            continue
        cue = bool(
            _PHONE_CUE.search(text, max(0, match.start() - 40), match.start())
            or _PHONE_AFTER.match(text, match.end())
        )
        shaped = value[0] == "+" or _GROUPED.search(bare) or re.match(r"\(\d{1,5}\)", value)
        mobile = _bare_mobile(phonenumbers, value, text, match.start())
        trunk = bare[0] == "0" and any(_valid(phonenumbers, value, r) for r in TRUNK_REGIONS)
        short = digits < 9 and value[0] not in "+(0"  # the number of a claim: 77-2291-04
        if not cue and (short or not shaped) and not trunk and not mobile:
            continue
        valid = trunk or any(_possible(phonenumbers, value, region) for region in PHONE_REGIONS)
        if valid or cue:
            findings.append((match.start(), match.end(), 0.75 if valid and cue else 0.6))
    return findings


def _bare_mobile(phonenumbers: Any, value: str, text: str, start: int) -> bool:
    """Return whether digits are a mobile number as Italians and Portuguese write it: `3391204587`.

    Behind a word for something that is numbered, such as an order, they are none.
    """
    region = _MOBILES.get(len(value)) if value.isdigit() else None
    if region is None or not _MINE.search(text, max(0, start - 40), start):
        return False
    return language(text) == region.lower() and _valid(phonenumbers, value, region)


def _valid(phonenumbers: Any, value: str, region: str) -> bool:
    """Return whether a number that begins with 0 is one of the region's numbering plan."""
    try:
        return bool(phonenumbers.is_valid_number(phonenumbers.parse(value, region)))
    except phonenumbers.NumberParseException:
        return False


def _possible(phonenumbers: Any, value: str, region: str) -> bool:
    try:
        return bool(phonenumbers.is_possible_number(phonenumbers.parse(value, region)))
    except phonenumbers.NumberParseException:
        return False
