"""Made-up streets, addresses and towns in the forms of many countries, for the training text."""

from __future__ import annotations

from functools import cache
from random import Random

from bases.tagger.values import faker_list, family, given, invented, locale, pick
from tasks.deidentify.wordlists import words


@cache
def cities() -> tuple[str, ...]:
    """Real town names of the locales that list them."""
    found: list[str] = []
    for name in words("text locales"):
        found += faker_list(
            "address", name, "cities", "city_names", "towns", "communes", "municipalities"
        )
    return tuple(found) + words("place world") * 12


@cache
def countries() -> tuple[str, ...]:
    """The countries of the world in English."""
    return (
        tuple(c for c in faker_list("address", "en_US", "countries") if "(" not in c)
        + (
            "USA",
            "UK",
            "US",
            "United States",
            "United Kingdom",
            "Germany",
            "France",
            "Spain",
            "Canada",
            "India",
        )
        * 8
    )


def city(rng: Random) -> str:
    """A town."""
    draw = rng.random()
    if draw < 0.15:
        return invented(rng, 1 + int(rng.random() * 2)) + pick(rng, words("place tails"))
    if draw < 0.25:
        return pick(
            rng, ["New ", "Port ", "Lake ", "East ", "San ", "St. ", "Bad ", "El ", "West "]
        ) + family(rng)
    if draw < 0.32:
        return family(rng) + pick(rng, words("place tails"))
    name = pick(rng, cities())
    return name.upper() if rng.random() < 0.06 else name


def country(rng: Random) -> str:
    """A country."""
    return pick(rng, countries())


def state(rng: Random) -> str:
    """A state, in letters or in full."""
    return (
        pick(rng, words("place states"))
        if rng.random() < 0.6
        else pick(rng, list(faker_list("address", "en_US", "states")))
    )


def number(rng: Random) -> str:
    """A postal code."""
    digits = f"{int(rng.random() * 100000):05d}"
    letters = "ABCEGHJKLMNPRSTVXY"
    a, b, c = (pick(rng, list(letters)) for _ in range(3))
    uk = f"{a}{b}{digits[0]} {digits[1]}{c}X"
    return pick(
        rng,
        [
            digits,
            digits,
            digits,
            digits[:4],
            f"{digits}-{digits[:4]}",
            uk,
            f"{digits[:2]}-{digits[2:]}",
        ],
    )


def unit(rng: Random) -> str:
    """A flat or a suite."""
    n = 1 + int(rng.random() * 999)
    return pick(
        rng,
        [
            f"Apt {n}",
            f"Apt. {n}",
            f"Suite {n}",
            f"Unit {n}",
            f"#{n}",
            f"Floor {n % 30}",
            f"Apartment {n}",
            f"Ste {n}",
            f"Flat {n % 20}B",
            f"P.O. Box {n}",
            f"PO Box {n}",
            f"Room {n}",
        ],
    )


def _common(rng: Random) -> str:
    return pick(rng, words("place common"))


def street_name(rng: Random) -> str:
    """A street without a number."""
    draw = rng.random()
    if draw < 0.1:
        return f"{1 + int(rng.random() * 120)}th {pick(rng, words('place types'))}"
    name = pick(rng, (family, family, given, _common))(rng)
    if draw < 0.3:
        name = f"{name} {family(rng)}" if rng.random() < 0.4 else name
        return f"{name} {pick(rng, words('place odd'))}"
    return f"{pick(rng, words('place directions'))}{name} {pick(rng, words('place types'))}"


def street(rng: Random) -> str:
    """A street with its number."""
    n = 1 + int(rng.random() ** 2 * 9999)
    if locale(rng).startswith("en"):
        written = f"{n} {street_name(rng)}"
        if rng.random() < 0.06:
            written = f"{n}{pick(rng, list('ABC'))} {street_name(rng)}"
    else:
        written = (
            pick(rng, words("place foreign")).format(family(rng)).replace("9", str(n % 400 + 1))
        )
    if rng.random() < 0.06:
        return f"the corner of {street_name(rng)} and {street_name(rng)}"
    if rng.random() < 0.04:
        return unit(rng) if rng.random() < 0.3 else f"PSC {n}, Box {n % 5000}"
    return f"{written}{pick(rng, [', ', ' ', ', '])}{unit(rng)}" if rng.random() < 0.2 else written


def address(rng: Random) -> str:
    """A whole address on one line."""
    road, town, zip_code, draw = street(rng), city(rng), number(rng), rng.random()
    forms = (
        (0.3, f"{road}, {town}, {state(rng)} {zip_code}"),
        (0.38, f"{road} {town} {state(rng)} {zip_code}"),
        (0.5, f"{road}, {zip_code} {town}"),
        (0.6, f"{road}, {zip_code} {town}, {country(rng)}"),
        (0.7, f"{road}, {town}, {country(rng)} {zip_code}"),
        (0.78, f"{road}, {town} {zip_code}"),
        (0.84, f"{road} {unit(rng)}, {town}, {country(rng)}"),
        (0.88, f"{1 + int(rng.random() * 9999)} {road} {unit(rng)} {town} {country(rng)}"),
        (0.94, f"{road}, {town}"),
    )
    return next((form for share, form in forms if draw < share), road)


def lines(rng: Random) -> str:
    """A whole address on several lines."""
    road, town, zip_code = street(rng), city(rng), number(rng)
    town = town.upper() if rng.random() < 0.3 else town
    pad = pick(rng, ["", " ", "", "  "])
    n = 1 + int(rng.random() * 9999)
    forms: list[list[str]] = [
        [road, f"{town}, {state(rng)} {zip_code}"],
        [road, unit(rng), f"{town}, {state(rng)} {zip_code}"],
        [road, unit(rng), town, f"{country(rng)} {zip_code}"],
        [f"{n} {road}", unit(rng), town, f"{country(rng)} {zip_code}"],
        [road, f"{zip_code} {town}", country(rng)],
        [f"{n} {road}", town, f", {state(rng)}", zip_code],
        [f"PSC {n}, Box {n % 777}", f"APO AA {zip_code}"],
        [f"Unit {n} Box {n % 999}", f"DPO AP {zip_code}"],
        [f"USS {family(rng)}", f"FPO AE {zip_code}"],
    ]
    return f"\n{pad}".join(pick(rng, forms))
