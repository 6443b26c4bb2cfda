"""A home with a registry of made-up students, and a pool to follow it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import msgspec
import students

from flows.night import pool_update
from flows.night.folders import registry_of
from registry import ledger
from serving.reconcile import routes
from tasks.core.stage import write_atomic

TASK = "route-1"


class FakePool:
    """A server whose adapters all give the canary's answer."""

    def __init__(self) -> None:
        self.models: list[str] = []
        self.before: Callable[[str], None] = lambda _: None  # it answers this path

    def answer(self, request: httpx.Request) -> httpx.Response:
        """What vLLM answers."""
        body: Any = msgspec.json.decode(request.content) if request.content else {}
        self.before(request.url.path)
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
