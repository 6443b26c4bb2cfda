"""A chat completion request is honoured or refused by name, never half understood."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.chat_request import BadRequest, conversation, form, parse

ASK: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}


def asked(**fields: Any) -> bytes:
    return json.dumps({**ASK, **fields}).encode()


def understand(body: bytes) -> None:
    request = parse(body)
    conversation(request)
    form(request)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"messages": []}, "must not be empty"),
        ({"messages": [{"content": "x"}]}, "role"),
        ({"messages": "x"}, "array"),
        ({"model": None}, "model"),
        ({"temperature": 0.7}, "greedy"),
        ({"n": 2}, "one choice"),
        ({"stop": ["x"]}, "stop is not supported"),
        ({"tools": [{"type": "function"}]}, "tools is not supported"),
        ({"max_tokens": -1}, "at least 1"),
        ({"top_logprobs": 2}, "needs logprobs"),
        ({"top_logprobs": 99, "logprobs": True}, "0 to 20"),
        ({"response_format": {"type": "xml"}}, "not understood"),
        ({"response_format": {"type": "json_schema"}}, "not understood"),
        ({"structured_outputs": {"choice": ["a"], "regex": "b"}}, "exactly one"),
        ({"structured_outputs": {"grammar": "root ::= x"}}, "not supported"),
        ({"structured_outputs": {"choice": []}}, "empty"),
        ({"structured_outputs": {"json": "{"}}, "no JSON schema"),
        ({"structured_outputs": {"json": "[]"}}, "no JSON schema"),
    ],
)
def test_what_cannot_be_honoured_is_refused(fields: dict[str, Any], text: str) -> None:
    """Every refusal is a 400 that names what is wrong."""
    with pytest.raises(BadRequest, match=text) as caught:
        understand(asked(**fields))
    assert caught.value.status == 400


@given(st.binary(max_size=60))
def test_garbage_is_refused(body: bytes) -> None:
    """No bytes crash the parser."""
    try:
        request = parse(body)
    except BadRequest:
        return
    assert request.messages


def test_a_form_is_found_wherever_it_is_asked_for() -> None:
    """OpenAI's response format and vLLM's structured outputs give the same grammar."""
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    openai = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    one = form(parse(asked(response_format=openai)))
    two = form(parse(asked(structured_outputs={"json": schema})))
    three = form(parse(asked(structured_outputs={"json": json.dumps(schema)})))
    assert one == two == three
    assert form(parse(asked())) is None
    assert form(parse(asked(response_format={"type": "text"}))) is None
    loose = form(parse(asked(response_format={"type": "json_object"})))
    assert loose == form(parse(asked(structured_outputs={"json_object": True})))


def test_message_parts_become_text() -> None:
    """Content may be missing, a text, or a list of typed parts."""
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    messages = [{"role": "system", "content": parts}, {"role": "user"}]
    told = conversation(parse(asked(messages=messages)))
    assert told == [{"role": "system", "content": "a\nb"}, {"role": "user", "content": ""}]
