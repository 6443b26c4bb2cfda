"""Training text for the tagger: made-up people and places in the sentences of agent logs.

    python -m bases.tagger.text --n 20 --language de          # look at some

Same seed, same text. Values come from Faker's word lists (MIT) in forty locales; a fifth of the
names is invented. Real sentences without personal data come from the docstrings of the standard
library, and in other languages than English words are exchanged for others of wordfreq's lists.
"""

from __future__ import annotations

import argparse
import ast
import re
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

from bases.tagger.languages import (
    KINDS,
    LOCALES,
    SLOT,
    Language,
    ordinary,
    reworded,
    sections,
)
from bases.tagger.values import pick

KEYS = """name={person};full_name={person};customer={person};customer name={person};user={person};
first name={first};last name={last};given name={first};surname={last};passenger={person};
contact={person};author={person};owner={person};assignee={first};recipient={person};sender={person};
from={person};to={person};doctor={person};manager={person};guest={first};created by={person};
address={addr};shipping address={addr};address1={street};address2={unit};street={street};
street address={street};delivery={addr};billing address={addr};location={city};city={city};
origin={city};destination={city};state={state};province={st};country={country};zip={zip};
postal code={zip};company={org};employer={org};bank={org};venue={place};hotel name={place};
restaurant name={place};email={email};phone={phone};order id={order};order={order};item={product};
product={product};price={amount};total={amount};amount={num};date={isodate};created at={isodate};
time={time};status=shipped;status=available;status=pending;priority=high;category=billing;
type=regular;user id={handle};reservation id={code};flight number={flight};origin={iata};
destination={iata2};cabin=economy;membership=gold;insurance=yes;payment id=credit_card_{digits};
id={uuid};id={digits};sku={sku};tracking={tracking};ticket={ticket};dob={dob};last four={four};
currency=USD;language=en;locale=en-US;gender=female;genre=Pop;cuisine=Mexican;color=Black;size=Large;
event type=Music;event name={product};song={product};artist={person};director={person};
title={product};subject={product} question;note={first} will call {weekday};message=Hello {first};
summary={person} wants a refund;query={product};intent=track_order;sentiment=negative;
url=https://x.io/{hex};
description=A {product} for every day;day={weekday};month={month};source={iata};brand=visa;
model=gpt-4o;role=assistant;function=get_{word}_details;tags=urgent, vip;quantity={num};
rating=4.{num}"""


@dataclass(frozen=True, slots=True)
class Example:
    """A text and its labelled stretches."""

    text: str
    spans: tuple[tuple[int, int, str], ...]


@cache
def keys() -> list[tuple[str, str]]:
    """Keys as they stand in JSON, and what stands under them."""
    pairs = [pair.strip().split("=", 1) for pair in KEYS.replace("\n", "").split(";")]
    return [(key, value) for key, value in pairs]


