"""Providers' and frameworks' replies, as one typed `Completion`.

What a model wrote is its answer, also where it is JSON that resembles an envelope: only what has
the marks of a provider's body or of a message (`is_body`) is opened. What stands in an opened
envelope is text and is never looked into again.
"""

from __future__ import annotations

from typing import Any

from tasks.core.records import Json
from tasks.ingest.wire import completion, finish_and_usage, shape, stream, times
from tasks.ingest.wire.completion import NOTHING, Completion
from tasks.ingest.wire.lenient_json import is_cut, is_envelope, is_print, literal
from tasks.ingest.wire.messages import KINDS, said
from tasks.ingest.wire.shape import first, loads

_ENDED = (
    *("finish_reason", "stop_reason", "finishReason", "stopReason", "done_reason"),
    *("completionReason", "status"),
)
_BESIDE = frozenset(  # what stands beside the content of a message or a text, in no answer
    {"stop_reason", "tool_calls", "finish_reason", "finishReason", "response_metadata", "usage"}
    | {"additional_kwargs", "usage_metadata", "generation_id", "done", "stopReason"}
)
_ALONE = ("content", "text", "output", "completion", "response", "generated_text", "outputText")
_TEXTS = (*_ALONE, "generation", "raw", "object")
_LISTS = ("results", "outputs", "completions")
_COUNTED = frozenset({"prompt_eval_count", "eval_count", "prompt_token_count"})
_FAILED = frozenset({"message", "code", "type"})


def read(value: Any, *, body: bool = False) -> Completion:
    """Return what came back: a provider's body, stream, message, or the answer itself.

    Raises ValueError.

    `body` says that the value is what a provider sent, so that `{}` or `{"error": "no"}` is no
    answer.
    """
    if value is None or value == "" or (body and value in ([], {})):
        raise ValueError(f"{shape.EMPTY}: the response is empty")
    if isinstance(value, str):
        if stream.is_sse(value):
            return _body(stream.join(list(stream.chunks(value))))
        opened = literal(value)
        if body and isinstance(opened, str) and (events := stream.lines(value)):
            return _body(stream.join(events))
        if isinstance(opened, str) and not body:
            return _written(opened)
        if not body and not _opens(opened):
            return _text(value)
        value = opened
    if body and not isinstance(value, list):
        return _body(shape.mapping(value, "response"))
    if isinstance(value, list):
        return _list(value)
    if isinstance(value, dict) and is_body(value):
        return _body(value)
    return _text(shape.dumps(value))


def _opens(value: object) -> bool:
    """Return whether what a text decodes to is an envelope."""
    if isinstance(value, dict):
        return is_body(value, written=True)
    return _parts(value) or (isinstance(value, list) and stream.is_stream(value))


def _text(text: str) -> Completion:
    return Completion(reply=shape.reply({"content": text}))


def _written(text: str) -> Completion:
    """An answer that is a text, unless it is what a cut left of an envelope."""
    if is_print(text):
        raise ValueError(f"{shape.UNREADABLE}: the answer is a Python object's print")
    if is_envelope(text) and is_cut(text):
        raise ValueError(f"{shape.TRUNCATED}: the logged answer ends before its brackets close")
    return _text(text)


def _list(value: list[Any]) -> Completion:
    if stream.is_stream(value):
        return _body(stream.join(stream.events(value)))
    choices = [c for c in value if isinstance(c, dict) and isinstance(c.get("message"), dict)]
    if choices and choices[0].keys() & {"finish_reason", "index"}:
        return _body({"choices": choices})
    if _parts(value):
        return _last(said(value))
    if value and all(isinstance(c, dict) and "generated_text" in c for c in value):
        return _body(value[0])
    return _text(shape.dumps(value))


def _parts(value: object) -> bool:
    """Return whether a list holds messages, parts or output items, not an answer."""
    return isinstance(value, list) and bool(value) and all(map(_is_part, value))


def _is_part(item: object) -> bool:
    if not isinstance(item, dict):
        return False
    if isinstance(item.get("message"), dict) or item.get("lc") == 1:
        return True
    role, kind = item.get("role"), item.get("type")
    if isinstance(role, str) and role.lower() in shape.ROLES:
        return bool(item.keys() & {"content", "parts", "tool_calls", "contents"})
    named = isinstance(kind, str) and (kind in KINDS or kind.endswith(("_call", "_use")))
    return named and len(item) > 1


