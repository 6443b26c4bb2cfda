"""The common pair, checked as a whole in one step of compiled code.

Most logs hold little else than documents that already have the canonical shape. `pair` says so and
gives typed access; for everything else it gives None, and `openai.parse` goes the long way.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from tasks.core.records import Json

Name = Annotated[str, Meta(min_length=1)]
Tokens = Annotated[int, Meta(ge=0, lt=1_000_000_000)]


class _Function(Struct, forbid_unknown_fields=True):
    name: Name
    arguments: Annotated[str, Meta(min_length=2, pattern=r"^\s*[{\[]")]


class _ToolCall(Struct, forbid_unknown_fields=True, tag_field="type", tag="function"):
    id: Name
    function: _Function


class _Said(Struct, forbid_unknown_fields=True, tag_field="role"):
    content: str


class _System(_Said, tag="system"):
    pass


class _Developer(_Said, tag="developer"):
    pass


class _User(_Said, tag="user"):
    pass


class _Tool(_Said, tag="tool"):
    tool_call_id: Name


class _Assistant(Struct, forbid_unknown_fields=True, tag_field="role", tag="assistant"):
    content: str | None
    tool_calls: Annotated[list[_ToolCall], Meta(min_length=1)] | UnsetType = UNSET


class _Declared(Struct, forbid_unknown_fields=True):
    name: str
    description: str = ""
    parameters: dict[str, object] = {}
    strict: bool = False


class _ToolDeclaration(Struct, forbid_unknown_fields=True, tag_field="type", tag="function"):
    function: _Declared


_Message = _System | _Developer | _User | _Tool | _Assistant


class _Request(Struct):
    messages: Annotated[list[_Message], Meta(min_length=1)]
    model: str = ""
    tools: Annotated[list[_ToolDeclaration], Meta(min_length=1)] | UnsetType = UNSET
    response_format: dict[str, object] | None = None


class _Choice(Struct):
    message: _Assistant
    finish_reason: str | None = None


class TokenCounts(Struct):
    """The tokens that a body states."""

    prompt_tokens: Tokens | None = None
    completion_tokens: Tokens | None = None


class _Response(Struct):
    choices: Annotated[list[_Choice], Meta(min_length=1, max_length=1)]
    id: str = ""
    model: str = ""
    created: int | float | None = None
    usage: TokenCounts | None = None
    error: None = None


_OTHER = frozenset({"functions", "system", "instructions", "system_instruction"})


class Pair(Struct):
    """A document whose request and reply are canonical as they stand."""

    request: _Request
    response: _Response


def pair(document: Json) -> Pair | None:
    """Typed access to a document that needs no change, or None."""
    try:
        typed = msgspec.convert(document, Pair)
    except msgspec.ValidationError:
        return None
    asked = document["request"]
    return None if None in asked.values() or asked.keys() & _OTHER else typed