@cache
def docstrings() -> list[str]:
    """Sentences of the standard library's documentation: real text about nobody."""
    found = []
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(errors="replace"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                text = ast.get_docstring(node) or ""
                found += [p for p in text.split("\n\n") if 20 < len(p) < 300 and _nobody(p)]
    return found


def _nobody(text: str) -> bool:
    return not re.search(r"@|\bby [A-Z]|author|copyright|written|\b[A-Z]\. [A-Z]", text, re.I)


def fill(rng: Random, template: str, language: str = "en") -> Example:
    """A template with values in its slots. A slot that occurs twice has the same value."""
    text, at, spans = "", 0, []
    makers = Language(language)
    values: dict[str, str] = {}
    for match in SLOT.finditer(template):
        name, case = match[1], match[3]
        if name == "addr" and template.startswith("_lines", match.end(1)):
            name = "addr_lines"
        label, make = makers.labelled(name) or ("", makers.value(name))
        value = values.setdefault(match[1] + match[2], make(rng))
        value = value.lower() if case == "_l" else value.upper() if case == "_u" else value
        text += template[at : match.start()].replace("{{", "{").replace("}}", "}")
        if label:
            spans.append((len(text), len(text) + len(value), label))
        text, at = text + value, match.end()
    return Example(text + template[at:].replace("{{", "{").replace("}}", "}"), tuple(spans))


def record(rng: Random) -> Example:
    """Some `key: value` lines, as JSON reaches the tagger."""
    chosen = [pick(rng, keys()) for _ in range(1 + int(rng.random() * 7))]
    return fill(rng, "\n".join(f"{key}: {value}" for key, value in chosen))


def joined(rng: Random, parts: list[Example]) -> Example:
    """Several examples as one text."""
    glue = pick(rng, (" ", " ", "\n", "\n\n", "\n- "))
    text, spans = "", []
    for part in parts:
        text += glue if text else ""
        spans += [(a + len(text), b + len(text), label) for a, b, label in part.spans]
        text += part.text
    return Example(text, tuple(spans))


WEIGHTS = dict(zip(KINDS, (24, 13, 11, 16, 22, 12, 12), strict=True))
REWORDED, SHARE, COINED = 0.6, 0.25, 0.15  # sentences with other words, how many, and of what
NOBODY = frozenset({"negative", "plain"})
GLUE = (", ", " / ", " | ", "\n", " - ", "; ")


def one(rng: Random, language: str) -> Example:
    """One example of any kind."""
    draw = rng.random()
    if draw < 0.1:
        return listed(rng, language)
    if language == "en" and draw < 0.3:
        return record(rng) if draw < 0.2 else Example(pick(rng, docstrings()), ())
    kinds = [kind for kind in KINDS if kind in sections(language)]
    weights = [WEIGHTS[k] if language == "en" else len(sections(language)[k]) for k in kinds]
    kind = rng.choices(kinds, weights)[0]
    template = pick(rng, sections(language)[kind])
    if rng.random() < REWORDED:
        coined = COINED if kind in NOBODY else 0.0
        template = reworded(rng, language, template, SHARE, coined)
    return fill(rng, template, language)


def listed(rng: Random, language: str) -> Example:
    """Headings, rows and `key: value` of ordinary words, and of people among them."""

    def said() -> str:
        words = [ordinary(rng, language, COINED) for _ in range(1 + int(rng.random() * 2))]
        return (" ".join(words)).capitalize() if rng.random() < 0.8 else words[0]

    def value() -> str:
        draw = rng.random()
        if draw < 0.3:
            return pick(
                rng, ("{person}", "{first}", "{last}", "{last}, {first}", "{person} ({job})")
            )
        return said() if draw < 0.8 else pick(rng, ("{num}", "{date}", "{order}", "{city}"))

    if rng.random() < 0.4:
        parts = [value() for _ in range(1 + int(rng.random() * 4))]
        return fill(rng, pick(rng, GLUE).join(parts), language)
    rows = [f"{said()}: {value()}" for _ in range(1 + int(rng.random() * 4))]
    return fill(rng, pick(rng, GLUE).join(rows), language)


def examples(seed: int, languages: Sequence[str] = ("en",)) -> Iterator[Example]:
    """Examples without end; the same ones for the same seed."""
    rng = Random(seed)
    while True:
        language = pick(rng, languages) if len(languages) > 1 else languages[0]
        count = rng.choices((1, 2, 3, 4), (60, 22, 12, 6))[0]
        example = joined(rng, [one(rng, language) for _ in range(count)])
        draw = rng.random()
        if draw < 0.15 and example.text.lower().__len__() == len(example.text):
            example = Example(example.text.lower(), example.spans)
        elif draw < 0.18 and len(example.text.upper()) == len(example.text):
            example = Example(example.text.upper(), example.spans)
        yield example


def show(example: Example) -> str:
    """An example with its labels in brackets."""
    text = example.text
    for start, end, label in sorted(example.spans, reverse=True):
        text = f"{text[:start]}[{label} {text[start:end]}]{text[end:]}"
    return text


def main() -> None:
    """Print examples, or write the names that surrogates are made of."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--n", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--language", default="en", choices=["en", *LOCALES])
    args = parser.parse_args()
    source = examples(args.seed, [args.language])
    for _ in range(args.n):
        print(show(next(source)), end="\n---\n")


if __name__ == "__main__":
    main()
