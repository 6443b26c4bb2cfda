"""The teacher compares answers, in both orders; what it says counts only when it says it twice."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import students
from starlette.testclient import TestClient

from examples.teacher import app
from serving.referee_client import referee
from tasks.core.contract import Contract
from tasks.core.stage import Refused
from tasks.evaluate.answers import Answered
from tasks.evaluate.referee import Silent, about, compared

TASK = students.task("letters-1", contract=Contract(kind="text"))
ENV = {"TEACHER_BASE_URL": "http://teacher/v1", "TEACHER_MODEL": "large", "TEACHER_API_KEY": "k"}
GOOD, BAD = "Dear Ann, your parcel is here.", "no"
Shown = dict[str, str]


def row(i: int, answer: str, expected: str) -> tuple[str, Answered]:
    return f"letter {i}", Answered(
        id=f"q{i}",
        expected=expected,
        answer=answer,
        agrees=answer == expected,
        valid=True,
        weight=1.0,
        at=float(i),
        logprobs=(-0.1,),
        finish_reason="stop",
    )


ROWS = [row(0, BAD, GOOD), row(1, GOOD, BAD), row(2, GOOD, GOOD), row(3, "Well met.", GOOD)]


def teacher(judge: Callable[[Shown], str]) -> tuple[httpx.Client, list[dict[str, Any]]]:
    """A teacher that answers by `judge`, and all that it was asked."""
    asked: list[dict[str, Any]] = []

    def reply(request: httpx.Request) -> httpx.Response:
        asked.append(json.loads(request.content))
        assert str(request.url) == "http://teacher/v1/chat/completions"
        assert request.headers["authorization"] == "Bearer k"
        content = judge(json.loads(asked[-1]["messages"][1]["content"]))
        return httpx.Response(200, json={"choices": [{"message": {"content": content}}]})

    return httpx.Client(transport=httpx.MockTransport(reply)), asked


def longer(shown: Shown) -> str:
    a, b = len(shown["A"]), len(shown["B"])
    better = "tie" if a == b else "A" if a > b else "B"
    return f'```json\n{{"better": "{better}"}}\n```'


def test_a_fair_teacher_decides_each_pair() -> None:
    """It finds the better answer wherever that stands; equal answers are ties, unasked."""
    client, asked = teacher(longer)
    found = compared(TASK, ROWS, "Longer is better.", referee(ENV, client))
    assert found == {
        "referee_wins": 1,
        "referee_ties": 1,
        "referee_losses": 2,
        "referee_flipped": 0,
        "referee_failed": 0,
        "referee_not_worse": 0.5,
        "referee_low": 0.15,
        "referee_high": 0.85,
    }
    assert len(asked) == 6
    first = asked[0]["messages"][0]["content"]
    assert first.startswith("You compare two answers")
    assert "Longer is better." in first
    assert "You route messages of an online shop. Today is …." in first
    assert asked[0]["model"] == "large"


def test_a_teacher_that_likes_what_stands_first_decides_nothing() -> None:
    """Its verdicts change with the order: they are ties, and are counted as flipped."""
    found = compared(TASK, ROWS, "", referee(ENV, teacher(lambda _: '{"better": "A"}')[0]))
    assert (found["referee_wins"], found["referee_losses"]) == (0, 0)
    assert (found["referee_ties"], found["referee_flipped"]) == (4, 3)


def test_a_pair_is_asked_about_once(tmp_path: Path) -> None:
    """Verdicts are kept; another rubric or another answer is another question."""
    client, asked = teacher(longer)
    ask, cache = referee(ENV, client), tmp_path / "referee.json"
    first = compared(TASK, ROWS, "a", ask, cache)
    assert compared(TASK, ROWS, "a", ask, cache) == first
    assert len(asked) == 6
    compared(TASK, [*ROWS, row(4, "Goodbye.", GOOD)], "a", ask, cache)
    assert len(asked) == 8
    compared(TASK, ROWS, "b", ask, cache)
    assert len(asked) == 14


@pytest.mark.parametrize("said", ["A", '{"better": "C"}', '{"better": ["A"]}', "[]", "{", ""])
def test_no_verdict_is_no_win(said: str, tmp_path: Path) -> None:
    """What cannot be read is counted, is not kept, and has no part in the share."""
    client, asked = teacher(lambda _: said)
    found = compared(TASK, ROWS[:2], "", referee(ENV, client), tmp_path / "referee.json")
    assert found["referee_failed"] == 2
    assert "referee_not_worse" not in found
    assert not list(tmp_path.iterdir())
    assert len(asked) == 2  # the other order would not help


def test_a_teacher_that_is_down_or_busy_is_no_win() -> None:
    """A timeout, an error or a crowd is a failure; a busy teacher is asked again first."""

    def fails(status: int | None) -> list[httpx.Request]:
        def reply(request: httpx.Request) -> httpx.Response:
            asked.append(request)
            if status is None:
                raise httpx.ReadTimeout("slow")
            return httpx.Response(status, text="oh")

        asked: list[httpx.Request] = []
        client = httpx.Client(transport=httpx.MockTransport(reply))
        ask = referee(ENV, client, waits=(0, 0))
        assert compared(TASK, ROWS[:1], "", ask)["referee_failed"] == 1
        with pytest.raises(Silent):
            ask([])
        return asked

    assert [len(fails(status)) for status in (None, 500, 200, 429)] == [2, 2, 2, 6]


def test_the_sample_teacher_is_no_referee() -> None:
    """The simulated model answers by rules that know nothing of this: it makes no verdicts."""
    with TestClient(app(0), base_url="http://teacher") as client:
        found = compared(TASK, ROWS, "Be fair.", referee(ENV, client))
    assert found["referee_failed"] == 3
    assert found["referee_wins"] == 0


def test_the_referee_must_be_named() -> None:
    """At night there is no client whose model could be asked."""
    for missing in ("TEACHER_BASE_URL", "TEACHER_MODEL"):
        with pytest.raises(Refused, match="needs TEACHER_BASE_URL and TEACHER_MODEL"):
            referee({k: v for k, v in ENV.items() if k != missing}, httpx.Client())


def test_the_referee_knows_what_the_answers_are_for() -> None:
    """A payload alone may say nothing of the task: its description and its prompt do."""
    assert about(TASK).startswith("Names the department")
