"""Moves a written date by some days and writes it in the same way: `3 May 1990`, `1990-05-03`."""

# ruff: noqa: SIM905 - word lists read best as text
from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, timedelta
from functools import partial
from typing import cast

from tasks.deidentify.national import MONTHS, ORDINALS
from tasks.deidentify.wordlists import like

# Each month's name, full and short, with its number and the names of its language.
_NAMES: dict[str, tuple[int, list[str], bool]] = (
    {
        form: (number, names, form == name)
        for names in [
            text.split() for text in reversed(MONTHS.values())
        ]  # English last, as it wins
        for number, name in enumerate(names)
        for form in {name[:3], name}
    }
    | {"sept": (8, MONTHS["en"].split(), False)}
)
_MONTH = r"(?P<m>[^\W\d_]{3,10})(?P<dot>\.?)"
_DAY = r"(?P<d>\d{1,2})(?P<th>st|nd|rd|th|er|º|°|\.)?"
_SPELLED = re.compile(rf"(?:the\s+)?({ORDINALS})\b", re.IGNORECASE)
_UNITS = "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth".split()
_FORMS = [
    re.compile(r"(?P<y>\d{4})(?P<s>[-/.])(?P<m>\d{1,2})(?P=s)(?P<d>\d{1,2})"),
    re.compile(r"(?P<a>\d{1,2})(?P<s>[-/.])(?P<b>\d{1,2})(?P=s)(?P<y>\d{4}|\d{2})"),
    re.compile(
        rf"{_DAY}(?P<of>\s+(?:of|de|di))?(?P<s>[\s-]+){_MONTH}(?P<t>(?:\s+del?)?,?[\s-]+)(?P<y>\d{{4}}|\d{{2}})",
        re.I,
    ),
    re.compile(rf"{_MONTH}(?P<s>\s+){_DAY}(?P<t>,?\s+['’]?)(?P<y>\d{{4}}|\d{{2}})", re.I),
]


_Write = Callable[[re.Match[str], int], str | None]


def shifted(text: str, days: int, *, day_first: bool = False) -> str | None:
    """The text with its date moved, or None when there is no date that can be read.

    A day that is spelled out is written in digits; a day without a year stays one. `day_first` says
    that 03/04/1990 is in April.
    """
    text = _SPELLED.sub(lambda m: f"{_number(m[1])}{ordinal(_number(m[1]))}", text)
    whole = _moved(text, days, day_first)
    return whole or (moved[:-5] if (moved := _moved(f"{text} 2001", days, day_first)) else None)


def _number(word: str) -> int:
    """A spelled ordinal as a number: twenty-first is 21."""
    tens, _, unit = word.lower().replace(" ", "-").rpartition("-")
    if unit in {"twentieth", "thirtieth"}:
        return 20 if unit == "twentieth" else 30
    if unit.endswith("teenth"):
        ends = ("thir", "four", "fif", "six", "seven", "eigh", "nine")
        return 13 + ends.index(unit.removesuffix("teenth"))
    return {"": 0, "twenty": 20, "thirty": 30}[tens] + _UNITS.index(unit) + 1


def _moved(text: str, days: int, day_first: bool) -> str | None:
    writers = _iso, partial(_numeric, day_first=day_first), _day_first, _month_first
    for form, write in zip(_FORMS, cast("tuple[_Write, ...]", writers), strict=True):
        match = form.search(text)
        moved = write(match, days) if match else None
        if match and moved:
            return text[: match.start()] + moved + text[match.end() :]
    return None


def _move(year: str, month: int, day: int, days: int) -> date | None:
    full = int(year) if len(year) == 4 else int(year) + (1900 if int(year) > 30 else 2000)
    try:
        return date(full, month, day) + timedelta(days)
    except (ValueError, OverflowError):
        return None


def _pad(model: str, value: int) -> str:
    return f"{value:02d}" if len(model) == 2 else str(value)


def _year(model: str, moved: date) -> str:
    return f"{moved.year:04d}" if len(model) == 4 else f"{moved.year % 100:02d}"


def _iso(match: re.Match[str], days: int) -> str | None:
    year, sep, month, day = match["y"], match["s"], match["m"], match["d"]
    moved = _move(year, int(month), int(day), days)
    if moved is None:
        return None
    return sep.join((_year(year, moved), _pad(month, moved.month), _pad(day, moved.day)))


def _numeric(match: re.Match[str], days: int, day_first: bool) -> str | None:
    """`03/04/1990`: the month first, but for `03.04.1990` and where that is no date."""
    first, second, year, sep = match["a"], match["b"], match["y"], match["s"]
    moved = _move(year, int(first), int(second), days)
    if moved and sep != "." and not (day_first and int(second) <= 12):
        return sep.join((_pad(first, moved.month), _pad(second, moved.day), _year(year, moved)))
    moved = _move(year, int(second), int(first), days)
    if moved is None:
        return None
    return sep.join((_pad(first, moved.day), _pad(second, moved.month), _year(year, moved)))


def _named(match: re.Match[str], days: int) -> tuple[date, str, str] | None:
    """The moved date, its month's name in the same language and case, and its day."""
    number, names, full = _NAMES.get(match["m"].lower(), (-1, [], False))
    if match["th"] == "." and number >= 0:
        names = MONTHS["de"].split()
    moved = _move(match["y"], number + 1, int(match["d"]), days) if number >= 0 else None
    if moved is None:
        return None
    word = names[moved.month - 1] if full else names[moved.month - 1][:3]
    ending = match["th"] or ""
    if ending == "er":
        ending = ending if moved.day == 1 else ""
    elif ending.isalpha():
        ending = ordinal(moved.day)
    return moved, like(match["m"], word) + match["dot"], f"{moved.day}{ending}"


def ordinal(number: int) -> str:
    """The ending of 1st, 2nd, 3rd, 4th."""
    if 11 <= number % 100 <= 13:
        return "th"
    return {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")


def _day_first(match: re.Match[str], days: int) -> str | None:
    named = _named(match, days)
    if named is None:
        return None
    moved, month, day = named
    return f"{day}{match['of'] or ''}{match['s']}{month}{match['t']}{_year(match['y'], moved)}"


def _month_first(match: re.Match[str], days: int) -> str | None:
    named = _named(match, days)
    if named is None:
        return None
    moved, month, day = named
    return f"{month}{match['s']}{day}{match['t']}{_year(match['y'], moved)}"
