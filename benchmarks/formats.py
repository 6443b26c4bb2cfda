"""One call written the way each log dialect writes it: what `benchmarks/dialects.py` generates.

Each function takes a canonical call and gives the documents (most often one) that hold it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from benchmarks import providers, spans
from benchmarks.providers import pair, sse
from benchmarks.spans import calls, completion, end, iso, usage
from tasks.core.records import Call, Json, text_of

Format = Callable[[Call], list[Any]]


def _openai(call: Call) -> list[object]:
    return [pair(call, completion(call))]


def chunks(call: Call) -> list[Json]:
    """The call's reply as stream chunks, a few characters each."""
    base = {"id": call.id, "object": "chat.completion.chunk", "model": call.model}
    deltas: list[Json] = [{"role": "assistant", "content": ""}]
    said = text_of(call.reply.get("content"))
    deltas += [{"content": said[i : i + 7]} for i in range(0, len(said), 7)]
    for index, made in enumerate(call.reply.get("tool_calls") or ()):
        function = made["function"]
        head = {"name": function["name"], "arguments": ""}
        deltas.append({"tool_calls": [{**made, "index": index, "function": head}]})
        for i in range(0, len(function["arguments"]), 5):
            piece = {"arguments": function["arguments"][i : i + 5]}
            deltas.append({"tool_calls": [{"index": index, "function": piece}]})
    listed = [{**base, "choices": [{"index": 0, "delta": d}]} for d in deltas]
    last = {"index": 0, "delta": {}, "finish_reason": call.finish_reason}
    return [*listed, {**base, "choices": [last]}, {**base, "choices": [], "usage": usage(call)}]


def _blueprint(call: Call) -> list[object]:
    reply = dict(call.reply)
    if reply.get("tool_calls"):
        made = [
            {"type": "function", "function": {"name": n, "arguments": a}}
            for _, n, a in calls(reply)
        ]
        reply |= {"content": "", "tool_calls": made}
    body = {
        "choices": [{"message": reply}],
        "usage": usage(call),
        "id": call.id,
        "model": call.model,
    }
    source = {**pair(call, body), "workload_id": call.hint}
    return [{"_index": "flywheel", "_id": call.id, "_source": source}]


def _journal(call: Call) -> list[object]:
    line = {"v": 1, "answered_by": "teacher", "reason": None, "audit": None, "task": None}
    same = ("id", "at", "request", "reply", "model", "finish_reason", "latency_s", "client")
    line |= {
        name: getattr(call, name) for name in (*same, "conversation", "hint", "student", "error")
    }
    return [{**line, "usage": usage(call), "audit_rate": 0.1}]


def _messages(call: Call) -> list[Any]:
    row = {"messages": [*call.request["messages"], call.reply], "id": call.id}
    return [
        {
            **row,
            "timestamp": call.at,
            **{k: call.request[k] for k in ("model", "tools") if k in call.request},
        }
    ]


def _stored(call: Call) -> list[object]:
    return [
        {
            **completion(call),
            "created": call.at,
            "messages": call.request["messages"],
            "tools": call.tools,
        }
    ]


def _batch(call: Call) -> list[object]:
    asked = {
        "custom_id": call.id,
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": call.request,
    }
    body = {"status_code": 200, "body": {**completion(call), "created": call.at}}
    return [asked, {"id": "batch_1", "custom_id": call.id, "response": body, "error": None}]


def _litellm(call: Call) -> list[object]:
    settings = {k: v for k, v in call.request.items() if k not in ("messages", "model")}
    line = {
        "id": call.id,
        "call_type": "acompletion",
        "status": "success",
        "messages": call.request["messages"],
    }
    times = {"startTime": call.at, "endTime": end(call)}
    metadata = {"requester_metadata": {"session_id": call.conversation}}
    named = {"model": call.request["model"], "end_user": call.client, "metadata": metadata}
    return [
        {
            **line,
            **times,
            **named,
            **usage(call),
            "model_parameters": settings,
            "response": completion(call),
        }
    ]


def _helicone(call: Call) -> list[object]:
    times = {"request_created_at": iso(call.at), "latency": round((call.latency_s or 0) * 1e3)}
    row = {"response_id": call.id, "response_status": 200, "request_user_id": call.client, **times}
    properties = {"Helicone-Session-Id": call.conversation}
    bodies = {
        "request_body": json.dumps(call.request),
        "response_body": json.dumps(completion(call)),
    }
    return [{**row, **bodies, **usage(call), "request_properties": properties}]


def _langfuse(call: Call) -> list[Json]:
    seen = {"id": call.id, "traceId": "t", "type": "GENERATION", "level": "DEFAULT", "name": "chat"}
    times = {
        "startTime": iso(call.at),
        "endTime": iso(end(call)),
        "sessionId": call.conversation,
    }
    asked = {"messages": call.request["messages"], "tools": call.tools}
    usage = {"input": call.prompt_tokens, "output": call.completion_tokens}
    return [
        {
            **seen,
            **times,
            "input": asked,
            "output": call.reply,
            "providedModelName": call.model,
            "usageDetails": usage,
            "userId": call.client,
        }
    ]


def _langfuse_blob(call: Call) -> list[Json]:
    (seen,) = _langfuse(call)
    names = {
        "traceId": "trace_id",
        "startTime": "start_time",
        "endTime": "end_time",
        "sessionId": "session_id",
    }
    names |= {
        "providedModelName": "provided_model_name",
        "usageDetails": "usage_details",
        "userId": "user_id",
    }
    row = {names.get(k, k): v for k, v in seen.items()}
    return [{**row, **{k: json.dumps(row[k]) for k in ("input", "output", "usage_details")}}]


# Name of the generated file -> (dialect that must read it, how a call is written)
FORMATS: dict[str, tuple[str, Format]] = {
    "journal": ("journal", _journal),
    "openai": ("openai", _openai),
    "openai-sse": ("openai", lambda c: [pair(c, sse(chunks(c)))]),
    "openai-chunks": ("openai", lambda c: [pair(c, chunks(c))]),
    "blueprint": ("openai", _blueprint),
    "messages": ("messages", _messages),
    "anthropic": ("anthropic", providers.anthropic),
    "anthropic-sse": ("anthropic", providers.anthropic_stream),
    "responses": ("responses", providers.responses),
    "stored": ("stored", _stored),
    "batch": ("batch", _batch),
    "litellm": ("litellm", _litellm),
    "helicone": ("helicone", _helicone),
    "langfuse": ("langfuse", _langfuse),
    "langfuse-blob": ("langfuse", _langfuse_blob),
    "langsmith": ("langsmith", providers.langsmith),
    "otel": ("otel", spans.otel),
    "otel-events": ("otel", spans.otel_events),
    "openllmetry": ("openllmetry", spans.openllmetry),
    "openinference": ("openinference", spans.openinference),
    "phoenix": ("openinference", spans.phoenix),
    "tensorzero": ("tensorzero", providers.tensorzero),
    "tensorzero-model": ("tensorzero", providers.tensorzero_model),
    "mlflow": ("mlflow", spans.mlflow),
}
