"""A `Call` from a dialect's findings; a missing id or conversation is made from the content."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec

from tasks.core.records import TEACHER, Call, Json, digest, text_of
from tasks.ingest.wire.shape import real, text

_DATES = frozenset(
    (
        *("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
        *("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun", "Jan", "Feb", "Mar", "Apr", "Jun"),
        *("January", "February", "March", "April", "May", "June", "July", "August", "September"),
        *("October", "November", "December", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
    )
)


@lru_cache(maxsize=256)
def prompt_key(prompt: str) -> str:
    """A name for a system prompt, whatever ids and dates stand at its ends."""
    head, middle, tail = prompt[:200], prompt[200:-200], prompt[200:][-200:]
    return digest(_steady(head), middle, _steady(tail))


def _steady(text: str) -> str:
    """The plain words of a text: what holds digits or is a name of the calendar may change."""
    words = list(filter(str.isalpha, text.split()))
    if not _DATES.isdisjoint(words):
        words = [w for w in words if w not in _DATES]
    return " ".join(words)


def conversation(asked: Sequence[Json], answer: Json) -> str:
    """Return which conversation a call belongs to.

    Its system prompt, first user message and first reply.

    A later call of the same conversation has that first reply in its history, so they agree.
    """
    system = opening = ""
    reply_found = answer
    for one in asked:
        if one["role"] == "assistant":
            reply_found = one
            break
        if one["role"] == "user":
            opening = opening or text_of(one.get("content"))
        elif not system and one["role"] in ("system", "developer"):
            system = prompt_key(text_of(one.get("content")))
    names = ",".join(c["function"]["name"] for c in reply_found.get("tool_calls", ()))
    return "conv-" + digest(system, opening, text_of(reply_found.get("content")).strip(), names)


def build(
    *,
    source: str,
    request: Json,
    reply: Json,
    id: Any = None,
    at: float | None = None,
    tokens: tuple[int | None, int | None] = (None, None),
    latency_s: object = None,
    conversation_id: Any = None,
    **more: Any,
) -> Call:
    """A call; a missing id is its content's digest, a missing conversation that of its opening.

    A call of unknown time has `at` 0.
    """
    if not (named := text(id)):
        encoded = msgspec.json.encode([at, request, reply], order="deterministic")
        named = f"call-{digest(encoded, length=24)}"
    took = real(latency_s)
    return Call(
        id=named,
        at=at or 0.0,
        source=source,
        request=request,
        reply=reply,
        model=more.pop("model", "") or text(request.get("model")),
        prompt_tokens=tokens[0],
        completion_tokens=tokens[1],
        latency_s=took if took is not None and took >= 0 else None,
        conversation=text(conversation_id) or conversation(request["messages"], reply),
        answered_by=more.pop("answered_by", TEACHER),
        **more,
    )
