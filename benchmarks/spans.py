"""One call written as a span of OpenTelemetry's dialects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from tasks.core.records import Call, Json, text_of


def iso(at: float) -> str:
    """A time as ISO 8601."""
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def end(call: Call) -> float:
    """Return when the reply had come."""
    return call.at + (call.latency_s or 0)


def usage(call: Call, taken: str = "prompt_tokens", given: str = "completion_tokens") -> Json:
    """Token counts under the names that a format has for them."""
    return {taken: call.prompt_tokens, given: call.completion_tokens}


def completion(call: Call) -> Json:
    """The chat completion body that answered the call."""
    return {
        "id": call.id,
        "object": "chat.completion",
        "created": int(call.at),
        "model": call.model,
        "choices": [{"index": 0, "message": call.reply, "finish_reason": call.finish_reason}],
        "usage": usage(call),
    }


def calls(message: Json) -> Iterator[tuple[str, str, object]]:
    """(id, name, arguments) of a message's tool calls."""
    for made in message.get("tool_calls") or ():
        function = made["function"]
        yield made["id"], function["name"], json.loads(function["arguments"])


def span(call: Call, attributes: Json, **more: Any) -> Json:
    """A span in OTLP-JSON."""
    times = {
        "startTimeUnixNano": str(int(call.at * 1e9)),
        "endTimeUnixNano": str(int(end(call) * 1e9)),
    }
    listed = [{"key": k, "value": _value(v)} for k, v in attributes.items() if v is not None]
    span = {
        "traceId": "t",
        "spanId": call.id,
        "name": "chat",
        **times,
        "attributes": listed,
        **more,
    }
    return {"resourceSpans": [{"resource": {"attributes": []}, "scopeSpans": [{"spans": [span]}]}]}


def _value(value: object) -> Json:
    if isinstance(value, list):
        return {"arrayValue": {"values": [_value(v) for v in value]}}
    return {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}


def _gen_ai(call: Call) -> Json:
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": call.request["model"],
        "gen_ai.response.model": call.model,
        "gen_ai.response.id": call.id,
        "gen_ai.response.finish_reasons": [call.finish_reason],
        "gen_ai.conversation.id": call.conversation,
        "gen_ai.usage.input_tokens": call.prompt_tokens,
        "gen_ai.usage.output_tokens": call.completion_tokens,
    }


def _parts(message: Json) -> Json:
    said = text_of(message.get("content"))
    if message["role"] == "tool":
        return {
            "role": "tool",
            "parts": [
                {"type": "tool_call_response", "id": message["tool_call_id"], "response": said}
            ],
        }
    parts: list[Json] = [{"type": "text", "content": said}] if said else []
    parts += [
        {"type": "tool_call", "id": i, "name": n, "arguments": a} for i, n, a in calls(message)
    ]
    return {"role": message["role"], "parts": parts}


def otel(call: Call) -> list[object]:
    """A span with today's `gen_ai.*.messages`."""
    said = {
        "gen_ai.input.messages": json.dumps([_parts(m) for m in call.request["messages"]]),
        "gen_ai.output.messages": json.dumps(
            [{**_parts(call.reply), "finish_reason": call.finish_reason}]
        ),
        "gen_ai.tool.definitions": json.dumps(call.tools) if call.tools else None,
    }
    return [span(call, {**_gen_ai(call), **said})]


def otel_events(call: Call) -> list[object]:
    """A span with an event per message."""
    events = []
    for message in call.request["messages"]:
        inner = {"content": text_of(message.get("content")), "id": message.get("tool_call_id")}
        if message.get("tool_calls"):
            inner["tool_calls"] = json.dumps(message["tool_calls"])
        events.append((f"gen_ai.{message['role']}.message", inner))
    message = json.dumps(call.reply)
    events.append(("gen_ai.choice", {"message": message, "finish_reason": call.finish_reason}))
    listed = [
        {
            "name": n,
            "attributes": [
                {"key": k, "value": _value(v)} for k, v in inner.items() if v is not None
            ],
        }
        for n, inner in events
    ]
    tools = {"gen_ai.tool.definitions": json.dumps(call.tools)} if call.tools else {}
    return [span(call, {**_gen_ai(call), **tools}, events=listed)]


