"""The slots of a template: what their values look like, what they are called, which are noise."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np

from tasks.core.template import Slot

_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_WEEKDAY = r"\b(?:mon|tues|wednes|thurs|fri|satur|sun)day\b"
DATE = (
    rf"(?i:(?:{_WEEKDAY},?\s+)?(?:\d{{1,2}}(?:st|nd|rd|th)?\s+{_MONTH}\.?,?\s+\d{{4}}"
    rf"|{_MONTH}\.?\s+\d{{1,2}}(?:st|nd|rd|th)?,?\s+\d{{4}}"
    r"|\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?"
    rf"|\d{{1,2}}[/.]\d{{1,2}}[/.]\d{{4}})|{_WEEKDAY})"
)
_DATE = re.compile(DATE)
_TODAY_IS = re.compile(r"(?i:\b(?:today|date|day|now)\b[^\w\n]*(?:is\W*)?)$")
_WORD = re.compile(r"\w+")
_ID = re.compile(r"(?=\S*\d)[\w-]{6,}")
_SMALL = {"is", "the", "a", "an", "of", "for", "to", "are", "at", "in", "on", "and", "by", "with"}
_CLASSES = ("[0-9]", "[0-9a-f]", "[0-9A-F]", r"\w", r"\S")

LONG = 12  # words from which a slot is content, never noise
SHUFFLES = 20


def date_spans(text: str) -> list[tuple[int, int]]:
    """Return where dates stand in a text."""
    return [match.span() for match in _DATE.finditer(text)]


def is_today(text: str, span: tuple[int, int], days: Sequence[int]) -> bool:
    """Return whether a date in a text is the calls' day, for each of `days` (since 1970)."""
    token = text[slice(*span)].lower()
    bare = not any(character.isdigit() for character in token)
    if bare and not _TODAY_IS.search(text[: span[0]]):
        return False
    return bool(days) and all(
        any(_names(token, day + shift, bare) for shift in (-1, 0, 1)) for day in days
    )


def _names(token: str, day: int, bare: bool) -> bool:
    when = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day)
    if bare:
        return token == f"{when:%A}".lower()
    numbers = {int(digits) for digits in re.findall(r"\d+", token)}
    month = f"{when:%b}".lower() in token or when.month in numbers
    return month and when.day in numbers and when.year in numbers


def form(values: Sequence[str]) -> str:
    """A regular expression, linear in time, for values like these; empty for any text."""
    some = sorted({value for value in values if value})
    if not some:
        return ""
    if all(_DATE.fullmatch(value) for value in some):
        return f"(?:{DATE})?" if "" in values else DATE
    counts = Counter(values)
    if len(counts) <= FEW_VERSIONS and min(counts.values()) > 1 and _wordy(some):
        return "|".join(re.escape(value) for value in sorted(counts))
    shape = _shape(some)
    return f"(?:{shape})?" if shape and "" in values else shape


FEW_VERSIONS = 8  # a slot with so few values, all of them sentences, is a choice of paragraphs


def _wordy(values: Sequence[str]) -> bool:
    return all(len(value.split()) >= 6 for value in values)


def _shape(values: Sequence[str]) -> str:
    lengths = [len(value) for value in values]
    for number, kind in enumerate(_CLASSES):
        if all(re.fullmatch(f"{kind}+", value) for value in values):
            fixed = number < 3 and min(lengths) == max(lengths) and len(values) > 1
            return f"{kind}{{{max(lengths)}}}" if fixed else f"{kind}{{1,{4 * max(lengths)}}}"
    if any("\n" in value for value in values):
        return ""
    words = [len(value.split()) for value in values]
    least = max(1, min(words))
    most = max(words) if min(words) == max(words) else 2 * max(words)
    return rf"[^\S\n]*\S+(?:[^\S\n]+\S+){{{least - 1},{max(most, 1) - 1}}}[^\S\n]*"


