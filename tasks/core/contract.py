"""A task's contract: what its answers must look like, how they are written and when two agree.

An *answer* is text: canonical JSON, tool calls as JSON, a label, or prose. `answer_of` makes one
from an assistant message and `reply_of` makes the message back. `infer` finds the contract of many
answers; a few answers off the contract (a teacher's slips) do not spoil it.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import msgspec

from tasks.core.labels import MOST, closed, core, listed, sentences, unframed
from tasks.core.records import Json, digest, text_of
from tasks.core.schema import call_schema, functions, inline, schema_of
from tasks.core.schema_check import Uncheckable, first_error
from tasks.core.spoken import spoken, unannounced, words

Kind = Literal["labels", "json", "tools", "text"]

PROMPTS = 8  # of a task are read for the labels that all of them name
CALLING = 0.02  # a task in which this share of the answers calls tools is a tools task

_FENCE = re.compile(r"```[\w-]*[^\S\n]*\n(.*)```", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """The form that a task's answers must have.

    `schema` is the JSON Schema of the answer text (kinds `json` and `tools`), `labels` the closed
    set as the agent expects to read it (kind `labels`), `max_characters` a generous upper bound.
    A `tools` contract also accepts `{"content": ...}` when its answers sometimes only talk.
    `frames` are the sentences in which the teacher says a label now and then: `queue: {}`.
    """

    kind: Kind
    schema: Json | None = None
    labels: tuple[str, ...] = ()
    max_characters: int = 100_000
    frames: tuple[str, ...] = ()


def answer_of(reply: Json, *, tools: bool = False) -> str:
    """The canonical answer text of an assistant message.

    `tools` says that the task is a tools task: a reply without a call becomes `{"content": ...}`.
    What a reasoning model thought aloud before its answer is no part of it.
    """
    calls = list(reply.get("tool_calls") or ())
    if reply.get("function_call"):
        calls.append({"function": reply["function_call"]})
    if calls:
        return _dumps({"tool_calls": [_call(c.get("function") or {}) for c in calls]})
    text = spoken(text_of(reply.get("content")))
    if tools:
        return _dumps({"content": text})
    value = structure(text)
    return text if value is None else _dumps(value)


def unanswered(reply: Json, finish_reason: str | None) -> str | None:
    """Why a reply is no whole answer, with which nobody can agree or differ; None where it is one.

    Neither certificates nor the audit count such calls, whoever answered them.
    """
    if finish_reason == "length":
        return "truncated"
    return "refusal" if finish_reason == "content_filter" or reply.get("refusal") else None


def answer(reply: Json, contract: Contract) -> str:
    """The answer of a reply in the contract's own form: what a student is trained to write."""
    return settle(answer_of(reply, tools=contract.kind == "tools"), contract)


def reply_of(answer: str, contract: Contract, *, salt: str = "") -> Json:
    """The assistant message that an answer stands for; `salt` keeps tool call ids apart."""
    if contract.kind != "tools":
        return {"role": "assistant", "content": answer}
    value = json.loads(answer)
    if "tool_calls" not in value:
        return {"role": "assistant", "content": value["content"]}
    calls = [
        {
            "id": f"call_{digest(salt, answer, str(number), length=24)}",
            "type": "function",
            "function": {"name": call["name"], "arguments": _written(call["arguments"])},
        }
        for number, call in enumerate(value["tool_calls"])
    ]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def settle(answer: str, contract: Contract) -> str:
    """Bring a drifting label (`"Refund".`, `[refund]`) to the form in the contract.

    What is announced (`Here is the JSON:`) where labels or JSON are agreed on is the answer alone,
    and so is a label in one of the contract's frames.
    """
    if contract.kind == "labels":
        known = _labels(contract.labels)
        label = known.get(core(answer)) or known.get(core(unannounced(answer)))
        return label or unframed(answer, known, contract.frames) or answer
    if contract.kind == "json" and (alone := unannounced(answer)) != answer:
        value = structure(alone)
        return answer if value is None else _dumps(value)
    return answer


def violation(answer: str, contract: Contract) -> str | None:
    """Return why an answer is off the contract, in one sentence; None when it is on it."""
    if len(answer) > contract.max_characters:
        return f"longer than {contract.max_characters} characters"
    if contract.kind == "labels":
        return None if answer in _labels(contract.labels).values() else "not one of the labels"
    if contract.kind == "text":
        return None if answer.strip() else "empty"
    try:
        value = _READER.decode(answer)
    except (ValueError, RecursionError):  # a small model may write brackets without end
        return "not JSON"
    schema = contract.schema or {}
    calls = isinstance(value, dict) and value.keys() == {"tool_calls"} and value["tool_calls"]
    if contract.kind == "tools" and calls:
        return _miscalled(value["tool_calls"], schema)
    return _against(schema, value)


def normal(answer: str, contract: Contract | None = None, *, alone: bool = False) -> str:
    """The form in which answers are compared: key order, spacing and 1 or 1.0 do not matter.

    Nor does a text's last full stop; with a `labels` contract neither do letter case and
    decoration. `alone` leaves out a line that announces the answer; in its values none is left out.
    """
    kind = contract.kind if contract else "text"
    if kind == "labels":
        return core(answer)
    with suppress(RecursionError):
        value = structure(unannounced(answer) if alone else answer)
        if alone and kind == "tools" and isinstance(value, dict) and value.keys() == {"content"}:
            value = {"content": unannounced(str(value["content"]))}
        if value is not None:
            return json.dumps(_plain(value), ensure_ascii=False, sort_keys=True)
    return words(unannounced(answer) if alone else answer)


