"""A night with too few rows for a proof: its student becomes a shadow, with a plan on record."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import students as made
import tiny
from sqlalchemy import Engine, event

from flows.night import ladder, registration, shadows
from flows.night.champions import attempts
from flows.night.hops import Night
from registry import bundle, plots
from registry.choice import Try
from tasks.core import records
from tasks.core.params import Params, Train, load
from tasks.core.records import Call, Counts
from tasks.core.rows import rows
from tasks.core.stage import finish
from tasks.core.task import load_one, save
from tasks.core.template import Head, Pattern, Slot, Template, form_of, toolset
from tasks.deidentify.hop import load_key
from tasks.deidentify.leak_check import Originals

pytestmark = pytest.mark.flow  # a training and a registry
TASK = "colour-0"
COLOURS = {"blue": ("sky", "sea"), "red": ("blood", "rose"), "green": ("grass", "moss")}
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
            request={
                "messages": [
                    {"role": "system", "content": "Name the colour."},
                    {"role": "user", "content": row.prompt},
                ]
            },
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


def test_a_student_that_only_lacks_proof_is_loaded_as_shadow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the alias, its plan counts calls that were held out, and it is an attempt."""
    event.listen(Engine, "connect", lambda database, _: database.execute("PRAGMA synchronous=OFF"))
    monkeypatch.setattr(plots, "plots", lambda *_: {})
    night = Night(tmp_path, "2026-03-02", params())
    prepare(night)
    ladder.train(night, TASK, "linear", None)
    card = ladder.evaluate(night, TASK, "linear", None)
    proof = ladder.calibrate(night, TASK, "linear")
    verdict = ladder.judge(night, TASK, "linear", card, proof, None)
    tried = attempts(night, TASK)
    outcome = registration.register(night, TASK, [Try("linear", card, proof, verdict)], None)
    number = night.store.shadow(TASK)
    assert isinstance(proof, str)
    assert card.agreement > 0.9
    assert number
    assert f"asked in the background now (v{number})" in outcome.reason
    assert not outcome.passed
    assert attempts(night, TASK) == tried + 1

    folder = night.store.fetch(night.store.version(TASK, number), tmp_path / "fetched")
    plan = shadows.plan_of(folder)
    assert (plan.attempt, plan.alpha, plan.learned) == (tried + 1, 0.05, ())
    assert {seen.call for seen in plan.before} == {f"{TASK}-calibration-{i}" for i in range(24)}
    assert all(seen.score is not None and seen.score <= 0 for seen in plan.before)
    assert bundle.read(folder, "certificate")["attempt"] == plan.attempt
    again = registration.register(night, TASK, [Try("linear", card, proof, verdict)], None)
    assert again.reason == outcome.reason
    assert attempts(night, TASK) == tried + 1
