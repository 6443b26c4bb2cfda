"""Writes the pools that surrogates are drawn from: names, streets and towns, by country.

    python -m bases.tagger.pools

`pools.json` has lists by what and where ("towns us AZ"), the most common first: towns of Google's
phone-number regions (phonenumbers, Apache-2.0: the more numbers, the larger) and Faker's (MIT),
names of Faker's lists by their frequency there or in wordfreq, streets of `street_names.txt`.
"""

from __future__ import annotations

import importlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from bases.tagger.values import faker_list
from tasks.deidentify.languages import frequency
from tasks.deidentify.wordlists import fold, roles

OUT = Path(__file__).with_name("pools.json")
STREETS = Path(__file__).with_name("street_names.txt")
LOCALES = {
    "en": ("en_US",),
    "de": ("de_DE",),
    "es": ("es_ES", "es_MX"),
    "fr": ("fr_FR",),
    "it": ("it_IT",),
    "nl": ("nl_NL",),
    "pt": ("pt_PT", "pt_BR"),
}
PREFIXES = {"fr": "33", "it": "39", "nl": "31", "pt": "351", "gb": "44", "de": "49"}
CITIES = {"de": "de_DE", "pt": "pt_PT"}
KINDS = {"female": "first_names_female", "male": "first_names_male", "family": "last_names"}
MOST, OF_A_STATE = 600, 40
WORD, GIVEN = 5.2, 4.5  # Zipf: a name that is a word at home; one that is a name all the same
NAME = re.compile(r"[^\W\d_]{2,}(?:['’][^\W\d_]{2,})?")
TOWN = re.compile(r"[^\W\d_]{2,}\.?(?:[ '’-][^\W\d_]+\.?){0,3}")


def names() -> Iterator[tuple[str, list[str]]]:
    """Names by language and role, the most common first."""
    for language, locales in LOCALES.items():
        for role, kind in KINDS.items():
            weights: dict[str, float] = {}
            for locale in locales:
                module = importlib.import_module(f"faker.providers.person.{locale}")
                found = getattr(module.Provider, kind)
                for name in found:
                    known = found[name] if isinstance(found, Mapping) else None
                    weights[name] = known or _fame(name, language)
            fit = [
                n
                for n in weights
                if weights[n] and NAME.fullmatch(n) and roles().get(fold(n)) == role
            ]
            yield f"{role} {language}", sorted(fit, key=lambda n: (-weights[n], n))[:MOST]


def _fame(name: str, language: str) -> float:
    """Return how common a name is at home, as far as it is no word: those are not known abroad."""
    own, abroad = frequency(name, language), frequency(fold(name), "en")
    word = own >= WORD and abroad < GIVEN
    return 0.0 if word or abroad - own >= 0.8 else min(own, abroad + 1)


def streets() -> Iterator[tuple[str, list[str]]]:
    """The lists of `street_names.txt`."""
    for block in STREETS.read_text().split("\n[")[1:]:
        head, _, body = block.partition("]\n")
        what = "towns" if head.endswith("towns") else "streets"
        found = [name.strip() for name in body.replace("\n", " ").split(",")]
        yield f"{what} {head.split()[0]}", list(dict.fromkeys(found))


def towns() -> Iterator[tuple[str, list[str]]]:
    """Towns by country, and those of the United States by state."""
    from phonenumbers.geodata import GEOCODE_DATA

    by_state: dict[str, Counter[str]] = defaultdict(Counter)
    by_country: dict[str, Counter[str]] = defaultdict(Counter)
    for prefix, told in GEOCODE_DATA.items():
        english = told.get("en", "")
        town, comma, state = english.partition(", ")
        if prefix.startswith("1") and comma and len(state) == 2 and TOWN.fullmatch(town):
            by_state[state][town] += 1
            by_country["us"][town] += 1
        for country, code in PREFIXES.items():
            own = told.get(country, english)
            if prefix.startswith(code) and TOWN.fullmatch(own):
                by_country[country][own] += 1
    for country, locale in CITIES.items():
        large = faker_list("address", locale, "cities")
        by_country[country] = Counter({t: 1 for t in large if TOWN.fullmatch(t)})
    for country, counts in by_country.items():
        yield f"towns {country}", _ranked(counts, country)[:MOST]
    for state, counts in by_state.items():
        yield f"towns us {state}", _ranked(counts, "us")[:OF_A_STATE]


def _ranked(counts: Counter[str], country: str) -> list[str]:
    """The most common first: by numbers in the region, then by how often people write of it."""
    language = country if country in LOCALES else "en"

    def key(town: str) -> tuple[float, float, str]:
        often = min(frequency(word, language) for word in re.split(r"[ '’-]+", town) if word)
        return -counts[town], -often, town

    return sorted(counts, key=key)


def joined(found: Iterable[tuple[str, list[str]]]) -> dict[str, str]:
    """The lists as they are kept."""
    return {name: "|".join(words) for name, words in sorted(found) if words}


def main() -> None:
    """Write the file."""
    pools = joined([*names(), *streets(), *towns()])
    OUT.write_text(json.dumps(pools, ensure_ascii=False, indent=0) + "\n")
    print(f"{len(pools)} pools, {OUT.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
