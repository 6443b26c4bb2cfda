"""Kinds of examples that name: intents, topics, keyword rules, few-shot labels.

Used by `bases.synth`. Labels have many names, so that their words get a meaning.
"""

import json
from random import Random

from bases.fields import Example
from bases.grammar import (
    Intent,
    compiled,
    filler,
    in_style,
    intents,
    noisy,
    odd_key,
    paraphrased,
    say,
    sentence,
    styled,
    themed,
)
from bases.meanings import groups, member
from bases.wordlists import base_categories, categories, nouns, pick, synonyms, words

ASK = compiled(
    "(classify|label|route|what is the (intent|topic|category)|choose (one|a label)|"
    "which label fits|categorise|sort|assign a class)( the (message|text|request)|)(:|) {labels}"
)
MOODS = ("positive", "negative", "neutral")
URGENT = ("high", "medium", "low")


def utterance(rng: Random, intent: Intent) -> str:
    """An intent said once, with company now and then."""
    text = say(rng, intent)
    if rng.random() < 0.5:
        text = paraphrased(rng, text)
    if rng.random() < 0.25:
        text = f"{filler(rng)} {text}" if rng.random() < 0.5 else f"{text}. {filler(rng)}"
    if rng.random() < 0.03:
        text = " ".join([*(sentence(rng) for _ in range(2 + int(rng.random() * 8))), text])
    return noisy(rng, text)


def sample(rng: Random, n: int, domain: str = "") -> list[Intent]:
    """Different intents, of one domain or of all."""
    pool = [i for i in intents() if not domain or i.domain == domain]
    return rng.sample(pool, min(n, len(pool)))


def with_labels(rng: Random, kind: str, labels: list[str], text: str, answer: str) -> Example:
    """The closed list and the text; the answer plain, or in JSON when the prompt shows a key."""
    rng.shuffle(labels)
    wish = ASK(rng, {"labels": pick(rng, (", ", " | ", "\n", "; ")).join(labels)})
    if rng.random() < 0.3:
        key = pick(rng, ("label", "intent", "category", "class", "topic", "queue"))
        wish, answer = f'{wish}\njson {{"{key}": ...}}', json.dumps({key: answer})
    prompt = f"{wish}\n{text}" if rng.random() < 0.8 else f"{text}\n{wish}"
    return Example(kind, (("user", prompt),), answer)


def intent(rng: Random) -> Example:
    """Intents of one field or of all, told apart by their names in the prompt."""
    domain = pick(rng, intents()).domain if rng.random() < 0.4 else ""
    options = sample(rng, 2 + int(rng.random() * 11), domain)
    style = rng.random()
    names = [in_style(style, pick(rng, o.names)) for o in options]
    if len(set(names)) < len(names):
        return intent(rng)
    right = int(rng.random() * len(options))
    return with_labels(rng, "intent", list(names), utterance(rng, options[right]), names[right])


def topic(rng: Random) -> Example:
    """Texts and what they are about: words against the name of their field."""
    options = rng.sample(base_categories(), 2 + int(rng.random() * 8))
    right, roll = pick(rng, options), rng.random()
    members = categories()[right]
    if roll < 0.4:
        text = themed(rng, right)
    else:
        text = ", ".join(pick(rng, members) for _ in range(1 + int(rng.random() * 3)))
    if roll > 0.8:
        odd = pick(rng, [n for n in nouns() if n not in members])
        group = {pick(rng, members) for _ in range(3)}
        listed = [*group, odd]
        rng.shuffle(listed)
        return Example(
            "topic", (("user", f"which word does not belong: {', '.join(listed)}"),), odd
        )
    return with_labels(rng, "topic", list(options), noisy(rng, text), right)


def synonym(rng: Random) -> Example:
    """Another word for a word, among words that are none."""
    group = pick(rng, synonyms())
    word, right = rng.sample(group, 2)
    others = [pick(rng, pick(rng, synonyms())) for _ in range(1 + int(rng.random() * 4))]
    listed = [right, *(w for w in others if w not in group)]
    rng.shuffle(listed)
    ask = pick(rng, ("another word for {w}", "same meaning as {w}", "{w} means", "synonym of {w}"))
    prompt = f"{ask.replace('{w}', word)}: {', '.join(listed)}"
    return Example("topic", (("user", prompt),), right)


