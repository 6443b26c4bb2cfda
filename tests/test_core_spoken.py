"""When two answers agree: what a line says that stands before one, and what ends it."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tasks.core.contract import Contract, agree, answer, settle

TEXT = Contract(kind="text")


def said(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


@pytest.mark.parametrize(
    "lead_in",
    [
        "Sure! Here is the answer:\n",
        "Here's the JSON you asked for:\n\n",
        "**Sure thing! Here is the result in JSON format:**\r\n",
        "Hier ist es:\n",
        "Natürlich, hier ist die Antwort auf Ihre Frage:\n",
        "¡Claro! Aquí está la respuesta:\n",
        "Bien sûr ! Voici l'objet JSON demandé :\n",
        "Certo! Ecco la risposta:\n",
        "Natuurlijk, hier is het antwoord:\n",
        "Claro! Aqui está a resposta:\n",
    ],
)
def test_an_announced_answer_is_the_answer(lead_in: str) -> None:
    """What a chatty teacher says before it is no disagreement, and is not learned with a form."""
    labels = Contract(kind="labels", labels=("solved", "not_solved"))
    form = Contract(kind="json", schema={"type": "object", "required": ["a"]})
    assert answer(said(lead_in + "solved"), labels) == "solved"
    for body in ('{"a": {"b": 1}}', '```json\n{"a": {"b": 1}}\n```'):
        assert answer(said(lead_in + body), form) == '{"a": {"b": 1}}'
        assert answer(said(lead_in.rstrip() + " " + body), form) == '{"a": {"b": 1}}'
    assert agree(lead_in + "We have 8 of them", "We have 8 of them.", TEXT)
    talk = [
        json.dumps({"content": text}) for text in (lead_in + "It is sold out.", "It is sold out")
    ]
    assert agree(*talk, Contract(kind="tools", schema={}))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Approved:\nthe refund", "Rejected:\nthe refund"),
        ("Okay, approved:\n- the refund", "Okay, rejected:\n- the refund"),
        ("Okay, approved:\n- the refund", "- the refund"),
        ("Klar abgelehnt:\nIhr Antrag", "Ihr Antrag"),
        ("Here are those that must not leave:\n- box 1", "- box 1"),
        ("Here is the price without VAT:\n12 EUR", "12 EUR"),
        ("Here is the invoice:\nNo. 12 of May", "No. 12 of May"),
        ("Here is the output format:\nJSON or XML", "JSON or XML"),
        ("Here is no answer:\nit is late", "it is late"),
        ("Here is:\nthe cat", "the cat"),
        ("OK:\n- disk\n- clock", "- disk\n- clock"),
        ("Sure, I will", "I will"),
        ("Version 2", "Version 2.1"),
        ("Is it gone?", "Is it gone."),
        ("git add .", "git add"),
        ("Wait for it ...", "Wait for it"),
        ("if paid:\n    ship()\n    log()", "if paid:\n    ship()\nlog()"),
        ("Here is the answer:", ""),
    ],
)
def test_what_says_something_is_no_lead_in(one: str, other: str) -> None:
    assert not agree(one, other, TEXT)
    talk, same = json.dumps({"content": one}), json.dumps({"content": other})
    assert not agree(talk, same, Contract(kind="tools", schema={}))


@pytest.mark.parametrize("lead_in", ["Here is what I would not send:\n", "No longer:\n"])
def test_labels_and_json_behind_other_lines_stay_off_contract(lead_in: str) -> None:
    """What is not plainly the answer is not learned as one."""
    labels, form = Contract(kind="labels", labels=("a", "b")), Contract(kind="json", schema={})
    assert settle(f"{lead_in}a", labels) == f"{lead_in}a"
    assert settle(lead_in + '{"a": 1}', form) == lead_in + '{"a": 1}'
    twice = 'Before {"a": 1}, and here is the result: {"a": 2}'
    assert settle(twice, form) == twice


def test_a_line_within_a_value_is_part_of_the_value() -> None:
    """A mail that begins "Here is the answer:" is another mail without it."""
    mails = [{"body": "Here is the answer:\nit is gone"}, {"body": "it is gone"}]
    assert not agree(*map(json.dumps, mails), Contract(kind="json", schema={}))
    calls = [{"tool_calls": [{"name": "send", "arguments": mail}]} for mail in mails]
    assert not agree(*map(json.dumps, calls), Contract(kind="tools", schema={}))


def test_letters_are_compared_as_they_are_read() -> None:
    """An accent may be a sign of its own; `Maße` and `Masse` are two words."""
    sizes = Contract(kind="labels", labels=("Maße", "Masse", "café"))
    assert agree("ein caf\u00e9", "ein cafe\u0301", TEXT)
    assert settle("CAFE\u0301", sizes) == "café"
    assert settle("masse", sizes) == "Masse"
    assert not agree("Maße", "Masse", sizes)


@pytest.mark.parametrize(
    "text",
    ["```json\n" + "\n" * 20_000, "```" + " \n" * 20_000 + "x", "here is json format" * 9_000,
     "Here is " + "json format " * 9_000 + ":\nx", " " * 20_000 + "sure, " * 9_000],
)  # fmt: skip
def test_blanks_and_words_without_end_cost_little(text: str) -> None:
    """Reading is linear: an open code fence with 2,000 empty lines took eight seconds."""
    began = time.perf_counter()
    assert answer(said(text), Contract(kind="json", schema={})) == text.strip()
    assert not agree(text, "x", TEXT)
    assert time.perf_counter() - began < 2
