"""Other providers' and frameworks' requests in OpenAI's words: messages, tools, answer formats."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tasks.core.records import Json
from tasks.ingest.wire import shape
from tasks.ingest.wire.messages import KINDS, declaration, items, said
from tasks.ingest.wire.shape import first, loads

_CONFIGS = ("config", "generationConfig", "generation_config", "inferenceConfig", "toolConfig")
STORED = ("previous_response_id", "cachedContent", "cached_content")
PARAMETERS = (
    *("model", "temperature", "top_p", "max_tokens", "max_completion_tokens", "seed", "stop"),
    *("response_format", "tool_choice", "parallel_tool_calls", "reasoning_effort"),
)


def read(asked: Json) -> Json:
    """A request body that is OpenAI's as it stands, or another provider's. Raises ValueError."""
    return request(asked) if _is_foreign(asked) else shape.request(asked)


def _is_foreign(asked: Json) -> bool:
    """Return whether a body, or a part of one of its messages, is in another API's words."""
    if "messages" not in asked or asked.get("system") or asked.get("instructions"):
        return True
    told = [m.get("content") for m in items(asked["messages"]) if isinstance(m, dict)]
    kinds = (p.get("type", "") for c in told for p in items(c) if isinstance(p, dict))
    return any(kind != "text" and (kind in KINDS or kind == "document") for kind in kinds)


def request(body: Mapping[str, object], tools: Any = None) -> Json:
    """A request body of any provider as an OpenAI one. Raises ValueError."""
    _whole(body)
    result = {k: body[k] for k in PARAMETERS if body.get(k) not in (None, "")}
    merged = dict(body)
    for name in _CONFIGS:
        if isinstance(config := loads(body.get(name)), dict):
            merged = {**config, **merged}
    result["messages"] = said(merged)
    declared = list(declared_tools(tools if tools is not None else merged.get("tools")))
    declared += [t for m in items(merged.get("messages")) if (t := declaration(m))]
    if declared:
        result["tools"] = declared
    if (form := _response_format(merged)) is not None:
        result["response_format"] = form
    return shape.request(result)


def _whole(body: Mapping[str, object]) -> None:
    """Raise ValueError when a part of the prompt is on the provider's server, not in the log."""
    stored = [k for k in STORED if body.get(k)]
    if body.get("conversation") and ("input" in body or isinstance(body["conversation"], dict)):
        stored.append("conversation")
    if isinstance(prompt := body.get("prompt"), dict) and prompt.get("id"):
        stored.append("prompt")
    if stored:
        raise ValueError(f"{shape.STATEFUL}: `{stored[0]}` refers to what is not in the log")


def _response_format(body: Mapping[str, object]) -> Json | None:
    """Other APIs' forms of an answer (OpenAI Responses, Anthropic, Gemini, Ollama) as a format."""
    schema = first(body, "responseSchema", "responseJsonSchema", "response_schema")
    if isinstance(schema := loads(schema), dict):
        return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    if body.get("responseMimeType") == "application/json" or body.get("format") == "json":
        return {"type": "json_object"}
    asked = loads(first(body, "text", "output_config"))
    form = asked.get("format") if isinstance(asked, dict) else body.get("output_format")
    if form is None and isinstance(body.get("format"), dict):
        form = {"type": "json_schema", "name": "answer", "schema": body["format"]}
    if not isinstance(form, dict) or form.get("type") in (None, "text"):
        return None
    inner = {k: form[k] for k in ("name", "schema", "strict") if form.get(k) is not None}
    return {"type": form["type"], "json_schema": inner} if inner else {"type": form["type"]}


def declared_tools(value: object) -> Iterator[Json]:
    """Tool declarations of any provider, in OpenAI's shape."""
    value = loads(value)
    if isinstance(value, dict):
        value = [value] if "name" in value or "function" in value else list(value.values())
    for one in items(value):
        one = loads(one)
        if not isinstance(one, dict):
            continue
        inner = first(one, "function_declarations", "functionDeclarations")
        nested: Json = next(
            (one[n] for n in ("tool", "toolSpec") if isinstance(one.get(n), dict)), one
        )
        if isinstance(inner, list):
            yield from declared_tools(inner)
        elif isinstance(schema := loads(nested.get("json_schema")), dict):
            yield shape.tool(schema) if "name" in schema or "function" in schema else one
        elif one.keys() != {"cachePoint"}:
            yield shape.tool(one if one.keys() & {"name", "function"} else nested)
