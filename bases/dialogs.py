"""Kinds of examples that act: tool calls, multi-turn dialogues, templated summaries.

Used by `bases.synth`. Tools are intents with their slots as arguments.
"""

import json
from functools import cache
from random import Random

from bases.fields import (
    Example,
    chosen,
    compose,
    dump,
    filled,
    mention,
    noisy_text,
    plain_fields,
    value,
    words_of,
)
from bases.grammar import Intent, filler, intents, noisy, say, slot
from bases.wordlists import pick, table, words


@cache
def spoken_intents() -> list[Intent]:
    """Return what a tool could be called for."""
    return [i for i in intents() if i.domain not in ("news", "reply", "smalltalk", "knowledge")]


@cache
def chat_intents() -> list[Intent]:
    """Return what no tool is needed for."""
    return [i for i in intents() if i.domain in ("smalltalk", "knowledge", "reply")]


def tool_name(rng: Random, intent: Intent) -> str:
    """The name of a tool for the intent."""
    name = pick(rng, intent.names[:2]).replace(" ", "_").replace("-", "_")
    return (
        name if rng.random() < 0.7 else f"{pick(rng, ('get', 'do', 'run', intent.domain))}_{name}"
    )


def signature(rng: Random, intent: Intent) -> dict[str, str]:
    """Slot -> argument name, for the slots of the intent; two slots may not share a name."""
    out: dict[str, str] = {}
    for name in sorted({s for way in intent.slots for s in way}):
        argument = pick(rng, table("arguments.txt").get(name, (name,)))
        out[name] = argument if argument not in out.values() else name
    return out


def spoken(rng: Random, intent: Intent) -> tuple[str, dict[str, str]]:
    """An utterance and the slot values that really stand in it."""
    ways = [i for i, way in enumerate(intent.slots) if len(set(way)) == len(way)]
    i = pick(rng, ways) if ways else 0
    fixed = {name: slot(rng, name, {}) for name in intent.slots[i]}
    text = " ".join(intent.phrasings[i](rng, fixed).split())
    return text, {k: x for k, x in fixed.items() if x in text}


def described(rng: Random, style: float, name: str, intent: Intent, args: dict[str, str]) -> str:
    """One tool as some prompt would show it."""
    if style < 0.6:
        return f"{name}({', '.join(args.values())})"
    if style < 0.8:
        return f"{name}({', '.join(args.values())}): {pick(rng, intent.names)}"
    return json.dumps({"name": name, "parameters": list(args.values())})


def toolbox(rng: Random, n: int) -> tuple[list[Intent], list[str], list[dict[str, str]], str]:
    """`n` tools with their names, signatures and the text that shows them."""
    options = rng.sample(spoken_intents(), n)
    names = [tool_name(rng, o) for o in options]
    args = [signature(rng, o) for o in options]
    style = rng.random()
    shown = [described(rng, style, *row) for row in zip(names, options, args, strict=True)]
    return options, names, args, "tools:\n" + "\n".join(shown)


def call(name: str, arguments: dict[str, str]) -> str:
    """A tool call as the answer has it."""
    return json.dumps({"tool_calls": [{"name": name, "arguments": arguments}]}, ensure_ascii=False)


def tools(rng: Random) -> Example:
    """The tool that fits, with arguments from the text; an answer in words when none fits."""
    options, names, args, shown = toolbox(rng, 2 + int(rng.random() * 5))
    if rng.random() < 0.15:
        sorry = pick(rng, words("sorry"))
        text = say(rng, pick(rng, chat_intents()))
        prompt = f"{shown}\nif no tool fits, say: {sorry}\nuser: {text}"
        return Example("tools", (("user", prompt),), json.dumps({"content": sorry}))
    right = int(rng.random() * len(options))
    text, found = spoken(rng, options[right])
    arguments = {a: found[s] for s, a in args[right].items() if s in found}
    kept = words_of(found)
    text = noisy(rng, text, kept)
    if rng.random() < 0.3:
        text = f"{filler(rng)} {text}" if rng.random() < 0.6 else f"{text} {filler(rng)}"
    if rng.random() < 0.25:
        split = (("system", shown), ("user", text))
        return Example("tools", split, call(names[right], arguments))
    prompt = f"{shown}\n{pick(rng, ('user: ', '', 'request: '))}{text}"
    return Example("tools", (("user", prompt),), call(names[right], arguments))


def bare_call(rng: Random) -> Example:
    """A call without any tool shown; the arguments still come from the text."""
    intent = pick(rng, spoken_intents())
    text, found = spoken(rng, intent)
    names = signature(rng, intent)
    reply = call(tool_name(rng, intent), {names[s]: x for s, x in found.items()})
    return Example("bare", (("user", noisy(rng, text, words_of(found))),), reply)