def agree(a: str, b: str, contract: Contract | None = None) -> bool:
    """Return whether two answers say the same, one of them perhaps with a line that announces it.

    Where both have one, it is part of what they say.
    """
    if a == b:
        return True
    one, other = normal(a, contract), normal(b, contract)
    return (
        one == other
        or normal(a, contract, alone=True) == other
        or (one == normal(b, contract, alone=True))
    )


def infer(requests: Sequence[Json], answers: Sequence[str]) -> Contract:
    """The contract of a task from its requests and their `answer_of(reply)`.

    What the requests declare (tool signatures, a `json_schema` response format) comes first.
    """
    length = 2 * max((len(a) for a in answers), default=0) + 200
    values = [structure(a) for a in answers]
    calls = [called for value in values if (called := _called(value))]
    if len(calls) > CALLING * len(answers):
        spoken = len(answers) - len(calls) > CALLING * len(answers)
        schema = call_schema(requests, calls, spoken)
        return Contract(kind="tools", schema=schema, max_characters=length)
    given = [v for v in values if v is not None]
    if given and len(given) >= MOST * len(answers) - 1:
        schema = _declared(requests) or schema_of(given)
        return Contract(kind="json", schema=schema, max_characters=length)
    named = listed(answers, [_asked(r) for r in requests[:: len(requests) // PROMPTS + 1]])
    frames = sentences(answers, named.keys())
    if labels := closed([unframed(a, named, frames) or a for a in answers]):
        return Contract(kind="labels", labels=labels, max_characters=length, frames=frames)
    return Contract(kind="text", max_characters=length)


def _asked(request: Json) -> str:
    return "\n".join(text_of(message.get("content")) for message in request.get("messages", ()))


def _called(value: object) -> list[object]:
    """The tool calls of an answer; content may have JSON of another form under the same key."""
    calls = value.get("tool_calls") if isinstance(value, dict) else None
    whole = isinstance(calls, list) and all(
        isinstance(call, dict) and call.keys() == {"name", "arguments"} for call in calls
    )
    return list(calls) if whole and calls else []


def _dumps(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    # A lone surrogate cannot be written as UTF-8; the escaped form can.
    return text if text.isascii() or _encodes(text) else json.dumps(value)


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _number(text: str) -> float:
    if math.isinf(number := float(text)):
        raise ValueError(f"{text} is larger than any number")
    return number


def _object(pairs: list[tuple[str, Any]]) -> Json:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("a key stands twice: which one counts depends on who reads it")
    return value


# JSON that everybody reads alike.
_READER = json.JSONDecoder(
    parse_constant=_no_constant, parse_float=_number, object_pairs_hook=_object
)


def structure(text: str) -> Any | None:
    """The object or list that a text is, bare or in a code fence; None for anything else."""
    text = text.strip()
    fenced = _FENCE.fullmatch(text)
    text = (fenced.group(1) if fenced else text).strip()
    if not text.startswith(("{", "[")):
        return None
    try:
        return _READER.decode(text)
    except (ValueError, RecursionError):
        return None


def _call(function: Json) -> Json:
    arguments = function.get("arguments") or "{}"
    # What is no object is left as the text that it is, and served so.
    if isinstance(arguments, str) and isinstance(value := structure(arguments), dict):
        arguments = value
    return {"name": function.get("name") or "", "arguments": arguments}


def _written(arguments: object) -> str:
    return arguments if isinstance(arguments, str) else _dumps(arguments)


def _plain(value: Any) -> object:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return words(value) if isinstance(value, str) else value


@lru_cache(maxsize=256)
def _labels(labels: tuple[str, ...]) -> dict[str, str]:
    return {core(label): label for label in labels}


def _against(schema: Json, value: Any) -> str | None:
    try:
        error = first_error(schema, value)
    except Uncheckable as problem:  # an agent's own schema
        return f"the schema cannot be checked: {problem}"[:200]
    return None if error is None else f"{error.json_path}: {error.message[:120]}"


def _miscalled(calls: object, schema: Json) -> str | None:
    """Like `_against`, one call at a time: an `anyOf` of a hundred functions is slow and mute."""
    called = schema["anyOf"][0] if "anyOf" in schema else schema
    array = called["properties"]["tool_calls"]
    forms = {form["properties"]["name"]["const"]: form for form in functions(schema)}
    if not isinstance(calls, list) or len(calls) > array["maxItems"]:
        return f"more than {array['maxItems']} calls at once"
    for call in calls:
        name = call.get("name") if isinstance(call, dict) else None
        if not isinstance(name, str) or name not in forms:
            return f"calls {name}, which is not in the contract"
        if reason := _against(forms[name], call):
            return f"{name}: {reason}"
    return None


def _declared(requests: Sequence[Json]) -> Json | None:
    """The response schema that almost all requests declare."""
    schemas: Counter[bytes] = Counter()
    for request in requests:
        form = request.get("response_format") or {}
        schema = (form.get("json_schema") or {}).get("schema") if isinstance(form, dict) else None
        if schema:
            schemas[msgspec.json.encode(schema)] += 1
    if not schemas:
        return None
    schema, count = schemas.most_common(1)[0]
    return inline(msgspec.json.decode(schema)) if count >= MOST * len(requests) else None
