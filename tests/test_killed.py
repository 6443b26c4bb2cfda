"""Killed before each of its writes and begun again, everything ends as if nothing had happened.

Writes are renames, lines of the ledger, orders to the pool, and every change in MLflow.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import students
from mlflow.tracking import MlflowClient
from sqlalchemy import Engine, event
from upstream import upstream

from flows.night import alerts, pool_update, revocation, shadow_promotion
from flows.night.folders import registry_of
from flows.night.shadow_plan import PLAN
from registry import hash_chain, ledger, plots
from registry.gate import Verdict
from serving.pool import Pool
from serving.reconcile import routes
from serving.shadow import FOLDER
from tasks.calibrate.shadow_proof import ShadowAnswer, ShadowPlan
from tasks.core.certificate import Refusal
from tasks.core.stage import write_atomic

pytestmark = pytest.mark.flow
TASK = "route-1"
CHANGES = ("set_", "delete_", "create_", "update_", "log_", "finalize_")


class Killed(BaseException):
    """What nobody catches."""


@contextmanager
def killed(number: int) -> Iterator[list[str]]:
    """Raise Killed before write `number`, counted from 0; the writes that were begun."""
    begun: list[str] = []

    def counted(name: str, write: Callable[..., Any]) -> Callable[..., Any]:
        def instead(*args: Any, **more: Any) -> Any:
            if len(begun) > number:
                raise Killed  # the dead do not write
            begun.append(name)
            if len(begun) > number:
                raise Killed
            return write(*args, **more)

        return instead

    client = [name for name in dir(MlflowClient) if name.startswith(CHANGES)]
    places = [
        (os, "replace"),
        (os, "rename"),
        (hash_chain, "append"),
        (Pool, "load"),
        (Pool, "unload"),
    ]
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in (*places, *((MlflowClient, name) for name in client)):
            patch.setattr(owner, name, counted(name, getattr(owner, name)))
        yield begun


class FakePool:
    """A server whose adapters all give the canary's answer."""

    def __init__(self) -> None:
        self.models: list[str] = []

    def answer(self, request: httpx.Request) -> httpx.Response:
        """What vLLM answers."""
        body: Any = msgspec.json.decode(request.content) if request.content else {}
        if request.url.path.endswith("/models"):
            data = [{"id": name, "parent": "nano"} for name in self.models]
            return httpx.Response(200, json={"data": data})
        if request.url.path.endswith("/load_lora_adapter"):
            self.models = sorted({*self.models, body["lora_name"]})
            return httpx.Response(200, text="Success")
        if request.url.path.endswith("/unload_lora_adapter"):
            self.models.remove(body["lora_name"])
            return httpx.Response(200, text="Success")
        choice = {
            "message": {"role": "assistant", "content": students.LABELS[1]},
            "finish_reason": "stop",
            "logprobs": {"content": [{"token": "x", "logprob": -0.01}]},
        }
        return httpx.Response(200, json={"model": body["model"], "choices": [choice]})


@dataclass(frozen=True)
class State:
    """All that people and callers see of a home."""

    aliases: dict[str, dict[str, int]]
    versions: list[int]
    moves: list[tuple[str, str, int | None, int | None]]
    served: list[tuple[str, int, float, int | None]]
    loaded: list[str]


