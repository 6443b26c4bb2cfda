"""Made-up people, organisations and the values around them, for the tagger's training text."""

from __future__ import annotations

import importlib
import uuid
from collections.abc import Callable, Sequence
from functools import cache
from random import Random
from typing import TypeVar

from tasks.deidentify.wordlists import words

T = TypeVar("T")
OWN = 0.45
RARE = 0.2  # share of names that few lists have, outside of English


def pick(rng: Random, items: Sequence[T]) -> T:
    """One item."""
    return items[int(rng.random() * len(items))]


@cache
def faker_list(kind: str, locale: str, *names: str) -> tuple[str, ...]:
    """A word list of a Faker provider, taken straight from it."""
    try:
        provider = importlib.import_module(f"faker.providers.{kind}.{locale}").Provider
    except ModuleNotFoundError:
        return ()
    found: list[str] = []
    for name in names:
        found += [w for w in (getattr(provider, name, None) or ()) if isinstance(w, str)]
    return tuple(sorted(w for w in set(found) if len(w) > 1 and "{" not in w))  # some are sets


def locale(rng: Random, own: Sequence[str] = ()) -> str:
    """A locale; nearly half are those of the language, by default English."""
    own = own or words("text locales")[:4]
    return pick(rng, own) if rng.random() < OWN else pick(rng, words("text locales"))


def invented(rng: Random, syllables: int) -> str:
    """A word that no list holds."""
    word = "".join(
        pick(rng, words("text onsets"))
        + pick(rng, words("text vowels"))
        + pick(rng, words("text codas"))
        for _ in range(syllables)
    )
    return (word[:9] + (pick(rng, words("text ends")) if rng.random() < 0.3 else "")).capitalize()


def given(rng: Random, own: Sequence[str] = ()) -> str:
    """A given name; `own` are the locales of the language."""
    if rng.random() < 0.2:
        return invented(rng, 1 + int(rng.random() * 2))
    if own and rng.random() < RARE:
        return pick(rng, words(pick(rng, ("names female more", "names male more"))))
    names = faker_list(
        "person", locale(rng, own), "first_names", "first_names_female", "first_names_male"
    )
    name = pick(rng, names or faker_list("person", "en_US", "first_names"))
    return f"{name}-{given(rng, own)}" if rng.random() < 0.02 else name


def family(rng: Random, own: Sequence[str] = ()) -> str:
    """A family name."""
    draw = rng.random()
    if draw < 0.2:
        return invented(rng, 2)
    if own and rng.random() < RARE:
        return pick(rng, words("names family more"))
    kinds = ("last_names", "last_names_female", "last_names_male")
    names = faker_list("person", locale(rng, own), *kinds)
    name = pick(rng, names or faker_list("person", "en_US", "last_names"))
    if draw < 0.24:
        part = pick(rng, words("text parts"))
        return part + name if part in {"O'", "Mc", "Mac"} else f"{part} {name}"
    return f"{name}-{family(rng, own)}" if draw < 0.26 else name


def person(rng: Random, own: Sequence[str] = ()) -> str:
    """A name in one of the forms that people write."""
    first, last, draw = given(rng, own), family(rng, own), rng.random()
    forms = (
        (0.04, f"{first} {chr(65 + int(rng.random() * 26))}. {last}"),
        (0.06, f"{first} {chr(65 + int(rng.random() * 26))} {last}"),
        (0.09, f"{first} {given(rng, own)} {last}"),
        (0.11, f"{first[0]}. {last}"),
        (0.13, f"{last}, {first}"),
        (0.15, f"{first} {family(rng, own)} {last}"),
        (0.16, f"{first} {last} Jr."),
        (0.26, first),
    )
    return next((form for share, form in forms if draw < share), f"{first} {last}")


def company(rng: Random) -> str:
    """An organisation."""
    last, draw = family(rng), rng.random()
    word = invented(rng, 2)
    kind = words("text company")
    forms = (
        (
            0.15,
            f"{last} {pick(rng, ['Inc.', 'LLC', 'Ltd.', 'PLC', 'GmbH', 'Group', 'Corp.', 'AG'])}",
        ),
        (0.25, f"{last}, {family(rng)} and {family(rng)}"),
        (0.35, f"{last}-{family(rng)}"),
        (0.5, f"{word} {pick(rng, kind)}"),
        (0.58, f"University of {family(rng)}"),
        (0.66, f"{last} & {pick(rng, ['Sons', 'Co.', 'Partners', 'Associates'])}"),
        (0.72, f"{word[:3].upper()} {pick(rng, kind)}"),
        (
            0.8,
            f"{word}{pick(rng, ['soft', 'tech', 'ly', 'hub', 'base', 'health', '.com', 'works'])}",
        ),
    )
    return next((form for share, form in forms if draw < share), word)


def _coined(rng: Random) -> str:
    return invented(rng, 2)


def venue(rng: Random) -> str:
    """A hotel, a restaurant, a hall."""
    kind = words("text venue")
    name = pick(rng, (family, given, _coined))(rng)
    forms = (
        f"{name} {pick(rng, kind)}",
        f"The {name}",
        f"{name}'s {pick(rng, kind)}",
        f"Hotel {name}",
    )
    return pick(rng, forms)


