"""A task's template: the part of its prompts that never changes, and the slots that do.

`payload(request)` gives the variable part of a request, or None when the constant part is not
there word for word: the prompt changed and the call belongs to the teacher. `fill(payload)` gives
the messages back, byte for byte. `prompt(payload)` is the text that a student reads; a student of
several tasks reads first which of them it is, by the template's `tag`.
Templates are found by `tasks.cluster.template_mining`.

Matching is a chain of literal searches for the constants, leftmost first, so its time grows with
the length of the prompt and nothing else: about 10 µs for a prompt of 5,000 characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import zip_longest

import msgspec

from tasks.core.contract import answer_of
from tasks.core.records import Json, digest, text_of

_RULES = ("system", "developer")  # whose messages are rules
TEXTS = ("text", "input_text", "output_text")  # the types of a message's parts that are text


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A place between two constants. `form` is a regular expression that its values follow.

    An empty `form` takes any text. `noise` marks a slot that the answers never depend on (request
    ids, the date): it is left out of the text that the student reads.
    """

    name: str
    form: str = ""
    noise: bool = False


@dataclass(frozen=True, slots=True)
class Pattern:
    """One text: `constants[0] + value + constants[1] + value + ... + constants[-1]`."""

    constants: tuple[str, ...] = ("", "")
    slots: tuple[Slot, ...] = (Slot(name="text"),)

    def match(self, text: str) -> tuple[str, ...] | None:
        """The slots' values, or None when a constant is missing or a value has another form."""
        first, last = self.constants[0], self.constants[-1]
        if not self.slots:
            return () if text == first else None
        end = len(text) - len(last)
        if end < len(first) or not (text.startswith(first) and text.endswith(last)):
            return None
        values, at = [], len(first)
        for constant in self.constants[1:-1]:
            place = text.find(constant, at, end)
            if place < 0:
                return None
            values.append(text[at:place])
            at = place + len(constant)
        values.append(text[at:end])
        for slot, value in zip(self.slots, values, strict=True):
            if slot.form and not _form(slot.form).fullmatch(value):
                return None
        return tuple(values)

    def fill(self, values: Sequence[str]) -> str:
        """The text with these values in its slots."""
        pairs = zip_longest(self.constants, values, fillvalue="")
        return "".join(part for pair in pairs for part in pair)

    @property
    def characters(self) -> int:
        """Return how many characters are constant."""
        return sum(map(len, self.constants))


@dataclass(frozen=True, slots=True)
class Head:
    """A message that opens every prompt: its shape without its texts, and a pattern for each."""

    shape: Json
    patterns: tuple[Pattern, ...]


