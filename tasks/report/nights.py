"""Summaries of nights, from their folders: counts of the hops, and the tasks found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from tasks.core import stage
from tasks.core.certificate import Certificate, Refusal, read_proof
from tasks.core.records import Counts, Json

_OUTCOME = frozenset({"version", "passed", "reason", "agreement", "coverage", "champion"})


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSummary:
    """One task as a night left it: who answers it from now on, how well, or why nobody does.

    `client` says whose key sent most of its calls. `champion` is the version that answers;
    agreement and coverage are those of the night's student.
    """

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
    champion: int | None = None
    client: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NightSummary:
    """One night: what each hop kept and dropped, and the tasks, the largest first.

    It has not `ended` while it runs, or where it was broken off: nothing is said of its tasks then.
    `forgotten` says what was removed of older raw calls, in a sentence; empty where nothing was.
    `privacy` says what de-identification found and what it changed by mistake.
    """

    day: str
    hops: Sequence[Counts]
    tasks: Sequence[TaskSummary]
    ended: bool = True
    forgotten: str = ""
    privacy: str = ""


def _json(path: Path) -> Any:
    return msgspec.json.decode(path.read_bytes()) if path.exists() else None


def sentence(proof: Certificate | Refusal) -> str:
    """Return what a certificate, or the refusal of one, says in words."""
    if isinstance(proof, Refusal):
        return f"No certificate: {proof.refused}."
    of = "the task's calls get an answer" if proof.risk == "marginal" else "the served answers are"
    whom, together = "a task is", ""
    if shared := proof.joint:
        of = f"{of.replace('task', 'tasks')}, those of {shared.tasks} tasks together,"
        together = f" They were wrong in {shared.wrong:,} of {shared.accepted:,} answers."
        whom = "tasks together are"
    return (
        f"At most {100 * proof.alpha:g}% of {of} other than the teacher's.{together} In the proof "
        f"it would serve {proof.accepted:,} of {proof.n:,} calls on the task's template "
        f"({proof.coverage:.0%}), {proof.wrong} of them wrongly: {proof.selective:.1%} of those "
        f"served, {proof.marginal:.1%} of all. The chance that {whom} ever given a certificate "
        f"that promises too much is at most {100 * proof.delta:g}%, over all attempts; this "
        f"was attempt {proof.attempt}."
    )


def _proof(folder: Path, task: str, outcomes: Mapping[str, Any]) -> str:
    """The certificate's sentence on the student that a task's night ended with, if any."""
    rung = str(outcomes.get(task, {}).get("rung", ""))
    file = folder / "calibrate" / task / rung / "certificate.json"
    return sentence(read_proof(file)) if file.exists() else ""


def _outcome(outcome: Json) -> Json:
    """Return what became of a task; an earlier release did not write down who serves."""
    served = outcome.get("version") if outcome.get("passed") else None
    return {"champion": served, **outcome}


def _privacy(manifest: Json) -> str:
    """Recall of what was injected and damage, in a sentence each."""
    probe, harm = manifest.get("probe", {}).values(), manifest.get("damage")
    recalled, injected = (sum(seen[name] for seen in probe) for name in ("found", "injected"))
    sentence = (
        f"Of {injected:,} injected personal values {recalled:,} were found. " if injected else ""
    )
    if not harm:  # of a night before it was measured
        return sentence
    return sentence + (
        f"Of {harm['words']:,} words that were compared, {harm['changed']:,} changed that are "
        f"nobody's ({harm['share']:.2%}), and {harm['labels_changed']:,} of {harm['labels']:,} "
        "labels."
    )


def _night(folder: Path) -> NightSummary:
    manifests = [_json(folder / hop / "manifest.json") for hop in stage.HOPS]
    outcomes = {o["task"]: _outcome(o) for o in _json(folder / "judge.json") or ()}
    datasets = (manifests[stage.HOPS.index("dataset")] or {}).get("tasks", {})
    tasks = [
        TaskSummary(
            id=task["id"],
            name=task["name"],
            category=task["category"],
            calls=task["size"],
            certificate=_proof(folder, task["id"], outcomes),
            client=_client(datasets.get(task["id"], {})),
            **{k: v for k, v in outcomes.get(task["id"], {}).items() if k in _OUTCOME},
        )
        for task in _json(folder / "cluster" / "tasks.json") or ()
    ]
    return NightSummary(
        day=folder.name,
        hops=[msgspec.convert(m["counts"], Counts) for m in manifests if m],
        tasks=sorted(tasks, key=lambda task: -task.calls),
        ended=(folder / "judge.json").exists(),
        forgotten=_forgotten(_json(folder / "retention.json")),
        privacy=_privacy(_json(folder / "deidentify" / "manifest.json") or {}),
    )


def _client(told: Json) -> str:
    """Return who sent most of a task's calls, of several clients with keys of their own."""
    name, share = next(iter(told.get("clients", {}).items()), ("", 0.0))
    return f"{share:.0%} from {name}" if name else ""


def _forgotten(told: Mapping[str, Any] | None) -> str:
    if not told or not told["files"]:
        return ""
    size = f"{told['files']:,} files, {told['bytes'] / 1e6:,.1f} MB"
    return f"Raw calls from before {told['before']} were removed: {size}."


def nights(home: Path) -> list[NightSummary]:
    """The nights of a home folder, oldest first."""
    return [_night(folder) for folder in sorted((home / "nights").glob("*")) if folder.is_dir()]
