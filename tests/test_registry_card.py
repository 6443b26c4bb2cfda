"""The cards: what a person reads in the MLflow UI."""

from __future__ import annotations

import dataclasses
import json

import students

from registry import card, figures
from registry.bundle import ComparedAnswer, Lineage
from registry.gate import Verdict
from tasks.core.contract import Contract
from tasks.core.scorecard import Difference, ScorecardLine
from tasks.core.training import Mark

LINEAGE = Lineage(night="2026-03-14", dataset="2dbf.dir", base="bundled", rows={"train": 420})


def test_a_model_says_what_its_task_is() -> None:
    """Name, description, prompt with its slots, answers and the way to roll back are all there."""
    text = card.model(students.task())
    assert "Route a customer's message" in text
    assert "Names the department" in text
    assert "Today is {date, ignored}" in text
    assert "user: Message: {message}" in text
    assert "`billing`, `delivery`" in text
    assert "alias `champion`" in text


def test_a_json_contract_is_shown_as_its_schema() -> None:
    """A person sees the schema; a huge one is cut with its length."""
    schema = {"type": "object", "properties": {"order_id": {"type": "string"}}}
    short = students.task(contract=Contract(kind="json", schema=schema))
    assert '"order_id"' in card.model(short)
    many = {f"field {i}": {"type": "string"} for i in range(500)}
    long = students.task(contract=Contract(kind="tools", schema={"properties": many}))
    assert "characters in all)" in card.model(long)
    assert len(card.model(long)) < 5_000


def test_long_prompts_are_wrapped() -> None:
    """No line of a prompt runs out of the page."""
    head = students.SYSTEM
    wide = students.task(
        template=students.Template(
            heads=(students.Head({"role": "system"}, (head,)),),
            first=(students.Pattern(("word " * 100, ""), (students.Slot(name="text"),)),),
        )
    )
    shown = card.model(wide).split("```text\n")[1].split("\n```")[0]
    assert max(map(len, shown.splitlines())) <= card.WIDE


def test_a_version_shows_its_proof_and_its_rivals() -> None:
    """Verdict, certificate, the table with intervals, costs and the lineage are all there."""
    text = card.version(
        students.task(),
        students.scorecard(),
        students.certificate(),
        Verdict(True, "It answers 86% of the calls by itself."),
        LINEAGE,
    )
    assert text.startswith("Passed. It answers 86%")
    assert "At most 5% of the served answers are other than the teacher's" in text
    assert "258 of 300 calls on the task's template (86%), 7 of them wrongly" in text
    assert "2.7% of those served, 2.3% of all" in text
    assert "majority answer    31.0%    26.0% – 36.3%" in text
    assert "`2dbf.dir` (DVC): 420 train" in text


def test_a_version_shows_its_metrics_and_how_far_it_is_ahead() -> None:
    """Each metric has its interval, and the paired difference where there is a champion."""
    student = students.scorecard().table[0]
    line = dataclasses.replace(student, intervals={"macro_f1": (0.921, 0.967)})
    ahead = {"macro_f1": Difference(value=0.012, low=-0.004, high=0.03)}
    found = {"macro_f1": 0.948, "referee_wins": 3}
    shown = card.scores(students.scorecard(metrics=found, table=[line], ahead=ahead))
    assert "ahead of the champion by" in shown
    assert "macro_f1        0.948   0.921 – 0.967   +0.012 (-0.004 – +0.030)\n" in shown
    assert "referee_wins    3.000\n" in shown
    assert "ahead" not in card.scores(students.scorecard())
    told = figures.metrics(students.scorecard(table=[line], ahead=ahead), None)
    assert (told["interval/macro_f1 low"], told["ahead/macro_f1 high"]) == (0.921, 0.03)
    columns = figures.scores(students.scorecard(table=[dataclasses.replace(line, metrics=found)]))
    assert (columns["macro_f1 high"], columns["referee_wins low"]) == ([0.967], [None])


def test_a_refused_version_says_so() -> None:
    """A version that did not pass opens with the reason."""
    verdict = Verdict(False, "It would answer 3% of the calls.")
    text = card.version(students.task(), students.scorecard(), None, verdict, LINEAGE)
    assert text.startswith("Refused. It would answer 3% of the calls.")
    assert "There is none." in text


def test_metrics_have_names_that_mlflow_takes() -> None:
    """Every figure of scorecard and certificate has a legal name; baselines are beside them."""
    table = [
        *students.scorecard().table,
        ScorecardLine(
            name="TF-IDF + logistic regression", agreement=0.9, low=0.8, high=0.95, valid=1.0
        ),
    ]
    found = figures.metrics(students.scorecard(table=table), students.certificate())
    assert found["agreement"] == 0.953
    assert found["coverage"] == 0.86
    assert found["certificate/threshold"] == -0.105
    assert found["beside/TF-IDF logistic regression"] == 0.9
    assert figures.metrics(students.scorecard(), None)["coverage"] == 0.0


def test_curves_keep_their_steps() -> None:
    """Losses and validation marks come out with the step they were seen at."""
    training = students.training(
        "ad1", losses=[(10, 2.0), (20, 1.0)], validation=[Mark(step=20, loss=0.9, exact=0.5)]
    )
    assert list(figures.curves(training)) == [
        ("training/loss", 10, 2.0),
        ("training/loss", 20, 1.0),
        ("validation/loss", 20, 0.9),
        ("validation/exact", 20, 0.5),
    ]


def test_params_leave_out_what_is_empty() -> None:
    """Rows and hashes are params; an empty note is not."""
    found = figures.params(LINEAGE, students.training("ad1"))
    assert found["rows train"] == "420"
    assert found["dataset"] == "2dbf.dir"
    assert "note" not in found


def test_fields_are_a_table() -> None:
    """The F1 of each field, the most frequent first: what of a tool call goes wrong."""
    call = {"tool_calls": [{"name": "find", "arguments": {"id": 1}}]}
    talk = {"content": "Which order?"}
    said = [
        ComparedAnswer(prompt="", expected=json.dumps(call), given=json.dumps(given), agrees=False,
              weight=1.0, score=-0.1)
        for given in (call, talk)
    ]  # fmt: skip
    wanted = {"field": ["name", "arguments.id"], "f1": [0.6667] * 2, "expected": [2, 2]}
    assert figures.fields(said) == wanted
