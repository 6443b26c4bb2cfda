"""No student answers a call that asks otherwise than those that it was proven on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import served
from served import gateway, write_routes
from test_serving_evidence import ASKED, contrary, reasons, right
from test_serving_shadow import SHADOW, answered, shadowed

from serving import escalate
from serving.reconcile import _as_usual, usual
from serving.shadow import seen
from tasks.core.records import Counts
from tasks.core.stage import finish

pytestmark = pytest.mark.anyio
USUAL = ("model large", "option seed")
ROUTE = served.route("route", usual=USUAL)
STEERED = [
    ({"temperature": 2}, escalate.OPTIONS),
    ({"presence_penalty": -2.0}, escalate.OPTIONS),
    ({"repetition_penalty": 1.5}, escalate.OPTIONS),
    ({"model": "tiny"}, escalate.MODEL),
    ({"model": "tiny", "frequency_penalty": 1}, escalate.OPTIONS),
    ({"logit_bias": {"1": 100}}, "option logit_bias"),
]


def asking(more: dict[str, Any]) -> list[dict[str, Any]]:
    return [{**one, "model": "large", **more} for one in ASKED[:12]]


@pytest.mark.parametrize(("more", "reason"), STEERED, ids=str)
async def test_a_steered_call_is_the_teachers(
    tmp_path: Path, more: dict[str, Any], reason: str
) -> None:
    """With the reason; it is not audited, and says nothing about the student."""
    write_routes(tmp_path, ROUTE)
    built = gateway(tmp_path, contrary, audit=1.0)
    assert set(await reasons(built, asking(more))) == {reason}
    lines = served.journal(tmp_path)
    assert {(line["answered_by"], line["student"], line["audit"]) for line in lines} == {
        ("teacher", None, None)
    }
    found = built.students.evidence.of(ROUTE)
    assert (found.n, found.alarm) == (0, None)


async def test_the_model_in_azures_path_is_the_one_that_is_asked_for(tmp_path: Path) -> None:
    """Whatever the body says: Azure does not read that. Nights see it, too."""
    write_routes(tmp_path, ROUTE)
    built, found = gateway(tmp_path, right), []
    async with served.client(built) as agent:
        for name in ("tiny", "large", "l%61rge"):
            url = f"/openai/deployments/{name}/chat/completions?api-version=2024-06-01"
            for more in ({}, {"model": "large"}):
                reply = await agent.post(url, json={**ASKED[0], **more})
                found.append(reply.headers["x-flywheel-reason"])
    assert found == [escalate.MODEL] * 2 + ["served"] * 4
    models = [line["request"]["model"] for line in served.journal(tmp_path)]
    assert models == ["tiny"] * 2 + ["large"] * 4


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"temperature": 1},
        {"seed": 7},
        {"top_p": 0.2, "max_tokens": 64},
        {"presence_penalty": 0},
    ],
    ids=str,
)
async def test_what_the_task_does_is_served(tmp_path: Path, more: dict[str, Any]) -> None:
    """What is usual in it, and what says nothing about the answer."""
    write_routes(tmp_path, ROUTE)
    assert set(await reasons(gateway(tmp_path, right), asking(more))) == {"served"}


async def test_a_task_that_forces_words_by_design_is_served(tmp_path: Path) -> None:
    """Where most of its calls have them the student learned from such calls."""
    write_routes(tmp_path, served.route("route", usual=("model large", "temperature")))
    found = await reasons(gateway(tmp_path, right), asking({"temperature": 1.4}))
    assert set(found) == {"served"}


@pytest.mark.parametrize(("usual", "model"), [(None, None), (("model *",), None), (USUAL, "large")])
async def test_models_that_clients_do_not_choose_are_nobodys_steering(
    tmp_path: Path, usual: tuple[str, ...] | None, model: str | None
) -> None:
    """Where nobody knows, where each names another, and where the gateway sets the teacher's."""
    write_routes(tmp_path, served.route("route", usual=usual))
    built = gateway(tmp_path, right)
    built.students.model = model
    assert set(await reasons(built, asking({"model": "any"}))) == {"served"}
    (reason,) = set(await reasons(built, asking({"temperature": 1.5})))
    assert reason == escalate.OPTIONS


async def test_shadows_prove_nothing_by_steered_calls(tmp_path: Path) -> None:
    """Neither for nor against them: they are not asked."""
    built = gateway(shadowed(tmp_path), right, shadow=1.0)
    found = await answered(built, 5, temperature=2)
    assert all(reply.status_code == 200 for reply in found)
    assert list(seen(tmp_path, *SHADOW)) == []


def test_what_is_usual_changes_while_a_champion_serves(tmp_path: Path) -> None:
    """The newest night that saw calls of a task says it, of its former champion, too."""
    told = {"2026-03-02": ["model a"], "2026-03-03": ["model a", "model b"], "2026-03-04": []}
    for day, settings in told.items():
        tasks = {"x": {"usual": settings}, "y": {"train": 3}}
        (tmp_path / "nights" / day / "dataset").mkdir(parents=True)
        finish(tmp_path / "nights" / day / "dataset", Counts("dataset", 0, 0), {"tasks": tasks})
    known = usual(tmp_path)
    assert known == {"x": ["model a", "model b"]}
    route = msgspec.to_builtins(served.route("route", former=served.route("route")))
    route["task"]["id"] = "x"
    made = _as_usual(route, known)
    assert made["usual"] == made["former"]["usual"] == ["model a", "model b"]
    assert _as_usual(route | {"former": None}, {})["usual"] is None
