"""What is no longer right is taken out while calls come in, and learned anew at night.

A person puts in a champion of shuffled answers, the teacher renames the labels of that task, and it
answers another task by another schema: calls through a real gateway and a real pool, and whole
nights, on SQLite. Wrong answers are counted as the agent got them.
"""

from __future__ import annotations

import random
import shutil
import types
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import students as made
import yaml
from changing_desk import AUDIT, Answered, Change, Desk, calls, learn, learned, send, task_of
from sqlalchemy import Engine, event

from flows.cli import processes, stack
from flows.night import ladder, pool_update, revocation
from flows.night.champions import champion
from flows.night.folders import Night
from registry import bundle, plots
from registry.store import Version
from tasks.core.rows import rows, write_rows
from tasks.core.sequential_tests import ChangeDetector
from tasks.core.stage import write_atomic
from tasks.core.task import load_one

pytestmark = pytest.mark.flow  # two nights, a pool and a registry
ROOT = Path(__file__).parents[1]
ALPHA = 0.1
PARAMS = {
    "train": {"rungs": ["linear"]},
    "dataset": {"min_readiness": 0.0},
    "calibrate": {"alpha": ALPHA, "delta": 0.3},
    "serve": {"audit": AUDIT, "rollout": []},
}
MOSTLY = 0.75  # of a student's answers; its certificate says nine in ten, of many more
LUCK = 3  # times what the audit makes unavoidable in the mean: in 3,000 cases one has more


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A home and a pool, where students have learned both kinds of calls from a day of them."""
    event.listen(Engine, "connect", lambda database, _: database.execute("PRAGMA synchronous=OFF"))
    home = tmp_path_factory.mktemp("home")
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    for section, changes in PARAMS.items():
        params[section] |= changes
    (home / "params.yaml").write_text(yaml.safe_dump(params))
    service = stack.pool_server(home, stack.free_port(), "bundled")
    drawn = random.Random(0)  # which calls are audited follows from their ids
    ids = types.SimpleNamespace(uuid4=lambda: uuid.UUID(int=drawn.getrandbits(128)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "plots", lambda *_: {})
        patch.setattr("serving.gateway.uuid", ids)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("FLYWHEEL_PII_KEY", "the same surrogates in each run")
        patch.setenv("FLYWHEEL_PARAMS", str(home / "params.yaml"))
        patch.setenv("POOL_URL", service.url)
        patch.setenv("POOL_TOKEN", service.env["POOL_TOKEN"])
        with processes.running([service], home):
            found = Desk(home)
            send(found, calls(0, route=420, ticket=420))
            learn(found, 0)
            found.tasks = {kind: task_of(found, kind) for kind in ("route", "ticket")}
            yield found


def unavoidable() -> float:
    """The wrong answers, in the mean, until so many are audited that the test must speak."""
    detector, audits = ChangeDetector(ALPHA), 0
    while not detector.alarm():
        detector.see(wrong=True)
        audits += 1
    return audits / AUDIT


def rightly(found: Sequence[Answered]) -> float:
    """The share of the students' answers that are right; many of the calls are theirs."""
    served = [one.right for one in found if one.reason == "served"]
    print(f"{len(served)} of {len(found)} calls served, {sum(served)} of them rightly")
    assert len(served) > 0.3 * len(found)
    return sum(served) / len(served)


def stopped(what: str, found: Sequence[Answered]) -> None:
    """The student is stopped in time: of what it still answered, little was wrong."""
    wrong = sum(one.reason == "served" and not one.right for one in found)
    print(f"{what}: {wrong} wrong answers served; about {unavoidable():.0f} are unavoidable")
    assert 0 < wrong <= LUCK * unavoidable()
    assert {one.reason for one in found[-20:]} == {"revoked"}


