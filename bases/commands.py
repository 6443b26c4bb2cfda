"""Kinds of examples that understand spoken commands: an intent, and slots copied out of the text.

Used by `bases.synth`. An assistant is a small grammar of its own; nothing but cue words, the kinds
of values, the meaning of their words and the order of words tells where a value begins and ends.
"""

import json
from dataclasses import dataclass
from random import Random
from string import capwords

from bases import values as v
from bases.fields import Example
from bases.grammar import odd_key, styled, typo
from bases.meanings import groups, known, member
from bases.values import MAKERS, make, pseudo
from bases.wordlists import adjectives, base_categories, categories, nouns, pick, verbs, words

CARRIERS = (
    "@", "@", "please @", "can you @", "i want to @", "i need to @", "could you @", "@ please",
    "i would like to @", "let's @", "help me @", "hey, @", "i'd like you to @", "@ for me",
)  # fmt: skip
CUES = (
    "in @", "at @", "for @", "to @", "from @", "by @", "with @", "on @", "near @", "of @",
    "called @", "named @", "about @", "the @", "a @", "my @", "@", "@", "@ only", "which is @",
    "that has @", "as @", "around @", "no @", "any @", "some @",
)  # fmt: skip
WHENS = (
    "tomorrow", "tonight", "next week", "this weekend", "in # hours", "# minutes from now",
    "a year ago", "# days from now", "in the morning", "next month", "at # pm", "at # am", "noon",
    "the first of may", "# weeks ago", "this afternoon", "in one month", "midnight", "# o'clock",
)  # fmt: skip
LINKS = ("the", "of", "a", "and", "in", "to", "for", "my", "is", "on", "with", "no", "it", "you")
STYLES = ("nested", "nested", "flat", "call", "pairs")


@dataclass(frozen=True, slots=True)
class Slot:
    """A key, the kind of its values, and the words around them (`@` is the value)."""

    key: str
    kind: str
    cues: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Command:
    """An intent: its name, ways to open it, and what it takes."""

    name: str
    openings: tuple[str, ...]
    slots: tuple[Slot, ...]


@dataclass(frozen=True, slots=True)
class Assistant:
    """Commands, and the shape of the answer."""

    commands: tuple[Command, ...]
    shape: str
    lower: float


def title(rng: Random) -> str:
    """A title of one to six words, known or made up, as of a song, a list or a place."""
    sources = (nouns(), adjectives(), LINKS, known(), known())
    out = []
    for _ in range(1 + int(rng.random() ** 1.7 * 6)):
        roll = rng.random()
        if roll < 0.25:
            out.append(pseudo(rng))
        elif roll < 0.35:
            out.append(pick(rng, pick(rng, verbs())))
        else:
            out.append(pick(rng, pick(rng, sources)))
    glue = pick(rng, (": ", " - ", ", ", "'s ", " & ")) if rng.random() < 0.1 else " "
    text = glue.join((" ".join(out[:2]), " ".join(out[2:]))) if out[2:] else " ".join(out)
    if rng.random() < 0.05:
        text += f" {1 + int(rng.random() * 99)}"
    return capwords(text) if rng.random() < 0.4 else text


def when(rng: Random) -> str:
    """A moment, in words."""
    n = pick(rng, words("counts")) if rng.random() < 0.5 else str(1 + int(rng.random() * 30))
    return pick(rng, WHENS).replace("#", n)


KINDS = ("title", "title", "title", "when", "name", "word", "closed", "closed", "closed")


def value(rng: Random, kind: str) -> str:
    """A value of a kind: made by rule, out of the list of `closed:a|b|c`, or meant by `like:3`."""
    if kind.startswith("closed:"):
        return pick(rng, kind[7:].split("|"))
    if kind.startswith("like:"):
        text = member(rng, int(kind[5:]))
        return capwords(text) if rng.random() < 0.4 else text
    if kind in MAKERS:
        return make(rng, kind)
    if kind == "when":
        return when(rng)
    if kind == "name":
        return f"{v.first(rng)} {v.last(rng)}" if rng.random() < 0.7 else pseudo(rng, 3)
    return pseudo(rng) if kind == "word" else title(rng)


def slot(rng: Random, cues: tuple[str, ...] = CUES) -> Slot:
    """A random slot. Its key tells of the kind, or of nothing."""
    roll = rng.random()
    if roll < 0.3:
        group = int(rng.random() * len(groups()))
        kind, key = f"like:{group}", pick(rng, groups()[group][:12])
    elif roll < 0.55:
        kind = pick(rng, ("city", "country", "state", "number", "time", "date", "company", "job"))
        key = kind
    elif roll < 0.7:
        key = pick(rng, base_categories())
        some = rng.sample(categories()[key], min(len(categories()[key]), 4 + int(rng.random() * 9)))
        kind = "closed:" + "|".join(some)
    else:
        kind = pick(rng, KINDS)
        key = {"title": pick(rng, nouns()), "name": "name", "when": "time range"}.get(kind, "")
        if kind == "closed":
            kind = "closed:" + "|".join(
                rng.sample(nouns() + adjectives(), 3 + int(rng.random() * 9))
            )
    prefix = f"{pick(rng, nouns())} " if rng.random() < 0.4 else ""
    name = styled(rng, prefix + key) if key and rng.random() < 0.9 else odd_key(rng)
    own = {pick(rng, cues) for _ in range(1 + int(rng.random() * 3))}
    return Slot(name, kind, tuple(sorted(own)))


