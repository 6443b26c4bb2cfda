"""Damage of de-identification: nobody's words that it changes, measured every night.

A sample of the night's calls is compared before and after, word by word. A word that went is taken
for ordinary when a dictionary of its language has it and no list of names does, when the log keeps
it elsewhere more often than not, or when it is a number with its unit; words of addresses, mails
and codes are not judged. Figures by call are kept, so that `tasks.dataset` can leave out a task
whose words or labels were changed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from difflib import SequenceMatcher
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.core.records import Call
from tasks.deidentify.boilerplate import SYSTEM
from tasks.deidentify.cleaner import REPLY, strings
from tasks.deidentify.cues import AMOUNT, STREET
from tasks.deidentify.languages import frequency, language
from tasks.deidentify.name_words import compound
from tasks.deidentify.recall_probe import interval
from tasks.deidentify.wordlists import all_roles, fold

FILE = "damage.parquet"
CALLS = 4_000  # calls of a night that are compared, at most
LABEL = 4  # words of an answer that may be a label
AROUND = 16  # characters beside changed words that tell an address
_CHUNK = re.compile(r"\S+")
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_CODE = re.compile(r"[\d@/\\_=]|\w[.:]\w")
_POSTAL = re.compile(r"\b[A-Z]{2},? \d{5}\b|\b\d{4,5} [A-ZÀ-Þ]")
RARE, COMMON, USUAL = 2.0, 4.0, 5.0  # Zipf: of a word in lower case, with a capital, of a name


@dataclass(frozen=True, slots=True)
class Damage:
    """Words and labels of some calls, and how many changed that are estimated to be nobody's."""

    words: int = 0
    changed: int = 0
    labels: int = 0
    labels_changed: int = 0

    @property
    def share(self) -> float:
        """The share of words that was changed by mistake."""
        return self.changed / self.words if self.words else 0.0

    def __add__(self, other: Damage) -> Damage:
        return Damage(
            self.words + other.words,
            self.changed + other.changed,
            self.labels + other.labels,
            self.labels_changed + other.labels_changed,
        )

    def over(self, limit: float) -> str:
        """Return what is surely above a limit, in words; empty when nothing is."""
        for what, some, n in (
            ("words", self.changed, self.words),
            ("labels", self.labels_changed, self.labels),
        ):
            if interval(some, n)[0] > limit:
                return f"de-identification changed {some:,} of {n:,} {what} that are nobody's"
        return ""


_NUMBER = re.compile(rf"[\d.,]*(?:{AMOUNT.pattern})", re.IGNORECASE)
_COLUMNS = tuple(each.name for each in fields(Damage))


@dataclass(frozen=True, slots=True)
class _Seen:
    """A string before and after: its words, and those that went, each with whether it is judged."""

    words: int
    gone: tuple[tuple[str, str], ...]  # word, language
    amounts: int


@dataclass(slots=True)
class Comparison:
    """Compares calls before and after; every `step`-th."""

    step: int = 1
    _count: int = 0
    _pairs: dict[tuple[str, str], _Seen] = field(default_factory=dict)
    _kept: Counter[str] = field(default_factory=Counter)  # words in lower case that stayed
    _gone: Counter[str] = field(default_factory=Counter)
    _calls: dict[str, list[tuple[str, _Seen]]] = field(default_factory=dict)

    def note(self, call: Call, clean: Call) -> None:
        """Look at a call, if it is one of the sample."""
        self._count += 1
        if self._count % self.step:
            return
        before, after = _said(call), _said(clean)
        if len(before) == len(after):
            pairs = zip(before, after, strict=True)
            self._calls[clean.id] = [(r, self._seen(old, new)) for (r, old), (_, new) in pairs]

    def _seen(self, old: str, new: str) -> _Seen:
        seen = self._pairs.get((old, new))
        if seen is None:
            seen = self._pairs[old, new] = _compare(old, new)
            self._kept.update(w for w in _WORD.findall(new) if w.islower())
            self._gone.update(w.lower() for w, _ in seen.gone)
        return seen

    def by_call(self) -> dict[str, Damage]:
        """The figures of each call that was looked at."""
        return {name: self._damage(seen) for name, seen in self._calls.items()}

    def _damage(self, seen: Iterable[tuple[str, _Seen]]) -> Damage:
        total = Damage()
        for role, one in seen:
            changed = one.amounts + sum(self._ordinary(*word) for word in one.gone)
            label = role == REPLY and one.words <= LABEL
            total += Damage(one.words, changed, int(label), int(label and changed > 0))
        return total

    def _ordinary(self, word: str, tongue: str) -> bool:
        low = word.lower()
        often = max(frequency(low, tongue), frequency(low, "en"))
        if fold(word) in all_roles():
            return word.islower() and often >= USUAL
        if word.islower() and self._kept[low] > self._gone[low]:
            return True
        if tongue == "de" and word[0].isupper():  # any noun has a capital
            return compound(low) or frequency(low, "de") >= max(RARE, frequency(low, "en") + 0.8)
        return often >= (RARE if word.islower() else COMMON)


