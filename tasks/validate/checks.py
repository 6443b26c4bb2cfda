"""Checks of one call, whether it may be learned from: each with a reason for the quarantine."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from functools import lru_cache

import msgspec

from tasks.core.params import Validate
from tasks.core.records import Json, text_of
from tasks.core.spoken import spoken
from tasks.validate import texts
from tasks.validate.misfit import misfit

Problem = tuple[str, str]  # (reason, detail); a detail never holds message text
_ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})
_CUT = frozenset({"length", "incomplete"})
_ENDED = frozenset({None, "stop", "tool_calls"})


class Function(msgspec.Struct, frozen=True):
    """The function that a tool call calls."""

    name: str
    arguments: str


class ToolCall(msgspec.Struct, frozen=True):
    """One tool call of a message."""

    id: str
    function: Function


class Message(msgspec.Struct, frozen=True):
    """The parts of a message that are looked at."""

    role: str = ""
    content: str | list[dict[str, object]] | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    refusal: str | None = None


class Request(msgspec.Struct, frozen=True):
    """The parts of a request that are looked at; tools repeat, so they are read once each."""

    messages: list[Message]
    model: str | None = None
    tools: msgspec.Raw = msgspec.Raw(b"[]")


class StoredCall(msgspec.Struct, frozen=True):
    """A stored call, decoded no further than its checks need."""

    row: Json
    request: Request
    reply: Message
    tools: Mapping[str, object]  # the declared ones' parameter schemas by name

    @property
    def system(self) -> str:
        """The system prompt; empty when there is none."""
        prompts = (m for m in self.request.messages if m.role in ("system", "developer"))
        return next((text_of(m.content) for m in prompts), "")


_request = msgspec.json.Decoder(Request)
_reply = msgspec.json.Decoder(Message)


def view(row: Json) -> StoredCall:
    """A row of a calls file, with the types that it must have. Raises ValueError."""
    request = _request.decode(row["request"])
    return StoredCall(row, request, _reply.decode(row["reply"]), _declared(bytes(request.tools)))


@lru_cache(maxsize=512)
def _declared(tools: bytes) -> Mapping[str, object]:
    functions = [t.get("function") for t in msgspec.json.decode(tools) or ()]
    return {f["name"]: f.get("parameters") for f in functions if isinstance(f, dict)}


def problem(seen: StoredCall, params: Validate) -> Problem | None:
    """Return why a call is not fit to be learnt from, or None."""
    messages = seen.request.messages
    return (
        _outcome(seen)
        or _roles(messages)
        or _pairing(messages)
        or _parts(messages)
        or _said((*messages, seen.reply))
        or _tool_calls(seen)
        or _size(seen, params.max_characters)
        or _language(seen, params.scripts)
    )


def _outcome(seen: StoredCall) -> Problem | None:
    """Return whether the reply is a whole answer."""
    reply, reason = seen.reply, seen.row["finish_reason"]
    if error := seen.row["error"]:
        return "error reply", texts.plain_words(str(error).partition(":")[0][:80])
    if reason == "content_filter":
        return "content filter", ""
    if reply.refusal:
        return "refusal", ""
    if reason in _CUT:
        return "truncated", f"finish reason {reason}"
    if reason not in _ENDED:
        return "not an answer", f"finish reason {reason[:60]}"
    if reply.tool_calls:
        return None
    why = _answer(seen)
    if why is None and reason == "tool_calls":
        return "incomplete", "the reply ended with tool calls, and the log holds none"
    return why


def _answer(seen: StoredCall) -> Problem | None:
    """Return whether a reply's text is an answer, and all of it."""
    if not (text := spoken(text_of(seen.reply.content))):
        return "empty reply", "neither text nor tool calls"
    if texts.is_unfinished(text):
        return "truncated", "the reply is JSON that ends before its brackets close"
    bare = text[:1] in ("{", "[", "`", ">") or "\nAction Input:" in text
    # only then the tools are decoded to look at their names
    if texts.holds_call(text, seen.tools if bare else ()):
        return "tool call in text", "the reply writes a tool call as text"
    return None


def _roles(messages: Sequence[Message]) -> Problem | None:
    if not messages:
        return "roles", "no messages"
    roles = [m.role for m in messages]
    if unknown := set(roles) - _ROLES:
        return "roles", f"message {min(map(roles.index, unknown))} has no known role"
    if set(roles) == {"assistant"}:
        return "roles", "nothing is asked"
    return None


def _pairing(messages: Sequence[Message]) -> Problem | None:
    """Every tool result answers a call that was made before it, once."""
    waiting: set[str] = set()
    for index, message in enumerate(messages):
        if message.tool_calls:
            waiting.update(c.id for c in message.tool_calls)
        if message.role == "tool":
            if message.tool_call_id not in waiting:
                return "tool pairing", f"message {index} answers no call"
            waiting.discard(message.tool_call_id)
    return None


def _parts(messages: Sequence[Message]) -> Problem | None:
    """Images, sound and files are kept as references and never learnt from."""
    for index, message in enumerate(messages):
        if isinstance(message.content, list):
            for part in message.content:
                if part.get("type") != "text":
                    return "not text", f"message {index} holds {str(part.get('type'))[:40]}"
    return None


def _said(messages: Sequence[Message]) -> Problem | None:
    """Return what stands where a message should is not a logger's mark, and no file as text."""
    for index, message in enumerate(messages):
        content = message.content
        if content is None:
            if message.role in ("user", "system"):
                return "incomplete", f"message {index} has no content"
            continue
        if problem := texts.problem(
            content if isinstance(content, str) else text_of(content), message.role
        ):
            return problem[0], f"message {index} {problem[1]}"
    return None


def _tool_calls(seen: StoredCall) -> Problem | None:
    for call in seen.reply.tool_calls or ():
        name = call.function.name
        try:
            arguments = msgspec.json.decode(call.function.arguments)
        except (ValueError, RecursionError):
            return "arguments not JSON", f"of {name}"
        if not isinstance(arguments, dict):
            return "arguments not JSON", f"of {name}: not an object"
        if seen.tools and name not in seen.tools:
            return "undeclared tool", name
        if problem := misfit(arguments, seen.tools.get(name)):
            return "arguments off schema", f"of {name}: {problem}"
    return None


def _size(seen: StoredCall, limit: int) -> Problem | None:
    if len(seen.row["request"]) + len(seen.row["reply"]) <= limit:
        return None  # the JSON around the texts only makes it longer
    messages = (*seen.request.messages, seen.reply)
    size = sum(len(text_of(m.content)) for m in messages)
    size += sum(len(c.function.arguments) for m in messages for c in m.tool_calls or ())
    return ("too large", f"{size:,} characters, at most {limit:,}") if size > limit else None


def _language(seen: StoredCall, scripts: Sequence[str]) -> Problem | None:
    """Return whether more than a tenth of the letters are in a script that was not asked for."""
    if not scripts:
        return None
    text = "\n".join(text_of(m.content) for m in (*seen.request.messages, seen.reply))
    if text.isascii():
        return None if "LATIN" in scripts else ("language", "LATIN")
    letters = [c for c in text if c.isalpha() and not c.isascii()]
    foreign = [s for s in map(_script, letters) if s not in scripts]
    if len(foreign) * 10 > sum(c.isalpha() for c in text):
        return "language", max(set(foreign), key=foreign.count)
    return None


@lru_cache(maxsize=8192)
def _script(letter: str) -> str:
    return unicodedata.name(letter, "UNKNOWN").split(" ")[0]
