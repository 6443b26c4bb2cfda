"""Streams that are not chat-completion chunks, as the body that their provider sends in one piece.

OpenAI Responses, Anthropic, Gemini, Ollama, Cohere and Bedrock's ConverseStream. A stream that
broke off has the finish reason `incomplete`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tasks.core.records import Json
from tasks.ingest.wire.finish_and_usage import INCOMPLETE
from tasks.ingest.wire.lenient_json import decode, whole

_CONVERSE = frozenset({"messageStart", "contentBlockStart", "contentBlockDelta"})
INVOKED = frozenset({"outputText", "generation"})  # in Titan's and Llama's pieces on Bedrock
_ENDS = ("response.completed", "response.incomplete", "response.failed")


def join(events: list[Json]) -> Json | None:
    """The body of a stream in a provider's own events; None when they are chunks."""
    opened = next((e for e in events if e.get("type") not in ("ping", "error")), {})
    kinds = {str(e.get("type") or "") for e in events}
    ways: tuple[tuple[bool, Callable[[list[Json]], Json]], ...] = (
        (any(k.startswith("response.") for k in kinds), _responses),
        ("message_start" in kinds or "content_block_delta" in kinds, _anthropic),
        (any(k in ("message-start", "content-delta", "message-end") for k in kinds), _cohere),
        (
            bool(opened.keys() & {"messageStart", "contentBlockStart", "contentBlockDelta"}),
            _bedrock,
        ),
        ("candidates" in opened or "usageMetadata" in opened, _gemini),
        ("done" in opened, _ollama),
        ("event_type" in opened, _cohere_first),
        (bool(opened.keys() & INVOKED), _invoked),
    )
    return next((make(events) for fits, make in ways if fits), None)


def _text(pieces: Iterable[object]) -> str:
    return whole("".join(p for p in pieces if isinstance(p, str)))


def _responses(events: list[Json]) -> Json:
    ended = {e.get("type"): e.get("response") for e in events}
    if isinstance(body := next((b for k in _ENDS if (b := ended.get(k))), None), dict):
        return body
    failed = next((e for e in events if e.get("type") == "error"), None)
    if failed:
        return {"error": failed}
    text = _text(e.get("delta") for e in events if e.get("type") == "response.output_text.delta")
    message = {"type": "message", "role": "assistant", "content": text}
    return {"object": "response", "output": [message], "status": INCOMPLETE}


def _anthropic(events: list[Json]) -> Json:
    """An Anthropic message out of its events; without a stop reason it broke off."""
    body: Json = {"stop_reason": INCOMPLETE, "role": "assistant"}
    blocks: dict[object, Json] = {}
    for event in events:
        kind, delta = event.get("type"), event.get("delta") or {}
        if kind == "error":
            return event
        if kind == "message_start" and isinstance(event.get("message"), dict):
            body.update(event["message"], stop_reason=INCOMPLETE)
        elif kind == "content_block_start":
            blocks[event.get("index")] = dict(event.get("content_block") or {})
        elif kind == "content_block_delta":
            block = blocks.setdefault(event.get("index"), {"type": "text"})
            for name, place in (("text", "text"), ("partial_json", "json")):
                if isinstance(piece := delta.get(name), str):
                    block[place] = block.get(place, "") + piece
        elif kind == "message_delta":
            body["stop_reason"] = delta.get("stop_reason") or body["stop_reason"]
            body["usage"] = {**(body.get("usage") or {}), **(event.get("usage") or {})}
    body["content"] = [_block(b) for b in blocks.values()]
    return body


def _block(block: Json) -> Json:
    result = {k: v for k, v in block.items() if k != "json"}
    if isinstance(result.get("text"), str):
        result["text"] = whole(result["text"])
    return {**result, "input": whole(block["json"])} if block.get("json") else result


def _gemini(events: list[Json]) -> Json:
    body: Json = {}
    parts: list[object] = []
    reason = None
    for event in events:
        if event.get("error"):
            return event
        body.update({k: v for k, v in event.items() if k != "candidates"})
        for one in (event.get("candidates") or ())[:1]:
            parts += (one.get("content") or {}).get("parts") or []
            reason = one.get("finishReason") or reason
    content = {"role": "model", "parts": parts}
    body["candidates"] = [{"content": content, "finishReason": reason or INCOMPLETE}]
    return body


