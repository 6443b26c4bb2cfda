"""Scans strings once: leaves are cut into segments, equal segments share one scan, in batches.

A segment is up to some hundred characters that belong together: a paragraph or a line of prose, or
neighbouring JSON leaves as `key: value` lines. Nothing to run; used by `tasks.deidentify`.
"""

from __future__ import annotations

import gzip
import hmac
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from tasks.core.records import digest
from tasks.core.stage import write_atomic
from tasks.deidentify.bare_answers import answer
from tasks.deidentify.call_texts import rewrite
from tasks.deidentify.findings import Finding
from tasks.deidentify.organisations import organisational
from tasks.deidentify.patterns import ADDRESS_PARTS, by_key, last_key

ANSWER = "?"  # begins the path of a user's words that answer a question; its type follows
OVERLAP = 80  # characters that a stretch without sentences shares with the one before
SEGMENT = 480  # characters; longer texts are cut at blank lines, lines or sentences
PARAGRAPH = re.compile(r"\n\s*\n")
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n")
_NUMBERED = re.compile(r"\b(?=\w*\d)\w+\b")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[_-]+")


class Scans(Protocol):
    """Whoever finds personal data in segments: `tasks.deidentify.detectors.Detector`."""

    def scan(self, segments: Sequence[str]) -> list[list[Finding]]:
        """The findings of each segment."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A stretch of text that a person may have written, and the JSON key it stands under."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class _Slice:
    """The place of a part of a leaf in a segment."""

    leaf: int
    offset: int  # in the leaf
    start: int  # in the segment
    length: int


def leaves(text: str, path: str = "") -> list[Leaf]:
    """The leaves of a string, in the order in which `rewrite` visits them."""
    result: list[Leaf] = []

    def note(path: str, leaf: str) -> str:
        result.append(Leaf(path, leaf))
        return leaf

    rewrite(text, note, path)
    return result


def spans(text: str) -> Iterator[tuple[int, int]]:
    """Cut a long text at blank lines, then lines and sentences, into stretches to scan."""
    if len(text) <= SEGMENT:
        yield 0, len(text)
        return
    start = 0
    for cut in [m.end() for m in PARAGRAPH.finditer(text)] + [len(text)]:
        yield from _by_sentence(text, start, cut)
        start = cut


def _by_sentence(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    if end - start <= SEGMENT:
        if start < end:
            yield start, end
        return
    for cut in [m.end() for m in _SENTENCE.finditer(text, start, end)] + [end]:
        while cut - start > 2 * SEGMENT:  # no sentence ends here: cut at a space or anywhere
            space = text.rfind(" ", start + SEGMENT, start + 2 * SEGMENT)
            middle = space + 1 if space > 0 else start + 2 * SEGMENT
            yield start, middle
            start = middle
        if start < cut:
            yield start, cut
        start = cut


def _before(text: str, start: int) -> int:
    """Return where to begin reading a stretch, so that no value is cut by its border."""
    if start == 0 or _SENTENCE.match(text, start - 1) or text[start - 1 : start] == "\n":
        return start
    space = text.find(" ", max(0, start - OVERLAP), start - 1)
    return space + 1 if space >= 0 else max(0, start - OVERLAP)


def _label(path: str) -> str:
    if path.startswith(ANSWER):
        return ""
    return _CAMEL.sub(" ", path.rsplit(".", 1)[-1]).strip().lower()


def cut(leaves: Sequence[Leaf]) -> Iterator[tuple[str, list[_Slice]]]:
    """The segments of some leaves, and what of which leaf lies where in each."""
    lines: list[str] = []
    slices: list[_Slice] = []
    size = 0
    for index, leaf in enumerate(leaves):
        label = f"{name}: " if (name := _label(leaf.path)) else ""
        joined = bool(leaf.path) and len(leaf.text) <= SEGMENT
        if lines and (not joined or size + len(label) + len(leaf.text) > SEGMENT):
            yield "\n".join(lines), slices
            lines, slices, size = [], [], 0
        if joined:
            slices.append(_Slice(index, 0, size + len(label), len(leaf.text)))
            lines.append(label + leaf.text)
            size += len(label) + len(leaf.text) + 1
            continue
        for start, end in spans(leaf.text):
            start = _before(leaf.text, start)
            yield label + leaf.text[start:end], [_Slice(index, start, len(label), end - start)]
    if lines:
        yield "\n".join(lines), slices


@dataclass(frozen=True, slots=True)
class Location:
    """A finding's place: its line's name, and whether it shows to be an organisation's."""

    line: str
    organisational: bool


@dataclass(frozen=True, slots=True)
class LocatedFinding:
    """A finding in a leaf, its text, and where it stands."""

    finding: Finding
    text: str
    mark: Location


@dataclass(frozen=True, slots=True)
class _Cache:
    """The content of a cache file."""

    version: str
    segments: dict[bytes, tuple[Finding, ...]]


Scanned = tuple[tuple[LocatedFinding, ...], ...]  # per leaf; empty when nothing was found