def _said(call: Call) -> list[tuple[str, str]]:
    """The texts of a call that are no template, with who said them."""
    plain = Call(id="", at=0, source="", request={"messages": call.messages}, reply=call.reply)
    return [(role, text) for role, _, text in strings(plain) if text and role not in SYSTEM]


def _compare(old: str, new: str) -> _Seen:
    before, after = [list(_CHUNK.finditer(text)) for text in (old, new)]
    words = sum(_WORD.search(m.group()) is not None for m in before)
    if old == new:
        return _Seen(words, (), 0)
    matcher = SequenceMatcher(None, [m[0] for m in before], [m[0] for m in after], autojunk=False)
    tongue = language(old) or "en"
    gone: list[tuple[str, str]] = []
    for kind, first, last, other, end in matcher.get_opcodes():
        if kind not in {"replace", "delete"}:
            continue
        stay = {w for m in after[other:end] for w in _WORD.findall(m[0])}
        span = before[first].start(), before[last - 1].end()
        gone += [(w, tongue) for w in _judged(old, before[first:last], span) if w not in stay]
    lost = Counter(_NUMBER.findall(old)) - Counter(_NUMBER.findall(new))
    return _Seen(words, tuple(gone), sum(n for a, n in lost.items() if a[-1] not in "xX"))


def _judged(text: str, chunks: Iterable[re.Match[str]], span: tuple[int, int]) -> Iterator[str]:
    """Yield the words of a stretch that may be ordinary: not those of an address, mail or code."""
    around = text[max(0, span[0] - AROUND) : span[1] + AROUND]
    if STREET.search(around) or _POSTAL.search(around):
        return
    for chunk in chunks:
        if not _CODE.search(chunk.group().strip(".,:;!?()")):
            yield from (w for w in _WORD.findall(chunk.group()) if len(w) > 1)


def total(damages: Iterable[Damage]) -> Damage:
    """All together."""
    return sum(damages, Damage())


@dataclass(frozen=True, slots=True)
class Harm:
    """The figures of each call that was looked at, and the limit that was in force."""

    calls: Mapping[str, Damage]
    limit: float

    def of(self, names: Iterable[str]) -> Damage:
        """The damage of some calls, as far as they were looked at."""
        return total(self.calls[name] for name in names if name in self.calls)

    def write(self, path: Path) -> None:
        """Keep them."""
        columns = {name: [getattr(d, name) for d in self.calls.values()] for name in _COLUMNS}
        kinds = [("id", pa.string()), *((name, pa.int32()) for name in _COLUMNS)]
        schema = pa.schema(kinds, metadata={"limit": str(self.limit)})
        pq.write_table(pa.table({"id": list(self.calls), **columns}, schema=schema), path)

    @classmethod
    def read(cls, paths: Iterable[Path]) -> Harm:
        """Those of some nights, with the newest limit; 1 where there is none."""
        calls: dict[str, Damage] = {}
        limit = 1.0
        for path in (p for p in paths if p.exists()):
            table = pq.read_table(path)
            limit = float(table.schema.metadata[b"limit"])
            calls |= {row.pop("id"): Damage(**row) for row in table.to_pylist()}
        return cls(calls, limit)
