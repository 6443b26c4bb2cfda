"""The decision whether a student's answer is served or the call goes to the teacher, and why. Pure.

A reason is a short phrase: one of these, `serving.route`'s or the pool's. It is counted, journaled
and sent in a header.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.calibrate.calibrate import confidence
from tasks.core.contract import Contract, violation
from tasks.core.records import Json
from tasks.core.schema import inline
from tasks.core.task import Task
from tasks.dataset import steering
from tasks.students.causal import Answer

NO_POOL = "no pool"
POOL_ERROR = "pool error"
POOL_REFUSED = "pool refused"
CIRCUIT_OPEN = "circuit open"  # the breaker of a pool that keeps failing, or of a slow adapter
BUSY = "busy"  # as many calls of the task are under way as one task may have
TIMEOUT = "timeout"
TRUNCATED = "truncated"
NO_LOGPROBS = "no logprobs"
OFF_CONTRACT = "off contract"
OFF_REQUEST = "not as requested"
STUDENT_ERROR = "student error"
NOT_RECORDED = "not recorded"  # its answer found no room in the journal
UNKNOWN_TOOL = "unknown tool"
NOT_CONFIDENT = "not confident"
SERVED = "served"
REVOKED = "revoked"  # its audited answers broke the certificate
ROLLOUT = "roll-out"  # the student is new, and does not answer this conversation yet
OTHER_API = "other API"  # students answer chat completions
NOT_PLAIN = "not plain JSON"
UNREAD = "not read"  # with the reason why nothing of the body could be read
REFUSED = "refused"  # by the gateway: neither a student nor the teacher was asked
NOT_ALLOWED = "task not allowed"  # to this client's key
UNKNOWN_KEY = "unknown key"  # the teacher has not answered a call with it yet
BROWSER = "from a browser"  # a page reads only what the teacher lets its origin read
OPTIONS, MODEL = steering.OPTIONS, steering.MODEL  # that the task does not use otherwise

_FORMATS = ("text", "json_object", "json_schema")
_SAMPLING = (
    *("temperature", "top_p", "top_k", "min_p", "seed", "frequency_penalty", "presence_penalty"),
    "repetition_penalty",
)
_EFFORT = ("reasoning_effort", "verbosity")
_LABELS = (
    *("user", "metadata", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"),
    "service_tier",
)


def _limit(value: object) -> bool:
    return type(value) is int and value > 0


# The options that a student can honour, and with which values: any other one, known or not, is
# the teacher's. Sampling and effort say how the teacher is to find its answer, labels are for its
# owner's books; answers take no other form for them.
_HONOURED: Mapping[str, Callable[[Any], bool]] = {
    "model": lambda value: type(value) is str,
    "messages": lambda value: True,
    "tools": lambda value: all(t.get("type", "function") == "function" for t in value),
    "tool_choice": lambda value: isinstance(value, str | dict),
    "parallel_tool_calls": lambda value: type(value) is bool,
    "response_format": lambda value: isinstance(value, dict) and value.get("type") in _FORMATS,
    "max_tokens": _limit,
    "max_completion_tokens": _limit,
    "stream": lambda value: type(value) is bool,
    "stream_options": lambda value: isinstance(value, dict) and not _other(value),
    "n": lambda value: value == 1,
    "modalities": lambda value: value == ["text"],
    "stop": lambda value: value in ("", []),
    "logit_bias": lambda value: value == {},
    "logprobs": lambda value: value is False,
    "top_logprobs": lambda value: type(value) is int and value == 0,
    "store": lambda value: value is False,
    "functions": lambda value: value == [],
    **dict.fromkeys(_SAMPLING, lambda value: type(value) in (int, float)),
    **dict.fromkeys(_EFFORT, lambda value: isinstance(value, str)),
    **dict.fromkeys(_LABELS, lambda value: isinstance(value, str | dict)),
}
_NAME = re.compile(r"[\w.-]{1,40}", re.ASCII)


def _other(options: Json) -> bool:
    """Return whether a stream's options ask for more than the usage."""
    return any(value for name, value in options.items() if name != "include_usage")


@dataclass(frozen=True, slots=True)
class Decision:
    """Serve the student's answer, or escalate; always with a reason."""

    serve: bool
    reason: str


def unsupported(request: Json) -> str | None:
    """The reason why no student should even be asked; None when one may be."""
    for name, value in request.items():
        honoured = _HONOURED.get(name)
        if value is not None and not (honoured and honoured(value)):
            return f"option {name}" if _NAME.fullmatch(name) else "option ?"
    return None


def unexpected(request: Json, usual: Sequence[str] | None, model: str | None = None) -> str:
    """The reason why a call is not as its task's are, which a student was proven on; else empty.

    `usual` are the settings that the task's calls have by design; where the gateway sets the
    teacher's `model`, clients choose none.
    """
    asked = steering.settings({**request, "model": None} if model else request)
    return steering.unusual(asked, usual)


def decide(task: Task, threshold: float, request: Json, answer: Answer) -> Decision:
    """Serve an answer that is whole, on contract, within the request's means and sure enough."""
    if answer.finish_reason != "stop" or _too_long(request, answer.text):
        return Decision(False, TRUNCATED)
    if not answer.logprobs or not all(map(math.isfinite, answer.logprobs)):
        return Decision(False, NO_LOGPROBS)
    if violation(answer.text, task.contract) is not None:
        return Decision(False, OFF_CONTRACT)
    if task.contract.kind == "tools" and not _known_tools(request, answer.text):
        return Decision(False, UNKNOWN_TOOL)
    if not _as_chosen(request, task, answer.text) or not _as_formatted(request, task, answer.text):
        return Decision(False, OFF_REQUEST)
    if not confidence(answer.logprobs) >= threshold:
        return Decision(False, NOT_CONFIDENT)
    return Decision(True, SERVED)


def _too_long(request: Json, text: str) -> bool:
    """Return whether the request's token limit would cut this text (3 characters each)."""
    limit = request.get("max_completion_tokens") or request.get("max_tokens")
    return isinstance(limit, int) and len(text) > 3 * limit


def _known_tools(request: Json, text: str) -> bool:
    """Return whether the called tools are declared, and no more at once than allowed."""
    calls = json.loads(text).get("tool_calls") or ()
    if len(calls) > 1 and request.get("parallel_tool_calls") is False:
        return False
    declared = {(tool.get("function") or {}).get("name") for tool in request.get("tools") or ()}
    return all(call["name"] in declared for call in calls)


def _as_chosen(request: Json, task: Task, text: str) -> bool:
    """Return whether an answer calls a tool where the request asks for one, else none."""
    choice = request.get("tool_choice") or "auto"
    if choice == "auto":
        return True
    calls = json.loads(text).get("tool_calls") or () if task.contract.kind == "tools" else ()
    if isinstance(choice, str):
        return bool(calls) == (choice == "required")
    named = (choice.get("function") or {}).get("name") if isinstance(choice, dict) else None
    return bool(calls) and all(call["name"] == named for call in calls)


def _as_formatted(request: Json, task: Task, text: str) -> bool:
    """Return whether an answer has the form that this request asks for."""
    form = request.get("response_format") or {}
    if len(task.template.formats) < 2 or form.get("type") not in ("json_object", "json_schema"):
        return True
    schema = (form.get("json_schema") or {}).get("schema") or {"type": "object"}
    return violation(text, Contract(kind="json", schema=inline(schema))) is None