def _digits(rng: Random, count: int) -> str:
    return "".join(str(int(rng.random() * 10)) for _ in range(count))


def _letters(rng: Random, count: int) -> str:
    return "".join(chr(65 + int(rng.random() * 26)) for _ in range(count))


def _product(rng: Random) -> str:
    name = pick(rng, words("text nouns"))
    name = f"{pick(rng, words('text adjectives'))} {name}" if rng.random() < 0.6 else name
    return name.lower() if rng.random() < 0.5 else name


def _handle(rng: Random) -> str:
    first, last = given(rng).lower(), family(rng).lower().replace(" ", "")
    forms = (
        f"{first}_{last}_{_digits(rng, 4)}",
        f"{first}.{last}",
        f"{first[0]}{last}{_digits(rng, 2)}",
    )
    return pick(rng, forms)


def _email(rng: Random) -> str:
    host = pick(rng, ["gmail.com", "example.com", "yahoo.com", f"{invented(rng, 2).lower()}.com"])
    return f"{_handle(rng)}@{host}"


def _phone(rng: Random) -> str:
    d = _digits(rng, 11)
    return pick(
        rng,
        [
            f"+1 {d[:3]}-{d[3:6]}-{d[6:10]}",
            f"({d[:3]}) {d[3:6]}-{d[6:10]}",
            f"+{d[:2]} {d[2:11]}",
            f"{d[:3]}.{d[3:6]}.{d[6:10]}",
            f"0{d[:4]} {d[4:10]}",
            d[:10],
        ],
    )


def _iso(rng: Random) -> str:
    year, month, day = (int(rng.random() * n) for n in (76, 12, 28))
    return f"{1950 + year}-{1 + month:02d}-{1 + day:02d}"


def _date(rng: Random) -> str:
    y, m, d = map(int, _iso(rng).split("-"))
    month = words("text months")[m - 1]
    return pick(
        rng,
        [
            f"{month} {d}",
            f"{d} {month} {y}",
            f"{month} {d}, {y}",
            f"{m}/{d}/{y}",
            f"{d}.{m}.{y}",
            f"{y}-{m:02d}-{d:02d}",
            f"{month[:3]} {d}th",
            f"the {d}th of {month}",
        ],
    )


def _order(rng: Random) -> str:
    return pick(
        rng,
        [
            f"#W{_digits(rng, 7)}",
            f"ORD-{_digits(rng, 6)}",
            f"#{_digits(rng, 5)}",
            _digits(rng, 10),
            f"{_letters(rng, 2)}{_digits(rng, 6)}",
            f"{_digits(rng, 3)}-{_digits(rng, 7)}",
        ],
    )


VALUES: dict[str, Callable[[Random], str]] = {
    "product": _product,
    "handle": _handle,
    "email": _email,
    "phone": _phone,
    "isodate": _iso,
    "date": _date,
    "dob": _date,
    "order": _order,
    "title": lambda r: pick(r, words("text titles")),
    "ticket": lambda r: pick(
        r, [f"TCK-{_digits(r, 5)}", f"INC{_digits(r, 6)}", f"#{_digits(r, 4)}"]
    ),
    "code": lambda r: "".join(
        pick(r, list("ABCDEFGHJKLMNPQRSTUVWXYZ0123456789")) for _ in range(6)
    ),
    "flight": lambda r: f"{_letters(r, 2 + int(r.random() * 2))}{_digits(r, 3)}",
    "iata": lambda r: pick(r, words("text iata")),
    "num": lambda r: str(1 + int(r.random() * 99)),
    "four": lambda r: _digits(r, 4),
    "digits": lambda r: _digits(r, 7 + int(r.random() * 4)),
    "amount": lambda r: pick(r, ["$", "€", "£", ""]) + f"{r.random() * 500:.2f}",
    "time": lambda r: pick(
        r, [f"{1 + int(r.random() * 12)} pm", f"{int(r.random() * 24):02d}:{_digits(r, 1)}0"]
    ),
    "weekday": lambda r: pick(r, words("text days")),
    "month": lambda r: pick(r, words("text months")),
    "year": lambda r: str(1900 + int(r.random() * 126)),
    "nth": lambda r: f"{1 + int(r.random() * 28)}th",
    "uuid": lambda r: str(uuid.UUID(int=r.getrandbits(128))),
    "hex": lambda r: f"{r.getrandbits(32):08x}",
    "sku": lambda r: f"{_letters(r, 3)}-{_digits(r, 4)}",
    "tracking": lambda r: f"1Z{_letters(r, 3)}{_digits(r, 10)}",
    "iban": lambda r: f"GB{_digits(r, 2)}{_letters(r, 4)}{_digits(r, 14)}",
    "ip": lambda r: ".".join(str(int(r.random() * 255)) for _ in range(4)),
    "nrp": lambda r: pick(r, words("text nrp")),
    "job": lambda r: pick(r, words("text jobs")),
    "word": lambda r: pick(r, words("text words")),
}
