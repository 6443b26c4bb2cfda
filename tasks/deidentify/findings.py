"""Findings of detectors, and how overlapping ones are resolved."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

ORDER = (
    "SECRET, PASSWORD, IBAN_CODE, CREDIT_CARD, EMAIL_ADDRESS, US_SSN, BIRTH_DATE, CARD_LAST_FOUR, "
    "CARD_CODE, CARD_EXPIRY, "
    "MAC_ADDRESS, IP_ADDRESS, CRYPTO, ID_NUMBER, BANK_NUMBER, PHONE_NUMBER, USERNAME, ADDRESS, "
    "ZIP_CODE, PERSON, LOCATION, ORGANIZATION, DATE_TIME, URL"
)
PRIORITY = {name: rank for rank, name in enumerate(ORDER.split(", "))}


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """A span of personal data in a segment or leaf, and who found it."""

    start: int
    end: int
    kind: str
    score: float
    detector: str


NAMED = frozenset({"PERSON", "LOCATION", "ORGANIZATION", "ADDRESS"})
_PIECE = re.compile(r"\w(?:.*\w)?", re.DOTALL)
CUED = frozenset({"SECRET", "PASSWORD"})
_UUID = re.compile(r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b", re.IGNORECASE)
_BORN = re.compile(
    r"[\s,;|(]{1,3}(?:\*\s?|(?:b|n|nac|nasc|geb)\.\s?)?"
    r"(?P<v>\d{1,2}[./-]\d{1,2}[./-](?:19[2-9]\d|200\d|201[0-2])|"
    r"(?:19[2-9]\d|200\d|201[0-2])[./-]\d{1,2}[./-]\d{1,2})(?!\d)"
)
_FOUNDED = re.compile(  # `la società è nata a Torino il`: a founding is no birthday
    r"(?:^|[.,;:!?\n\"(]\s*)(?:\w+\s){0,2}(?:l['’])?(?:"
    r"company|start-?up|charity|union|museum|project|brand|"
    r"firma|unternehmen|gesellschaft|verein|stiftung|projekt|marke|"
    r"empresa|compañía|sociedad|asociación|fundación|proyecto|marca|"
    r"société|entreprise|association|fondation|projet|marque|"
    r"società|azienda|impresa|ditta|associazione|fondazione|progetto|"
    r"bedrijf|vennootschap|vereniging|stichting|merk|"
    r"sociedade|associação|fundação|projeto)\s(?:(?-i:[A-ZÀ-Þ])\S*\s){0,2}"
    r"(?:(?:was|is|wurde|ist|est|è|foi) )?(?:born|nat[ao]|née?|nacid[oa]|nació|nasceu)\s"
    r"(?:(?!born|nat[ao]\b|née?\b|nacid)[^.,;:!?\n]){0,40}$",
    re.IGNORECASE,
)
_BESIDE = re.compile(r"[\s,>]{1,4}")


def free(finding: Finding, taken: Sequence[Finding]) -> Iterator[Finding]:
    """The stretches of a finding that no other covers."""
    at = finding.start
    for other in sorted(taken):
        if other.end <= at or other.start >= finding.end:
            continue
        if other.start > at:
            yield replace(finding, start=at, end=other.start)
        at = max(at, other.end)
    if at == finding.start or at < finding.end:
        yield replace(finding, start=at)


def outside(
    text: str, findings: Sequence[Finding], spans: Sequence[tuple[int, int]]
) -> list[Finding]:
    """Names and places without the stretches of a text that are nobody's; other kinds as they are.

    Of an address only what has a number stays.
    """
    out: list[Finding] = []
    for finding in findings:
        inside = [s for s in spans if s[0] < finding.end and finding.start < s[1]]
        if not inside or finding.kind not in NAMED:
            out.append(finding)
            continue
        starts, ends = (
            [finding.start, *(e for _, e in inside)],
            [*(s for s, _ in inside), finding.end],
        )
        for start, end in zip(starts, ends, strict=True):
            piece = _PIECE.search(text, start, end) if start < end else None
            if piece and (finding.kind != "ADDRESS" or any(map(str.isdecimal, piece.group()))):
                out.append(replace(finding, start=piece.start(), end=piece.end()))
    return out


def resolve(text: str, findings: Sequence[Finding]) -> list[Finding]:
    """Overlaps resolved: by priority of the type, then the longer span, then the higher score."""
    uuids = [m.span() for m in _UUID.finditer(text)] if "-" in text else []
    kept: list[Finding] = []
    order = sorted(
        _no_phones(findings), key=lambda f: (PRIORITY.get(f.kind, 50), f.start - f.end, -f.score)
    )
    for finding in order:
        start, end = finding.start, finding.end
        if finding.kind not in CUED and any(start < b and a < end for a, b in uuids):
            continue  # an object's name, unless a cue says that it is a secret
        there = [k for k in kept if start < k.end and k.start < finding.end]
        if finding.kind == "ADDRESS" and all(k.kind == "ADDRESS" for k in there):
            start, end = (
                min([start, *(k.start for k in there)]),
                max([end, *(k.end for k in there)]),
            )
            kept = [k for k in kept if k not in there]
            kept.append(replace(finding, start=start, end=end))
        elif not there:
            kept.append(finding)
    found = [f for f in _homes(text, sorted(kept)) if not _nobodys(text, f)]
    return sorted([*found, *_births(text, found)])


def _no_phones(findings: Sequence[Finding]) -> Iterator[Finding]:
    """Findings but for a house and a postal code in a row that look like a phone number."""
    streets = [f for f in findings if f.kind == "ADDRESS" and f.detector == "shape"]
    for f in findings:
        inside = any(s.start < f.start and f.end < s.end for s in streets)
        if f.kind != "PHONE_NUMBER" or not inside:
            yield f


def _births(text: str, findings: Sequence[Finding]) -> Iterator[Finding]:
    """Dates of long ago directly behind a name: `Mia Li, 29.12.1969`."""
    for finding in findings:
        match = _BORN.match(text, finding.end) if finding.kind == "PERSON" else None
        if match and not any(
            f.start < match.end("v") and match.start("v") < f.end for f in findings
        ):
            yield Finding(*match.span("v"), "BIRTH_DATE", 0.6, "shape")


def _nobodys(text: str, finding: Finding) -> bool:
    """A lone code that the tagger takes for an address; the day on which something was founded."""
    if finding.kind == "BIRTH_DATE":
        return _FOUNDED.search(text, max(0, finding.start - 120), finding.start) is not None
    code = text[finding.start : finding.end]
    alone = finding.kind == "ADDRESS" and finding.detector == "tagger"
    return alone and len(code.split()) == 1 and any(c.isdigit() for c in code)


def _homes(text: str, findings: list[Finding]) -> list[Finding]:
    """A town beside a street is part of the address."""
    if not any(f.kind == "ADDRESS" for f in findings):
        return findings
    out: list[Finding] = []
    for finding in findings:
        last = out[-1] if out else None
        near = last is not None and _BESIDE.fullmatch(text[last.end : finding.start]) is not None
        if last is not None and near and {last.kind, finding.kind} == {"ADDRESS", "LOCATION"}:
            score = max(last.score, finding.score)
            out[-1] = Finding(last.start, finding.end, "ADDRESS", score, finding.detector)
        else:
            out.append(finding)
    return out
