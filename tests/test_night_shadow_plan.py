"""A night with too few rows for a proof: its student becomes a shadow, with a plan on record."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import msgspec
import pytest
import served
import students as made
import tiny
import yaml
from sqlalchemy import Engine, event

from flows.cli import processes, stack
from flows.night import ladder, pool_update, registration, shadow_plan, shadow_promotion
from flows.night.champions import attempts
from flows.night.folders import Night, ended
from flows.night.outcome import Outcome
from registry import bundle, plots
from registry.choice import JudgedStudent
from serving.pool import Pool
from serving.reconcile import routes
from tasks.core import records
from tasks.core.params import DEFAULT, Params, Train, load
from tasks.core.records import Call, Counts
from tasks.core.rows import rows
from tasks.core.stage import finish
from tasks.core.task import load_one, save
from tasks.core.template import Head, Pattern, Slot, Template, form_of, toolset
from tasks.deidentify.deidentify import load_key
from tasks.deidentify.leak_check import Originals
from tasks.train.folds import proving

pytestmark = pytest.mark.flow  # a training and a registry
TASK = "colour-0"
COLOURS = {"blue": ("sky", "sea"), "red": ("blood", "rose"), "green": ("grass", "moss")}
SYSTEM = {"role": "system", "content": "Name the colour."}
SIZES = {"train": 60, "validation": 12, "calibration": 24, "test": 24}
TEMPLATE = Template(
    heads=(Head({"role": "system", "content": ""}, (Pattern(("Name the colour.",), ()),)),),
    first=(Pattern(("", ""), (Slot(name="thing"),)),),
    tools=(toolset({}),),
    formats=(form_of({}),),
)


def params() -> Params:
    return msgspec.structs.replace(load(), train=Train(rungs=["linear"]))


def question(number: int) -> tuple[str, str]:
    colour = list(COLOURS)[number % 3]
    return f"what colour has the {COLOURS[colour][number % 2]} number {number}", colour


def prepare(night: Night) -> None:
    """One task as the hops before training leave it, and its calls as they came in."""
    start, parts = 0, {}
    for part, count in SIZES.items():
        parts[part] = [question(number) for number in range(start, start + count)]
        start += count
    folder = tiny.dataset(night.out("dataset", TASK), made.COLOUR, parts, name=TASK)
    task = replace(load_one(folder), template=TEMPLATE)
    save(folder / "task.json", task)
    finish(night.out("dataset"), Counts("dataset", 0, 0, {}), {"tasks": {TASK: SIZES}})
    save(night.out("cluster", "tasks.json"), [task])
    calls = [
        Call(
            id=row.id,
            at=row.at,
            source="journal",
            request={"messages": [SYSTEM, {"role": "user", "content": row.prompt}]},
            reply={"role": "assistant", "content": row.answer},
        )
        for part in SIZES
        for row in rows(folder / f"{part}.parquet")
    ]
    for hop, schema in (("validate", records.CALLS), ("deidentify", records.CLEAN)):
        kept = calls if hop == "validate" else []
        night.out(hop).mkdir(parents=True)
        records.write(night.out(hop, "calls.parquet"), kept, schema)
    Originals(load_key(night.home)).save(night.out("deidentify"))


@contextmanager
def begun(home: Path, params: Params) -> Iterator[Night]:
    """A night of one task, before its training; its registry is a file, and draws nothing."""
    event.listen(Engine, "connect", lambda database, _: database.execute("PRAGMA synchronous=OFF"))
    night = Night(home, "2026-03-02", params)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "plots", lambda *_: {})
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        prepare(night)
        yield night


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    """A night whose only student has too few rows for a proof, registered."""
    with begun(tmp_path_factory.mktemp("home"), params()) as made:
        ladder.train(made, TASK, "linear", None)
        yield made


def registered(night: Night) -> Outcome:
    """What becomes of the student at the end of the night."""
    card = ladder.evaluate(night, TASK, "linear", None)
    proof = ladder.calibrate(night, TASK, "linear")
    verdict = ladder.judge(night, TASK, "linear", card, proof, None)
    assert isinstance(proof, str)
    assert card.agreement > 0.9
    return registration.register(night, TASK, [JudgedStudent("linear", card, proof, verdict)], None)


def test_a_student_that_only_lacks_proof_is_loaded_as_shadow(night: Night) -> None:
    """It has the alias, its plan counts calls that were held out, and it is an attempt, once."""
    tried = attempts(night, TASK)
    outcome = registered(night)
    number = night.store.shadow(TASK)
    assert number
    assert f"asked in the background about calls that come through the gateway (v{number})" in (
        outcome.reason
    )
    assert not outcome.passed

    folder = night.store.fetch(night.store.version(TASK, number), night.home / "fetched")
    plan = shadow_plan.plan_of(folder)
    assert (plan.attempt, plan.alpha, plan.learned) == (tried + 1, 0.05, ())
    proof = proving(night.out("dataset", TASK), night.out("train", TASK, "linear"))
    assert {seen.call for seen in plan.before} == {row.id for row in proof}
    assert all(seen.score is not None and seen.score <= 0 for seen in plan.before)
    assert bundle.read(folder, "certificate")["attempt"] == plan.attempt
    assert registered(night).reason == outcome.reason
    assert attempts(night, TASK) == tried + 1


def teacher(request: httpx.Request) -> httpx.Response:
    """A large model that knows every colour."""
    text = msgspec.json.decode(request.content)["messages"][-1]["content"]
    said = next(colour for colour, things in COLOURS.items() if any(t in text for t in things))
    message = {"role": "assistant", "content": said}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return httpx.Response(200, json={"model": "large", "choices": [choice]})


async def asked(night: Night, pool: str, numbers: range) -> list[str]:
    """Who answered calls of the next day; each is put to the shadow before this returns."""
    built = served.gateway(night.home, None, teacher, shadow=1.0)
    built.students.pools = built.shadows.pools = {
        "encoder": Pool(pool, built.teacher.client, os.environ["POOL_TOKEN"])
    }
    working = asyncio.create_task(built.shadows.run())
    by = []
    async with served.client(built) as agent, asyncio.timeout(120):
        for number in numbers:
            user = {"role": "user", "content": question(number)[0]}
            body = {"messages": [SYSTEM, user]}
            at = {"x-flywheel-at": str(ended(night.day) + number)}
            reply = await agent.post("/v1/chat/completions", json=body, headers=at)
            by.append(reply.headers["x-flywheel-served-by"])
        teachers = by.count("teacher") if built.shadows.routes.current().shadows else 0
        while built.shadows.waiting or built.shadows.asked < teachers:
            await asyncio.sleep(0.02)
    working.cancel()
    return by


def test_live_calls_promote_the_shadow(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real pool, gateway and registry: the teacher answers until the shadow is proven."""
    registered(night)
    found = yaml.safe_load(DEFAULT.read_text())
    found["serve"]["rollout"] = []  # who takes over takes all over
    (night.home / "params.yaml").write_text(yaml.safe_dump(found))
    monkeypatch.setenv("FLYWHEEL_PARAMS", str(night.home / "params.yaml"))
    service = stack.pool_server(night.home, stack.free_port(), "bundled")
    with processes.running([service], night.home):
        monkeypatch.setenv("POOL_URL", service.url)
        monkeypatch.setenv("POOL_TOKEN", service.env["POOL_TOKEN"])
        pool_update.promote(night.home)
        assert night.store.champion(TASK) is None
        assert set(asyncio.run(asked(night, service.url, range(1000, 1008)))) == {"teacher"}
        assert "more confident answers" in shadow_promotion.prove(night.home)[TASK]
        assert set(asyncio.run(asked(night, service.url, range(1008, 1200)))) == {"teacher"}
        assert "Proven by" in shadow_promotion.prove(night.home)[TASK]
        changes = pool_update.promote(night.home)
        assert changes
        assert len(changes.serving) == 1
        by = asyncio.run(asked(night, service.url, range(1200, 1230)))
        assert by.count("student") > 15
    (route,) = routes(night.home)
    assert route["certificate"]["method"] == "shadow"