def _indexed(prefix: str, messages: list[Json]) -> Json:
    made: Json = {}
    for i, message in enumerate(messages):
        made[f"{prefix}.{i}.role"] = message["role"]
        made[f"{prefix}.{i}.content"] = text_of(message.get("content")) or None
        made[f"{prefix}.{i}.tool_call_id"] = message.get("tool_call_id")
        for j, call in enumerate(message.get("tool_calls") or ()):
            made[f"{prefix}.{i}.tool_calls.{j}.id"] = call["id"]
            for key, value in call["function"].items():
                made[f"{prefix}.{i}.tool_calls.{j}.{key}"] = value
    return made


def openllmetry(call: Call) -> list[object]:
    """A span of OpenLLMetry with indexed attributes."""
    said = _indexed("gen_ai.prompt", call.request["messages"]) | _indexed(
        "gen_ai.completion", [call.reply]
    )
    said["gen_ai.completion.0.finish_reason"] = call.finish_reason
    for i, tool in enumerate(call.tools):
        function = tool["function"]
        said[f"llm.request.functions.{i}.name"] = function["name"]
        said[f"llm.request.functions.{i}.description"] = function.get("description")
        said[f"llm.request.functions.{i}.parameters"] = json.dumps(function["parameters"])
    old = {
        "gen_ai.usage.prompt_tokens": call.prompt_tokens,
        "gen_ai.usage.completion_tokens": call.completion_tokens,
    }
    named = {
        "llm.request.type": "chat",
        "gen_ai.response.id": call.id,
        "gen_ai.response.model": call.model,
    }
    session = {"traceloop.association.properties.session_id": call.conversation}
    return [
        span(
            call, {**named, **session, **old, **said, "gen_ai.request.model": call.request["model"]}
        )
    ]


def openinference(call: Call) -> list[Any]:
    """A span of OpenInference."""
    made: Json = {
        "openinference.span.kind": "LLM",
        "llm.model_name": call.model,
        "session.id": call.conversation,
    }
    for prefix, messages in (
        ("llm.input_messages", call.request["messages"]),
        ("llm.output_messages", [call.reply]),
    ):
        for i, message in enumerate(messages):
            base = f"{prefix}.{i}.message"
            made[f"{base}.role"] = message["role"]
            made[f"{base}.content"] = text_of(message.get("content")) or None
            made[f"{base}.tool_call_id"] = message.get("tool_call_id")
            for j, one in enumerate(message.get("tool_calls") or ()):
                made[f"{base}.tool_calls.{j}.tool_call.id"] = one["id"]
                for key, value in one["function"].items():
                    made[f"{base}.tool_calls.{j}.tool_call.function.{key}"] = value
    for i, tool in enumerate(call.tools):
        made[f"llm.tools.{i}.tool.json_schema"] = json.dumps(tool)
    made["llm.invocation_parameters"] = json.dumps({"model": call.request["model"]})
    made["llm.finish_reason"] = call.finish_reason
    made |= {
        "llm.token_count.prompt": call.prompt_tokens,
        "llm.token_count.completion": call.completion_tokens,
    }
    return [span(call, made)]


def phoenix(call: Call) -> list[Any]:
    """A row of Phoenix's `get_spans_dataframe`."""
    (document,) = openinference(call)
    (span,) = document["resourceSpans"][0]["scopeSpans"][0]["spans"]
    flat = {f"attributes.{a['key']}": next(iter(a["value"].values())) for a in span["attributes"]}
    times = {"start_time": iso(call.at), "end_time": iso(end(call)), "status_code": "OK"}
    return [
        {
            "context.span_id": call.id,
            "context.trace_id": "t",
            "name": "chat",
            "span_kind": "LLM",
            **times,
            **flat,
        }
    ]


def mlflow(call: Call) -> list[object]:
    """An exported MLflow trace."""
    attributes = {
        "mlflow.spanType": json.dumps("CHAT_MODEL"),
        "mlflow.spanInputs": json.dumps(call.request),
        "mlflow.spanOutputs": json.dumps(completion(call)),
        "mlflow.chat.tokenUsage": json.dumps(usage(call, "input_tokens", "output_tokens")),
    }
    times = {
        "start_time_unix_nano": int(call.at * 1e9),
        "end_time_unix_nano": int(end(call) * 1e9),
    }
    span = {"span_id": call.id, "trace_id": "t", "name": "chat", "attributes": attributes, **times}
    info = {"trace_id": "t", "trace_metadata": {"mlflow.trace.session": call.conversation}}
    return [{"info": info, "data": {"spans": [span]}}]