def flat(turns: list[tuple[str, str]]) -> str:
    """Turns as one text."""
    return "\n".join(f"{role}: {text}" for role, text in turns)


def as_chat(rng: Random, system: str, turns: list[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """The turns as one flat user text, or as real messages."""
    if rng.random() < 0.7:
        return (("user", f"{system}\n{flat(turns)}"),)
    return (("system", system), *turns)


def tool_dialogue(rng: Random) -> Example:
    """A tool has answered: put its result in words, or call the next one."""
    options, names, args, shown = toolbox(rng, 2 + int(rng.random() * 2))
    text, found = spoken(rng, options[0])
    arguments = {a: found[s] for s, a in args[0].items() if s in found}
    fields = chosen(rng, 1 + int(rng.random() * 3))
    result = filled(rng, fields)
    turns = [("user", text), ("assistant", call(names[0], arguments)), ("tool", json.dumps(result))]
    if rng.random() < 0.5:
        key = pick(rng, list(result))
        turns.append(
            ("user", pick(rng, (f"what is the {key}?", f"and the {key}?", f"{key} please")))
        )
        turns[2:3] = [turns[2], ("assistant", pick(rng, ("Done.", "Here it is.", "I found it.")))]
        return Example("dialogue", as_chat(rng, shown, turns), f"The {key} is {result[key]}.")
    said = ", ".join(f"{k}: {x}" for k, x in result.items())
    return Example("dialogue", as_chat(rng, shown, turns), f"Done. {said}.")


def slot_dialogue(rng: Random) -> Example:
    """Values come over several turns, one is corrected; all of them as JSON at the end."""
    fields = chosen(rng, 2 + int(rng.random() * 3))
    data = filled(rng, fields)
    turns: list[tuple[str, str]] = []
    for i, (key, field) in enumerate(fields):
        ask = pick(rng, words("hello")) if i == 0 else f"And the {pick(rng, field.keys)}?"
        turns.append(("assistant", ask))
        text = data[key] if rng.random() < 0.4 and i else mention(rng, field, data[key])
        turns.append(("user", f"{text} {filler(rng)}" if rng.random() < 0.2 else text))
    if rng.random() < 0.3:
        key, field = pick(rng, fields)
        data[key] = value(rng, field)
        turns += [("assistant", "Anything else?"), ("user", f"sorry, the {key} is {data[key]}")]
    wish = f"{pick(rng, ('json with', 'extract', 'collect'))} {', '.join(data)}"
    return Example("dialogue", as_chat(rng, wish, turns), dump(rng, data))


def summary(rng: Random) -> Example:
    """A text and a form of words to report it in."""
    fields = chosen(rng, 2 + int(rng.random() * 3))
    data = filled(rng, fields)
    intent = pick(rng, spoken_intents())
    topic, keys = pick(rng, intent.names), list(data)
    forms = [
        " / ".join(f"<{k}>" for k in keys),
        f"<{keys[0]}> about <topic>: <{keys[-1]}>.",
        f"Topic: <topic>. {' '.join(f'{k}: <{k}>.' for k in keys)}",
        f"<topic> - {', '.join(f'{k} <{k}>' for k in keys)}",
        f"Customer wants help with <topic> (<{keys[-1]}>).",
    ]
    form = pick(rng, forms)
    answer = form.replace("<topic>", topic)
    for key, text in data.items():
        answer = answer.replace(f"<{key}>", text)
    fragments = [mention(rng, f, data[k]) for k, f in fields]
    if "<topic>" in form:
        fragments.append(f"{pick(rng, ('topic', 'subject', 'it is about'))}: {topic}")
    text = compose(rng, fragments, words_of(data))
    verb = pick(rng, ("summarise as", "write", "report in the form", "one line"))
    return Example("summary", (("user", f"{verb}: {form}\n{text}"),), answer)


def question(rng: Random) -> Example:
    """A fact in the text, asked for in words."""
    fields = chosen(rng, 2 + int(rng.random() * 4))
    data = filled(rng, fields)
    key, field = pick(rng, fields)
    ask = pick(rng, ("what is the @?", "which @?", "tell me the @", "the @?", "@:"))
    ask = ask.replace("@", pick(rng, (key, *field.keys)) if field in plain_fields() else key)
    return Example("question", (("user", f"{noisy_text(rng, fields, data)}\n{ask}"),), data[key])


def reply_to(rng: Random) -> Example:
    """Small talk: what sort of thing was said, said back."""
    intent = pick(rng, intents())
    text = noisy(rng, say(rng, intent))
    return Example("gist", (("user", f"in short: {text}"),), intent.names[0])
