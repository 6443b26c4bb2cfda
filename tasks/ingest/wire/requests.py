"""Other providers' and frameworks' requests in OpenAI's words.

`said` reads Anthropic and Gemini blocks, OpenAI Responses items, LangChain messages, OpenTelemetry
parts, Vercel AI parts or plain text as messages. What came back is read by `answers`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tasks.core.records import Json
from tasks.ingest.wire import shape
from tasks.ingest.wire.shape import first, loads

_CALLS = frozenset({"tool_call", "tool_use", "tool-call", "function_call", "server_tool_call"})
_RESULTS = frozenset(
    {"tool_call_response", "tool_result", "tool-result", "function_call_output"}
    | {"server_tool_call_response", "function_response"}
)
_THOUGHTS = frozenset({"reasoning", "thinking", "redacted_thinking", "thought", "step-start"})
_INPUTS = ("messages", "input", "contents", "prompt", "inputs")
_SYSTEMS = ("system", "instructions", "system_instruction", "systemInstruction", "system_prompt")
PARAMETERS = (
    *("model", "temperature", "top_p", "max_tokens", "max_completion_tokens", "seed", "stop"),
    *("response_format", "tool_choice", "parallel_tool_calls", "reasoning_effort"),
)


def request(body: Mapping[str, Any], tools: Any = None) -> Json:
    """A request body of any provider as an OpenAI one. Raises ValueError."""
    made = {k: body[k] for k in PARAMETERS if body.get(k) not in (None, "")}
    config = loads(first(body, "config", "generationConfig"))
    merged = {**config, **body} if isinstance(config, dict) else body
    made["messages"] = said(merged)
    declared = list(declared_tools(tools if tools is not None else merged.get("tools")))
    declared += [t for m in _items(merged.get("messages")) if (t := _declaration(m))]
    if declared:
        made["tools"] = declared
    if (form := _response_format(body)) is not None:
        made["response_format"] = form
    return shape.request(made)


def _response_format(body: Mapping[str, Any]) -> Json | None:
    """The Responses API's `text.format` where chat completions have it."""
    asked = loads(body.get("text"))
    form = asked.get("format") if isinstance(asked, dict) else None
    if not isinstance(form, dict) or form.get("type") in (None, "text"):
        return None
    inner = {k: form[k] for k in ("name", "schema", "strict") if form.get(k) is not None}
    return {"type": form["type"], "json_schema": inner} if inner else {"type": form["type"]}


def declared_tools(value: Any) -> Iterator[Json]:
    """Tool declarations of any provider, in OpenAI's shape."""
    value = loads(value)
    if isinstance(value, dict):
        value = [value] if "name" in value or "function" in value else list(value.values())
    for one in _items(value):
        one = loads(one)
        if not isinstance(one, dict):
            continue
        inner = first(one, "function_declarations", "functionDeclarations")
        nested: Json = one["tool"] if isinstance(one.get("tool"), dict) else one
        if isinstance(inner, list):
            yield from declared_tools(inner)
        elif isinstance(schema := loads(nested.get("json_schema")), dict):
            yield shape.tool(schema) if "name" in schema or "function" in schema else one
        else:
            yield shape.tool(one)


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _declaration(message: Any) -> Json | None:
    """LangChain's tracers log declared tools as messages of role `tool`."""
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, dict) and content.get("type") == "function" and "function" in content:
        return shape.tool(content)
    return None


def said(value: Any) -> list[Json]:
    """The messages in a request, whatever holds them."""
    value = loads(value)
    if isinstance(value, str):
        return [{"role": "user", "content": value}] if value else []
    if isinstance(value, list):
        made: list[Json] = []
        for item in value:
            for message in said(item):
                _append(made, message)
        return made
    if not isinstance(value, dict):
        return []
    if _is_message(value):
        return list(_message(value))
    made = said(first(value, *_INPUTS))
    system = first(value, *_SYSTEMS)
    if system and not (made and made[0].get("role") == "system"):
        made[:0] = [{**m, "role": "system"} for m in said(_system(system))]
    return made


def _system(value: Any) -> Any:
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
    if "role" in keys or "message" in keys or value.get("lc") == 1:
        return True
    kind = value.get("type")
    return isinstance(kind, str) and (kind in _CALLS | _RESULTS | _THOUGHTS or bool(_role(value)))


