"""Fields that a text may hold and how people write them; noisy texts built from chosen fields.

Used by `bases.extracts` and `bases.dialogs`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from random import Random

from bases.grammar import Intent, filler, intents, noisy, odd_key, say, sentence, slot, styled
from bases.values import MAKERS, make
from bases.wordlists import lines, pick


@dataclass(frozen=True, slots=True)
class Example:
    """One chat: messages as (role, text) and the answer that is to be learned."""

    kind: str
    messages: tuple[tuple[str, str], ...]
    answer: str


@dataclass(frozen=True, slots=True)
class Field:
    """A kind of value, what developers call it, and phrases that carry it in a text."""

    maker: str
    keys: tuple[str, ...]
    phrases: tuple[str, ...]


def parsed(name: str) -> list[Field]:
    """The rows of a table of fields."""
    rows = ([cell.split(";") for cell in row.split("|")] for row in lines(name))
    clean = ([tuple(x.strip() for x in cell) for cell in row] for row in rows)
    return [Field(maker[0], keys, phrases) for maker, keys, phrases in clean]


@cache
def plain_fields() -> list[Field]:
    """Fields that stand once in a text."""
    return parsed("fields.txt")


@cache
def any_fields() -> list[Field]:
    """And those that come in two roles, drawn twice as often."""
    return plain_fields() + 2 * parsed("roles.txt")


@cache
def openers() -> list[Intent]:
    """Return what a text with data in it may be about."""
    return [i for i in intents() if i.domain not in ("news", "smalltalk", "reply")]


def value(rng: Random, field: Field) -> str:
    """A random value of the field."""
    return make(rng, field.maker) if field.maker in MAKERS else slot(rng, field.maker, {})


def chosen(rng: Random, n: int) -> list[tuple[str, Field]]:
    """Up to `n` fields with the key that the schema gives each; no key twice."""
    pool = any_fields() if rng.random() < 0.3 else plain_fields()
    out: dict[str, Field] = {}
    for _ in range(n):
        field = pick(rng, pool)
        key = styled(rng, pick(rng, field.keys)) if rng.random() < 0.88 else odd_key(rng)
        if not any(f.maker == field.maker and f in plain_fields() for f in out.values()):
            out.setdefault(key, field)
    return list(out.items())


def mention(rng: Random, field: Field, text: str) -> str:
    """A phrase with the value in it."""
    return pick(rng, field.phrases).replace("@", text, 1)


def compose(rng: Random, fragments: list[str], keep: frozenset[str], fill: float = 1.2) -> str:
    """Fragments in some order between fillers, joined as people and forms do."""
    parts = list(fragments)
    rng.shuffle(parts)
    while rng.random() < fill - 0.5:
        parts.insert(int(rng.random() * (len(parts) + 1)), filler(rng))
        fill *= 0.75
    if rng.random() < 0.07:
        for _ in range(3 + int(rng.random() * 10)):
            parts.insert(int(rng.random() * (len(parts) + 1)), sentence(rng))
    if rng.random() < 0.4:
        opener = noisy(rng, say(rng, pick(rng, openers())))
        if not any(ch.isdigit() or ch == "@" for ch in opener):
            parts.insert(0, opener)
    glue = pick(rng, (", ", ". ", ". ", "\n", " ", "; ", " - ", ", "))
    text = noisy(rng, glue.join(p.rstrip(".") if glue == ". " else p for p in parts), keep)
    return envelope(rng, text) if rng.random() < 0.15 else text


def envelope(rng: Random, text: str) -> str:
    """The text as a mail, a ticket, a log line or a JSON payload."""
    roll, topic = rng.random(), pick(rng, pick(rng, openers()).names)
    if roll < 0.4:
        return f"Subject: {topic}\n\n{text}"
    if roll < 0.55:
        return f"Hi,\n\n{text}\n\n{pick(rng, ('Best regards', 'Thanks', 'Kind regards', 'Cheers'))}"
    if roll < 0.7:
        level = pick(rng, ("INFO", "note", "WARN"))
        return f"[{make(rng, 'date')} {make(rng, 'time')}] {level} {text}"
    if roll < 0.85:
        return json.dumps({pick(rng, ("text", "body", "message")): text}, ensure_ascii=False)
    return f"{pick(rng, ('channel', 'source'))}: {pick(rng, ('chat', 'email', 'phone'))}\n{text}"


def words_of(values: Mapping[str, str]) -> frozenset[str]:
    """The words of all values, which noise must leave alone."""
    return frozenset(w.strip(".,!?") for v in values.values() for w in v.split()) | {""}


def filled(rng: Random, fields: list[tuple[str, Field]]) -> dict[str, str]:
    """A random value for every key."""
    return {key: value(rng, field) for key, field in fields}


def noisy_text(rng: Random, fields: list[tuple[str, Field]], values: dict[str, str]) -> str:
    """A text that mentions all `values`, and with some luck one value that nobody asks for."""
    fragments = [mention(rng, dict(fields)[k], v) for k, v in values.items()]
    if rng.random() < 0.3:
        extra = pick(rng, plain_fields())
        if all(extra.maker != f.maker for _, f in fields):
            fragments.append(mention(rng, extra, value(rng, extra)))
    return compose(rng, fragments, words_of(values) or frozenset({""}))


def dump(rng: Random, data: object) -> str:
    """JSON as most models write it, with the odd compact or indented one."""
    roll = rng.random()
    if roll < 0.94:
        return json.dumps(data, ensure_ascii=False)
    if roll < 0.97:
        return json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return json.dumps(data, ensure_ascii=False, indent=1)