@dataclass(frozen=True, slots=True)
class Payload:
    """The part that changes from prompt to prompt.

    `values` are the slots' values, text by text in the order of the messages; `rest` the messages
    after the heads, user messages without their texts (those are in `values`).
    """

    values: tuple[tuple[str, ...], ...]
    rest: tuple[Json, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """The constant part of a task's requests.

    `heads` open every prompt; `first` are the patterns of the first user message after them (one
    for each of its texts), `later` of the user messages after that; `turns` says whether prompts go
    on beyond one user message. `tools` and `formats` are digests of the declared tools and response
    formats that were seen often; a request that declares others does not match. `tag` opens what
    the student reads; it is empty but in the template of a domain's student (`tasks.train.domain`).
    """

    heads: tuple[Head, ...] = ()
    first: tuple[Pattern, ...] = (Pattern(),)
    later: tuple[Pattern, ...] = (Pattern(),)
    turns: bool = False
    tools: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()
    tag: str = ""

    @property
    def characters(self) -> int:
        """Return how many characters of a prompt are constant: more is a safer match."""
        patterns = [p for head in self.heads for p in head.patterns] + list(self.first)
        return sum(pattern.characters for pattern in patterns)

    def payload(self, request: Json) -> Payload | None:
        """The variable part of a request; None when its constant part is not this template's."""
        messages = request.get("messages")
        if not isinstance(messages, list) or len(messages) <= len(self.heads):
            return None
        if not self.turns and len(messages) > len(self.heads) + 1:
            return None
        if not _converse(messages[len(self.heads) :]):
            return None
        values: list[tuple[str, ...]] = []
        rest: list[Json] = []
        for message, patterns, shape in self._plan(messages):
            texts = texts_of(message)
            if texts is None:
                return None
            if patterns is None:
                rest.append(message)
                continue
            bare = blank(message)
            if len(texts) != len(patterns) or (shape is not None and shape != bare):
                return None
            for text, pattern in zip(texts, patterns, strict=True):
                matched = pattern.match(text)
                if matched is None:
                    return None
                values.append(matched)
            if shape is None:
                rest.append(bare)
        # Last, because it is the slowest check.
        if toolset(request) not in self.tools or form_of(request) not in self.formats:
            return None
        return Payload(tuple(values), tuple(rest))

    def fill(self, payload: Payload) -> list[Json]:
        """The messages that a payload came from, byte for byte."""
        values = iter(payload.values)
        blanks = [head.shape for head in self.heads] + list(payload.rest)
        return [
            message
            if patterns is None
            else _written(message, [pattern.fill(next(values)) for pattern in patterns])
            for message, patterns, _ in self._plan(blanks)
        ]

    def prompt(self, payload: Payload) -> str:
        """The text that the student reads: the tag, the slots that matter, then what was said."""
        values = iter(payload.values)
        blanks = [head.shape for head in self.heads] + list(payload.rest)
        lines: list[str] = []
        for message, patterns, shape in self._plan(blanks):
            if patterns is None:
                text = answer_of(message) if message.get("tool_calls") else _said(message)
            else:
                text = "\n".join(_shown(p, next(values), head=shape is not None) for p in patterns)
            if shape is not None:
                lines += [text] if text else []
            else:
                lines.append(f"{message.get('role', '')}: {text}" if self.turns else text)
        return self.tag + "\n".join(lines)

    def _plan(
        self, messages: Sequence[Json]
    ) -> Iterator[tuple[Json, tuple[Pattern, ...] | None, Json | None]]:
        """Each message with the patterns of its texts (None: kept whole) and its fixed shape."""
        for message, head in zip(messages, self.heads, strict=False):
            yield message, head.patterns, head.shape
        users = 0
        for message in messages[len(self.heads) :]:
            user = message.get("role") == "user" and message.get("content") is not None
            patterns = (self.later if users else self.first) if user else None
            users += user
            yield message, patterns, None


def toolset(request: Json) -> str:
    """A digest of the tools that a request declares, in any order; empty without tools."""
    tools = request.get("tools") or request.get("functions") or ()
    if not tools:
        return ""
    choice = request.get("tool_choice") or request.get("function_call") or "auto"
    parts = sorted(map(_encode, tools))
    return digest(*parts, _encode(choice))


def form_of(request: Json) -> str:
    """A digest of the response format that a request asks for; empty when it asks for none."""
    form = request.get("response_format") or {}
    plain = not form or (isinstance(form, dict) and form.get("type") == "text")
    return "" if plain else digest(_encode(form))


def _converse(messages: Sequence[Json]) -> bool:
    """Return whether messages are a conversation that waits for an answer.

    No new rules, no half reply.
    """
    roles = [message.get("role") for message in messages]
    return roles[-1] != "assistant" and not any(role in _RULES for role in roles[1:])


_encode = msgspec.json.Encoder(order="sorted").encode


@lru_cache(maxsize=4096)
def _form(form: str) -> re.Pattern[str]:
    return re.compile(form)


def _said(message: Json) -> str:
    text = text_of(message.get("content"))
    return f"{message['name']}: {text}" if message.get("name") else text


def texts_of(message: Json) -> list[str] | None:
    """The texts of a message; None when it holds something that is not text (an image)."""
    content = message.get("content")
    if content is None:
        return []
    if isinstance(content, str):
        return [content]
    if not isinstance(content, list):
        return None
    texts = [
        part["text"]
        for part in content
        if isinstance(part, dict)
        and part.get("type", "text") in TEXTS
        and isinstance(part.get("text"), str)
    ]
    return texts if len(texts) == len(content) else None


def blank(message: Json) -> Json:
    """A message without its texts."""
    content = message.get("content")
    if isinstance(content, str):
        return {**message, "content": ""}
    if isinstance(content, list):
        return {**message, "content": [{**part, "text": ""} for part in content]}
    return message


def _written(message: Json, texts: Sequence[str]) -> Json:
    """A blank message with its texts back in place."""
    content = message.get("content")
    if isinstance(content, str):
        return {**message, "content": texts[0]}
    if isinstance(content, list):
        parts = [{**part, "text": text} for part, text in zip(content, texts, strict=True)]
        return {**message, "content": parts}
    return message


def _shown(pattern: Pattern, values: Sequence[str], *, head: bool) -> str:
    pairs = [(s, v) for s, v in zip(pattern.slots, values, strict=True) if not s.noise]
    if len(pairs) == 1 and not head:
        return pairs[0][1]
    return "\n".join(f"{slot.name}: {value}" for slot, value in pairs)