def _role(value: Json) -> str:
    """OpenAI's name of the role that a message states in its own way."""
    found = value.get("role") or value.get("type")
    if not isinstance(found, str):
        return ""
    bare = found.removesuffix("Chunk").removesuffix("Message").lower()
    return shape.ROLES.get(bare, found if value.get("role") else "")


def _append(made: list[Json], message: Json) -> None:
    """Add a message; tool calls that were logged one by one become one turn."""
    last = made[-1] if made else {}
    alone = message.get("tool_calls") and not message.get("content")
    if alone and last.get("role") == "assistant" == message["role"] and last.get("tool_calls"):
        last["tool_calls"] = [*last["tool_calls"], *message["tool_calls"]]
    else:
        made.append(message)


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
    if _declaration(value):
        return
    extra = value.get("additional_kwargs")
    calls = value.get("tool_calls") or (
        extra.get("tool_calls") if isinstance(extra, dict) else None
    )
    calls = [c.get("tool_call", c) for c in _items(loads(calls)) if isinstance(c, dict)]
    content = first(value, "parts", "contents", "content")
    if isinstance(content, list) and _role(value) != "tool":
        made = list(_blocks(_role(value), content, calls))
        if value.get("finish_reason") and made:
            made[-1]["finish_reason"] = value["finish_reason"]
        yield from made
        return
    yield from _plain(value, content, calls)


def _plain(value: Json, content: Any, calls: list[Any]) -> Iterator[Json]:
    kept = ("name", "tool_call_id", "function_call", "refusal", "finish_reason")
    made = {k: value[k] for k in kept if value.get(k)}
    role = _role(value)
    if role == "tool" and isinstance(content, list | dict):
        blocks = [b for b in _items(content) if isinstance(b, dict) and b.get("type") in _RESULTS]
        if blocks:
            yield from _blocks(role, blocks, [])
            return
        content = _result(content)
    if calls:
        made["tool_calls"] = [shape.tool_call(c, i) for i, c in enumerate(calls)]
    yield {**made, "role": role, "content": content}


def _blocks(role: str, parts: list[Any], calls: list[Any]) -> Iterator[Json]:
    """Blocks as messages: results first, then what was said, with the calls that it makes."""
    kept: list[Any] = []
    made = [shape.tool_call(c, i) for i, c in enumerate(calls)]
    known = {c["function"]["name"] for c in made}
    for raw in parts:
        kind, block = _block(raw)
        if kind in _CALLS:
            call = shape.tool_call({**block, "id": _id(block)}, len(made))
            if call["function"]["name"] not in known:  # LangChain logs Anthropic's calls twice
                made.append(call)
        elif kind in _RESULTS:
            result = _result(first(block, "result", "response", "output", "content"))
            yield {"role": "tool", "tool_call_id": _id(block), "content": result}
        elif kind not in _THOUGHTS and block:
            kept.append(block)
    if kept or made:
        texts = [b["text"] for b in kept if b.get("type") == "text"]
        content: Any = texts[0] if len(kept) == len(texts) == 1 else kept or None
        yield {"role": role, "content": content, **({"tool_calls": made} if made else {})}


def _block(raw: Any) -> tuple[str, Json]:
    """(kind, block): text in OpenAI's words, everything else as it is."""
    if isinstance(raw, str):
        return "text", {"type": "text", "text": raw}
    block = shape.mapping(raw, "content part")
    if isinstance(inner := block.get("message_content"), dict):
        block = inner
    for name, kind in (("function_call", "tool_call"), ("functionCall", "tool_call")):
        if isinstance(block.get(name), dict):
            return kind, block[name]
    for name in ("function_response", "functionResponse"):
        if isinstance(block.get(name), dict):
            return "tool_result", block[name]
    kind = block.get("type") or "text"
    text = first(block, "text", "content", "value")
    if kind in ("text", "input_text", "output_text", "raw_text"):
        return "text", {"type": "text", "text": text if isinstance(text, str) else ""}
    return str(kind), block


def _id(block: Json) -> str:
    found = first(block, "call_id", "tool_call_id", "tool_use_id", "toolCallId", "id")
    return shape.text(found[-1] if isinstance(found, list) and found else found)


def _result(value: Any) -> str:
    """A tool's result as text."""
    if (
        isinstance(value, list)
        and value
        and all(isinstance(p, dict) and "text" in p for p in value)
    ):
        return "\n".join(str(p["text"]) for p in value)
    return value if isinstance(value, str) else shape.dumps(value)
