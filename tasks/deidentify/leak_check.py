"""Looks for what the night replaced in everything that leaves: no original may come back.

De-identification keeps a keyed fingerprint of each value that it replaced (e-mails, numbers,
secrets; never the value). `leaks` reads artifacts (datasets, reports, logs, sampled answers) and
names the files in which such a value stands again. Fingerprints cannot be reversed without the key.
"""

from __future__ import annotations

import gzip
import hmac
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq

from tasks.core.stage import write_atomic
from tasks.deidentify.boilerplate import SECRET_KINDS

FILE = "originals.bin"
SIZE = 8  # bytes of a fingerprint: one false alarm in 10^13 looks at a million originals
KINDS = SECRET_KINDS | {"EMAIL_ADDRESS", "PHONE_NUMBER", "USERNAME", "IP_ADDRESS", "MAC_ADDRESS"}
_NORM = re.compile(r"[\W_]+")
_CANDIDATES = re.compile(r"[\w.+-]+@[\w.-]+\w|\+?\(?\d[\d ().-]{5,30}\d|[\w.~+/=!@#$%^&*-]{6,}")


def _norm(text: str) -> str:
    return _NORM.sub("", text.casefold())


@dataclass(slots=True)
class Originals:
    """Fingerprints of replaced values, under a key."""

    key: bytes
    prints: set[bytes] = field(default_factory=set)

    def _print(self, text: str) -> bytes:
        return hmac.digest(self.key, b"original\0" + _norm(text).encode(), "sha256")[:SIZE]

    def add(self, kind: str, text: str) -> None:
        """Remember a value that was replaced; short ones would give false alarms."""
        if kind in KINDS and len(_norm(text)) >= 7:
            self.prints.add(self._print(text))

    def __contains__(self, text: str) -> bool:
        return self._print(text) in self.prints

    def save(self, folder: Path) -> None:
        """Write the fingerprints, sorted."""
        write_atomic(folder / FILE, b"".join(sorted(self.prints)))

    @classmethod
    def load(cls, folder: Path, key: bytes) -> Originals:
        """The fingerprints of a night's folder."""
        data = (folder / FILE).read_bytes()
        return cls(key, {data[i : i + SIZE] for i in range(0, len(data), SIZE)})

    def within(self, text: str) -> int:
        """How many originals stand in a text."""
        found = {m.group().strip(".,;:!?") for m in _CANDIDATES.finditer(text)}
        return sum(len(_norm(c)) >= 7 and c in self for c in found)


@dataclass(frozen=True, slots=True)
class Leak:
    """A file in which originals stand, and how many. It never says which."""

    path: Path
    count: int


def leaks(paths: Iterable[Path], originals: Originals) -> list[Leak]:
    """The files (folders are read whole) that hold originals."""
    found = []
    for path in files(paths):
        count = sum(originals.within(text) for text in texts(path))
        if count:
            found.append(Leak(path, count))
    return found


def files(paths: Iterable[Path]) -> Iterator[Path]:
    """Every file under the paths, in order."""
    for path in paths:
        if path.is_dir():
            yield from (p for p in sorted(path.rglob("*")) if p.is_file() and p.name != FILE)
        elif path.is_file():
            yield path


def texts(path: Path) -> Iterator[str]:
    """The text of a file: a Parquet file's strings, a packed or a plain file's lines."""
    if path.suffix == ".parquet":
        for batch in pq.ParquetFile(path).iter_batches():
            for row in batch.to_pylist():
                yield "\n".join(v for v in row.values() if isinstance(v, str))
        return
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        for line in file:
            yield line.decode("utf-8", "replace")
