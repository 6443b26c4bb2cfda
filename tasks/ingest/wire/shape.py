"""From what logs hold to the canonical OpenAI shape: messages, tools, requests and replies.

Every dialect is built from these functions. Each raises ValueError("<reason>: <detail>"): the
reason is the quarantine's column, the detail is for the person who looks there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tasks.core.records import Json, digest, text_of
from tasks.ingest.wire.lenient_json import decode

UNREADABLE = "unreadable"
NOT_A_CALL = "not a call"
EMPTY = "empty reply"
TRUNCATED = "truncated"
INCOMPLETE = "incomplete"
UNSUPPORTED = "unsupported"  # a part of the call that OpenAI's chat shape cannot say
STATEFUL = "history not in the log"
NOT_TEXT = "not text"

_PLAIN = ("system", "developer", "user", "assistant")
_OWN = (*_PLAIN, "tool")
ROLES = {
    **{role: role for role in _OWN},
    **{"human": "user", "ai": "assistant", "model": "assistant", "chain": "assistant"},
    **{"function": "tool", "observation": "tool", "gpt": "assistant"},
    **{"chatbot": "assistant", "bot": "assistant", "toolresult": "tool"},
}
_NAMED = ("name", "tool_call_id", "refusal")
_SAID = frozenset({"role", "content"})
_TOOL = frozenset({"type", "function"})
_FUNCTION = frozenset({"name", "description", "parameters", "strict"})
_SILENT = frozenset({"thinking", "reasoning", "redacted_thinking", "thought", "refusal"})
_MEDIA = frozenset({"image", "image_url", "audio", "file", "video", "output_image"})
INLINE = 2_048  # characters; a longer value of a picture or a file is its data
_TEXT_PARTS = frozenset({"text", "input_text", "output_text"})


def mapping(value: object, where: str) -> Json:
    """`value` when it is a JSON object. Raises ValueError."""
    if isinstance(value, dict):
        return value
    raise ValueError(f"{UNREADABLE}: {where} is {_kind(value)}, not an object")


def sequence(value: object, where: str) -> list[object]:
    """`value` when it is a JSON array. Raises ValueError."""
    if isinstance(value, list):
        return value
    raise ValueError(f"{UNREADABLE}: {where} is {_kind(value)}, not an array")


def _kind(value: object) -> str:
    names = {str: "text", bool: "a boolean", int: "a number", float: "a number", dict: "an object"}
    return "absent" if value is None else names.get(type(value), "an array")


def loads(value: Any) -> Any:
    """A JSON document out of text; anything else (and text that is no JSON) as it is."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "[", '"'):
        try:
            return decode(value)
        except (ValueError, RecursionError):
            return value
    return value


def dumps(value: object) -> str:
    """JSON text with the separators that models write."""
    return json.dumps(value, ensure_ascii=False)


def first(source: Mapping[str, object], *names: str) -> Any:
    """The first of these keys that holds something."""
    for name in names:
        if (value := source.get(name)) is not None and value != "":
            return value
    return None


def text(value: object) -> str:
    """A name or an id as text; empty when there is none."""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def whole(value: object) -> int | None:
    """A count of tokens, or None."""
    if isinstance(value, dict) and len(value) == 1:  # MongoDB's {"$numberInt": "20"}
        value = next((v for k, v in value.items() if k.startswith("$number")), None)
    if isinstance(value, str) and value.isdecimal() and len(value) < 10:
        value = int(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e9:
        return int(value)
    return None


def real(value: Any) -> float | None:
    """A plain number, or None."""
    if value is None:
        return None
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    good = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300
    return float(value) if good else None


def arguments(value: object) -> str:
    """Tool arguments as the JSON text that OpenAI's shape has; no arguments are `{}`.

    Arguments that were encoded twice are decoded once.
    """
    if isinstance(value, str) and value[:1] == '"' and isinstance(inner := loads(value), str):
        value = inner if isinstance(loads(inner), dict) else value
    if value is None or value in ("", "null"):
        return "{}"
    return value if isinstance(value, str) else dumps(value)


def tool_call(raw: object, index: int) -> Json:
    """One tool call. A missing id is made from the call, so that its result can name it."""
    call = mapping(raw, "tool call")
    function = call.get("function")
    function = function if isinstance(function, dict) else call
    name = first(function, "name", "toolName") or text(call.get("function"))
    if not isinstance(name, str) or not name:
        raise ValueError(f"{UNREADABLE}: a tool call without a name")
    args = arguments(first(function, "arguments", "args", "input", "parameters"))
    call_id = text(first(call, "id", "call_id", "toolCallId", "tool_call_id", "tool_id"))
    return {
        "id": call_id or f"call_{digest(str(index), name, args)}",
        "type": "function",
        "function": {"name": name, "arguments": args},
    }


def _is_canonical(declared: Json) -> bool:
    if declared.keys() != _TOOL or declared["type"] != "function":
        return False
    inner = declared["function"]
    canonical = type(inner) is dict and inner.keys() <= _FUNCTION and type(inner.get("name")) is str
    return canonical and type(inner.get("parameters", {})) is dict


def tool(raw: object) -> Json:
    """One declared tool."""
    declared = mapping(loads(raw), "tool")
    if _is_canonical(declared):
        return declared  # nearly every tool: nothing to do
    function = loads(declared.get("function"))
    function = function if isinstance(function, dict) else declared
    if not isinstance(function.get("name"), str):
        if "function" in declared or not isinstance(declared.get("type"), str):
            raise ValueError(f"{UNREADABLE}: a tool without a name")
        return declared  # a provider's built-in tool: named by its type alone
    result = {
        k: function[k] for k in ("name", "description", "strict") if function.get(k) is not None
    }
    schema = loads(first(function, "parameters", "input_schema", "inputSchema", "json_schema"))
    if isinstance(schema, dict):
        result["parameters"] = schema["json"] if schema.keys() == {"json"} else schema  # Bedrock
    return {"type": "function", "function": result}


def content(value: object) -> object:
    """A message's content: text, None, or a list of parts; images stay as references."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list):
        return [_part(p) for p in value]
    return dumps(value)


def _part(part: Any) -> Json:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    kind = mapping(part, "content part").get("type")
    if kind in _TEXT_PARTS or (kind is None and "text" in part):
        return {"type": "text", "text": str(first(part, "text", "content") or "")}
    return {k: _reference(v) for k, v in part.items()}


def _reference(value: Any) -> object:
    """A part of a picture, sound or file: its inline data replaced by a digest."""
    if isinstance(value, dict):
        return {k: _reference(v) for k, v in value.items()}
    inline = isinstance(value, str) and (value.startswith("data:") or len(value) > INLINE)
    return f"sha256:{digest(value, length=64)}" if inline else value


def message(raw: object) -> Json:
    """One message of a request."""
    fields = mapping(raw, "message")
    role = fields.get("role")
    if role in _PLAIN and len(fields) == 2 and isinstance(fields.get("content"), str):
        return fields  # nearly every message: nothing to do
    canonical = ROLES.get(role.lower()) if isinstance(role, str) else None
    if canonical is None:
        raise ValueError(f"{UNREADABLE}: message with role {role!r}"[:200])
    result: Json = {"role": canonical, "content": content(fields.get("content"))}
    result.update((k, named) for k in _NAMED if (named := text(fields.get(k))))
    _tool_parts(fields, result)
    return result


def _tool_parts(fields: Json, message: Json) -> None:
    calls = fields.get("tool_calls")
    if not calls and isinstance(legacy := fields.get("function_call"), dict):
        calls = [legacy]
    if calls:
        message["tool_calls"] = [
            tool_call(c, i) for i, c in enumerate(sequence(calls, "tool_calls"))
        ]
    if fields.get("role") in ("tool", "function") and "tool_call_id" not in message:
        message["tool_call_id"] = ""  # `pair` fills it in


def messages(raw: object) -> list[Json]:
    """A request's messages. Raises ValueError when there are none."""
    result = [message(m) for m in sequence(raw, "messages")]
    if not result:
        raise ValueError(f"{UNREADABLE}: no messages")
    _pair(result)
    return result


def _pair(messages: Sequence[Json]) -> None:
    """Give each result without an id the oldest call that waits, of its tool where it is named."""
    waiting: dict[str, str] = {}
    for one in messages:
        waiting |= {c["id"]: c["function"]["name"] for c in one.get("tool_calls", ())}
        if one["role"] == "tool":
            if one.get("tool_call_id") == "" and waiting:
                named = (i for i, name in waiting.items() if name == one.get("name"))
                one["tool_call_id"] = next(named, next(iter(waiting)))
            waiting.pop(one.get("tool_call_id", ""), None)


def request(raw: object) -> Json:
    """A request body: nulls left out, legacy functions as tools, everything else as it came."""
    body = {k: v for k, v in mapping(loads(raw), "request").items() if v is not None}
    body["messages"] = messages(body.get("messages"))
    if isinstance(system := body.get("system"), str) and system:
        told = {"role": "system", "content": body.pop("system")}
        body["messages"][:0] = [told] if told not in body["messages"][:1] else []
    tools = body.pop("tools", None) or body.pop("functions", None)
    if tools:
        body["tools"] = [tool(t) for t in sequence(tools, "tools")]
    for name, kind in (("model", str), ("response_format", dict)):
        if not isinstance(body.get(name, kind()), kind):
            del body[name]
    return body


def reply(raw: Any) -> Json:
    """The assistant's message: the target. Parts are joined to text, reasoning is left out."""
    canonical = type(raw) is dict and raw.keys() == _SAID and raw["role"] == "assistant"
    if canonical and type(raw["content"]) is str:
        return dict(raw)  # nearly every reply: nothing to do
    result = message({"role": "assistant", **mapping(raw, "reply")})
    if result["role"] != "assistant":
        raise ValueError(f"{UNREADABLE}: the reply's role is {result['role']}")
    if isinstance(parts := result["content"], list):
        kinds = [str(p.get("type")) for p in parts if p.get("type") not in _SILENT]
        if others := [k for k in kinds if k != "text"]:
            reason = NOT_TEXT if others[0] in _MEDIA else UNSUPPORTED
            raise ValueError(f"{reason}: the reply holds a part of type {others[0][:60]}")
        result["content"] = "".join(text_of([p]) for p in parts if p.get("type") == "text")
    return result
