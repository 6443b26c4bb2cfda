"""What texts of a language are made of: sentences, and values as people there write them.

`templates/CODE.txt` holds them: sentences by kind, then lists. The English file has sentences only;
its values are those of `values` and `places`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from random import Random

from bases.tagger import places
from bases.tagger.values import VALUES, company, family, given, invented, person, pick, venue
from tasks.deidentify.languages import frequencies
from tasks.deidentify.wordlists import all_roles, fold, is_town, pool

TEMPLATES = Path(__file__).parent / "templates"
KINDS = ("customer", "assistant", "log", "prose", "general", "negative", "plain")
LOCALES = {
    "de": ("de_DE", "de_DE", "de_AT", "de_CH"),
    "es": ("es_ES", "es_ES", "es_MX", "es_CO", "es_AR"),
    "fr": ("fr_FR", "fr_FR", "fr_BE", "fr_CA", "fr_CH"),
    "it": ("it_IT",),
    "nl": ("nl_NL", "nl_NL", "nl_BE"),
    "pt": ("pt_PT", "pt_BR"),
}
SLOT = re.compile(r"\{(\w+?)(\d?)((?:_[lu])?)\}")
LEAST, OFTEN = 2.6, 5.6  # rarer words may be names; commoner ones carry a sentence's grammar
Value = Callable[[Random], str]
ENGLISH: dict[str, tuple[str, Value]] = {
    "person": ("PERSON", person),
    "first": ("PERSON", given),
    "last": ("PERSON", family),
    "addr": ("ADDRESS", places.address),
    "addr_lines": ("ADDRESS", places.lines),
    "street": ("ADDRESS", places.street),
    "streetname": ("ADDRESS", places.street_name),
    "unit": ("ADDRESS", places.unit),
    "zip": ("ADDRESS", places.number),
    "city": ("LOCATION", places.city),
    "country": ("LOCATION", places.country),
    "state": ("LOCATION", places.state),
    "st": ("LOCATION", places.state),
    "cc": ("LOCATION", places.country),
    "org": ("ORGANIZATION", company),
    "place": ("ORGANIZATION", venue),
}


@cache
def sections(language: str) -> dict[str, list[str]]:
    """The sentences and lists of a language by their headings."""
    found: dict[str, list[str]] = {}
    kind = ""
    for line in (TEMPLATES / f"{language}.txt").read_text().splitlines():
        if re.fullmatch(r"\[[a-z_]+\]", line):
            kind = line[1:-1]
        elif line and not line.startswith("# "):
            found.setdefault(kind, []).append(line.replace("\\n", "\n"))
    return found


@dataclass(frozen=True, slots=True)
class Language:
    """Makers of the values that stand in a language's sentences."""

    code: str

    def labelled(self, slot: str) -> tuple[str, Value] | None:
        """The label and the maker of a slot whose value is to be found; None for others."""
        kind, english = ENGLISH.get(slot, ("", person))
        if not kind or self.code == "en":
            return (kind, english) if kind else None
        return kind, _makers(self.code).get(slot, english)

    def value(self, slot: str) -> Value:
        """The maker of a slot whose value is to be left alone."""
        return _makers(self.code).get(slot) or VALUES[slot]


@cache
def _makers(code: str) -> dict[str, Value]:
    """The makers of a language other than English."""
    if code == "en":
        return {}
    lists, own = sections(code), LOCALES[code]

    def listed(name: str) -> Value:
        return lambda rng: pick(rng, lists[name])

    def filled(name: str) -> Value:
        return lambda rng: _filled(rng, code, pick(rng, lists[name]))

    return {
        "person": partial(person, own=own),
        "first": partial(given, own=own),
        "last": partial(family, own=own),
        "city": partial(_city, code=code),
        "zip": partial(_zip, code=code),
        "addr": filled("addresses"),
        "addr_lines": filled("address_lines"),
        "street": filled("streets"),
        "streetname": filled("streetnames"),
        "unit": filled("units"),
        "org": filled("companies"),
        "n": lambda rng: str(1 + int(rng.random() ** 2 * 300)),
        "word": lambda rng: invented(rng, 2),
        "date": partial(_date, code=code),
        "dob": partial(_date, code=code),
        "amount": _amount,
        "country": listed("countries"),
        "state": partial(_city, code=code),
        "product": listed("products"),
        "job": listed("jobs"),
        "title": listed("titles"),
        "weekday": listed("days"),
        "month": listed("months"),
        "nrp": listed("people"),
    }


