"""The word lists in `bases/lexicon/`, read once: everyday English written for this project.

Used by `bases.values` and `bases.grammar`; names and places come from Faker's lists.
"""

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from random import Random
from typing import TypeVar

T = TypeVar("T")
LEXICON = Path(__file__).parent / "lexicon"


def pick(rng: Random, items: Sequence[T]) -> T:
    """One item; about three times as fast as `rng.choice`, which decides the generator's speed."""
    return items[int(rng.random() * len(items))]


def lines(name: str) -> list[str]:
    """The rows of a file, without its comments."""
    rows = (LEXICON / name).read_text("utf-8").splitlines()
    return [row.strip() for row in rows if row.strip() and not row.startswith("#")]


@cache
def table(name: str, apart: str = ",") -> dict[str, tuple[str, ...]]:
    """Rows of the form `key: member, member`."""
    pairs = (row.split(":", 1) for row in lines(name))
    return {key: tuple(m.strip() for m in members.split(apart)) for key, members in pairs}


@cache
def words(name: str) -> tuple[str, ...]:
    """One of the small lists in words.txt."""
    return table("words.txt", ";")[name]


@cache
def categories() -> dict[str, tuple[str, ...]]:
    """Words by category, and the groups of categories that slots draw from."""
    own = table("categories.txt")
    groups = table("groups.txt").items()
    return own | {name: sum((own[c] for c in members), ()) for name, members in groups}


@cache
def base_categories() -> list[str]:
    """The categories proper."""
    return list(table("categories.txt"))


@cache
def nouns() -> list[str]:
    """Every word of every category."""
    return sorted({w for members in table("categories.txt").values() for w in members})


@cache
def adjectives() -> list[str]:
    """Plain adjectives."""
    return " ".join(lines("adjectives.txt")).split()


@cache
def verbs() -> list[tuple[str, ...]]:
    """Verbs in four forms: base, third person, past, -ing."""
    return [tuple(row.split("|")) for row in lines("verbs.txt")]


@cache
def synonyms() -> list[tuple[str, ...]]:
    """Groups of words that can stand for each other."""
    return [tuple(w.strip() for w in row.split(",")) for row in lines("synonyms.txt")]


def vocabulary() -> list[str]:
    """Every plain word of the lexicon: the tokenizer learns them as wholes."""
    members: list[str] = [*nouns(), *adjectives(), *sum((*verbs(), *synonyms()), ())]
    members += sum(table("words.txt", ";").values(), ())
    members += [re.sub(r"\{\w+\}|\w+\.", " ", row, count=0) for row in lines("intents.txt")]
    return sorted({w for text in members for w in re.findall(r"[a-z]{3,}", text)})


@cache
def faker_words(what: str) -> tuple[str, ...]:
    """Word lists from Faker, taken once: its own per-value calls are too slow for pretraining."""
    from faker.providers.address.en_US import Provider as Address
    from faker.providers.company.en_US import Provider as Company
    from faker.providers.job.en_US import Provider as Job
    from faker.providers.lorem.en_US import Provider as Lorem
    from faker.providers.person.en_US import Provider as Person

    lists = {
        "first": Person.first_names,
        "last": Person.last_names,
        "state": Address.states,
        "state_abbr": Address.states_abbr,
        "country": [c for c in Address.countries if c.isascii() and len(c) < 16],
        "company_suffix": Company.company_suffixes,
        "job": [j for j in Job.jobs if j.isascii() and len(j) < 30],
        "word": Lorem.word_list,
        "city_suffix": Address.city_suffixes,
        "city_prefix": Address.city_prefixes,
    }
    return tuple(lists[what])
