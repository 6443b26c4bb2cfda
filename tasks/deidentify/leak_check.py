"""Looks for what was replaced in everything that leaves: no original may come back.

De-identification keeps keyed fingerprints of the values that it replaced (e-mails, numbers,
secrets; never the value), and of the conversations in which it did. `Originals.spans` finds such
values in a text, however they are written; `leaks` reads artifacts (datasets, reports, logs,
answers) and names the files in which one stands. Fingerprints cannot be reversed without the key.
"""

from __future__ import annotations

import gzip
import html
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from urllib.parse import unquote

import pyarrow.parquet as pq

from tasks.core.records import strings
from tasks.core.stage import write_atomic
from tasks.deidentify.boilerplate import SECRET_KINDS, dictionary

FILE, ORDINARY = "replaced.bin", "ordinary.bin"
SIZE = 8  # bytes of a fingerprint: one false alarm in 10^13 looks at a million originals
SHORTEST, LONGEST = 7, 64  # letters and digits of a value that is looked for
KNOWN = 1_000_000  # looked-up texts that are remembered
GAP, GROUPS, LETTERS = 3, 9, 2  # of a number in groups: between two, groups, those of letters
ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "b": " ", "f": " "}
KINDS = SECRET_KINDS | {"EMAIL_ADDRESS", "PHONE_NUMBER", "USERNAME", "IP_ADDRESS", "MAC_ADDRESS"}
_NORM = re.compile(r"[\W_]+")
_ADDRESS = re.compile(r"[\w.+-]+@[\w.-]+\w")
_TOKEN = re.compile(r"[\w.+-]{7,}")
_CHUNK = re.compile(r"[^\s\"'<>,;()\[\]{}]{7,}")
_WORD = re.compile(r"\w+")
_DATE = re.compile(r"\d{4}([-/.])\d\d?\1\d\d?|\d\d?([-/.])\d\d?\2\d{4}")
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})|\\([nrtbf\"/\\])")


def _norm(text: str) -> str:
    return _NORM.sub("", text.casefold())


def ordinary_word(text: str) -> bool:
    """Return whether a text is a word of the dictionary.

    Outside its conversation it tells nothing.
    """
    return text.isalpha() and text.casefold() in dictionary()


@dataclass(slots=True)
class Originals:
    """Fingerprints of replaced values, under a key: in how many conversations, and in which.

    Values in `ordinary` are words that the log uses for everything, and no originals.
    """

    key: bytes
    places: set[bytes] = field(default_factory=set)  # a value's print and a conversation's
    counts: Counter[bytes] = field(default_factory=Counter)
    ordinary: set[bytes] = field(default_factory=set)
    _known: dict[str, bytes] = field(default_factory=dict)

    def print_of(self, text: str) -> bytes:
        """The fingerprint of a value, however it is written."""
        fingerprint = self._known.get(text)
        if fingerprint is None:
            if len(self._known) >= KNOWN:
                self._known.clear()
            fingerprint = self._known[text] = self._hash(_norm(text))
        return fingerprint

    def _hash(self, text: str, place: bytes = b"") -> bytes:
        data = text.encode("utf-8", "replace")
        return blake2b(data, digest_size=SIZE, key=self.key[:64], salt=place).digest()

    def _place(self, value: bytes, opening: str) -> bytes:
        return value + self._hash(opening, value)

    def add(self, kind: str, text: str, opening: str = "") -> None:
        """Remember a value that was replaced; short ones and dates would give false alarms."""
        if kind in KINDS and len(_norm(text)) >= SHORTEST and not _DATE.fullmatch(text):
            self._note(self._place(self.print_of(text), opening))

    def _note(self, place: bytes) -> None:
        if place not in self.places:
            self.places.add(place)
            self.counts[place[:SIZE]] += 1

    def __contains__(self, text: str) -> bool:
        value = self.print_of(text)
        return value in self.counts and value not in self.ordinary

    def personal(self, text: str, opening: str) -> bool:
        """Return whether a value was replaced in the conversation of this opening."""
        return self._place(self.print_of(text), opening) in self.places

    def save(self, folder: Path) -> None:
        """Write the fingerprints, sorted."""
        write_atomic(folder / FILE, b"".join(sorted(self.places)))

    @classmethod
    def load(cls, folders: Iterable[Path], key: bytes) -> Originals:
        """The fingerprints of some nights' folders."""
        originals = cls(key)
        for folder in folders:
            path = folder / FILE
            data = path.read_bytes() if path.exists() else b""  # of a night before there were any
            for start in range(0, len(data), 2 * SIZE):
                originals._note(data[start : start + 2 * SIZE])
        return originals

    def excuse(self, folder: Path) -> None:
        """Take the words that a night's datasets found ordinary for no originals."""
        data = (folder / ORDINARY).read_bytes() if (folder / ORDINARY).exists() else b""
        self.ordinary.update(data[i : i + SIZE] for i in range(0, len(data), SIZE))

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Return where originals stand in a text, from left to right, without overlaps."""
        if not self.counts:
            return []
        some = {s for s in _candidates(text) if self.print_of(text[slice(*s)]) in self.counts}
        places: list[tuple[int, int]] = []
        for start, end in sorted(some, key=lambda span: (span[0], -span[1])):
            if not places or start >= places[-1][1]:
                places.append((start, end))
        return places

    def within(self, text: str) -> int:
        """Return how many originals stand in a text; a word of the dictionary is none by itself."""
        texts = {text[start:end] for start, end in self.spans(text)}
        return len({self.print_of(v) for v in texts if v in self and not ordinary_word(v)})


def _candidates(text: str) -> Iterator[tuple[int, int]]:
    """Yield what may be a value.

    A word, an address or token as it stands, words and numbers in a row.
    """
    for pattern in (_ADDRESS, _TOKEN, _CHUNK) if "@" in text else (_TOKEN, _CHUNK):
        for match in pattern.finditer(text):
            value = match.group().strip(".,:!?-")
            if len(value) >= SHORTEST:
                start = match.start() + match.group().index(value)
                yield start, start + len(value)
    words = [match.span() for match in _WORD.finditer(text)]
    yield from ((start, end) for start, end in words if end - start >= SHORTEST)
    plain = [text[start:end].isalpha() for start, end in words]
    begins = {place - back for place in range(len(words)) if not plain[place] for back in range(3)}
    for first in begins:
        if first >= 0:
            yield from _groups(text, words[first : first + GROUPS], plain[first : first + GROUPS])


def _groups(
    text: str, words: Sequence[tuple[int, int]], plain: Sequence[bool]
) -> Iterator[tuple[int, int]]:
    """Words in a row, one of them a number: `+1 (415) 555-0101`, `DE89 3704`, `mia.li.42`."""
    start = words[0][0]
    for last in range(1, len(words)):
        gap = text[words[last - 1][1] : words[last][0]]
        end, letters = words[last][1], sum(plain[: last + 1])
        if len(gap) > GAP or "\n" in gap or letters > LETTERS or end - start > LONGEST:
            return
        if letters <= last and end - start >= SHORTEST:
            yield start, end


@dataclass(frozen=True, slots=True)
class Leak:
    """A file in which originals stand, and how many. It never says which."""

    path: Path
    count: int


def leaks(paths: Iterable[Path], originals: Originals) -> list[Leak]:
    """The files (folders are read whole) that hold originals."""
    leaking = []
    for path in files(paths):
        count = sum(originals.within(text) for text in texts(path))
        if count:
            leaking.append(Leak(path, count))
    return leaking


def files(paths: Iterable[Path]) -> Iterator[Path]:
    """Every file under the paths, in order."""
    for path in paths:
        if path.is_dir():
            yield from (
                p for p in sorted(path.rglob("*")) if p.is_file() and p.name not in (FILE, ORDINARY)
            )
        elif path.is_file():
            yield path


def texts(path: Path) -> Iterator[str]:
    """The text of a file: a Parquet file's strings, a packed or a plain file's lines.

    In files of lines a value may stand as JSON, a URL or HTML writes it.
    """
    if path.suffix == ".parquet":
        for batch in pq.ParquetFile(path).iter_batches():
            for row in batch.to_pylist():
                yield "\n".join(strings(row))
        return
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        for line in file:
            yield plain(line.decode("utf-8", "replace"))


def plain(line: str) -> str:
    """A line without the escapes of JSON, URLs and HTML."""
    if "\\" in line:
        line = _ESCAPE.sub(lambda m: chr(int(m[1], 16)) if m[1] else ESCAPED.get(m[2], m[2]), line)
    line = unquote(line) if "%" in line else line
    return html.unescape(line) if "&" in line else line
