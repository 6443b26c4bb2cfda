"""Synthetic chats to pretrain on: random schemas, made-up values, seeded; no real data.

    python -m bases.synth --seed 1 --n 5 [--kind extract]

Same seed, same examples. `recurring` tasks have no instructions: a short tag stands for a schema
that is always the same, which is how a student meets its task.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from functools import cache
from random import Random

from bases import commands, dialogs, extracts, labels
from bases.fields import Example, chosen, filled, noisy_text
from bases.grammar import in_style, intents
from bases.values import pseudo
from bases.wordlists import pick

Kind = Callable[[Random], Example]
TAGGED = 1000


@cache
def recurring_makers() -> list[Kind]:
    """Schemas that come back: half extraction, half routing."""
    rng = Random(96)
    makers = [extraction_task, routing_task]
    return [makers[i % 2](rng, f"[{pseudo(rng, 2)}]") for i in range(TAGGED)]


def extraction_task(rng: Random, tag: str) -> Kind:
    """A schema whose fields are always the same."""
    fields = chosen(rng, 3 + int(rng.random() * 3))
    optional = {k for k, _ in fields if rng.random() < 0.3}

    def make(rng: Random) -> Example:
        data = filled(rng, fields)
        missing = {k for k in optional if rng.random() < 0.4}
        text = noisy_text(rng, fields, {k: x for k, x in data.items() if k not in missing})
        answer = {
            k: None if k in missing else extracts.typed(fields, k, x) for k, x in data.items()
        }
        reply = json.dumps(answer, ensure_ascii=False)
        return Example("recurring", (("user", f"{tag} {text}"),), reply)

    return make


def routing_task(rng: Random, tag: str) -> Kind:
    """A set of labels that is always the same."""
    options = labels.sample(rng, 5 + int(rng.random() * 10))
    style, key = rng.random(), pick(rng, ("", "", "label", "intent", "queue"))
    names = [in_style(style, pick(rng, o.names)) for o in options]

    def make(rng: Random) -> Example:
        i = int(rng.random() * len(options))
        text = f"{tag} {labels.utterance(rng, options[i])}"
        return Example(
            "recurring", (("user", text),), json.dumps({key: names[i]}) if key else names[i]
        )

    return make


def recurring(rng: Random) -> Example:
    """One of the recurring tasks."""
    return pick(rng, recurring_makers())(rng)


@cache
def assistants() -> list[tuple[str, commands.Assistant]]:
    """Assistants that come back, told apart by a tag."""
    rng = Random(97)
    sizes = [(2 + int(rng.random() * 8), 3 + int(rng.random() * 8)) for _ in range(TAGGED)]
    return [(f"[{pseudo(rng, 2)}]", commands.assistant(rng, *size)) for size in sizes]


def command(rng: Random) -> Example:
    """A command to an assistant: a known one, or one that the prompt tells of."""
    roll = rng.random()
    if roll < 0.5:
        tag, one = pick(rng, assistants())
        text, answer = commands.once(rng, one)
        return Example("commands", (("user", f"{tag} {text}"),), answer)
    return commands.listed(rng) if roll < 0.8 else commands.shown(rng)


def bare(rng: Random) -> Example:
    """No instruction at all: which keys come cannot be known, but each value follows its key."""
    roll = rng.random()
    if roll < 0.6:
        fields = chosen(rng, 1 + int(rng.random() * 5))
        data = filled(rng, fields)
        answer = {k: extracts.typed(fields, k, x) for k, x in data.items()}
        text = noisy_text(rng, fields, data)
        return Example("bare", (("user", text),), json.dumps(answer, ensure_ascii=False))
    if roll < 0.8:
        return dialogs.bare_call(rng)
    one = pick(rng, intents())
    return Example(
        "bare", (("user", labels.utterance(rng, one)),), in_style(0.0, pick(rng, one.names))
    )


MIX: dict[str, tuple[Kind, float]] = {
    "extract": (extracts.extract, 16), "nested": (extracts.nested, 5),
    "list": (extracts.listing, 3),
    "copy": (extracts.copying, 10), "normalise": (extracts.normalise, 9), "sql": (extracts.sql, 4),
    "intent": (labels.intent, 10), "topic": (labels.topic, 6), "synonym": (labels.synonym, 3),
    "domain": (labels.domain, 3),
    "rules": (labels.rules, 3), "fewshot": (labels.fewshot, 3), "triage": (labels.triage, 3),
    "alike": (labels.alike, 12),
    "tools": (dialogs.tools, 9), "tool_dialogue": (dialogs.tool_dialogue, 3),
    "dialogue": (dialogs.slot_dialogue, 4), "summary": (dialogs.summary, 5),
    "question": (dialogs.question, 5), "gist": (dialogs.reply_to, 3), "recurring": (recurring, 10),
    "bare": (bare, 9), "commands": (command, 45),
}  # fmt: skip


def examples(seed: int, kind: str = "") -> Iterator[Example]:
    """Examples without end; the same ones for the same seed."""
    rng = Random(seed)
    makers = [MIX[kind][0]] if kind else [k for k, _ in MIX.values()]
    weights = [1.0] if kind else [w for _, w in MIX.values()]
    while True:
        for maker in rng.choices(makers, weights, k=256):
            yield maker(rng)


def main() -> None:
    """Print some examples as JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--n", type=int, default=5)
    parser.add_argument("--kind", choices=list(MIX), default="")
    args = parser.parse_args()
    source = examples(args.seed, args.kind)
    for _ in range(args.n):
        one = next(source)
        print(json.dumps({"kind": one.kind, "messages": one.messages, "answer": one.answer}))


if __name__ == "__main__":
    main()