def is_body(value: Json, *, written: bool = False) -> bool:
    """Return whether an object has the marks of a provider's body or of a message.

    `written` says that it came as text: then an object of a single text is the answer itself.
    """
    if value.get("lc") == 1 or _generated(value.get("generations")):
        return True
    error = value.get("error")
    if not written and isinstance(error, dict) and error.keys() & _FAILED:
        return True
    marks: tuple[tuple[str, frozenset[str]], ...] = (
        ("choices", frozenset({"message", "text", "delta", "finish_reason"})),
        ("candidates", frozenset({"content", "finishReason", "finish_reason"})),
        ("results", frozenset({"outputText"})),
        ("outputs", frozenset({"stop_reason"})),
        ("completions", frozenset({"data", "finishReason"})),
    )
    for name, keys in marks:
        listed = value.get(name)
        one = listed[0] if isinstance(listed, list) and listed else None
        if isinstance(one, dict) and one.keys() & keys:
            return True
    inner = value.get("message")
    if isinstance(inner, dict) and inner.keys() & {"role", "content", "parts", "tool_calls"}:
        return True
    given = value.get("output")
    if isinstance(given, dict) and isinstance(given.get("message"), dict):
        return True
    if _parts(given) or _parts(value.get("messages")) or value.get("object") == "response":
        return True
    return _is_message(value, written) or (not written and _alone(value) is not None)


def _generated(listed: object) -> bool:
    """Return whether these are LangChain's generations."""
    while isinstance(listed, list) and listed:
        listed = listed[0]
    return isinstance(listed, dict) and bool(listed.keys() & {"message", "text"})


def _is_message(value: Json, written: bool) -> bool:
    role = value.get("role")
    has_role = isinstance(role, str) and role.lower() in shape.ROLES
    if has_role and value.keys() & {"content", "parts", "tool_calls", "function_call", "contents"}:
        return True
    said_ = any(isinstance(value.get(name), str) for name in _TEXTS) or "object" in value
    if said_ and not written and value.keys() & _BESIDE:
        return True
    listed = value.get("tool_calls")
    if isinstance(listed, list) and listed and isinstance(listed[0], dict):
        return True
    inner = value.get("content")
    return _parts(inner) or (isinstance(inner, dict) and isinstance(inner.get("parts"), list))


def _alone(value: Json) -> str | None:
    """The only text that an object holds, under one of the names that tracers use."""
    if len(value) != 1:
        return None
    return next((value[n] for n in _ALONE if isinstance(value.get(n), str)), None)


def _body(body: Json) -> Completion:
    if body.get("error") or body.get("type") == "error":
        return completion.failed(body.get("error") or body)
    if (blocked := body.get("promptFeedback")) and not body.get("candidates"):
        return completion.failed({"code": "blocked", "message": shape.dumps(blocked)})
    if body.get("choices"):
        return completion.read(body)
    if body.get("lc") == 1 and isinstance(inner := body.get("kwargs"), dict):
        return _with(_last(said(body)), inner)
    if isinstance(generations := body.get("generations"), list):
        return _generation(generations, body)
    if isinstance(candidates := body.get("candidates"), list) and candidates:
        return _body({**body, **shape.mapping(candidates[0], "candidate"), "candidates": None})
    if isinstance(inner := loads(body.get("message")), dict) and "role" not in body:
        return _with(_message(inner, body), body)
    if isinstance(output := body.get("output"), dict):
        return _with(read(output, body=True), body)
    return _flat(body)


def _flat(body: Json) -> Completion:
    """A body whose answer stands in the body itself."""
    output = body.get("output")
    if isinstance(output, list):  # the Responses API, also where nothing was put out
        return _with(_message({"messages": output}, body), body)
    content = body.get("content")
    if isinstance(content, dict | list) or "role" in body or body.get("tool_calls"):
        return _with(_message(body, body), body)
    if body.get("parts"):
        return _with(_message({"role": "assistant", **body}, body), body)
    if isinstance(listed := body.get("messages"), list):
        return _with(_last(said(listed)), body)
    for name in _LISTS:
        if isinstance(listed := body.get(name), list) and listed and isinstance(listed[0], dict):
            return _with(_flat({**listed[0], **loads(listed[0].get("data") or {})}), body)
    if (text := first(body, *_TEXTS[:-1])) is not None:
        return _with(_text(text if isinstance(text, str) else shape.dumps(text)), body)
    if body.keys() & _BESIDE and isinstance(body.get("object"), dict | list):
        return _with(_text(shape.dumps(body["object"])), body)
    if _ended(body) or "finishReason" in body:
        return _with(_nothing(body), body)
    raise ValueError(f"{shape.EMPTY}: the response holds no answer")


