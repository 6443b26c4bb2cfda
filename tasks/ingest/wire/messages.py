"""Messages of any provider or framework in OpenAI's words.

`said` reads Anthropic, Bedrock and Gemini blocks, OpenAI Responses items, LangChain messages,
OpenTelemetry parts, Vercel AI parts or plain text, and refuses what that shape cannot say.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tasks.core.records import Json
from tasks.ingest.wire import shape, templates
from tasks.ingest.wire.lenient_json import is_cut, is_envelope, is_print, literal
from tasks.ingest.wire.shape import first, loads

_CALLS = frozenset({"tool_call", "tool_use", "tool-call", "function_call"})
_RESULTS = frozenset(
    {"tool_call_response", "tool_result", "tool-result", "function_call_output", "tool-error"}
    | {"function_response"}
)
_THOUGHTS = frozenset(
    {"reasoning", "thinking", "redacted_thinking", "thought", "step-start", "step-finish"}
    | {"reasoningContent", "cachePoint", "cache_point", "mcp_list_tools"}
)
_TEXTS = frozenset({"text", "input_text", "output_text", "raw_text", "summary_text"})
_MEDIA = frozenset({"image", "image_url", "audio", "file", "document", "media", "input_image"})
_INPUTS = ("messages", "input", "contents", "prompt", "prompts", "inputs", "inputText", "kwargs")
_SYSTEMS = (
    *("system", "instructions", "system_instruction", "systemInstruction", "system_prompt"),
    *("preamble", "system_instructions"),
)
KINDS = _CALLS | _RESULTS | _THOUGHTS | _TEXTS | {"message", "refusal", "tool_result"}


def said(value: Any) -> list[Json]:
    """The messages in a request, whatever holds them. Raises ValueError."""
    decoded = literal(value)
    if isinstance(decoded, str):
        return _text(decoded)
    if isinstance(decoded, list):
        return _joined(decoded)
    if not isinstance(decoded, dict):
        return []
    if _is_message(decoded):
        return list(_message(decoded))
    if isinstance(value, str) and not decoded.keys() & {*_INPUTS, *_SYSTEMS}:
        return _text(value, written=True)  # a prompt that is JSON
    messages = _history(decoded) + said(first(decoded, *_INPUTS))
    system = first(decoded, *_SYSTEMS)
    if system:
        told = [{**m, "role": "system"} for m in said(_system(system))]
        messages[:0] = [m for m in told if m not in messages[:1]]
    return messages


def _text(text: str, *, written: bool = False) -> list[Json]:
    """A prompt that is a text. Raises ValueError when it is a message list that was cut off."""
    if not written and is_envelope(text):
        raise ValueError(
            f"{shape.TRUNCATED}: the logged messages end before their brackets close"
            if is_cut(text)
            else f"{shape.UNREADABLE}: the logged messages are neither JSON nor Python"
        )
    if made := templates.turns(text):
        return made
    if is_print(text):
        raise ValueError(f"{shape.UNREADABLE}: a message is a Python object's print")
    return [{"role": "user", "content": text}] if text else []


def _joined(listed: list[Any]) -> list[Json]:
    messages: list[Json] = []
    for item in listed:
        kind = item.get("type") if isinstance(item, dict) and not _is_message(item) else None
        if kind in _TEXTS:
            _append(messages, {"role": "user", "content": first(item, "text", "content") or ""})
            continue
        if isinstance(kind, str):
            reason = shape.STATEFUL if kind == "item_reference" else shape.UNSUPPORTED
            raise ValueError(f"{reason}: an item of type {kind[:60]}")
        if isinstance(item, dict) and not _is_message(item):
            item = _asked(item)
        for message in said(item):
            _append(messages, message)
    return messages


def _asked(item: Json) -> Json:
    """An item of a prompt without a role: the user's. Raises ValueError when it says nothing."""
    if isinstance(item.get("text"), str) or isinstance(item.get("parts"), list):
        return {"role": "user", **item}
    if item and not item.keys() & {*_INPUTS, *_SYSTEMS, "chat_history", "message"}:
        keys = ", ".join(map(str, list(item)[:6]))
        raise ValueError(f"{shape.UNREADABLE}: a message without a role, with the keys {keys}")
    return item