def shuffled(desk: Desk, kind: str, other: Path) -> Version:
    """Register a student whose labels are exchanged, with its champion's certificate."""
    night, task = desk.night(0), desk.tasks[kind]
    serving, source = champion(night, task), Night(other, night.day, night.params)
    assert serving
    assert serving.certificate
    labels = load_one(serving.bundle).contract.labels
    exchanged = dict(zip(labels, [*labels[1:], labels[0]], strict=True))
    shutil.copytree(night.out("dataset", task), source.out("dataset", task))
    for file in source.out("dataset", task).glob("*.parquet"):
        found = rows(file)
        write_rows(file, [replace(r, answer=exchanged.get(r.answer, r.answer)) for r in found])
    trained = ladder.train(source, task, "linear", None)
    card = ladder.evaluate(source, task, "linear", None)
    proof = replace(serving.certificate, adapter_digest=card.adapter_digest)
    write_atomic(other / "proof" / "certificate.json", msgspec.json.encode(proof))
    lineage = bundle.Lineage(night=night.day, dataset="none")
    folder = bundle.pack(
        other / "packed",
        dataset=source.out("dataset", task),
        trained=trained,
        evaluated=source.out("evaluate", task, "linear"),
        calibrated=other / "proof",
        lineage=lineage,
    )
    return night.store.register(load_one(folder), folder, card, proof, made.PASSED, lineage)


def test_a_bad_champion_gives_way_to_the_one_before(desk: Desk, tmp_path: Path) -> None:
    """Put in by alias, it is stopped by its audits; nobody blames the teacher, no row is lost."""
    day = calls(1, route=880)[:240]
    assert rightly(send(desk, day[:60])) >= MOSTLY
    bad = shuffled(desk, "route", tmp_path)
    desk.night(0).store.set_champion(desk.tasks["route"], bad.number)
    pool_update.promote(desk.home)
    stopped("shuffled answers", send(desk, day[60:180]))

    (said,) = revocation.watch(desk.home)
    assert "version 1 stands on the same audits" in said
    assert desk.champion("route") == 1
    assert desk.changed() == {}
    pool_update.promote(desk.home)
    assert rightly(send(desk, day[180:])) >= MOSTLY


def test_renamed_labels_take_the_task_back(desk: Desk) -> None:
    """The student stops after a handful of audits; no earlier version does better."""
    day = calls(1, route=880)[240:]
    desk.changes.append(Change("route", day[0].at, lambda label: f"desk:{label}"))
    stopped("renamed labels", send(desk, day))
    (said,) = revocation.watch(desk.home)
    assert "no earlier version does better" in said
    assert desk.champion("route") is None
    assert abs(desk.changed()[desk.tasks["route"]] - day[0].at) < 3600


def test_another_schema_takes_the_task_back(desk: Desk) -> None:
    """So does the student of the other task; two tasks on one day are a change of the teacher."""
    day = calls(1, ticket=700)
    assert rightly(send(desk, day[:60])) >= MOSTLY
    desk.changes.append(Change("ticket", day[60].at, lambda text: text.replace("queue", "desk")))
    stopped("another schema", send(desk, day[60:]))
    said, told, *_ = revocation.watch(desk.home)
    assert "no earlier version does better" in said
    assert "otherwise within a day: it has changed" in told
    assert desk.champion("ticket") is None
    assert abs(desk.changed()[desk.tasks["ticket"]] - day[60].at) < 3600


def test_the_next_night_learns_what_the_teacher_says_now(desk: Desk) -> None:
    """No row is from before the changes, and on the next day students serve both tasks again."""
    changed = desk.changed()
    learn(desk, 1)
    for kind, start in (("route", "desk:"), ("ticket", '{"desk":')):
        found = learned(desk, kind, 1)
        assert min(row.at for row in found) >= changed[desk.tasks[kind]]
        assert sum(row.answer.startswith(start) for row in found) > 0.9 * len(found)
    assert (desk.champion("route"), desk.champion("ticket")) == (3, 2)
    found = send(desk, calls(2, route=60, ticket=60))
    for kind in ("route", "ticket"):
        assert rightly([one for one in found if one.kind == kind]) >= MOSTLY
    assert not any("Revoked" in said for said in revocation.watch(desk.home))