def _message(inner: Json, body: Json) -> Completion:
    """The reply that a message holds; one that was withheld holds nothing."""
    listed = inner.get("messages")
    if not isinstance(listed, list):
        content = inner.get("content")
        nested = content if isinstance(content, dict) and "parts" in content else {}
        listed = [{**inner, **nested, "role": "assistant"}]
    spoken = [m for m in said(listed) if m.get("role") == "assistant"]
    holds = any(m.get("content") or m.get("tool_calls") or m.get("refusal") for m in spoken)
    return _last(spoken) if holds else _nothing({**inner, **body})


def _nothing(body: Json) -> Completion:
    """No answer at all, for a reason that the provider states. Raises ValueError without one."""
    reason = _ended(body)
    if reason in (None, "stop", "tool_calls"):
        raise ValueError(f"{shape.EMPTY}: the response holds neither text nor tool calls")
    return Completion(reply=dict(NOTHING), finish_reason=reason)


def _generation(generations: list[object], body: Json) -> Completion:
    """LangChain's `generations[[{message, text, generation_info}]]`."""
    generation: object = generations
    while isinstance(generation, list) and generation:
        generation = generation[0]
    one = shape.mapping(generation, "generation")
    info = one.get("generation_info") or {}
    extra = body.get("llm_output") or {}
    usage = first(extra, "token_usage", "usage") if isinstance(extra, dict) else None
    if isinstance(inner := one.get("message"), dict):
        completion = _body(inner)
    elif isinstance(text := one.get("text"), str) and text:
        completion = _text(text)
    else:
        raise ValueError(f"{shape.EMPTY}: the generation holds no text")
    return _with(completion, {**info, "usage": usage, "model": extra.get("model_name")})


def _last(messages: list[Json]) -> Completion:
    """The reply among output messages: the assistant's, its parallel calls joined."""
    spoken = [m for m in messages if m.get("role") == "assistant"] or [
        {**m, "role": "assistant"} for m in messages if m.get("role") == "user"
    ]
    if not spoken:
        raise ValueError(f"{shape.EMPTY}: no assistant message in the response")
    contents = [m["content"] for m in spoken if m.get("content")]
    calls = [c for m in spoken for c in m.get("tool_calls", ())]
    content: object = contents[0] if len(contents) == 1 else None
    if len(contents) > 1:
        content = [p for c in contents for p in (c if isinstance(c, list) else [c])]
    joined = {**spoken[-1], "content": content, "tool_calls": calls}
    refusal = next((m["refusal"] for m in spoken if m.get("refusal")), None)
    reason = finish_and_usage.finish(
        next((m["finish_reason"] for m in spoken if m.get("finish_reason")), None)
    )
    reply = shape.reply({**joined, "refusal": refusal} if refusal else joined)
    return Completion(reply=reply, finish_reason=reason)


def _ended(body: Json) -> str | None:
    """Return why a body says that its answer ended."""
    metadata = body.get("response_metadata")
    around = {**metadata, **body} if isinstance(metadata, dict) else body
    if isinstance(cut := around.get("incomplete_details"), dict) and cut:
        return finish_and_usage.finish(cut.get("reason"))
    return finish_and_usage.finish(first(around, *_ENDED))


def _with(completion: Completion, body: Json) -> Completion:
    """A completion with what the body around its message says."""
    metadata = body.get("response_metadata")
    around = {**metadata, **body} if isinstance(metadata, dict) else body
    named = first(around, "model", "model_name", "modelVersion")
    stated = first(around, "usage", "usage_metadata", "usageMetadata", "token_usage", "meta")
    counted = stated is None and bool(around.keys() & _COUNTED)
    tokens = finish_and_usage.usage(around if counted else stated)
    return Completion(
        reply=completion.reply,
        finish_reason=completion.finish_reason or _ended(body),
        tokens=tokens if any(t is not None for t in tokens) else completion.tokens,
        model=completion.model or shape.text(named),
        id=completion.id or shape.text(first(body, "id", "responseId")),
        at=completion.at or times.seconds(first(body, "created_at", "created")),
        error=completion.error,
    )
