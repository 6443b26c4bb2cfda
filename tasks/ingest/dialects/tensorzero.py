"""TensorZero's tables: ChatInference, JsonInference and ModelInference rows."""

from __future__ import annotations

from collections.abc import Iterable

from tasks.core.records import Call, Json
from tasks.ingest.wire import finish_and_usage, replies, requests, shape, times
from tasks.ingest.wire.build import build
from tasks.ingest.wire.completion import Completion
from tasks.ingest.wire.shape import first, loads


def sniff(document: object) -> bool:
    """Return whether this is a row of one of the three tables."""
    if not isinstance(document, dict):
        return False
    keys = document.keys()
    return {"function_name", "input", "output"} <= keys or {"raw_request", "raw_response"} <= keys


def parse(document: Json, source: str) -> Iterable[Call]:
    """The call of one row. Raises ValueError."""
    row = shape.mapping(document, "row")
    model = "raw_request" in row
    asked = _raw_request(row) if model else _request(row)
    given = _raw_answer(row) if model else _answer(loads(row.get("output")))
    took = shape.real(first(row, "processing_time_ms", "response_time_ms"))
    taken, output = finish_and_usage.usage(row)
    reason = finish_and_usage.finish(row.get("finish_reason"))
    fields = {
        **given.fields(),
        "tokens": (taken, output) if taken or output else given.tokens,
        "model": given.model or shape.text(first(row, "model_name", "variant_name")),
        "finish_reason": given.finish_reason or reason,
    }
    yield build(
        source=source,
        request=asked,
        id=first(row, "inference_id", "id") if model else row.get("id"),
        at=times.seconds(first(row, "timestamp", "created_at")) or _uuid_time(row.get("id")),
        latency_s=None if took is None else took / 1e3,
        conversation_id=row.get("episode_id"),
        hint=shape.text(row.get("function_name")),
        **fields,
    )


def _uuid_time(value: object) -> float | None:
    """The milliseconds that a UUIDv7 starts with."""
    digits = value.replace("-", "") if isinstance(value, str) else ""
    if len(digits) != 32 or digits[12] != "7":
        return None
    return int(digits[:12], 16) / 1e3


def _raw_request(row: Json) -> Json:
    return requests.request(shape.mapping(loads(row.get("raw_request")), "raw_request"))


def _raw_answer(row: Json) -> Completion:
    return replies.read(row.get("raw_response"), body=True)


def _request(row: Json) -> Json:
    asked = shape.mapping(loads(row.get("input")), "input")
    settings = loads(row.get("inference_params"))
    chat = settings.get("chat_completion") if isinstance(settings, dict) else None
    body: Json = {**chat, **asked} if isinstance(chat, dict) else dict(asked)
    if isinstance(system := body.get("system"), dict):  # a template's arguments
        body["system"] = shape.dumps(system)
    schema = loads(row.get("output_schema"))
    if isinstance(schema, dict) and schema:
        form = {"name": "answer", "schema": schema}
        body["response_format"] = {"type": "json_schema", "json_schema": form}
    offered = loads(row.get("tool_params"))
    tools = first(offered, "tools_available") if isinstance(offered, dict) else None
    return requests.request(body, tools or row.get("dynamic_tools"))


def _answer(output: object) -> Completion:
    if isinstance(output, dict) and ("raw" in output or "parsed" in output):
        raw = output.get("raw")
        content = raw if isinstance(raw, str) and raw else shape.dumps(output.get("parsed"))
        return Completion(reply=shape.reply({"content": content}))
    if isinstance(output, list):
        return replies.read({"role": "assistant", "content": output})
    return replies.read(output)
