"""Metrics of each kind of answer, with intervals that hold what they should."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.contract import Contract
from tasks.evaluate import quality

JSON = Contract(kind="json", schema={"type": "object"})


def test_tools_are_measured_by_name_and_arguments() -> None:
    """A right tool with wrong arguments counts half; talking instead of calling is a wrong name."""

    def call(name: str, **arguments: object) -> str:
        return json.dumps({"tool_calls": [{"name": name, "arguments": arguments}]})

    talk = json.dumps({"content": "Which order?"})
    expected = [call("find", id=1), call("find", id=2), talk, call("find", id=3)]
    given = [call("find", id=1), call("find", id=9), talk, talk]
    found = quality.measure(expected, given, Contract(kind="tools"))
    assert found["tool_name"] == 0.75
    assert found["arguments_exact"] == pytest.approx(2 / 3, abs=1e-4)


def test_fields_are_counted_one_by_one() -> None:
    """Missing, extra and wrong fields lower recall, precision and both."""
    one, two = '{"a": 1, "b": {"c": [1, 2]}}', '{"a": 1, "b": {"c": [2, 3]}, "d": 0}'
    found = quality.measure([one], [two], JSON)
    assert found["field_recall"] == pytest.approx(2 / 3, abs=1e-4)
    assert found["field_precision"] == pytest.approx(2 / 4, abs=1e-4)
    assert quality.measure(["{}"], ["not json"], JSON)["field_f1"] == 1.0


def test_macro_f1_does_not_forget_rare_answers() -> None:
    """Every expected answer weighs the same."""
    labels = Contract(kind="labels", labels=("a", "b"))
    found = quality.measure(["a"] * 9 + ["b"], ["a"] * 10, labels)
    assert found["macro_f1"] == pytest.approx(18 / 19 / 2, abs=1e-4)


def test_texts_are_compared_by_words_and_by_characters() -> None:
    """A word written a little differently counts for chrF and not for the words."""
    text = Contract(kind="text")
    same = quality.measure(["we will call you"], ["we will call you"], text)
    near = quality.measure(["we will call you"], ["we will calls you"], text)
    assert (same["word_f1"], same["chrf"]) == (1.0, 1.0)
    assert near["word_f1"] == 0.75
    assert 0.75 < near["chrf"] < 1


@given(*[st.lists(st.sampled_from("abcd"), max_size=9)] * 2)
def test_rouge_l_is_the_longest_common_subsequence(one: list[str], two: list[str]) -> None:
    """The bits count what the textbook's table counts."""
    table = [[0] * (len(two) + 1) for _ in range(len(one) + 1)]
    for i, a in enumerate(one):
        for j, b in enumerate(two):
            longer = max(table[i][j + 1], table[i + 1][j])
            table[i + 1][j + 1] = table[i][j] + 1 if a == b else longer
    wanted = 2 * table[-1][-1] / (len(one) + len(two)) if one and two else float(one == two)
    assert quality.rouge_l(" ".join(one).upper(), ", ".join(two)) == pytest.approx(wanted)


def test_rouge_l_is_the_published_one() -> None:
    """The figures of the package rouge-score 0.1.2; the order of words matters."""
    cat = "the cat sat on the mat"
    assert quality.rouge_l(cat, "the cat is on the mat") == pytest.approx(5 / 6)
    assert quality.rouge_l(cat, "on the mat sat the cat") == pytest.approx(0.5)
    found = quality.measure(["Wir rufen Sie an"], ["wir rufen an"], Contract(kind="text"))
    assert found["rouge_l"] == 0.8571


def test_not_calling_is_an_answer() -> None:
    """Where talking is right it has an F1 of its own; a malformed call is no crash."""
    talk, call = '{"content": "Which?"}', '{"tool_calls": [{"name": "find", "arguments": {}}]}'
    tools = Contract(kind="tools")
    found = quality.measure([talk, talk, call, call], [talk, call, talk, call], tools)
    assert (found["no_tool_f1"], found["tool_name"]) == (0.5, 0.5)
    assert "no_tool_f1" not in quality.measure([call], [call], tools)
    for broken in ('{"tool_calls": [{}]}', '{"tool_calls": "find"}', '{"tool_calls": [1]}', "["):
        assert quality.measure([call], [broken], tools)["tool_name"] == 0
        found = quality.measure(['{"content": "Hello"}'], [broken], tools)
        assert found["tool_name"] == 0


def test_json_may_be_valid_and_wrong() -> None:
    """What parses, what is the same to the letter and what has the same fields are three things."""
    found = quality.measure(['{"a": 1, "b": 2}'] * 2, ['{"b": 2, "a": 1}', "{"], JSON)
    assert (found["json_valid"], found["exact_match"], found["field_recall"]) == (0.5, 0.0, 0.5)


def labels(n: int, right: float, seed: int) -> tuple[list[str], list[str]]:
    rng = random.Random(seed)
    expected = rng.choices("abcde", [8, 4, 2, 1, 1], k=n)
    return expected, [e if rng.random() < right else rng.choice("abcde") for e in expected]


def test_bootstrap_intervals_hold_the_truth() -> None:
    """Of fifty samples of a student, the intervals of about 95 % hold its true macro-F1."""
    contract = Contract(kind="labels", labels=tuple("abcde"))
    truth = quality.measure(*labels(100_000, 0.8, 0), contract)["macro_f1"]
    held = 0
    for seed in range(1, 51):
        low, high = quality.parts(*labels(400, 0.8, seed), contract)["macro_f1"].interval
        assert high - low < 0.2
        held += low <= truth <= high
    assert 44 <= held <= 50


def test_shares_have_intervals_even_without_a_mistake() -> None:
    """Wilson's: ten right answers of ten do not prove perfection."""
    part = quality.parts(["a b"] * 10, ["a b"] * 10, Contract(kind="text"))["exact_match"]
    assert (part.point, part.interval) == (1.0, (0.7225, 1.0))
    none = quality.parts(["{}"], ["{}"], Contract(kind="tools"))["arguments_exact"]
    assert none.point == 1.0  # both talk


def test_differences_are_paired() -> None:
    """A student that is right on the same rows and a few more is surely better, if a little."""
    contract = Contract(kind="labels", labels=tuple("abcde"))
    expected, old = labels(400, 0.7, 1)
    new = [e if i % 10 == 0 else o for i, (e, o) in enumerate(zip(expected, old, strict=True))]
    one, two = (quality.parts(expected, said, contract) for said in (new, old))
    found = quality.differences(one, two)["macro_f1"]
    assert 0 < found.low <= found.value <= found.high < 0.1
    alone = one["macro_f1"].interval
    assert found.high - found.low < (alone[1] - alone[0]) / 2
    again = quality.differences(two, one)["macro_f1"]
    assert (again.value, again.low) == (-found.value, -found.high)
