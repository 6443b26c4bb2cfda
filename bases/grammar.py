"""Everyday English from the word lists in `bases/lexicon/`: phrasings, sentences, noise.

Used by `bases.synth`; a phrasing is text with `(this|that)` choices and `{slot}` values.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

from bases.values import MAKERS, make, pick, pseudo

LEXICON = Path(__file__).parent / "lexicon"
GROUPS = {
    "item": "clothing footwear jewellery furniture kitchenware appliance electronics tool "
            "stationery toy sports_gear baby book",
    "food": "fruit vegetable bakery dairy meat seafood dish",
    "place": "building shop nature lodging air_travel",
    "store": "shop", "meeting": "office", "song": "emotion nature wild_animal",
    "thing": "nature science material shape art internet weather",
    "things": "document payment shipping office", "food_or_item": "clothing dish electronics book",
}  # fmt: skip
SINGULAR_THE = ("the", "a", "my", "his", "her", "our", "their", "this", "every", "one", "another")
ADVERBS = """quickly slowly really often always never usually sometimes again twice already still
carefully quietly early late together alone today yesterday recently finally almost""".split()
PREPOSITIONS = "in on at near behind under over beside without with for from after before".split()
FILLERS = """hi;hello;hey there;good morning;dear team;hi all;please;thanks in advance;thank you;
many thanks;best regards;cheers;sorry to bother you;hope you are well;by the way;as I said;
quick question;just checking;to be honest;if possible;as soon as possible;let me know;
I am writing because;I was wondering;could you help me;let me explain;for your information;
one more thing;sent from my phone;kind regards;it is urgent;no rush;you know;um;well;ok so"""
FILLER = [w.strip() for w in FILLERS.split(";")]
Expander = Callable[[Random, dict[str, str] | None], str]


@dataclass(frozen=True, slots=True)
class Intent:
    """One thing that people ask for: names that a label may have, and how people say it."""

    domain: str
    names: tuple[str, ...]
    phrasings: tuple[Expander, ...]
    slots: tuple[tuple[str, ...], ...]  # of each phrasing, repeats included


def lines(name: str) -> list[str]:
    rows = (LEXICON / name).read_text("utf-8").splitlines()
    return [row.strip() for row in rows if row.strip() and not row.startswith("#")]


@cache
def categories() -> dict[str, tuple[str, ...]]:
    pairs = (row.split(":", 1) for row in lines("categories.txt"))
    own = {name: tuple(w.strip() for w in words.split(",")) for name, words in pairs}
    return own | {g: sum((own[c] for c in members.split()), ()) for g, members in GROUPS.items()}


@cache
def base_categories() -> list[str]:
    return [name for name in categories() if name not in GROUPS]


@cache
def adjectives() -> list[str]:
    return " ".join(lines("adjectives.txt")).split()


@cache
def verbs() -> list[tuple[str, ...]]:
    return [tuple(row.split("|")) for row in lines("verbs.txt")]


@cache
def nouns() -> list[str]:
    return sorted({w for name in base_categories() for w in categories()[name]})


@cache
def intents() -> list[Intent]:
    out = []
    for row in lines("intents.txt"):
        head, body = row.split("::")
        name, aliases = head.split("=")
        domain, own = name.strip().split(".")
        names = (own.replace("_", " "), *(a.strip() for a in aliases.split(",")))
        said = [p.strip() for p in body.split(";")]
        ways = tuple(tuple(slots(p)) for p in said)
        out.append(Intent(domain, names, tuple(compiled(p) for p in said), ways))
    return out


@cache
def compiled(phrasing: str) -> Expander:
    """A phrasing as a function: parsed once, because it is expanded millions of times."""
    tokens = re.findall(r"\{\w+\}|[(|)]|[^{}(|)]+", phrasing)
    node, rest = parse_sequence(tokens)
    if rest:
        raise ValueError(f"unbalanced phrasing: {phrasing}")
    return lambda rng, fixed: render(node, rng, fixed or {})


def parse_sequence(tokens: list[str]) -> tuple[list[object], list[str]]:
    out: list[object] = []
    while tokens and tokens[0] not in ("|", ")"):
        head, tokens = tokens[0], tokens[1:]
        if head == "(":
            options = []
            while True:
                option, tokens = parse_sequence(tokens)
                options.append(option)
                closing, tokens = tokens[0], tokens[1:]
                if closing == ")":
                    break
            out.append(tuple(options))
        else:
            out.append(head)
    return out, tokens


def render(node: list[object], rng: Random, fixed: dict[str, str]) -> str:
    out = []
    for part in node:
        if isinstance(part, tuple):
            out.append(render(pick(rng, part), rng, fixed))
        elif isinstance(part, str):
            out.append(slot(rng, part[1:-1], fixed) if part[0] == "{" else part)
    return "".join(out)


def slot(rng: Random, name: str, fixed: dict[str, str]) -> str:
    if name in fixed:
        return fixed[name]
    if name in MAKERS:
        return make(rng, name)
    word = pick(rng, categories()[name])
    return f"{pick(rng, adjectives())} {word}" if name == "item" and rng.random() < 0.25 else word


def slots(phrasing: str) -> list[str]:
    return re.findall(r"\{(\w+)\}", phrasing)


def say(rng: Random, intent: Intent) -> str:
    return " ".join(pick(rng, intent.phrasings)(rng, None).split())


def noun_phrase(rng: Random) -> str:
    adjective = f"{pick(rng, adjectives())} " if rng.random() < 0.4 else ""
    noun = pick(rng, nouns()) if rng.random() < 0.85 else make(rng, "word")
    return f"{pick(rng, SINGULAR_THE)} {adjective}{noun}"


def sentence(rng: Random) -> str:
    """A grammatical sentence about anything: filler, and company for rare words."""
    roll, verb = rng.random(), pick(rng, verbs())
    who = pick(rng, ("I", "we", "you", "they")) if roll < 0.5 else ""
    if not who:
        who = noun_phrase(rng) if roll < 0.8 else make(rng, "first_name")
    if rng.random() < 0.6:
        core = f"{who} {verb[2]} {noun_phrase(rng)}"
    elif roll < 0.5:
        core = f"{who} {pick(rng, ('will ', 'can ', 'did not ', 'should ', 'want to ', ''))}{verb[0]} {noun_phrase(rng)}"
    else:
        core = f"{who} {pick(rng, ('is ' + verb[3], verb[1], 'was ' + verb[3]))} {noun_phrase(rng)}"
    tail = rng.random()
    if tail < 0.3:
        core += f" {pick(rng, PREPOSITIONS)} {noun_phrase(rng)}"
    elif tail < 0.5:
        core += f" {pick(rng, ADVERBS)}"
    return f"{core[0].upper()}{core[1:]}."


def themed(rng: Random, category: str) -> str:
    """A sentence that holds a word of the category, so that the words of a field meet."""
    a, b = pick(rng, categories()[category]), pick(rng, categories()[category])
    verb, adjective = pick(rng, verbs()), pick(rng, adjectives())
    forms = (f"we {verb[2]} the {a} and the {b}", f"the {adjective} {a} is near the {b}",
             f"i {verb[0]} my {a} {pick(rng, ADVERBS)}", f"is the {a} {adjective}?",
             f"{a} or {b}?", f"there is a {adjective} {a} here", f"{verb[3]} a {a} is {adjective}")
    return pick(rng, forms)


def filler(rng: Random) -> str:
    return pick(rng, FILLER) if rng.random() < 0.45 else sentence(rng)


def typo(rng: Random, word: str) -> str:
    """One slip of the fingers; short words and words with digits stay whole."""
    if len(word) < 4 or not word.isalpha():
        return word
    i, roll = 1 + int(rng.random() * (len(word) - 2)), rng.random()
    if roll < 0.35:
        return word[:i] + word[i + 1 :]
    if roll < 0.7:
        return word[:i] + word[i + 1] + word[i] + word[i + 2 :]
    return word[:i] + word[i] + word[i:]


def noisy(rng: Random, text: str, keep: frozenset[str] = frozenset()) -> str:
    """Typos, lost capitals, lost full stops; words in `keep` are never touched."""
    if rng.random() < 0.25:
        words = text.split(" ")
        i = int(rng.random() * len(words))
        if words[i].strip(".,!?") not in keep:
            words[i] = typo(rng, words[i])
        text = " ".join(words)
    if not keep and rng.random() < 0.2:
        text = text.lower()
    return text.rstrip(".") if rng.random() < 0.3 else text


def styled(rng: Random, name: str) -> str:
    """A label or key as some developer would have written it."""
    return in_style(rng.random(), name)


def in_style(roll: float, name: str) -> str:
    """The style that `roll` stands for, so that the labels of one list can share it."""
    if roll < 0.5:
        return name.replace(" ", "_").replace("-", "_")
    if roll < 0.65:
        return name.replace(" ", "-")
    if roll < 0.75:
        return name.title().replace(" ", "")
    return name.upper().replace(" ", "_") if roll < 0.82 else name


def odd_key(rng: Random) -> str:
    """A key that says nothing: its meaning must be read from the prompt."""
    return pseudo(rng, 1) + pick(rng, ("", "", f"_{pseudo(rng, 1)}", str(int(rng.random() * 9))))
