"""Chat requests in vLLM's shape, as the embedded engine reads them.

What it cannot do is refused, never ignored.
"""

from __future__ import annotations

import msgspec

from tasks.core.records import Json, text_of
from tasks.core.template import texts_of
from tasks.students.causal import choice_grammar, json_grammar, regex_grammar

MAX_TOP = 20


class BadRequest(Exception):  # noqa: N818 - it reads as what the client sent
    """A request that gets an error reply; the text is the message."""

    def __init__(self, message: str, status: int = 400, param: str | None = None) -> None:
        super().__init__(message)
        self.status, self.param = status, param


class StructuredOutputs(msgspec.Struct, frozen=True):
    """vLLM's own way to hold an answer to a form; one of them at a time."""

    json: Json | str | None = None
    choice: list[str] | None = None
    regex: str | None = None
    json_object: bool | None = None
    grammar: str | None = None
    structural_tag: str | None = None


class ChatRequest(msgspec.Struct, frozen=True):
    """The fields of a chat completion request that the engine reads."""

    model: str
    messages: list[Json]
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: float | None = None
    logit_bias: Json | None = None
    n: int | None = None
    stop: object = None
    tools: list[Json] | None = None
    stream: bool | None = None
    stream_options: Json | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    response_format: Json | None = None
    structured_outputs: StructuredOutputs | None = None


def parse(body: bytes) -> ChatRequest:
    """A request from its JSON text. Raises BadRequest."""
    try:
        request = msgspec.json.decode(body, type=ChatRequest)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise BadRequest(str(error)) from None
    if not request.messages:
        raise BadRequest("messages must not be empty", param="messages")
    if request.n not in (None, 1):
        raise BadRequest("one choice is given; n must be 1", param="n")
    if request.temperature:
        raise BadRequest("answers are greedy; temperature must be 0", param="temperature")
    for name in ("stop", "tools", "logit_bias"):
        if getattr(request, name):
            raise BadRequest(f"{name} is not supported", param=name)
    if not 0 <= (request.top_logprobs or 0) <= MAX_TOP:
        raise BadRequest(f"top_logprobs must be 0 to {MAX_TOP}", param="top_logprobs")
    if request.top_logprobs and not request.logprobs:
        raise BadRequest("top_logprobs needs logprobs", param="top_logprobs")
    limit = request.max_completion_tokens or request.max_tokens
    if limit is not None and limit < 1:
        raise BadRequest("max_tokens must be at least 1", param="max_tokens")
    return request


def conversation(request: ChatRequest) -> list[Json]:
    """The messages as a chat template reads them: roles and plain texts. Raises BadRequest."""
    for message in request.messages:
        if not isinstance(message.get("role"), str):
            raise BadRequest("every message needs a role", param="messages")
        if texts_of(message) is None:
            raise BadRequest("only text can be read", param="messages")
    return [
        {"role": message["role"], "content": text_of(message.get("content"))}
        for message in request.messages
    ]


def form(request: ChatRequest) -> str | None:
    """The grammar that a request holds its answer to, or None. Raises BadRequest."""
    wanted = request.structured_outputs
    if wanted is not None:
        return _structured(wanted)
    asked = request.response_format or {}
    kind = asked.get("type", "text")
    if kind == "text":
        return None
    if kind == "json_object":
        return json_grammar({"type": "object"})
    schema = (asked.get("json_schema") or {}).get("schema")
    if kind != "json_schema" or not isinstance(schema, dict):
        raise BadRequest(f"response_format {kind} is not understood", param="response_format")
    return json_grammar(schema)


def _structured(wanted: StructuredOutputs) -> str:
    given = [name for name in wanted.__struct_fields__ if getattr(wanted, name) is not None]
    if len(given) != 1:
        raise BadRequest("structured_outputs takes exactly one form", param="structured_outputs")
    if wanted.json is not None:
        return json_grammar(_schema(wanted.json))
    if wanted.choice is not None:
        if not wanted.choice:
            raise BadRequest("choice must not be empty", param="structured_outputs")
        return choice_grammar(wanted.choice)
    if wanted.regex is not None:
        return regex_grammar(wanted.regex)
    if wanted.json_object:
        return json_grammar({"type": "object"})
    raise BadRequest(f"{given[0]} is not supported", param="structured_outputs")


def _schema(given: Json | str) -> Json:
    if not isinstance(given, str):
        return given
    try:
        return msgspec.json.decode(given, type=Json)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        message = f"structured_outputs.json is no JSON schema: {error}"
        raise BadRequest(message, param="structured_outputs") from None
