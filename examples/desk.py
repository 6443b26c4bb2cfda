"""The support desk: which calls it makes, with what in them, at what time of the day.

Each kind is a conversation: a generator that yields requests and is sent the replies, so that
the same code runs over HTTP (`examples.agent.traffic`) and in-process (`examples.agent.log`).
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from examples import prompts, texts, texts_forms
from examples.wording import STATES, Voice

Json = dict[str, Any]
Conversation = Generator[Json, Json, None]

# kind: share of conversations, has a per-request header. Tool conversations make 1-4 calls each.
KINDS: dict[str, tuple[float, bool]] = {
    "route": (0.17, True),
    "triage": (0.14, False),
    "extract": (0.12, True),
    "tools": (0.10, True),
    "reply": (0.12, False),
    "address": (0.10, False),
    "summary": (0.09, True),
    "refund": (0.07, False),
    "complaint": (0.09, True),
}


@dataclass(frozen=True, slots=True)
class Case:
    """One conversation to be held: its kind, its start (seconds since the epoch) and its seed."""

    kind: str
    at: float
    seed: str

    def open(self) -> Conversation:
        """Start the conversation."""
        voice = Voice(self.seed, datetime.fromtimestamp(self.at, UTC).date())
        return _TALKS[self.kind](voice)


def cases(day: date, seed: int, count: int) -> list[Case]:
    """`count` conversations of one day, oldest first: busiest around noon, quiet at night."""
    rng = random.Random(f"{day} {seed}")
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
    # A conversation that starts five minutes before midnight still ends on its day.
    times = sorted(86_100 * rng.betavariate(3.2, 2.8) for _ in range(count))
    shares = [share for share, _ in KINDS.values()]
    kinds = rng.choices(list(KINDS), shares, k=count)
    return [
        Case(kind, round(midnight + at, 3), f"{day} {seed} {i}")
        for i, (kind, at) in enumerate(zip(kinds, times, strict=True))
    ]


def _system(voice: Voice, kind: str, prompt: str) -> Json:
    header = ""
    if KINDS[kind][1]:
        agent = Voice(voice.rng.choice("abcdefghijkl") + str(voice.today), voice.today)
        header = prompts.HEADER.format(
            request=f"{voice.rng.getrandbits(40):010x}",
            weekday=voice.today.strftime("%A"),
            date=voice.today.isoformat(),
            agent=agent.name,
        )
    return {"role": "system", "content": header + prompt}


def _ask(voice: Voice, kind: str, prompt: str, text: str, limit: int, **more: Any) -> Json:
    messages = [_system(voice, kind, prompt), {"role": "user", "content": text}]
    return {"messages": messages, "temperature": 0, "max_tokens": limit, **more}


def _route(voice: Voice) -> Conversation:
    queue = voice.rng.choices(list(texts.ROUTE), [9, 6, 6, 5, 5, 5, 6, 4, 4, 4, 3, 4])[0]
    text = voice.message(voice.say(texts.ROUTE[queue]))
    yield _ask(voice, "route", prompts.ROUTE, text, 16)


def _triage(voice: Voice) -> Conversation:
    rng = voice.rng
    priority = rng.choices(list(texts.PRIORITY), [3, 3, 2, 4])[0]
    sentiment = rng.choices(list(texts.SENTIMENT), [4, 2, 5])[0]
    parts = [
        voice.say(texts.TRIAGE[rng.choice(list(texts.TRIAGE))]),
        voice.say(texts.PRIORITY[priority]),
        voice.say(texts.SENTIMENT[sentiment]),
    ]
    if voice.chance(0.4):
        rng.shuffle(parts)
    text = voice.message(_sentences(voice, [part for part in parts if part]))
    form = {"response_format": prompts.TRIAGE_FORMAT}
    yield _ask(voice, "triage", prompts.TRIAGE, text, 48, **form)


def _sentences(voice: Voice, parts: list[str]) -> str:
    joint = ". " if voice.chance(0.8) else ", "
    cased = [p if voice.lower or joint == ", " else p[0].upper() + p[1:] for p in parts]
    return joint.join(p.rstrip(".") for p in cased)


def _extract(voice: Voice) -> Conversation:
    rng = voice.rng
    quantity = rng.randint(1, 12)
    word = rng.choice([str(quantity), str(quantity), texts_forms.NUMBERS[min(quantity, 10) - 1]])
    keys = [key for key in texts_forms.DETAILS if voice.chance(0.87)] or ["order_id"]
    rng.shuffle(keys)
    parts = [voice.say(texts_forms.DETAILS[key], {"quantity": word}) for key in keys]
    text = voice.message(_sentences(voice, parts), close=0.2)
    form = {"response_format": prompts.JSON_FORMAT}
    yield _ask(voice, "extract", prompts.EXTRACT, text, 96, **form)


def _tools(voice: Voice) -> Conversation:
    messages = [_system(voice, "tools", prompts.TOOLS_SYSTEM)]
    weights = [6, 4, 2, 2, 2, 2, 4, 3, 1, 3, 1]
    for _turn in range(2 if voice.chance(0.25) else 1):
        want = voice.rng.choices(list(texts_forms.TOOLS), weights)[0]
        slot = voice.rng.choice(["morning", "afternoon", "evening"])
        text = voice.message(voice.say(texts_forms.TOOLS[want], {"slot": slot}), close=0.25)
        messages.append({"role": "user", "content": text})
        reply = yield _chat(messages)
        messages.append(reply)
        for call in reply.get("tool_calls") or ():
            result = json.dumps(_result(voice, call["function"]["name"]))
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})
        if not reply.get("tool_calls"):
            return
        messages.append((yield _chat(messages)))


def _chat(messages: list[Json]) -> Json:
    body: Json = {"messages": list(messages), "temperature": 0, "max_tokens": 96}
    return {**body, "tools": prompts.TOOLS, "tool_choice": "auto"}


def _result(voice: Voice, tool: str) -> Json:
    """Return what the shop's systems answer. Invented here, as the shop is."""
    rng = voice.rng
    later = voice.day_before(-rng.randint(1, 9))
    if tool == "track_order":
        status = rng.choice(["packed", "shipped", "delayed", "delivered"])
        return {"status": status, "carrier": rng.choice(["UPS", "DHL", "FedEx"]), "date": later}
    if tool == "cancel_order":
        return {"cancelled": rng.random() < 0.7, "refund": voice.slots["price"]}
    if tool == "start_return":
        return {"label": f"RL-{rng.randint(10_000, 99_999)}", "until": later}
    if tool == "check_stock":
        return {"stock": rng.choice([0, 0, 1, 2, 3, 5, 8, 12, 20]), "restock": later}
    return {"booked": rng.random() < 0.8, "date": later}