class Place:
    """A home with a registry, and a pool of its own."""

    pool = FakePool()

    def __init__(self, home: Path) -> None:
        self.home, self.store = home, registry_of(home)

    def copy(self, to: Path) -> Place:
        """A copy that may be damaged."""
        shutil.copytree(self.home, to)
        return Place(to)

    def state(self) -> State:
        """Return what is to be the same."""
        ledger.verify(self.home)
        found = [
            (r["task"]["id"], r["version"], r["share"], (r["former"] or {}).get("version"))
            for r in routes(self.home)
        ]
        moves = [(e.task, e.who, e.before, e.after) for e in ledger.entries(self.home)]
        numbers = [version.number for version in self.store.versions(TASK)]
        return State(self.store.aliases(), numbers, moves, found, self.pool.models)

    def register(self, n: int) -> None:
        """Register one student again, with another proof."""
        shutil.rmtree(self.home / "made", ignore_errors=True)
        folder, made, lineage = students.bundle(self.home / "made", subject=students.task(TASK))
        proof = students.certificate(made, task=TASK, n=n)
        write_atomic(folder / "certificate.json", msgspec.json.encode(proof))
        card = students.scorecard(made, task=TASK)
        task, passed = students.task(TASK), students.PASSED
        self.store.register(task, folder, card, proof, passed, lineage)

    def promote(self, number: int) -> None:
        """What a night does at its end."""
        now = self.store.champion(TASK)
        reason, at = "It won.", 1e9
        ledger.promote(self.home, self.store, TASK, number, expected=now, reason=reason, now=at)
        pool_update.promote(self.home)

    def journal(self, version: int, agrees: bool, count: int) -> None:
        """Audited answers of a version."""
        adapter = next(r for r in routes(self.home) if r["version"] == version)["adapter"]
        file = self.home / "journal" / "2026-03-15.jsonl"
        file.parent.mkdir(exist_ok=True)
        with file.open("ab") as lines:
            for n in range(count):
                line = {
                    "id": f"v{version}-{agrees}-{n}",
                    "at": 1.7736e9 + n,
                    "task": TASK,
                    "conversation": f"v{version}-{agrees}-{n}",
                    "request": {"messages": []},
                    "answered_by": adapter,
                    "student": {"adapter": adapter, "version": version, "since": 0.0},
                    "audit": {"agrees": agrees},
                }
                lines.write(msgspec.json.encode(line) + b"\n")


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
    pool_update.promote(place.home)


def registration(place: Place) -> None:
    """A third version is registered."""
    place.register(320)


def with_shadow(place: Place) -> None:
    """Put a proven student into shadow, in the place of the champion."""
    place.store.set_champion(TASK, None)
    subject, refused = students.task(TASK), Refusal(refused="It only lacks proof.", attempt=2)
    folder, made, lineage = students.bundle(place.home / "shadow", seed=3, subject=subject)
    plan = ShadowPlan(
        task=TASK,
        adapter_digest=made,
        alpha=0.05,
        delta=0.1,
        attempt=2,
        thresholds=(-0.5,),
        loaded=100.0,
    )
    write_atomic(folder / PLAN, msgspec.json.encode(plan))
    write_atomic(folder / "certificate.json", msgspec.json.encode(refused))
    card, no = students.scorecard(made, task=TASK), Verdict(False, "It only lacks proof.")
    version = place.store.register(subject, folder, card, None, no, lineage)
    place.store.set_shadow(TASK, version.number)
    call = ShadowAnswer(call="c", at=101.0, conversation="c", score=-0.1, agrees=True)
    calls = [replace(call, call=f"c{n}", at=101.0 + n, conversation=f"c{n}") for n in range(200)]
    file = place.home / FOLDER / f"{TASK}-v{version.number}" / "2026-03-15.jsonl"
    write_atomic(file, b"".join(msgspec.json.encode(call) + b"\n" for call in calls))


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


@pytest.mark.parametrize("act", [promotion, rollout, revoked, shadow, registration])
def test_whoever_is_killed_begins_again(
    first: Place, tmp_path: Path, act: Callable[[Place], None]
) -> None:
    """Before any of its writes; the second time it comes to the same end."""
    Place.pool.models = [r["adapter"] for r in routes(first.home)]
    begin = first.copy(tmp_path / "begin")
    prepared(begin, act)
    models = Place.pool.models
    whole = begin.copy(tmp_path / "whole")
    act(whole)
    expected = whole.state()
    assert expected != begin.state()
    writes = 0
    while True:
        Place.pool.models = list(models)
        place = begin.copy(tmp_path / str(writes))
        try:
            with killed(writes) as begun:
                act(place)
        except Killed:
            act(place)
            assert place.state() == expected, f"killed before write {writes}: {begun[-1]}"
            writes += 1
            shutil.rmtree(place.home)
            continue
        break
    print(f"{act.__name__}: killed before each of {writes} writes")
    assert writes >= 2
