"""Other providers' and frameworks' replies, as one typed `Completion`."""

from __future__ import annotations

from typing import Any

from tasks.core.records import Json
from tasks.ingest.wire import completion, shape, stream
from tasks.ingest.wire.completion import Completion
from tasks.ingest.wire.requests import said
from tasks.ingest.wire.shape import first, loads


def read(value: Any) -> Completion:
    """What came back, from any provider's body, stream, message or text. Raises ValueError."""
    if isinstance(value, str) and stream.is_sse(value):
        return read(stream.join(list(stream.chunks(value))))
    value = loads(value)
    if value is None or value in ("", [], {}):
        raise ValueError(f"{shape.EMPTY}: the response is empty")
    if isinstance(value, str):
        return Completion(reply=shape.reply({"content": value}))
    if isinstance(value, list):
        if isinstance(value[0], dict) and stream.is_chunk(value[0]):
            return read(stream.join(value))
        return _last(said(value))
    return _body(shape.mapping(value, "response"))


def _body(body: Json) -> Completion:
    if body.get("error") or body.get("type") == "error":
        return completion.failed(body.get("error") or body)
    if body.get("choices"):
        return completion.read(body)
    if body.get("lc") == 1 and isinstance(inner := body.get("kwargs"), dict):
        return _with(_last(said(body)), inner)
    output = body.get("output")
    if isinstance(generations := body.get("generations"), list):
        return _generation(generations, body)
    if isinstance(candidates := body.get("candidates"), list) and candidates:
        return _body({**body, **shape.mapping(candidates[0], "candidate"), "candidates": None})
    if isinstance(body.get("message"), dict | str) and "role" not in body:
        return _with(read(body["message"]), body)
    if isinstance(output, list | dict) or (isinstance(output, str) and output):
        return _with(read(output), body)
    if isinstance(content := body.get("content"), dict):
        return _with(_last(said({"role": "assistant", **content})), body)
    if content is not None or body.get("tool_calls") or body.get("parts"):
        return _with(_last(said({**body, "role": "assistant"})), body)
    if isinstance(text := first(body, "text", "completion", "raw"), str):
        return _with(Completion(reply=shape.reply({"content": text})), body)
    if isinstance(listed := body.get("messages"), list):
        return _with(_last(said(listed)), body)
    if "role" in body:
        raise ValueError(f"{shape.EMPTY}: a message without content")
    return Completion(reply=shape.reply({"content": shape.dumps(body)}))


def _generation(generations: list[Any], body: Json) -> Completion:
    """LangChain's `generations[[{message, text, generation_info}]]`."""
    found: Any = generations
    while isinstance(found, list) and found:
        found = found[0]
    one = shape.mapping(found, "generation")
    info = one.get("generation_info") or {}
    extra = body.get("llm_output") or {}
    usage = first(extra, "token_usage", "usage") if isinstance(extra, dict) else None
    made = read(one.get("message") or one.get("text"))
    return _with(made, {**info, "usage": usage, "model": extra.get("model_name")})


def _last(messages: list[Json]) -> Completion:
    """The reply among output messages: the assistant's, its parallel calls joined."""
    spoken = [m for m in messages if m.get("role") == "assistant"]
    if not spoken:
        raise ValueError(f"{shape.EMPTY}: no assistant message in the response")
    texts = [m["content"] for m in spoken if m.get("content")]
    calls = [c for m in spoken for c in m.get("tool_calls", ())]
    content: Any = texts[0] if len(texts) == 1 else "".join(t for t in texts if isinstance(t, str))
    joined = {**spoken[-1], "content": content or None, "tool_calls": calls}
    reason = shape.finish(
        next((m["finish_reason"] for m in spoken if m.get("finish_reason")), None)
    )
    return Completion(reply=shape.reply(joined), finish_reason=reason)


def _with(made: Completion, body: Json) -> Completion:
    """A completion with what the body around its message says."""
    metadata = body.get("response_metadata")
    around = {**metadata, **body} if isinstance(metadata, dict) else body
    reason = first(around, "finish_reason", "stop_reason", "finishReason", "status")
    if (cut := around.get("incomplete_details")) and isinstance(cut, dict):
        reason = cut.get("reason")
    named = first(around, "model", "model_name", "modelVersion")
    tokens = shape.usage(first(around, "usage", "usage_metadata", "usageMetadata", "token_usage"))
    return Completion(
        reply=made.reply,
        finish_reason=made.finish_reason or shape.finish(reason),
        tokens=tokens if any(tokens) else made.tokens,
        model=made.model or shape.text(named),
        id=made.id or shape.text(body.get("id")),
        at=made.at or shape.seconds(first(body, "created_at", "created")),
        error=made.error,
    )