def _ollama(events: list[Json]) -> Json:
    last = events[-1]
    failed = next((e for e in events if e.get("error")), None)
    if failed:
        return failed
    messages = [e["message"] for e in events if isinstance(e.get("message"), dict)]
    text = _text(m.get("content") for m in messages) or _text(e.get("response") for e in events)
    calls = [c for m in messages for c in m.get("tool_calls") or ()]
    message = {"role": "assistant", "content": text, **({"tool_calls": calls} if calls else {})}
    ended = last.get("done_reason") or "stop" if last.get("done") else INCOMPLETE
    return {**{k: v for k, v in last.items() if k != "response"}, "message": message} | {
        "done_reason": ended
    }


def _cohere(events: list[Json]) -> Json:
    body: Json = {"finish_reason": INCOMPLETE}
    calls: dict[object, Json] = {}
    parts: list[object] = []
    for event in events:
        kind, delta = event.get("type"), event.get("delta") or {}
        message = delta.get("message") or {} if isinstance(delta, dict) else {}
        if kind == "message-start":
            body["id"] = event.get("id")
        elif kind == "content-delta":
            content = message.get("content") or {}
            parts.append(content.get("text") if isinstance(content, dict) else None)
        elif kind == "tool-call-start":
            calls[event.get("index")] = message.get("tool_calls") or {}
        elif kind == "tool-call-delta" and (call := calls.get(event.get("index"))):
            more = (message.get("tool_calls") or {}).get("function") or {}
            call["function"]["arguments"] += more.get("arguments") or ""
        elif kind == "message-end":
            body |= {k: delta[k] for k in ("finish_reason", "usage") if k in delta}
    return {**body, "message": {"role": "assistant", "content": _text(parts)}} | (
        {"message": {"role": "assistant", "tool_calls": list(calls.values())}} if calls else {}
    )


def _bedrock(events: list[Json]) -> Json:
    body: Json = {"stopReason": INCOMPLETE}
    blocks: dict[object, Json] = {}
    for event in events:
        for name, inner in event.items():
            if not isinstance(inner, dict):
                continue
            index = inner.get("contentBlockIndex", 0)
            if name == "contentBlockStart":
                blocks[index] = dict(inner.get("start") or {})
            elif name == "contentBlockDelta":
                _grow(blocks.setdefault(index, {}), inner.get("delta") or {})
            elif name == "messageStop":
                body["stopReason"] = inner.get("stopReason")
            elif name == "metadata":
                body["usage"] = inner.get("usage")
            elif name.endswith("Exception"):
                return {"error": {"code": name, **inner}}
    content = [_used(b) for b in blocks.values()]
    return {**body, "output": {"message": {"role": "assistant", "content": content}}}


def _grow(block: Json, delta: Json) -> None:
    if isinstance(piece := delta.get("text"), str):
        block["text"] = block.get("text", "") + piece
    if isinstance(used := delta.get("toolUse"), dict):
        call = block.setdefault("toolUse", {})
        call["input"] = str(call.get("input") or "") + str(used.get("input") or "")
    if "reasoningContent" in delta:
        block["reasoningContent"] = delta["reasoningContent"]


def _used(block: Json) -> Json:
    call = block.get("toolUse")
    if isinstance(call, dict) and isinstance(given := call.get("input"), str) and given:
        try:
            return {"toolUse": {**call, "input": decode(given)}}
        except (ValueError, RecursionError):
            return block
    return block


def _cohere_first(events: list[Json]) -> Json:
    """Cohere's first API: the last event holds the whole body."""
    last = events[-1]
    if isinstance(body := last.get("response"), dict):
        return {**body, "finish_reason": last.get("finish_reason") or body.get("finish_reason")}
    return {"text": _text(e.get("text") for e in events), "finish_reason": INCOMPLETE}


def _invoked(events: list[Json]) -> Json:
    """Titan's and Llama's pieces, as Bedrock streams them."""
    body: Json = {"completionReason": INCOMPLETE}
    for event in events:
        body |= {k: v for k, v in event.items() if v is not None}
    if body.get("stop_reason"):
        body["completionReason"] = body["stop_reason"]
    body["outputText"] = _text(e.get("outputText") or e.get("generation") for e in events)
    return {k: v for k, v in body.items() if k != "generation"}