def _filled(rng: Random, code: str, form: str) -> str:
    makers = _makers(code)
    return SLOT.sub(lambda slot: (makers.get(slot[1]) or VALUES[slot[1]])(rng), form)


def _city(rng: Random, code: str) -> str:
    """A town of the language's countries, or of another."""
    return pick(rng, pool(f"towns {code}")) if rng.random() < 0.7 else places.city(rng)


def _date(rng: Random, code: str) -> str:
    day, month, year = (1 + int(rng.random() * n) for n in (28, 12, 86))
    name = sections(code)["months"][month - 1]
    of = " de" if code in {"es", "pt"} else ""
    written = f"{day}{'.' if code == 'de' else ''}{of} {name}"
    forms = (
        written,
        f"{written}{of} {1940 + year}",
        f"{day:02d}.{month:02d}.{1940 + year}",
        f"{day}/{month}/{1940 + year}",
        f"{day}-{month}",
    )
    return pick(rng, forms)


def _amount(rng: Random) -> str:
    number = f"{rng.random() * 500:.2f}".replace(".", ",")
    return pick(rng, (f"{number} €", f"{number} Euro", f"€ {number}", number))


def _zip(rng: Random, code: str) -> str:
    digits = "".join(str(int(rng.random() * 10)) for _ in range(8))
    letters = "".join(pick(rng, "ABCDEFGHJKLMNPRSTVWXYZ") for _ in range(2))
    forms = {
        "nl": (f"{digits[:4]} {letters}", f"{digits[:4]}{letters}", digits[:4]),
        "pt": (f"{digits[:4]}-{digits[4:7]}", f"{digits[:5]}-{digits[5:]}"),
        "de": (digits[:5], digits[:5], f"D-{digits[:5]}", digits[:4]),
        "fr": (digits[:5], digits[:5], digits[:4], f"F-{digits[:5]}"),
        "it": (digits[:5], digits[:5], f"I-{digits[:5]}"),
    }
    return pick(rng, forms.get(code, (digits[:5],)))


@cache
def ordinary_words(code: str) -> tuple[str, ...]:
    """Words of a language that are nobody's name and no town: those are as common abroad."""
    abroad = dict[str, float]() if code == "en" else frequencies("en")
    found = (
        word
        for word, often in frequencies(code).items()
        if max(LEAST, abroad.get(word, 0.0) + 0.6) <= often < OFTEN
        and word.isalpha()
        and len(word) > 3
    )
    return tuple(w for w in found if fold(w) not in all_roles() and not is_town(fold(w)))


def ordinary(rng: Random, code: str, coined: float = 0.0) -> str:
    """An ordinary word, or a `coined` one: drugs, tools and brands are in no list either."""
    return invented(rng, 2).lower() if rng.random() < coined else pick(rng, ordinary_words(code))


def reworded(rng: Random, code: str, text: str, share: float, coined: float) -> str:
    """The text with some of its words, but for slots and small ones, put in another's place."""

    def other(word: re.Match[str]) -> str:
        if rng.random() >= share or frequencies(code).get(word[1].lower(), 0) >= OFTEN:
            return word[1]
        chosen = ordinary(rng, code, coined)
        return chosen.capitalize() if word[1][0].isupper() else chosen

    return re.sub(r"(?<![\w{\\])([^\W\d_]{5,})(?![\w}])", other, text)
