"""Whether one call may be learnt from: pure checks, each with a reason for the quarantine."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from tasks.params import Validate
from tasks.records import Call, Json, text_of

Problem = tuple[str, str]  # (reason, detail); a detail never holds message text
_ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})
_CUT = frozenset({"length", "incomplete"})


def problem(call: Call, params: Validate) -> Problem | None:
    """Why a call is not fit to be learnt from, or None."""
    return (
        _outcome(call)
        or _roles(call.request.get("messages"))
        or _pairing(call.request["messages"])
        or _parts(call.request["messages"])
        or _tool_calls(call.reply.get("tool_calls") or (), call.tools)
        or _size(call, params.max_characters)
        or _language(call, params.scripts)
    )


def _outcome(call: Call) -> Problem | None:
    """Whether the reply is a whole answer."""
    reply = call.reply
    if call.error:
        return "error reply", call.error.partition(":")[0][:80]
    if call.finish_reason == "content_filter":
        return "content filter", ""
    if reply.get("refusal"):
        return "refusal", ""
    if call.finish_reason in _CUT:
        return "truncated", f"finish reason {call.finish_reason}"
    said = reply.get("content")
    if not reply.get("tool_calls") and not (isinstance(said, str) and said.strip()):
        return "empty reply", "neither text nor tool calls"
    return None


def _roles(messages: Any) -> Problem | None:
    if not isinstance(messages, list) or not messages:
        return "roles", "no messages"
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or message.get("role") not in _ROLES:
            return "roles", f"message {index} has no known role"
    if all(m["role"] in ("system", "developer", "assistant") for m in messages[:-1]) and (
        messages[-1]["role"] == "assistant"
    ):
        return "roles", "nothing is asked"
    return None


def _pairing(messages: Sequence[Json]) -> Problem | None:
    """Every tool result answers a call that was made before it, once."""
    waiting: set[str] = set()
    for index, message in enumerate(messages):
        waiting.update(c["id"] for c in message.get("tool_calls") or ())
        if message["role"] == "tool":
            if message.get("tool_call_id") not in waiting:
                return "tool pairing", f"message {index} answers no call"
            waiting.discard(message["tool_call_id"])
    return None


def _parts(messages: Sequence[Json]) -> Problem | None:
    """Images, sound and files are kept as references and never learnt from."""
    for index, message in enumerate(messages):
        if isinstance(message.get("content"), list):
            for part in message["content"]:
                if part.get("type") != "text":
                    return "not text", f"message {index} holds {str(part.get('type'))[:40]}"
    return None


def _tool_calls(calls: Iterable[Json], tools: Sequence[Json]) -> Problem | None:
    declared = {t["function"]["name"]: t["function"] for t in tools if "function" in t}
    for call in calls:
        name, text = call["function"]["name"], call["function"]["arguments"]
        try:
            arguments = msgspec.json.decode(text)
        except (ValueError, RecursionError):
            return "arguments not JSON", f"of {name}"
        if not isinstance(arguments, dict):
            return "arguments not JSON", f"of {name}: not an object"
        if not tools:
            continue
        if name not in declared:
            return "undeclared tool", name
        if found := misfit(arguments, declared[name].get("parameters")):
            return "arguments off schema", f"of {name}: {found}"
    return None


def misfit(value: Any, schema: Any) -> str:
    """Where a value breaks a JSON Schema, without the value; empty when it fits.

    A schema that is itself broken, or that points outside itself, judges nothing.
    """
    if not isinstance(schema, dict) or _surely_fits(value, schema):
        return ""
    from jsonschema import Draft202012Validator, SchemaError
    from jsonschema.exceptions import UnknownType
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    # An empty registry: references to the network are never followed.
    validator = Draft202012Validator(schema, registry=Registry())
    try:
        error = next(validator.iter_errors(value), None)
        if error is not None:
            Draft202012Validator.check_schema(schema)
    except (Unresolvable, UnknownType, SchemaError, RecursionError, re.error):
        return ""
    except (TypeError, AttributeError, ValueError):
        return ""  # what a schema of the wrong types causes in there
    if error is None:
        return ""
    where = ".".join(str(p) for p in error.absolute_path if isinstance(p, int) or len(p) < 40)
    return f"{where or 'the arguments'} break `{error.validator}`"


_SIMPLE = frozenset({"type", "properties", "required", "enum", "items", "additionalProperties"})
_IGNORED = frozenset({"description", "title", "default", "examples", "$schema"})
_TYPES: dict[str, tuple[type, ...]] = {
    **{"object": (dict,), "array": (list,), "string": (str,), "boolean": (bool,)},
    **{"integer": (int,), "number": (int, float), "null": (type(None),)},
}


def _surely_fits(value: Any, schema: Any) -> bool:
    """The common case without a validator: True only for plain schemas that the value fits."""
    if not isinstance(schema, dict) or not schema.keys() <= _SIMPLE | _IGNORED:
        return False
    kind, choices = schema.get("type"), schema.get("enum")
    if kind is not None and (not isinstance(kind, str) or type(value) not in _TYPES.get(kind, ())):
        return False
    if choices is not None and (not isinstance(choices, list) or value not in choices):
        return False
    if isinstance(value, dict):
        return _object_fits(value, schema)
    if isinstance(value, list) and "items" in schema:
        return all(_surely_fits(v, schema["items"]) for v in value)
    return True


def _object_fits(value: Json, schema: Json) -> bool:
    known, needed = schema.get("properties", {}), schema.get("required", [])
    if not isinstance(known, dict) or not isinstance(needed, list):
        return False
    if not all(isinstance(n, str) and n in value for n in needed):
        return False
    if value.keys() - known.keys() and schema.get("additionalProperties", True) is not True:
        return False
    return all(_surely_fits(v, known[k]) for k, v in value.items() if k in known)


def _size(call: Call, limit: int) -> Problem | None:
    said = (*call.request["messages"], call.reply)
    size = sum(len(text_of(m.get("content"))) for m in said)
    size += sum(len(c["function"]["arguments"]) for m in said for c in m.get("tool_calls") or ())
    return ("too large", f"{size:,} characters, at most {limit:,}") if size > limit else None


def _language(call: Call, scripts: Sequence[str]) -> Problem | None:
    """Whether a good part of the letters is in a script that was not asked for."""
    if not scripts:
        return None
    text = msgspec.json.encode([call.request["messages"], call.reply]).decode()
    if text.isascii():
        return None if "LATIN" in scripts else ("language", "LATIN")
    letters = [c for c in text if c.isalpha() and not c.isascii()]
    foreign = [s for s in map(_script, letters) if s not in scripts]
    if len(foreign) * 20 > sum(c.isalpha() for c in text):
        return "language", max(set(foreign), key=foreign.count)
    return None


@lru_cache(maxsize=8192)
def _script(letter: str) -> str:
    return unicodedata.name(letter, "UNKNOWN").split(" ")[0]
