"""Contracts: what answers look like, how they are written, when two agree."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.contract import (
    Contract,
    agree,
    answer,
    answer_of,
    infer,
    normal,
    reply_of,
    settle,
    violation,
)

TEXT = Contract(kind="text")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)
LOOKUP = {
    "type": "function",
    "function": {
        "name": "lookup",
        "parameters": {
            "type": "object",
            "properties": {"id": {"type": "string"}},
            "required": ["id"],
            "additionalProperties": False,
        },
    },
}


def said(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def called(name: str, arguments: Any) -> dict[str, Any]:
    function = {"name": name, "arguments": json.dumps(arguments)}
    tool_calls = [{"id": "call_1", "type": "function", "function": function}]
    return {"role": "assistant", "content": None, "tool_calls": tool_calls}


@given(st.dictionaries(st.text(max_size=6), VALUES, max_size=4))
def test_json_is_written_in_one_way(value: dict[str, Any]) -> None:
    """Spacing and a code fence around the teacher's JSON change nothing; key order stays."""
    plain = answer_of(said(json.dumps(value)))
    for thought in ("<think>\nA list, {so}...\n</think>\n\n", "\nA list, {so}...\n</think>"):
        assert plain == answer_of(said(f"{thought}{json.dumps(value)}"))
    assert plain == answer_of(said(f"```json\n{json.dumps(value, indent=2)}\n```"))
    assert list(json.loads(plain)) == list(value)


@given(st.dictionaries(st.text(min_size=1, max_size=6), VALUES, max_size=4))
def test_a_tool_call_comes_back_as_it_was(arguments: dict[str, Any]) -> None:
    """answer_of and reply_of are inverse for tool calls: name, arguments and their order."""
    contract = Contract(kind="tools", schema={})
    text = answer_of(called("lookup", arguments), tools=True)
    reply = reply_of(text, contract)
    assert answer_of(reply, tools=True) == text
    assert json.loads(reply["tool_calls"][0]["function"]["arguments"]) == arguments


def test_the_same_call_twice_has_two_ids() -> None:
    """Tool call ids are stable for an answer and apart for different calls."""
    contract = Contract(kind="tools", schema={})
    text = answer_of(called("lookup", {}), tools=True)
    first, again, other = (reply_of(text, contract, salt=s)["tool_calls"][0]["id"] for s in "aab")
    assert first == again != other


def test_talk_in_a_tools_task_is_an_answer_too() -> None:
    """A reply without a call becomes content, and comes back as a message."""
    text = answer_of(said("Which order?"), tools=True)
    assert json.loads(text) == {"content": "Which order?"}
    assert reply_of(text, Contract(kind="tools", schema={})) == said("Which order?")


@pytest.mark.parametrize("text", ['{"a": 1e999}', '{"a": 1, "a": 2}'])
def test_json_that_is_not_read_alike_everywhere_is_never_served(text: str) -> None:
    """Which of two keys counts, and what is beyond all numbers, depends on the reader."""
    assert answer_of(said(text)) == text
    assert violation(text, Contract(kind="json", schema={}))
    assert not any(agree(text, other) for other in ('{"a": 2}', '{"a": 1e998}'))


@pytest.mark.parametrize("arguments", ["SELECT 1", '"SELECT 1"', "[1]", "null", "{broken"])
def test_arguments_that_are_no_object_come_back_as_they_were(arguments: str) -> None:
    """What an agent would be given is what was compared."""
    reply = called("query", {})
    reply["tool_calls"][0]["function"]["arguments"] = arguments
    back = reply_of(answer_of(reply, tools=True), Contract(kind="tools", schema={}))
    assert back["tool_calls"][0]["function"]["arguments"] == arguments


@pytest.mark.parametrize("text", ["NaN", '{"a": NaN}', '{"a": 1', "[1, 2", "plain", ""])
def test_what_is_not_json_stays_text(text: str) -> None:
    assert answer_of(said(text)) == text


def test_lone_surrogates_can_be_written() -> None:
    """An escape that no UTF-8 file can hold stays an escape."""
    assert answer_of(said('{"a": "\\ud800"}')).encode()


@given(VALUES)
def test_an_answer_agrees_with_itself_in_any_key_order(value: Any) -> None:
    """Key order, 1 and 1.0, and runs of blanks do not matter."""
    text = json.dumps({"a": value, "b": 1})
    assert agree(text, json.dumps({"b": 1.0, "a": value}, indent=3))
    assert normal(normal(text)) == normal(text)


def test_true_is_not_one() -> None:
    assert not agree('{"a": true}', '{"a": 1}')