def _history(body: Json) -> list[Json]:
    """Cohere's first API: earlier turns apart from the message."""
    turns = [
        {"role": t.get("role"), "content": t.get("message")}
        for t in items(body.get("chat_history"))
        if isinstance(t, dict)
    ]
    now = body.get("message")
    asked = [{"role": "user", "content": now}] if isinstance(now, str) and now else []
    return _joined(turns) + asked


def _system(value: object) -> object:
    """A system prompt's text, from text, blocks or `{parts: [...]}`."""
    value = loads(value)
    if isinstance(value, dict):
        value = first(value, "parts", "content", "text") or ""
    if isinstance(value, list):
        texts = [p if isinstance(p, str) else first(p, "text", "content") for p in value]
        return "\n".join(str(t) for t in texts if t)
    return value


def _is_message(value: Json) -> bool:
    keys = value.keys()
    if "role" in keys or isinstance(loads(value.get("message")), dict) or value.get("lc") == 1:
        return True
    kind = value.get("type")
    return isinstance(kind, str) and (kind in _CALLS | _RESULTS | _THOUGHTS or bool(_role(value)))


def _role(value: Json) -> str:
    """OpenAI's name of the role that a message states in its own way."""
    role = value.get("role") or value.get("type")
    if not isinstance(role, str):
        return ""
    bare = role.removesuffix("Chunk").removesuffix("Message").lower()
    return shape.ROLES.get(bare, role if value.get("role") else "")


def _append(messages: list[Json], message: Json) -> None:
    """Add a message; tool calls that were logged one by one become one turn."""
    last = messages[-1] if messages else {}
    alone = message.get("tool_calls") and not message.get("content")
    if alone and last.get("role") == "assistant" == message["role"] and last.get("tool_calls"):
        last["tool_calls"] = [*last["tool_calls"], *message["tool_calls"]]
    else:
        messages.append(message)


def _message(value: Json) -> Iterator[Json]:
    if value.get("lc") == 1 and isinstance(value.get("kwargs"), dict):
        name = value["id"][-1] if isinstance(value.get("id"), list) and value["id"] else ""
        value = {**value["kwargs"], "type": name}
    if isinstance(inner := loads(value.get("message")), dict):
        yield from said(inner)
        return
    if value.get("type") in _CALLS | _RESULTS | _THOUGHTS and "role" not in value:
        yield from _blocks("assistant", [value], [])
        return
    if declaration(value):
        return
    extra = value.get("additional_kwargs")
    calls = value.get("tool_calls") or (
        extra.get("tool_calls") if isinstance(extra, dict) else None
    )
    calls = [c.get("tool_call", c) for c in items(loads(calls)) if isinstance(c, dict)]
    content = first(value, "parts", "contents", "content")
    if content is None and isinstance(value.get("text"), str):
        content = value["text"]
    if isinstance(content, list) and _role(value) != "tool":
        messages = list(_blocks(_role(value), content, calls))
        if value.get("finish_reason") and messages:
            messages[-1]["finish_reason"] = value["finish_reason"]
        yield from messages
        return
    yield from _plain(value, content, calls)


def _plain(value: Json, content: Any, calls: list[object]) -> Iterator[Json]:
    kept = ("name", "tool_call_id", "function_call", "refusal", "finish_reason")
    message = {k: value[k] for k in kept if value.get(k)}
    role = _role(value)
    if role == "tool" and isinstance(content, list | dict):
        blocks = [b for b in items(content) if isinstance(b, dict) and b.get("type") in _RESULTS]
        if blocks:
            yield from _blocks(role, blocks, [])
            return
        content = _result(content)
    if calls:
        message["tool_calls"] = [shape.tool_call(c, i) for i, c in enumerate(calls)]
    yield {**message, "role": role, "content": content}