def name(before: str, values: Sequence[str], taken: Sequence[str]) -> str:
    """A readable name for a slot from the words before it."""
    if values and all(_DATE.fullmatch(value) for value in values):
        chosen = "date"
    else:
        line = before.rsplit("\n", 1)[-1] or before
        words = [word.lower() for word in re.findall(r"[A-Za-z][A-Za-z0-9]*", line)]
        labelled = re.search(r"([A-Za-z][\w -]*)[:=]\W*$", line)
        if labelled:
            words = re.findall(r"[a-z0-9]+", labelled.group(1).lower())[-3:]
        else:
            words = [word for word in words if word not in _SMALL][-1:]
        chosen = "_".join(words) or "text"
    same = sum(re.sub(r"_\d+$", "", other) == chosen for other in taken)
    return f"{chosen}_{same + 1}" if same else chosen


def mark_noise(
    slots: Sequence[Slot], columns: Sequence[Sequence[str]], answers: Sequence[str]
) -> tuple[Slot, ...]:
    """The slots, those marked as noise whose values leave no trace in the answers.

    `columns` holds each slot's value in each call, `answers` what was answered there.
    """
    marked = [
        replace(slot, noise=len(answers) >= 20 and not _matters(column, answers))
        for slot, column in zip(slots, columns, strict=True)
    ]
    return tuple(marked)


def _matters(values: Sequence[str], answers: Sequence[str]) -> bool:
    if float(np.median([len(value.split()) for value in values])) >= LONG:
        return True
    enough = max(3.0, 0.03 * len(answers))
    if all(_DATE.fullmatch(value) for value in values):
        near = [_near(value, answer) for value, answer in zip(values, answers, strict=True)]
        return sum(near) >= enough
    words = [set(_WORD.findall(value.lower())) for value in values]
    spoken = [set(_WORD.findall(answer.lower())) for answer in answers]
    copied = sum(bool(w & s) for w, s in zip(words, spoken, strict=True))
    shift = max(1, len(words) // 3)
    chance = sum(bool(w & s) for w, s in zip(words[shift:] + words[:shift], spoken, strict=True))
    if copied - chance >= enough and copied >= 2 * chance:
        return True
    # An id that a conversation repeats goes with all that is said there, and causes none of it.
    return not all(_ID.fullmatch(value) for value in values) and _associated(values, answers)


def _near(value: str, answer: str) -> bool:
    """Return whether an answer names a day within two months of a date.

    It may be computed from it.
    """
    if (day := _day(value)) is None:
        return False
    days = (_day(match.group()) for match in _DATE.finditer(answer))
    return any(other is not None and abs(day - other) <= 60 for other in days)


def _day(token: str) -> int | None:
    """The day (since the epoch) of a written date; None without day, month and year."""
    numbers = re.findall(r"\d+", token)
    month = re.search(_MONTH, token, re.IGNORECASE)
    if month and len(numbers) == 2:
        parts = (numbers[1], str(_MONTHS.index(month.group()[:3].lower()) + 1), numbers[0])
    elif len(numbers) >= 3:
        parts = tuple(numbers[:3] if len(numbers[0]) == 4 else numbers[2::-1])
    else:
        return None
    try:
        return date(*map(int, parts)).toordinal()
    except ValueError:
        return None


def _associated(values: Sequence[str], answers: Sequence[str]) -> bool:
    """Return whether what is answered depends on a slot with few values (permutation test)."""
    levels, value = np.unique(np.asarray(values, dtype=object).astype(str), return_inverse=True)
    if len(levels) < 2 or len(levels) * 4 > len(values):
        return False
    words = [set(_WORD.findall(answer.lower())) for answer in answers]
    counts = Counter(word for measured in words for word in measured)
    often = [w for w, n in sorted(counts.items()) if 8 <= n <= len(answers) - 8]
    often = sorted(often, key=lambda w: (-counts[w], w))[:200]
    if not often:
        return False
    features = np.array(
        [[word in measured for word in often] for measured in words], dtype=np.float64
    )
    group = np.eye(len(levels))[value]
    rng = np.random.default_rng(0)
    measured = _chi_square(group, features)
    chance = max(_chi_square(rng.permutation(group), features) for _ in range(SHUFFLES))
    return measured > 1.5 * chance


def _chi_square(group: np.ndarray, features: np.ndarray) -> float:
    """The largest chi-square of any feature against the groups."""
    sizes, shares = group.sum(axis=0), features.mean(axis=0)
    expected = np.outer(sizes, shares)
    seen = group.T @ features
    spread = (seen - expected) ** 2 / np.maximum(expected * (1 - shares), 1e-9)
    return float(spread.sum(axis=0).max())