def _reply(voice: Voice) -> Conversation:
    label = voice.rng.choice(list(texts.ANSWERS))
    prompt = _system(voice, "reply", prompts.REPLY)
    offer = {"role": "assistant", "content": voice.say(texts.FIXES)}
    text = voice.message(voice.say(texts.ANSWERS[label]), fill=0.7)
    messages = [prompt, offer, {"role": "user", "content": text}]
    yield {"messages": messages, "temperature": 0, "max_tokens": 8}


def _address(voice: Voice) -> Conversation:
    place = voice.address()
    state = STATES[place["state"]] if voice.chance(0.25) else place["state"]
    plus = f"-{voice.rng.randint(1000, 9999)}" if voice.chance(0.15) else ""
    comma = voice.rng.choice([", ", ", ", "\n", " "])
    lines = [place["street"], place["unit"], place["city"]]
    written = comma.join(line for line in lines if line)
    written += f"{', ' if comma != ' ' else ' '}{state} {place['zip']}{plus}"
    if voice.lower:
        written = written.lower()
    lead, tail = voice.say(texts_forms.ADDRESS_LEADS), voice.say(texts_forms.ADDRESS_TAILS)
    text = voice.message(f"{lead} {written}{'. ' + tail if tail else ''}", close=0.25)
    yield _ask(voice, "address", prompts.ADDRESS, text, 96)


def _summary(voice: Voice) -> Conversation:
    issue = voice.rng.choice(list(texts_forms.ISSUES))
    wish = voice.rng.choice(list(texts_forms.WISHES))
    parts = [
        voice.say(texts_forms.DETAILS["name"]),
        voice.say(texts_forms.DETAILS["order_id"]),
        voice.say(texts_forms.ISSUES[issue]),
        voice.say(texts_forms.WISHES[wish]),
    ]
    if voice.chance(0.5):
        voice.rng.shuffle(parts)
    text = voice.message(_sentences(voice, parts), close=0.15)
    yield _ask(voice, "summary", prompts.SUMMARY, text, 64)


def _refund(voice: Voice) -> Conversation:
    rng = voice.rng
    days = rng.choice([rng.randint(1, 14), rng.randint(8, 40), rng.randint(25, 90)])
    weeks = days % 7 == 0 and voice.chance(0.5)
    ago = f"{days // 7} weeks ago" if weeks and days > 7 else f"{days} days ago"
    state = rng.choices(list(texts_forms.STATE), [4, 4, 2])[0]
    parts = [voice.say(texts_forms.BOUGHT, {"ago": ago}), voice.say(texts_forms.STATE[state])]
    if voice.chance(0.2):
        parts.append(voice.say(texts_forms.SALE))
    text = voice.message(_sentences(voice, parts))
    form = {"response_format": prompts.JSON_FORMAT}
    yield _ask(voice, "refund", prompts.REFUND, text, 48, **form)


def _complaint(voice: Voice) -> Conversation:
    stories = voice.rng.sample(texts_forms.STORIES, voice.rng.randint(3, 5))
    parts = [voice.say(story) for story in (*stories, voice.rng.choice(texts_forms.STORY_ENDS))]
    text = f"{voice.say(['Dear Sir or Madam,', 'Hello,', 'To the manager:', 'Hi,'])}\n"
    text += " ".join(parts) + f"\n{voice.name}, {voice.slots['city']}"
    yield _ask(voice, "complaint", prompts.COMPLAINT, text, 400)


_TALKS: dict[str, Callable[[Voice], Conversation]] = {
    "route": _route,
    "triage": _triage,
    "extract": _extract,
    "tools": _tools,
    "reply": _reply,
    "address": _address,
    "summary": _summary,
    "refund": _refund,
    "complaint": _complaint,
}


def kind_of(request: Json) -> str:
    """The kind of call that a request of this desk is (for tests, never for training)."""
    system = str(request["messages"][0]["content"])
    for kind, prompt in _PROMPTS.items():
        if system.endswith(prompt):
            return kind
    return ""


_PROMPTS = {
    "route": prompts.ROUTE,
    "triage": prompts.TRIAGE,
    "extract": prompts.EXTRACT,
    "tools": prompts.TOOLS_SYSTEM,
    "reply": prompts.REPLY,
    "address": prompts.ADDRESS,
    "summary": prompts.SUMMARY,
    "refund": prompts.REFUND,
    "complaint": prompts.COMPLAINT,
}


def requests(conversations: list[Case]) -> Iterator[Json]:
    """The first request of each conversation."""
    return (next(case.open()) for case in conversations)