def _blocks(role: str, parts: list[Any], calls: list[object]) -> Iterator[Json]:
    """Blocks as messages: results first, then what was said, with the calls that it makes."""
    kept: list[Any] = []
    tool_calls = [shape.tool_call(c, i) for i, c in enumerate(calls)]
    names = {c["function"]["name"] for c in tool_calls}
    refused = ""
    for raw in parts:
        kind, block = _block(raw)
        if kind in _CALLS:
            call = shape.tool_call({**block, "id": _id(block)}, len(tool_calls))
            if call["function"]["name"] not in names:  # LangChain logs Anthropic's calls twice
                tool_calls.append(call)
        elif kind in _RESULTS:
            yield _answered(block)
        elif kind == "refusal":
            refused = str(first(block, "refusal", "text") or "refused")
        elif kind not in _THOUGHTS and block:
            kept.append(block)
    if kept or tool_calls or refused:
        texts = [b["text"] for b in kept if b.get("type") == "text"]
        content: Any = texts[0] if len(kept) == len(texts) == 1 else kept or None
        more: Json = {"tool_calls": tool_calls} if tool_calls else {}
        if refused:
            more["refusal"] = refused
        yield {"role": role, "content": content, **more}


def _answered(block: Json) -> Json:
    """A tool's result as a message; without an id it is told by the tool's name."""
    result = _result(first(block, "result", "response", "output", "content"))
    message: Json = {"role": "tool", "tool_call_id": _id(block), "content": result}
    named = first(block, "name", "toolName")
    return message if message["tool_call_id"] or not named else {**message, "name": named}


_NATIVE = (
    *(("function_call", "tool_call"), ("functionCall", "tool_call"), ("toolUse", "tool_call")),
    *(("function_response", "tool_result"), ("functionResponse", "tool_result")),
    *(("toolResult", "tool_result"), ("reasoningContent", "thought"), ("cachePoint", "thought")),
)


def _block(raw: object) -> tuple[str, Json]:
    """(kind, block): text in OpenAI's words, everything else as it is."""
    if isinstance(raw, str):
        return "text", {"type": "text", "text": raw}
    block = shape.mapping(raw, "content part")
    if isinstance(inner := block.get("message_content"), dict):
        block = inner
    if block.get("thought") is True:
        return "thought", block
    for name, kind in _NATIVE:
        if isinstance(block.get(name), dict):
            return kind, block[name]
    text = first(block, "text", "content", "value")
    kind = block.get("type") or ("text" if text is not None or not block else next(iter(block)))
    if kind in _TEXTS:
        return "text", {"type": "text", "text": text if isinstance(text, str) else ""}
    return str(kind), {"type": str(kind), **block}


def _id(block: Json) -> str:
    names = ("call_id", "tool_call_id", "tool_use_id", "toolCallId", "toolUseId", "id")
    value = first(block, *names)
    return shape.text(value[-1] if isinstance(value, list) and value else value)


def _result(value: object) -> object:
    """A tool's result as text; one with pictures or files stays a list of parts."""
    if isinstance(value, dict) and value.keys() == {"type", "value"}:
        value = value["value"]  # Vercel AI
    if isinstance(value, list) and value and all(isinstance(p, dict) for p in value):
        if all("text" in p or "json" in p for p in value):
            return "\n".join(
                str(p["text"]) if "text" in p else shape.dumps(p["json"]) for p in value
            )
        held = [p.get("document") for p in value]
        if all(isinstance(d, dict) and "data" in d for d in held):  # Cohere
            return "\n".join(_plain_text(d["data"]) for d in held if isinstance(d, dict))
        if any(isinstance(p.get("type"), str) and p["type"] in _MEDIA for p in value):
            return [{"type": "text", **p} if "text" in p else p for p in value]
    return _plain_text(value)


def _plain_text(value: object) -> str:
    return value if isinstance(value, str) else shape.dumps(value)


def items(value: Any) -> list[Any]:
    """The items of an array; none of anything else."""
    return value if isinstance(value, list) else []


def declaration(message: object) -> Json | None:
    """LangChain's tracers log declared tools as messages of role `tool`."""
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, dict) and content.get("type") == "function" and "function" in content:
        return shape.tool(content)
    return None