def test_case_matters_in_prose_and_not_in_labels() -> None:
    labels = Contract(kind="labels", labels=("Refund", "Other"))
    assert agree("refund.", "[Refund]", labels)
    assert not agree("select A", "select a", TEXT)


def test_labels_are_found_in_a_drifting_teacher() -> None:
    """Brackets, quotes, case and a full stop drift; a rare slip is not a label."""
    answers = (
        ["[[refund]]"] * 60 + ["[[Other]]"] * 30 + ["refund", '"other".', "I think refund", "?"]
    )
    contract = infer([{}] * len(answers), answers)
    assert contract.labels == ("[[Other]]", "[[refund]]")
    assert settle("Refund.", contract) == "[[refund]]"
    assert violation(answer(said("'other'"), contract), contract) is None
    assert violation("I think refund", contract) == "not one of the labels"


@pytest.mark.parametrize(
    "labels",
    [("<=50K", ">50K"), ("A", "A*", "B"), ("<50", ">50"), ("Approved!", "Denied.", "Hold"),
     ("**yes**", "**no**"), ("<a>", "<b>")],
)  # fmt: skip
def test_labels_stay_as_they_are_written(labels: tuple[str, ...]) -> None:
    """A sign that is part of a label is no decoration, and each label keeps its own."""
    answers = list(labels) * 30
    contract = infer([{}] * len(answers), answers)
    assert sorted(contract.labels) == sorted(labels)
    assert [settle(label, contract) for label in labels] == list(labels)


@pytest.mark.parametrize("called", [[{"tool": "search", "args": {}}], None, ["search"], {"a": 1}])
def test_json_with_a_key_of_that_name_is_no_tool_call(called: Any) -> None:
    """Planners write such things into their content; the night goes on."""
    answers = [answer_of(said(json.dumps({"tool_calls": called})))] * 40
    contract = infer([{}] * 40, answers)
    assert contract.kind != "tools"
    assert violation(answers[0], contract) is None


def test_a_tools_newest_signature_counts() -> None:
    """Not the first that was ever seen: an enum may have grown since."""
    old, new = (
        {"type": "function", "function": {"name": "lookup", "parameters": {
            "type": "object", "properties": {"id": {"enum": values}}}}}
        for values in (["a", "b"], ["a", "b", "c"])
    )  # fmt: skip
    requests = [{"tools": [old]}] * 15 + [{"tools": [new]}] * 285
    answers = [answer_of(called("lookup", {"id": "abc"[i % 3]})) for i in range(300)]
    contract = infer(requests, answers)
    assert not any(violation(text, contract) for text in answers)


def test_open_answers_are_text() -> None:
    answers = [f"Dear customer {n}, thank you." for n in range(80)]
    assert infer([{}] * 80, answers).kind == "text"


def test_a_schema_is_inferred_from_the_majority() -> None:
    """Closed values become an enum, rare keys and other formats are slips."""
    good = [
        {"kind": "ab"[n % 2], "name": f"n{n}", "size": n} | ({"note": "x"} if n % 3 else {})
        for n in range(200)
    ]
    texts = [json.dumps(value) for value in good]
    slips = ["sorry", '{"kind": "a", "wrong": 1}', '{"kind": 7, "name": "n", "size": 1}']
    contract = infer([{}] * 203, texts + slips)
    schema = contract.schema or {}
    assert list(schema["properties"])[:3] == ["kind", "name", "size"]
    assert schema["properties"]["kind"] == {"type": "string", "enum": ["a", "b"]}
    assert schema["properties"]["size"] == {"type": "integer"}
    assert set(schema["required"]) == {"kind", "name", "size"}
    assert all(violation(text, contract) is None for text in texts)
    assert all(violation(text, contract) for text in slips)


@pytest.mark.parametrize("nothing", [None, ""])
def test_values_that_are_seldom_there_belong_to_it(nothing: str | None) -> None:
    """Of a field that is mostly empty, what it holds at times is no slip."""
    said = [{"album": f"Album {n}" if n % 80 == 0 else nothing} for n in range(400)]
    contract = infer([{}] * len(said), [json.dumps(one) for one in said])
    assert not any(violation(json.dumps(one), contract) for one in said)
    assert violation('{"album": 7}', contract)
    assert violation('{"album": ["a"]}', contract)


def test_a_declared_schema_comes_first() -> None:
    """A json_schema response format is the contract, its references written out."""
    schema = {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/word"}},
        "$defs": {"word": {"type": "string"}},
    }
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    contract = infer([{"response_format": form}] * 5, ['{"a": "b"}'] * 5)
    assert contract.schema == {"type": "object", "properties": {"a": {"type": "string"}}}


