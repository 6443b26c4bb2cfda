"""Killed before each of its writes and begun again, everything ends as if nothing had happened.

The same where the registry goes away or the disk is full. Writes are renames, lines of the ledger,
orders to the pool, and every change in MLflow.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest
import students
from disks import Disk, mounted
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from place import TASK, Place, State
from sqlalchemy import Engine, event
from upstream import upstream

from flows.night import alerts, pool_update, revocation, shadow_promotion
from flows.night.shadow_plan import PLAN
from registry import hash_chain, plots
from registry.gate import Verdict
from registry.store import Version
from serving.pool import Pool
from serving.reconcile import routes
from serving.shadow import FOLDER
from tasks.calibrate.joint_evidence import JointMember, JointPlan
from tasks.calibrate.shadow_proof import ShadowAnswer, ShadowPlan
from tasks.core.certificate import Refusal
from tasks.core.params import DEFAULT
from tasks.core.stage import Refused, room, write_atomic

pytestmark = pytest.mark.flow
READS = ("search_", "get_", "download_")
CHANGES = ("set_", "delete_", "create_", "update_", "log_", "finalize_")


Fault = Callable[[str], None]  # told before each write, and before each call to MLflow, from one on


class Killed(BaseException):
    """What nobody catches."""


def kill(_: str) -> None:
    """The dead do nothing."""
    raise Killed


def away(name: str) -> None:
    """MLflow does not answer any more."""
    if hasattr(MlflowClient, name):
        raise MlflowException("API request failed: [Errno 111] Connection refused")


@contextmanager
def failing(number: int, fault: Fault) -> Iterator[list[str]]:
    """Bring a fault about before write `number`, counted from 0; the writes that were begun."""
    begun: list[str] = []

    def told(name: str, act: Callable[..., Any], writes: bool) -> Callable[..., Any]:
        def instead(*args: Any, **more: Any) -> Any:
            if writes and len(begun) <= number:
                begun.append(name)
            if len(begun) > number:
                fault(name)
            return act(*args, **more)

        return instead

    client = [name for name in dir(MlflowClient) if name.startswith((*CHANGES, *READS))]
    places = [
        (os, "replace"),
        (os, "rename"),
        (hash_chain, "append"),
        (Pool, "load"),
        (Pool, "unload"),
    ]
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in (*places, *((MlflowClient, name) for name in client)):
            writes = not name.startswith(READS)
            patch.setattr(owner, name, told(name, getattr(owner, name), writes))
        yield begun


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A disk of its own, for copies of a home."""
    with mounted(tmp_path / "disk", 64) as made:
        yield made


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A home with two versions, the first of which serves."""
    event.listen(Engine, "connect", lambda database, _: database.execute("PRAGMA synchronous=OFF"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "plots", lambda *_: {})
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("POOL_URL", upstream(Place.pool.answer))
        patch.setenv("POOL_TOKEN", "of the pool")
        patch.setattr(alerts, "send", lambda *_: True)
        made = Place(tmp_path_factory.mktemp("home"))
        made.register(300)
        made.register(310)
        made.promote(1)
        made.journal(1, True, 40)
        pool_update.promote(made.home)
        yield made


def promotion(place: Place) -> None:
    """A second version takes over."""
    place.promote(2)


def rollout(place: Place) -> None:
    """It has been audited enough."""
    pool_update.promote(place.home)


def revoked(place: Place) -> None:
    """Its answers are wrong now, and the one before it has the same adapter."""
    revocation.watch(place.home)
    pool_update.promote(place.home)


def shadow(place: Place) -> None:
    """A shadow was proven by live calls."""
    shadow_promotion.prove(place.home)
    for _ in range(2):  # who served before is unloaded at the second look
        pool_update.promote(place.home)


def together(place: Place) -> None:
    """A shadow was proven together with another task's."""
    known = msgspec.yaml.decode(DEFAULT.read_bytes())
    known["calibrate"]["scope"] = "all"
    (place.home / "params.yaml").write_bytes(msgspec.yaml.encode(known))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLYWHEEL_PARAMS", str(place.home / "params.yaml"))
        shadow(place)


def registration(place: Place) -> None:
    """A third version is registered."""
    place.register(320)


def with_shadow(place: Place, task: str = TASK, *, attempt: int = 2, n: int = 200) -> Version:
    """Put a student that was right in `n` live calls into shadow, in the place of the champion."""
    place.store.set_champion(TASK, None)
    subject, refused = students.task(task), Refusal(refused="It only lacks proof.", attempt=attempt)
    folder, made, lineage = students.bundle(place.home / f"shadow-{task}", seed=3, subject=subject)
    plan = ShadowPlan(
        task=task,
        adapter_digest=made,
        alpha=0.05,
        delta=0.1,
        attempt=attempt,
        thresholds=(-0.5,),
        loaded=100.0,
    )
    write_atomic(folder / PLAN, msgspec.json.encode(plan))
    write_atomic(folder / "certificate.json", msgspec.json.encode(refused))
    card, no = students.scorecard(made, task=task), Verdict(False, "It only lacks proof.")
    version = place.store.register(subject, folder, card, None, no, lineage)
    place.store.set_shadow(task, version.number)
    call = ShadowAnswer(call="c", at=101.0, conversation="c", score=-0.1, agrees=True)
    names = [(at, f"{task}-c{at}") for at in range(n)]
    calls = [replace(call, call=name, at=101.0 + at, conversation=name) for at, name in names]
    calls.append(replace(call, call=f"{task}-later", at=9e3, conversation="later", score=None))
    file = place.home / FOLDER / f"{task}-v{version.number}" / "2026-03-15.jsonl"
    write_atomic(file, b"".join(msgspec.json.encode(call) + b"\n" for call in calls))
    return version


