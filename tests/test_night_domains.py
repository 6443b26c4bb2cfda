"""A night with `scope: domain`: one training, measured by every task, kept where it is as good."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import students as made
import tiny
from sqlalchemy import Engine, event

from flows.night import ladder, registration
from flows.night.champions import champion
from flows.night.domains import domains, trained
from flows.night.folders import Night
from registry import bundle
from registry.choice import JudgedStudent
from tasks.core import records
from tasks.core.params import Calibrate, Evaluate, Judge, Params, Train, load
from tasks.core.records import Counts
from tasks.core.stage import finish
from tasks.core.task import load_one, save
from tasks.deidentify.deidentify import load_key
from tasks.deidentify.leak_check import Originals

pytestmark = pytest.mark.flow  # most of a night, with a registry
TASKS = ("a-1", "b-2")
NAME = "domain-desk"


def params(base: Path) -> Params:
    train = Train(base=str(base), rungs=["causal"], scope="domain", learning_rate=1e-2, epochs=4)
    lenient = Calibrate(alpha=0.9, delta=0.5)
    judge = Judge(min_coverage=0.01)
    short = Evaluate(max_tokens=12)
    return msgspec.structs.replace(
        load(), train=train, evaluate=short, calibrate=lenient, judge=judge
    )


def dataset(night: Night) -> None:
    """Two tasks of one program and one of another, as the hops before training leave them."""
    event.listen(Engine, "connect", lambda database, _: database.execute("PRAGMA synchronous=OFF"))
    night.out("deidentify").mkdir(parents=True)
    Originals(load_key(night.home)).save(night.out("deidentify"))
    records.write(night.out("deidentify", "calls.parquet"), [], records.CLEAN)
    sizes = {"train": 24, "validation": 6, "calibration": 12, "test": 12}
    start, found = 1000, []
    for name, family in (*((task, "desk") for task in TASKS), ("c-3", "shop")):
        parts = {}
        for part, count in sizes.items():
            numbers, start = range(start, start + count), start + count
            parts[part] = [(f"item {i}", ("red", "blue")[i % 2]) for i in numbers]
        folder = tiny.dataset(night.out("dataset", name), made.COLOUR, parts, name=name)
        found.append(replace(load_one(folder), family=family))
        save(folder / "task.json", found[-1])
    finish(
        night.out("dataset"), Counts("dataset", 0, 0, {}), {"tasks": dict.fromkeys(TASKS, sizes)}
    )
    save(night.out("cluster", "tasks.json"), found)


def judged(night: Night, task: str) -> list[JudgedStudent]:
    """What the flow `student` does before it registers."""
    serving, result = champion(night, task), []
    for rung in ladder.ladder(night, task, serving):
        ladder.train(night, task, rung, serving)
        card = ladder.evaluate(night, task, rung, serving)
        proof = ladder.calibrate(night, task, rung)
        result.append(
            JudgedStudent(rung, card, proof, ladder.judge(night, task, rung, card, proof, serving))
        )
    return result


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    home = tmp_path_factory.mktemp("home")
    night = Night(home, "2026-03-02", params(tiny.base(home / "tiny")))
    dataset(night)
    return night


def test_a_program_with_two_tasks_is_a_domain(night: Night) -> None:
    """A task that is alone in its program is none, and `scope: task` knows of no domains."""
    assert domains(night) == {NAME: list(TASKS)} == domains(night)
    assert ladder.ladder(night, "a-1", None) == ["domain", "causal"]
    assert ladder.ladder(night, "c-3", None) == ["causal"]
    plain = msgspec.structs.replace(night.params.train, scope="task")
    other = Night(night.home, night.day, msgspec.structs.replace(night.params, train=plain))
    assert domains(other) == {}
    assert ladder.ladder(other, "a-1", None) == ["causal"]


def test_a_domain_is_trained_once_and_serves_each_of_its_tasks(night: Night) -> None:
    """Both tasks measure both students; those of the domain have one adapter and one pool name."""
    kept = []
    for task in TASKS:
        domain, own = judged(night, task)
        assert (domain.rung, own.rung) == ("domain", "causal")
        assert not ladder.enough(night, domain)  # its own is measured, whatever this one does
        assert domain.scorecard.adapter_digest != own.scorecard.adapter_digest
        both = [domain, replace(own, verdict=replace(own.verdict, passed=False))]
        outcome = registration.register(night, task, both, None)
        assert (outcome.rung, outcome.version) == ("domain", 1)
        assert "its own student (causal) agrees on" in outcome.reason
        kept.append(champion(night, task))
    one, two = kept
    assert one is not None
    assert two is not None
    assert one.version.adapter == two.version.adapter
    assert one.version.scope == two.version.scope == NAME
    assert [load_one(c.bundle).template.tag for c in (one, two)] == ["[a-1] ", "[b-2] "]
    assert [c.certificate.task for c in (one, two) if c.certificate] == list(TASKS)
    assert all(q["prompt"].startswith("[b-2] ") for q in bundle.read(two.bundle, "canary"))
    assert bundle.read(two.bundle, "lineage")["domain"] == NAME
    assert trained(night, "a-1", "domain") == trained(night, "b-2", "domain")
    assert len(list(night.out("train").glob("*/*/training.json"))) == 3


def test_a_domain_that_serves_all_its_tasks_is_left_alone(night: Night) -> None:
    """The next night trains nothing while each task's certificate is enough."""
    train = msgspec.structs.replace(night.params.train, enough=0.0)
    later = Night(night.home, "2026-03-03", msgspec.structs.replace(night.params, train=train))
    for hop in ("deidentify", "dataset", "cluster"):
        later.out(hop).parent.mkdir(exist_ok=True)
        later.out(hop).symlink_to(night.out(hop))
    assert domains(later) == {}
    assert ladder.ladder(later, "a-1", champion(later, "a-1")) == []
    assert ladder.ladder(later, "c-3", None) == ["causal"]
    strict = msgspec.structs.replace(later.params, calibrate=Calibrate(alpha=0.001))
    later = Night(night.home, later.day, strict)  # the certificates were of a higher risk
    assert ladder.ladder(later, "a-1", champion(later, "a-1")) == ["causal"]
