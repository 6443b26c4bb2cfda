"""The student must earn each answer: whatever is missing or in doubt escalates, with a reason."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
import served
from hypothesis import given, settings
from hypothesis import strategies as st

from serving import escalate
from serving.escalate import decide, unsupported
from tasks.calibrate.calibrate import confidence
from tasks.core.contract import Contract, violation
from tasks.students.causal import Answer

TASK = served.task("route")
TOOLS = served.task("tools")
SURE = Answer("other", (-0.01, -0.01), "stop")
ASKED: dict[str, Any] = {"messages": [], "max_tokens": 16}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (SURE, escalate.SERVED),
        (replace(SURE, finish_reason="length"), escalate.TRUNCATED),
        (replace(SURE, logprobs=()), escalate.NO_LOGPROBS),
        (replace(SURE, logprobs=(-0.1, math.nan)), escalate.NO_LOGPROBS),
        (replace(SURE, logprobs=(-0.1, -math.inf)), escalate.NO_LOGPROBS),
        (replace(SURE, text="no such queue"), escalate.OFF_CONTRACT),
        (replace(SURE, logprobs=(-0.4, -0.2)), escalate.NOT_CONFIDENT),
    ],
)
def test_each_defect_has_its_reason(answer: Answer, reason: str) -> None:
    """An answer is served only when it is whole, on contract and confident enough."""
    decision = decide(TASK, -0.5, ASKED, answer)
    assert decision.reason == reason
    assert decision.serve == (reason == escalate.SERVED)


def test_the_threshold_itself_is_enough() -> None:
    """A confidence equal to the threshold serves, as the certificate counted it."""
    assert decide(TASK, confidence(SURE.logprobs), ASKED, SURE).serve


@settings(deadline=None)
@given(
    text=st.sampled_from(["other", "gift_card", "oops", ""]),
    logprobs=st.lists(st.floats(max_value=0.0), max_size=4),
    finish=st.sampled_from(["stop", "length", "abort", ""]),
    threshold=st.floats(-3, 0),
    limit=st.integers(1, 8),
)
def test_what_is_served_has_no_defect(
    text: str, logprobs: list[float], finish: str, threshold: float, limit: int
) -> None:
    """Whatever the pool says, a served answer is on contract, confident, finished and in limit."""
    answer = Answer(text, tuple(logprobs), finish)
    if decide(TASK, threshold, {"max_tokens": limit}, answer).serve:
        assert violation(text, TASK.contract) is None
        assert finish == "stop"
        assert logprobs
        assert confidence(logprobs) >= threshold
        assert len(text) <= 3 * limit


def test_a_tool_must_be_declared_by_this_request() -> None:
    """A call to a tool that the contract knows but this request does not offer escalates."""
    call = {"name": "track_order", "arguments": {"order_id": "SO-123456"}}
    answer = replace(SURE, text=json.dumps({"tool_calls": [call]}))
    request = served.requests("tools", 1)[0]
    assert decide(TOOLS, -0.5, request, answer).serve
    without = {**request, "tools": request["tools"][1:]}
    assert decide(TOOLS, -0.5, without, answer).reason == escalate.UNKNOWN_TOOL


def test_parallel_calls_must_be_allowed() -> None:
    """Two calls at once escalate where the request forbids them."""
    call = {"name": "cancel_order", "arguments": {"order_id": "SO-123456"}}
    answer = replace(SURE, text=json.dumps({"tool_calls": [call, call]}))
    schema = json.loads(json.dumps(TOOLS.contract.schema).replace('"maxItems": 1', '"maxItems": 2'))
    task = replace(TOOLS, contract=replace(TOOLS.contract, schema=schema))
    request = served.requests("tools", 1)[0]
    assert decide(task, -0.5, request, answer).serve
    refused = decide(task, -0.5, {**request, "parallel_tool_calls": False}, answer)
    assert refused.reason == escalate.UNKNOWN_TOOL


def test_a_spoken_answer_of_a_tools_task_is_an_answer() -> None:
    """A student that answers in words where no tool fits is served like any other."""
    answer = replace(SURE, text=json.dumps({"content": "You are welcome. Have a nice day!"}))
    assert decide(TOOLS, -0.5, served.requests("tools", 1)[0], answer).serve


CALL = json.dumps({"tool_calls": [{"name": "track_order", "arguments": {"order_id": "SO-123456"}}]})


@pytest.mark.parametrize(
    ("choice", "serves"),
    [("auto", True), ("required", True), ("none", False),
     ({"type": "function", "function": {"name": "track_order"}}, True),
     ({"type": "function", "function": {"name": "cancel_order"}}, False)],
)  # fmt: skip
def test_a_tool_choice_is_kept_to(choice: Any, serves: bool) -> None:
    """It says of each request what may be called; the template knows only that it was seen."""
    request = {**served.requests("tools", 1)[0], "tool_choice": choice}
    assert decide(TOOLS, -0.5, request, replace(SURE, text=CALL)).serve == serves
    spoken = replace(SURE, text=json.dumps({"content": "You are welcome."}))
    assert decide(TOOLS, -0.5, request, spoken).serve == (choice in ("auto", "none"))


def test_a_response_format_is_kept_to() -> None:
    """Where a task's requests ask for several forms, each gets the one that it asked for."""
    text = Contract(kind="text")
    task = replace(TASK, contract=text, template=replace(TASK.template, formats=("", "f00")))
    named = {"type": "json_schema", "json_schema": {"schema": {"required": ["about"]}}}
    forms: list[dict[str, Any]] = [{}, {"type": "json_object"}, named]
    answers = ["It is about cats.", '{"of": 1}', '{"about": "cats"}']
    verdicts = [
        [decide(task, -0.5, {"response_format": form}, replace(SURE, text=said)).serve
         for said in answers] for form in forms
    ]  # fmt: skip
    assert verdicts == [[True, True, True], [False, True, True], [False, False, True]]


def test_text_contracts_need_confidence_too() -> None:
    """Free text is on contract when it is not empty, and still has to be sure."""
    task = replace(TASK, contract=Contract(kind="text"))
    assert decide(task, -0.5, {}, SURE).serve
    assert not decide(task, -0.001, {}, SURE).serve


EMPTY = ("web_search_options", "guided_json", "structured_outputs", "plugins", "reasoning")


@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [
        ("n", 2, "option n"),
        ("stop", ["\n"], "option stop"),
        ("logprobs", True, "option logprobs"),
        ("modalities", ["text", "audio"], "option modalities"),
        ("functions", [{"name": "f"}], "option functions"),
        ("store", True, "option store"),
        *((name, {}, f"option {name}") for name in EMPTY),
        ("min_tokens", 0, "option min_tokens"),
        ("prompt_logprobs", 0, "option prompt_logprobs"),
        ("an_option_of_tomorrow", 1, "option an_option_of_tomorrow"),
    ],
)
def test_options_that_a_student_cannot_honour_escalate(
    option: str, value: object, reason: str
) -> None:
    """Several choices, stop words, a search, what nobody here knows, also where it is empty."""
    assert unsupported({option: value}) == reason


def test_ordinary_options_are_no_obstacle() -> None:
    """Streaming, one choice, a seed, and options set to nothing leave the student in the game."""
    plain = {"n": 1, "stream": True, "seed": 7, "temperature": 0.2, "stop": None, "logprobs": False}
    assert unsupported(plain) is None