def with_shadows(place: Place) -> None:
    """Put two tasks' students into shadow that are only proven together."""
    versions = [with_shadow(place, task, attempt=0, n=60) for task in ("other-1", TASK)]
    members = tuple(
        JointMember(task=v.name, version=v.number, guides=40, slips=0, nightly=30, share=1)
        for v in versions
    )
    plan = JointPlan(alpha=0.05, delta=0.1, attempt=1, loaded=100.0, members=members, groups=(2,))
    write_atomic(
        place.home / "nights/2026-03-14/joint/0.05-selective.json", msgspec.json.encode(plan)
    )


def prepared(place: Place, act: Callable[[Place], None]) -> None:
    """Bring a home to where something is about to happen."""
    if act in (rollout, revoked):
        promotion(place)
        place.journal(2, True, 40)
    if act is revoked:
        rollout(place)
        place.journal(2, False, 12)
    if act is shadow:
        with_shadow(place)
    if act is together:
        with_shadows(place)


ACTS = [promotion, rollout, revoked, shadow, together, registration]


@dataclass(slots=True)
class Story:
    """A home where something is about to happen, and how it is to end."""

    begin: Place
    act: Callable[[Place], None]
    models: list[str] = field(default_factory=list)
    end: State = field(init=False)

    def __post_init__(self) -> None:
        prepared(self.begin, self.act)
        self.models = Place.pool.models
        whole = self.begin.copy(self.begin.home.with_name("whole"))
        self.act(whole)
        self.end = whole.state()
        assert self.end != self.begin.state()

    def again(self, to: Path) -> Place:
        """The home as it was before, and the pool."""
        Place.pool.models = list(self.models)
        return self.begin.copy(to)

    def may_serve(self) -> set[tuple[str, int]]:
        """Who serves on the way: the ones from before, and those at the end."""
        before = {(r["task"]["id"], r["version"]) for r in routes(self.begin.home)}
        return before | {(task, version) for task, version, *_ in self.end.served}


@pytest.fixture
def story(first: Place, tmp_path: Path, request: pytest.FixtureRequest) -> Story:
    """What is about to happen."""
    Place.pool.models = [r["adapter"] for r in routes(first.home)]
    return Story(first.copy(tmp_path / "begin"), request.param)


@pytest.mark.parametrize("story", ACTS, indirect=True)
def test_whoever_is_killed_begins_again(story: Story, tmp_path: Path) -> None:
    """Before any of its writes; the second time it comes to the same end."""
    writes = 0
    while True:
        place = story.again(tmp_path / str(writes))
        try:
            with failing(writes, kill) as begun:
                story.act(place)
        except Killed:
            story.act(place)
            assert place.state() == story.end, f"killed before write {writes}: {begun[-1]}"
            writes += 1
            shutil.rmtree(place.home)
            continue
        break
    print(f"{story.act.__name__}: killed before each of {writes} writes")
    assert writes >= 2


def failed(story: Story, place: Place, number: int, fault: Fault) -> list[str]:
    """The writes that were begun when one fails, which is no reason to serve anybody else.

    A full disk is a sentence; without a registry a step is tried again, and then says so at once.
    """
    with failing(number, fault) as begun, suppress(Refused, MlflowException), room(place.home):
        story.act(place)
    assert {(r["task"]["id"], r["version"]) for r in routes(place.home)} <= story.may_serve()
    return begun


@pytest.mark.parametrize("story", ACTS, indirect=True)
def test_without_a_registry_nothing_is_half_done(story: Story, tmp_path: Path) -> None:
    """It goes away before every fourth of the writes; once it is back the end is the same."""
    for number in count(1, 4):
        place = story.again(tmp_path / str(number))
        begun = failed(story, place, number, away)
        if len(begun) <= number:
            break
        story.act(place)
        assert place.state() == story.end, f"no registry before write {number}: {begun[-1]}"
        shutil.rmtree(place.home)


@pytest.mark.parametrize("story", ACTS, indirect=True)
def test_on_a_full_disk_nothing_is_half_done(story: Story, disk: Disk) -> None:
    """It is full before every fourth of the writes; once there is room the end is the same."""
    for number in count(0, 4):
        place = story.again(disk.root / str(number))
        begun = failed(story, place, number, disk.fill)
        disk.empty()
        if len(begun) <= number:
            break
        story.act(place)
        assert place.state() == story.end, f"no room before write {number}: {begun[-1]}"
        assert not list(place.home.rglob(".*.tmp"))
        shutil.rmtree(place.home)