def test_a_tools_contract_knows_its_functions() -> None:
    """Unknown functions and wrong arguments are off the contract, talk is on it when usual."""
    replies = [called("lookup", {"id": str(n)}) for n in range(30)] + [said("Which one?")] * 10
    contract = infer([{"tools": [LOOKUP]}] * 40, [answer_of(r) for r in replies])
    assert contract.kind == "tools"
    assert all(violation(answer(reply, contract), contract) is None for reply in replies)
    assert "not in the contract" in str(violation(answer(called("drop", {}), contract), contract))
    assert "lookup" in str(violation(answer(called("lookup", {"id": 1}), contract), contract))


@pytest.mark.parametrize("form", [{"pattern": "^(?=b)"}, {"type": "text"}, {"$ref": "http://x/y"}])
def test_a_schema_that_cannot_be_checked_is_never_met(form: dict[str, str]) -> None:
    """An agent may declare anything; nothing is fetched, and no student serves such an answer."""
    contract = Contract(kind="json", schema={"type": "object", "properties": {"a": form}})
    assert "cannot be checked" in str(violation('{"a": "b"}', contract))


@pytest.mark.parametrize("text", ["[" * 5_000, "[" * 5_000 + "]" * 5_000])
def test_brackets_without_end_are_an_answer_like_any_other(text: str) -> None:
    contract = Contract(kind="json", schema={"type": "object"})
    assert violation(text, contract)
    assert agree(text, text + " ")
    assert not agree(text, "{}")


@pytest.mark.parametrize(
    "value",
    [{"content": "no", "tool_calls": [{"name": "lookup", "arguments": {"id": "1"}}]},
     {"tool_calls": [{"name": {"a": 1}, "arguments": {}}]}, {"tool_calls": []}],
)  # fmt: skip
def test_calls_are_served_whole_or_not_at_all(value: dict[str, Any]) -> None:
    replies = [answer_of(called("lookup", {"id": str(n)})) for n in range(9)]
    contract = infer([{"tools": [LOOKUP]}] * 9, replies)
    assert violation(json.dumps(value), contract)


def test_arguments_that_are_not_json_are_off_contract() -> None:
    reply = called("lookup", {})
    reply["tool_calls"][0]["function"]["arguments"] = "{broken"
    contract = infer([{"tools": [LOOKUP]}] * 9, [answer_of(called("lookup", {"id": "1"}))] * 9)
    assert violation(answer(reply, contract), contract)


def routed(said: list[str], prompt: str = "Answer refund, late parcel or other.") -> Contract:
    """The contract of a router that says these things beside its labels."""
    plain = ["refund"] * 40 + ["late parcel"] * 40 + ["Other"] * 20
    request = {"messages": [{"role": "system", "content": prompt}]}
    answers = plain + said
    return infer([request] * len(answers), answers)


def test_a_teachers_sentence_around_a_label_is_that_label() -> None:
    """It is said of several labels that the prompt lists, so it says nothing of its own."""
    said = ["Queue: refund", "Queue: late parcel", "I would call it **refund**."] * 3
    said += ["I would call it **other**.", "refund\n\nThis is about a refund."] * 3
    said += ["Late parcel\n\nThis is about a late parcel."]
    contract = routed(said)
    assert contract.labels == ("Other", "late parcel", "refund")
    assert [settle(text, contract) for text in said[:3]] == ["refund", "late parcel", "refund"]
    assert {settle(text, contract) for text in said} == {"refund", "late parcel", "Other"}
    assert settle("Queue: other", contract) == "Other"


def test_a_label_is_spelt_as_it_is_said_alone() -> None:
    """However often the teacher says it in a sentence."""
    said = ["Queue: other"] * 22 + ["Queue: refund"]
    assert routed(said).labels == ("Other", "late parcel", "refund")


@pytest.mark.parametrize(
    "said",
    [
        ["It is not a refund", "It is not a late parcel"],
        ["Refund or other?", "Late parcel or other?"],
        ["Ask for the receipt of the refund first", "I cannot read this"],
    ],
)
def test_what_says_more_than_a_label_is_off_the_contract(said: list[str]) -> None:
    """A denial, two labels, and a sentence that is said of one label only."""
    contract = routed(said)
    assert contract.labels == ("Other", "late parcel", "refund")
    assert all(violation(settle(text, contract), contract) for text in said)


def test_labels_that_no_prompt_lists_stay_labels() -> None:
    """Which of them is another one's sentence nobody can say."""
    said = ["very refund", "very other", "Queue: refund", "Queue: other"] * 5
    assert "Queue: refund" in routed(said, "Route it.").labels
    assert "very refund" in routed(said).labels
