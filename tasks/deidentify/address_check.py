"""Whether what a model took for an address has what addresses have, and where it ends."""

from __future__ import annotations

import re
from dataclasses import replace

from tasks.deidentify.cues import AMOUNT, STREET
from tasks.deidentify.findings import Finding
from tasks.deidentify.languages import COMMON, frequency
from tasks.deidentify.name_words import CODE
from tasks.deidentify.places import LINKS
from tasks.deidentify.wordlists import fold, is_name

_TOKEN = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
LIKELY, SURE = 0.7, 0.95  # of the tagger, in English and elsewhere
_PART = re.compile(r"[^\W_]+(?:[.'’/-][^\W_]+)*")
_CLAUSE = re.compile(r",\s+(?=(?:[a-zß-ÿ]{3,}|[a-zß-ÿ]+\s[a-zß-ÿ]+)\b)")  # the sentence goes on
_HOUSE = re.compile(r"\b\d{1,6}[A-Za-z]? [A-ZÀ-Þ]|[A-ZÀ-Þ][\w.' -]+,? \d{4,5}\b")
_HOUSE_BEHIND = re.compile(r"[A-ZÀ-Þ][\w.'-]*(?: [\w.'-]+)+,? (?:n[.°º]? ?)?\d{1,4}(?![,.]?\d)")
LOOSE = re.compile(  # streets only beside a number: other things are called so, too
    r"court|ct|place|pl|way|close|path|row|walk|plaza|point|cove|ridge|unit|floor|suite|square|sq|"
    r"trail|loop|pike|circle|cir|st|dr|via|route|strada|camino|largo|paseo",
    re.IGNORECASE,
)


def place(text: str, finding: Finding) -> Finding:
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


def is_address(text: str, finding: Finding, tongue: str) -> bool:
    """Return whether a supposed address has what addresses have.

    A street word, or a number and a name.
    """
    address = text[finding.start : finding.end]
    numbered = any(c.isdigit() for c in address)
    rest = (
        t for t in _TOKEN.findall(address) if not STREET.fullmatch(t) and t.lower() not in LINKS
    )
    if not numbered and not any(rest):
        return False  # `hwy` alone
    if any(numbered or not LOOSE.fullmatch(m.group()) for m in STREET.finditer(address)):
        return True
    if AMOUNT.search(text, finding.start, finding.end + 6):
        return False
    english = tongue in {"", "en"}  # the streets of other languages have patterns of their own, too
    if finding.score < (LIKELY if english else SURE):
        return False
    house = (_HOUSE if english else _HOUSE_BEHIND).search(address)
    return house is not None and any(_unusual(t, tongue) for t in _TOKEN.findall(address))


def _unusual(word: str, tongue: str) -> bool:
    often = max(frequency(word, tongue), frequency(word, "en"))
    named = is_name(fold(word)) or often < COMMON
    return word[0].isupper() and len(word) > 1 and not CODE.search(word) and named
