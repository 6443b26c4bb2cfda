"""Everyday English from the word lists in `bases/lexicon/`: phrasings, sentences, noise.

Used by `bases.synth`; a phrasing is text with `(this|that)` choices and `{slot}` values.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from random import Random

from bases.values import MAKERS, make, pseudo
from bases.wordlists import adjectives, categories, lines, nouns, pick, synonyms, verbs, words

Expander = Callable[[Random, dict[str, str] | None], str]


@dataclass(frozen=True, slots=True)
class Intent:
    """One thing that people ask for: names that a label may have, and how people say it."""

    domain: str
    names: tuple[str, ...]
    phrasings: tuple[Expander, ...]
    slots: tuple[tuple[str, ...], ...]  # of each phrasing, repeats included


@cache
def other_words() -> tuple[dict[str, tuple[str, ...]], re.Pattern[str]]:
    """Every word with synonyms, and the pattern that finds them."""
    table = {word: group for group in reversed(synonyms()) for word in group}
    longest_first = sorted(table, key=lambda word: (-len(word), word))
    return table, re.compile(rf"\b(?:{'|'.join(map(re.escape, longest_first))})\b")


def paraphrased(rng: Random, text: str) -> str:
    """Some words replaced by others that mean about the same."""
    table, pattern = other_words()
    return pattern.sub(
        lambda m: pick(rng, table[m.group()]) if rng.random() < 0.35 else m.group(), text
    )


@cache
def intents() -> list[Intent]:
    """All intents of the lexicon."""
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
    """Nested choices; returns the node and what is left of the tokens."""
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
    """The text of a node."""
    out = []
    for part in node:
        if isinstance(part, tuple):
            out.append(render(pick(rng, part), rng, fixed))
        elif isinstance(part, str):
            out.append(slot(rng, part[1:-1], fixed) if part[0] == "{" else part)
    return "".join(out)


def slot(rng: Random, name: str, fixed: dict[str, str]) -> str:
    """The value of a slot: fixed, made or drawn from a category."""
    if name in fixed:
        return fixed[name]
    if name in MAKERS:
        return make(rng, name)
    word = pick(rng, categories()[name])
    return f"{pick(rng, adjectives())} {word}" if name == "item" and rng.random() < 0.25 else word


def slots(phrasing: str) -> list[str]:
    """The names of all slots of a phrasing."""
    return re.findall(r"\{(\w+)\}", phrasing)


def say(rng: Random, intent: Intent) -> str:
    """One of the phrasings, filled."""
    return " ".join(pick(rng, intent.phrasings)(rng, None).split())


def noun_phrase(rng: Random) -> str:
    """`my old bicycle`."""
    adjective = f"{pick(rng, adjectives())} " if rng.random() < 0.4 else ""
    noun = pick(rng, nouns()) if rng.random() < 0.85 else make(rng, "word")
    return f"{pick(rng, words('singular_the'))} {adjective}{noun}"


def clause(rng: Random) -> str:
    """Somebody does something, or something is somehow."""
    roll, verb = rng.random(), pick(rng, verbs())
    if roll > 0.82:
        degree = f"{pick(rng, words('degrees'))} " if rng.random() < 0.5 else ""
        return f"{noun_phrase(rng)} {pick(rng, words('states'))} {degree}{pick(rng, adjectives())}"
    thing = noun_phrase(rng)
    if rng.random() < 0.3:
        thing += f" {pick(rng, words('prepositions'))} {noun_phrase(rng)}"
    if roll < 0.45:
        mode = pick(rng, ("will ", "can ", "did not ", "should ", "want to ", "can't ", ""))
        done = verb[2] if rng.random() < 0.5 else f"{mode}{verb[0]}"
        return f"{pick(rng, ('I', 'we', 'you', 'they'))} {done} {thing}"
    who = make(rng, "first_name") if roll < 0.55 else noun_phrase(rng)
    forms = (verb[2], verb[1], f"is {verb[3]}", f"was {verb[3]}", f"has to {verb[0]}")
    return f"{who} {pick(rng, forms)} {thing}"


def sentence(rng: Random) -> str:
    """A grammatical sentence about anything: filler, and company for rare words."""
    text, tail = clause(rng), rng.random()
    if tail < 0.2:
        text += f" {pick(rng, words('joiners'))} {clause(rng)}"
    elif tail < 0.4:
        text += f" {pick(rng, words('adverbs') if tail < 0.3 else words('when'))}"
    if rng.random() < 0.2:
        text = f"{pick(rng, words('openings'))} {text}"
    return f"{text[0].upper()}{text[1:]}."


def themed(rng: Random, category: str) -> str:
    """A sentence that holds a word of the category, so that the words of a field meet."""
    a, b = pick(rng, categories()[category]), pick(rng, categories()[category])
    verb, adjective = pick(rng, verbs()), pick(rng, adjectives())
    forms = (
        f"we {verb[2]} the {a} and the {b}",
        f"the {adjective} {a} is near the {b}",
        f"i {verb[0]} my {a} {pick(rng, words('adverbs'))}",
        f"is the {a} {adjective}?",
        f"{a} or {b}?",
        f"there is a {adjective} {a} here",
        f"{verb[3]} a {a} is {adjective}",
    )
    return pick(rng, forms)


def filler(rng: Random) -> str:
    """Something that carries no information."""
    return pick(rng, words("filler")) if rng.random() < 0.45 else sentence(rng)


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