def assistant(rng: Random, commands: int, most: int) -> Assistant:
    """A new assistant of so many commands, each of which takes up to `most` slots.

    Where all slots share a few cues, only the meaning of the values tells which is which.
    """
    cues = CUES if rng.random() < 0.5 else tuple(rng.sample(CUES, 2))
    pool = {made.key: made for made in (slot(rng, cues) for _ in range(1 + commands * most // 2))}
    style, found = rng.random(), []
    for _ in range(commands):
        verb, noun = pick(rng, verbs())[0], pick(rng, nouns())
        named = f"{verb} {noun}" if rng.random() < 0.8 else noun
        name = named.title().replace(" ", "") if style < 0.5 else named.replace(" ", "_")
        heads = {f"{verb} {pick(rng, ('the ', 'a ', 'my ', ''))}{noun}"}
        for _ in range(int(rng.random() * 4)):
            other = pick(rng, (f"{pick(rng, verbs())[0]} {noun}", f"what is the {noun}", verb))
            heads.add(pick(rng, (other, f"is there a {noun}", f"{noun}", f"i want a {noun}")))
        some = rng.sample(list(pool.values()), min(len(pool), 1 + int(rng.random() * most)))
        found.append(Command(name, tuple(sorted(heads)), tuple(some)))
    return Assistant(tuple(found), pick(rng, STYLES), pick(rng, (0.1, 0.5, 0.9)))


def spoken(rng: Random, command: Command, lower: float) -> tuple[str, list[tuple[str, str]]]:
    """An utterance, and (key, value) in the order in which they stand in it."""
    count = min(len(command.slots), int(rng.random() ** 0.8 * 5))
    some = rng.sample(command.slots, count)
    opening, small = pick(rng, command.openings), rng.random() < lower
    if rng.random() < 0.1:
        opening = typo(rng, opening)
    phrases, said = [], []
    for one in some:
        text = value(rng, one.kind)
        text = text.lower() if small else text
        said.append((one.key, text))
        phrases.append(pick(rng, one.cues).replace("@", text))
    before = int(rng.random() * 1.3 * len(phrases)) if rng.random() < 0.3 else 0
    whole = " ".join([*phrases[:before], opening, *phrases[before:]])
    carried = pick(rng, CARRIERS).replace("@", whole)
    if not small and rng.random() < 0.5 and not carried.startswith(tuple(x for _, x in said)):
        carried = carried[0].upper() + carried[1:]
    return carried + pick(rng, ("", "", "", ".", "?")), said


def reply(shape: str, name: str, said: list[tuple[str, str]]) -> str:
    """The answer in the shape of the assistant."""
    data: object = {"intent": name, "slots": dict(said)}
    if shape == "flat":
        data = {"intent": name, **dict(said)}
    elif shape == "call":
        data = {"tool_calls": [{"name": name, "arguments": dict(said)}]}
    elif shape == "pairs":
        data = {"intent": name, "slots": [{"name": k, "value": x} for k, x in said]}
    return json.dumps(data, ensure_ascii=False)


def once(rng: Random, one: Assistant) -> tuple[str, str]:
    """An utterance and its answer."""
    command = pick(rng, one.commands)
    text, said = spoken(rng, command, one.lower)
    return text, reply(one.shape, command.name, said)


def listed(rng: Random) -> Example:
    """A new assistant, told of in the prompt."""
    one = assistant(rng, 1 + int(rng.random() * 5), 4)
    rows = (f"{c.name}: {', '.join(s.key for s in c.slots)}" for c in one.commands)
    text, answer = once(rng, one)
    shape = reply(one.shape, "...", [("...", "...")])
    shown = "\n".join(pick(rng, ("- ", "")) + row for row in rows)
    return Example("commands", (("user", f"{shape}\n{shown}\n{text}"),), answer)


def shown(rng: Random) -> Example:
    """A new assistant of one or two commands, told of by examples."""
    one = assistant(rng, 1 + int(rng.random() * 2), 3)
    shots = [once(rng, one) for _ in range(3 + int(rng.random() * 4))]
    text, answer = once(rng, one)
    body = "\n".join(f"{said}\n{done}" for said, done in shots)
    return Example("commands", (("user", f"{body}\n{text}"),), answer)
