"""Pictures of students for MLflow."""

from __future__ import annotations

import json
from io import BytesIO

import students

from registry import plots
from registry.bundle import ComparedAnswer
from tasks.core.contract import Contract


def said(expected: str, given: str, score: float | None = -0.1) -> ComparedAnswer:
    fields = {"prompt": "", "weight": 1.0, "agrees": expected == given, "score": score}
    return ComparedAnswer(expected=expected, given=given, **fields)


def test_each_kind_of_answer_has_its_pictures() -> None:
    """Labels have a confusion matrix, JSON and tools their fields; all have risk and loss."""
    text, labels = Contract(kind="text"), Contract(kind="labels", labels=("a", "b"))
    rows = [said("a", "b"), said("a", "a", None)]
    everywhere = {"loss", "risk"}
    training = students.training("ad1")
    assert plots.plots(text, rows, None, training).keys() == everywhere
    drawn = plots.plots(labels, rows, students.certificate(), training)
    assert drawn.keys() == {*everywhere, "confusion"}
    found = plots.plots(Contract(kind="tools"), [said("{}", "{}")], None, training)
    assert found.keys() == {*everywhere, "fields"}
    for picture in drawn.values():
        picture.savefig(file := BytesIO())
        assert file.getvalue().startswith(b"\x89PNG")


def test_risk_ends_where_answers_could_not_be_served() -> None:
    """The curve covers what has a score; the threshold stands at the share that it serves."""
    rows = [said("a", "a" if i % 4 else "b", -i / 10) for i in range(8)] + [said("a", "", None)] * 2
    (axes,) = plots.risk(rows, students.certificate(threshold=-0.35)).axes
    curve, limit, threshold = axes.lines
    assert list(curve.get_xdata()) == [10 * i for i in range(1, 9)]
    assert list(curve.get_ydata())[-1] == 25
    assert list(limit.get_ydata()) == [5, 5]
    assert list(threshold.get_xdata()) == [40, 40]


def test_of_many_labels_the_confused_ones_are_shown() -> None:
    """A matrix of a hundred labels could not be read; the picture says how many it leaves out."""
    labels = tuple(f"label {i}" for i in range(100))
    rows = [said(label, label) for label in labels] + [said("label 98", "label 99")] * 3
    rows.append(said("label 7", "nonsense"))
    (axes,) = plots.confusion(rows, Contract(kind="labels", labels=labels)).axes
    shown = [text.get_text() for text in axes.get_yticklabels()]
    assert len(shown) == plots.MOST
    assert {"label 98", "label 99", "label 7", "off contract"} <= set(shown)
    assert any("86 labels" in text.get_text() for text in axes.texts)


def test_fields_stand_with_their_counts() -> None:
    """Each field of a tool call has a bar, its F1 and how often it was expected."""
    call = {"tool_calls": [{"name": "find", "arguments": {"id": 1}}]}
    other = {"tool_calls": [{"name": "find", "arguments": {"id": 2}}]}
    rows = [said(json.dumps(call), json.dumps(given)) for given in (call, call, other, other)]
    (axes,) = plots.fields(rows).axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["name", "arguments.id"]
    assert [text.get_text() for text in axes.texts][1:5] == ["100.0", "4", "50.0", "4"]


def test_a_label_is_no_formula() -> None:
    """Names that mean something to the typesetter are drawn as they are written."""
    label = r"over $5, {under} \\frac$ and a_b^c, which is long"
    drawn = plots.confusion([said(label, label)], Contract(kind="labels", labels=(label,)))
    drawn.savefig(BytesIO())
    ((shown,),) = (axes.get_yticklabels() for axes in drawn.axes)
    assert shown.get_text().startswith(r"over \$5, {under}")


def test_nothing_servable_is_drawn_too() -> None:
    """A student that never answers on contract has an empty curve."""
    drawn = plots.risk([said("a", "", None)] * 3, students.certificate())
    drawn.savefig(BytesIO())
    assert len(drawn.axes[0].lines[0].get_xdata()) == 0