def domain(rng: Random) -> Example:
    """The field of life that a request comes from."""
    every = sorted({i.domain for i in intents()})
    options = rng.sample(every, 2 + int(rng.random() * 8))
    right = pick(rng, options)
    text = utterance(rng, pick(rng, [i for i in intents() if i.domain == right]))
    return with_labels(rng, "topic", options, text, right)


def rules(rng: Random) -> Example:
    """Labels that mean nothing, bound to words by rules in the prompt."""
    named = rng.sample(nouns(), 2 + int(rng.random() * 6))
    table = {w: odd_key(rng) for w in named}
    right = pick(rng, named)
    text = f"{filler(rng)} {pick(rng, ('my', 'the', 'a'))} {right} {filler(rng)}"
    arrow = pick(rng, (" -> ", " = ", ": ", " means "))
    listed = pick(rng, ("\n", "; ")).join(f"{w}{arrow}{k}" for w, k in table.items())
    if sum(w in text for w in named) != 1:
        return rules(rng)
    return Example("rules", (("user", f"{listed}\n{text}"),), table[right])


def fewshot(rng: Random) -> Example:
    """Some labelled texts, then one without its label."""
    options = sample(rng, 2 + int(rng.random() * 3))
    names = [odd_key(rng) if rng.random() < 0.5 else styled(rng, o.names[0]) for o in options]
    shots = [(say(rng, o), n) for o, n in zip(options, names, strict=True) for _ in range(2)]
    rng.shuffle(shots)
    right = int(rng.random() * len(options))
    arrow = pick(rng, (" => ", "\nlabel: ", " | "))
    body = "\n".join(f"{t}{arrow}{n}" for t, n in shots)
    prompt = f"{body}\n{utterance(rng, options[right])}{arrow.rstrip()}"
    return Example("fewshot", (("user", prompt),), names[right])


def alike(rng: Random) -> Example:
    """Words by what they mean: labels shown by a few words of each, or the one that is apart."""
    chosen = rng.sample(range(len(groups())), 2 + int(rng.random() * 4))
    if rng.random() < 0.25:
        some, odd = groups()[chosen[0]], member(rng, chosen[1])
        listed = [*rng.sample(some, 2 + int(rng.random() * 4)), odd]
        rng.shuffle(listed)
        prompt = f"which word does not belong: {', '.join(listed)}"
        return Example("alike", (("user", prompt),), odd)
    plain = rng.random() < 0.5
    names = [odd_key(rng) if plain else pick(rng, groups()[i][:12]) for i in chosen]
    pairs = list(zip(chosen, names, strict=True))
    shots = [(member(rng, i), n) for i, n in pairs for _ in range(1 + int(rng.random() * 4))]
    rng.shuffle(shots)
    group, right = pick(rng, pairs)
    arrow = pick(rng, (" => ", ": ", " | ", " is a "))
    body = pick(rng, ("\n", "; ")).join(f"{w}{arrow}{n}" for w, n in shots)
    prompt = f"{body}\n{member(rng, group)}{arrow.rstrip()}"
    return Example("alike", (("user", prompt),), right)


def triage(rng: Random) -> Example:
    """Several judgements on one message, as JSON: intent, urgency, mood."""
    options = sample(rng, 3 + int(rng.random() * 4))
    names = [styled(rng, o.names[0]) for o in options]
    right = int(rng.random() * len(options))
    urgency, mood = pick(rng, URGENT), pick(rng, MOODS)
    parts = [
        utterance(rng, options[right]),
        pick(rng, words(f"urgency_{urgency}")),
        f"{pick(rng, ('it is', 'this is', 'service was'))} {pick(rng, words(f'mood_{mood}'))}",
    ]
    rng.shuffle(parts)
    keys = [
        pick(rng, ("category", "queue", "intent")),
        pick(rng, ("priority", "urgency")),
        pick(rng, ("sentiment", "mood", "tone")),
    ]
    spec = [
        f"{keys[0]}: {'|'.join(names)}",
        f"{keys[1]}: {'|'.join(URGENT)}",
        f"{keys[2]}: {'|'.join(MOODS)}",
    ]
    values = [names[right], urgency, mood]
    order = rng.sample(range(3), 2 + int(rng.random() * 2))
    answer = json.dumps({keys[i]: values[i] for i in order})
    head = "; ".join(spec[i] for i in order)
    return Example(
        "triage", (("user", f"{head}\n{pick(rng, ('. ', ', ', ' ')).join(parts)}"),), answer
    )
