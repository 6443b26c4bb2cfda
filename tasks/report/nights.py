"""What each night left in its folder, for the report: counts of the hops, and the tasks found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from tasks.core import stage
from tasks.core.records import Counts

_OUTCOME = frozenset({"version", "passed", "reason", "agreement", "coverage"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One task as a night left it: who answers it from now on, how well, or why nobody does."""

    id: str
    name: str
    category: str
    calls: int
    version: int | None = None
    passed: bool = False
    agreement: float | None = None
    coverage: float = 0.0
    reason: str = ""
    certificate: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """One night: what each hop kept and dropped, and the tasks, the largest first."""

    day: str
    hops: Sequence[Counts]
    tasks: Sequence[Found]


def _json(path: Path) -> Any:
    return msgspec.json.decode(path.read_bytes()) if path.exists() else None


def sentence(certificate: Mapping[str, Any] | None) -> str:
    """What a certificate, or the refusal of one, says in words; empty without either."""
    if not certificate:
        return ""
    if "refused" in certificate:
        return f"No certificate: {certificate['refused']}."
    return (
        f"With {1 - certificate['delta']:.0%} confidence at most {certificate['alpha']:.0%} of the "
        f"answers that it serves differ from the teacher's: in the proof {certificate['wrong']} of "
        f"{certificate['accepted']:,} did. It serves {certificate['coverage']:.0%} of the calls."
    )


def _proof(folder: Path, task: str, outcomes: Mapping[str, Any]) -> Path:
    """The certificate of the student that a task's night ended with."""
    rung = str(outcomes.get(task, {}).get("rung", ""))
    return folder / "calibrate" / task / rung / "certificate.json"


def _night(folder: Path) -> Night:
    manifests = [_json(folder / hop / "manifest.json") for hop in stage.HOPS]
    outcomes = {o["task"]: o for o in _json(folder / "judge.json") or ()}
    tasks = [
        Found(
            id=task["id"],
            name=task["name"],
            category=task["category"],
            calls=task["size"],
            certificate=sentence(_json(_proof(folder, task["id"], outcomes))),
            **{k: v for k, v in outcomes.get(task["id"], {}).items() if k in _OUTCOME},
        )
        for task in _json(folder / "cluster" / "tasks.json") or ()
    ]
    return Night(
        day=folder.name,
        hops=[msgspec.convert(m["counts"], Counts) for m in manifests if m],
        tasks=sorted(tasks, key=lambda task: -task.calls),
    )


def nights(home: Path) -> list[Night]:
    """The nights of a home folder, oldest first."""
    return [_night(folder) for folder in sorted((home / "nights").glob("*")) if folder.is_dir()]