class Scanner:
    """Findings per leaf of any string; each distinct string and segment is scanned once."""

    def __init__(self, detector: Scans, keys: Mapping[str, str], key: bytes = b"") -> None:
        self._detector, self._keys, self._key = detector, dict(keys), key
        self._segments: dict[bytes, tuple[Finding, ...]] = {}
        self._old: dict[bytes, tuple[Finding, ...]] = {}  # of earlier nights
        self._strings: dict[str, Scanned] = {}
        self._waiting: dict[str, tuple[str, str]] = {}

    def _name(self, segment: str) -> bytes:
        """Return what a segment is called: nobody can guess a text from it without the key."""
        return hmac.digest(self._key, segment.encode("utf-8", "surrogatepass"), "sha256")[:12]

    def load(self, cache: Path, version: str) -> None:
        """Take over what the same detectors found in earlier nights."""
        if cache.exists():
            cached = msgspec.msgpack.decode(gzip.decompress(cache.read_bytes()), type=_Cache)
            self._old = cached.segments if cached.version == version else {}

    def save(self, cache: Path, version: str) -> None:
        """Keep what this night used, by keyed name: spans, never text."""
        body = msgspec.msgpack.encode(_Cache(version, dict(sorted(self._segments.items()))))
        write_atomic(cache, gzip.compress(body, 5, mtime=0))

    def add(self, path: str, text: str) -> str:
        """Ask for a string; `flush` scans what was asked for. Returns the string's name."""
        name = digest(path, text, length=24)
        if name not in self._strings:
            self._waiting[name] = path, text
        return name

    @property
    def waiting(self) -> int:
        """Return how many strings wait."""
        return len(self._waiting)

    def flush(self) -> None:
        """Scan what waits."""
        plans = {name: leaves(text, path) for name, (path, text) in self._waiting.items()}
        wanted: dict[bytes, str] = {}
        for plan in plans.values():
            for segment, _ in cut(plan):
                name = self._name(segment)
                if segment.strip() and name not in self._segments:
                    if name in self._old:
                        self._segments[name] = self._old[name]
                    else:
                        wanted[name] = segment
        results = self._detector.scan(list(wanted.values()))
        self._segments |= {n: tuple(r) for n, r in zip(wanted, results, strict=True)}
        for string, plan in plans.items():
            self._strings[string] = self._assemble(plan)
        self._waiting.clear()

    def _assemble(self, leaves: Sequence[Leaf]) -> Scanned:
        out: list[list[Finding]] = [[] for _ in leaves]
        for segment, slices in cut(leaves):
            for finding in self._segments.get(self._name(segment), ()):
                for part in slices:
                    moved = _moved(finding, part)
                    if moved:
                        out[part.leaf].append(moved)
        out = [_apart(some) for some in out]
        by_keys(leaves, out, self._keys)
        if not any(out):
            return ()
        return tuple(tuple(marked(leaf, here)) for leaf, here in zip(leaves, out, strict=True))

    def known(self, path: str, text: str) -> Scanned:
        """Return what was found in a string that was scanned."""
        return self._strings[digest(path, text, length=24)] if text else ()

    def __getitem__(self, name: str) -> Scanned:
        """Return what was found in a string, by the name that `add` gave it."""
        return self._strings[name]


def _apart(findings: list[Finding]) -> list[Finding]:
    """Without what two stretches found alike; of two that overlap, the longer one."""
    kept: list[Finding] = []
    for finding in sorted(findings, key=lambda f: (f.start - f.end, f)):
        if not any(finding.start < k.end and k.start < finding.end for k in kept):
            kept.append(finding)
    return sorted(kept)


def _moved(finding: Finding, part: _Slice) -> Finding | None:
    """A segment's finding as a finding of the leaf, or None when it lies elsewhere."""
    start, end = max(finding.start - part.start, 0), min(finding.end - part.start, part.length)
    if start >= end:
        return None
    start, end = start + part.offset, end + part.offset
    return Finding(start, end, finding.kind, finding.score, finding.detector)


def by_keys(leaves: Sequence[Leaf], out: list[list[Finding]], extra: Mapping[str, str]) -> None:
    """Put what a key says before what its value looks like."""
    homes = set()
    for index, leaf in enumerate(leaves):
        if leaf.path.startswith(ANSWER):
            out[index] = _answered(leaf, out[index])
            continue
        kind = by_key(leaf.path, leaf.text, extra) if leaf.path else None
        if kind:
            out[index] = [whole(leaf.text, kind)]
            if kind in {"ADDRESS", "ZIP_CODE"}:
                homes.add(leaf.path.rpartition(".")[0])
    for index, leaf in enumerate(leaves):
        parent = leaf.path.rpartition(".")[0]
        if last_key(leaf.path) in ADDRESS_PARTS and parent in homes and leaf.text.strip():
            out[index] = [whole(leaf.text, "ADDRESS")]


def _answered(leaf: Leaf, findings: list[Finding]) -> list[Finding]:
    """Findings in an answer, and the value that was asked for if nothing else covers it."""
    kind = leaf.path.removeprefix(ANSWER)
    span = answer(kind, leaf.text)
    if span is None:
        return findings
    inside = [f for f in findings if kind == f.kind == "PERSON" and span[0] <= f.start < span[1]]
    rest = [f for f in findings if f not in inside]  # half of the name that was asked for
    if any(span[0] < f.end and f.start < span[1] for f in rest):
        return findings
    return sorted([*rest, Finding(*span, kind, 0.8, "asked")])


def whole(text: str, kind: str) -> Finding:
    """A finding that covers a leaf, without the white space around it."""
    start = len(text) - len(text.lstrip())
    return Finding(start, len(text.rstrip()), kind, 1.0, "key")


def marked(leaf: Leaf, findings: Sequence[Finding]) -> Iterator[LocatedFinding]:
    """Each finding with its line; numbers and ids around it do not tell lines apart."""
    for finding in findings:
        start = leaf.text.rfind("\n", 0, finding.start) + 1
        end = leaf.text.find("\n", finding.end)
        end = len(leaf.text) if end < 0 else end
        text = leaf.text[finding.start : finding.end]
        before, after = leaf.text[start : finding.start], leaf.text[finding.end : end]
        line = _NUMBERED.sub("0", before) + f"<{text}>" + _NUMBERED.sub("0", after)
        shared = organisational(finding.kind, text, before, after)
        yield LocatedFinding(finding, text, Location(digest(leaf.path, line), shared))
