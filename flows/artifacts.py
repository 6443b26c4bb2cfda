"""The Prefect UI's artifacts beside a run: tables and notes that a person can read."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from flows.night.folders import Night, found
from flows.night.hops import damage, injected
from flows.night.outcome import Outcome
from tasks.core import stage
from tasks.report import drift
from tasks.train.loop import Progress

PAUSE = 2.0  # seconds between two looks at a training


def revoked(sentences: Sequence[str]) -> None:
    """Show what the watch took out of service, and why."""
    create_markdown_artifact(
        "\n\n".join(sentences), key="revoked", description="What the watch saw and did"
    )


def hops(night: Night) -> None:
    """Show what each hop kept and dropped, with the reasons."""
    done = [counts for hop in stage.HOPS if (counts := stage.counts(night.out(hop)))]
    create_table_artifact(
        [
            {
                "hop": c.hop,
                "in": c.read,
                "kept": c.kept,
                "dropped": ", ".join(f"{reason} {n}" for reason, n in c.dropped.items()),
            }
            for c in done
        ],
        key="hops",
        description=f"Night of {night.day}: what each hop kept and dropped",
    )
    docs = night.out("validate", "data_docs", "index.html")
    create_link_artifact(docs.as_uri(), "Data Docs", key="data-docs", description="Validation")
    create_table_artifact(
        [
            {"type": kind, **{name: f"{value:.3g}" for name, value in seen.items()}}
            for kind, seen in injected(night).items()
        ],
        key="personal-data",
        description=f"Night of {night.day}: injected personal data, found again",
    )
    create_table_artifact(
        [{"what": name, "number": f"{value:.4g}"} for name, value in damage(night).items()],
        key="damage",
        description=f"Night of {night.day}: words and labels changed that are nobody's",
    )
    create_table_artifact(
        [
            {"task": t.id, "name": t.name, "category": t.category, "calls": t.size}
            for t in found(night)
        ],
        key="tasks",
        description=f"Night of {night.day}: the tasks found",
    )


@contextmanager
def training(task: str, rung: str) -> Iterator[Progress]:
    """A bar that follows a training: its step, its loss, and how long it will take at most."""
    key = f"training-{task}-{rung}"
    place = create_progress_artifact(0.0, key=key, description=f"{task}, {rung}: starting")
    assert isinstance(place, UUID)  # a coroutine only where there is an event loop
    began = last = time.monotonic()
    latest = ""

    def told(step: int, steps: int, loss: float) -> None:
        nonlocal last, latest
        now = time.monotonic()
        left = (now - began) / step * (steps - step)
        latest = f"{task}, {rung}: step {step} of at most {steps}, loss {loss:.3f}"
        if now - last >= PAUSE:
            last = now
            text = f"{latest}, {left:.0f} s left at most"
            update_progress_artifact(place, 100 * step / steps, description=text)

    yield told
    update_progress_artifact(place, 100.0, description=f"{latest or f'{task}, {rung}'}, done")


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _became(outcome: Outcome) -> str:
    if outcome.promoted:
        return f"version {outcome.version} serves"
    prefix = f"version {outcome.version} is not promoted; " if outcome.version else ""
    if outcome.champion is None:
        return f"{prefix}it stays with the teacher"
    return f"{prefix}version {outcome.champion} goes on serving"


def student(outcome: Outcome) -> None:
    """Show what became of one student."""
    create_markdown_artifact(
        f"**{outcome.task}**: {_became(outcome)}\n\n"
        f"{outcome.reason}\n\n"
        f"agreement {_share(outcome.agreement)}, coverage {outcome.coverage:.1%}",
        key="student-" + "".join(c if c.isalnum() else "-" for c in outcome.task.lower()),
        description=outcome.reason,
    )


def drifted(night: Night) -> None:
    """Show how the day's calls differ from what their students learned from."""
    file = drift.read(night.out(drift.FILE).parent)
    rows = [(one, one in file.odd) for one in file.found] if file else []
    create_table_artifact(
        [
            {
                "task": one.task,
                "what": one.what,
                "distance": f"{one.distance:.2f}",
                "p": f"{one.p:.1g}",
                "calls": one.n,
                "compared with": one.before,
                "warning": "changed" if odd else "",
            }
            for one, odd in sorted(rows, key=lambda row: -row[0].distance)
        ],
        key="drift",
        description=f"Night of {night.day}: its calls beside what the students learned from",
    )


def students(night: Night, outcomes: Sequence[Outcome]) -> None:
    """Show what became of every task that night."""
    drifted(night)
    create_table_artifact(
        [
            {
                "task": o.task,
                "version": o.version or "",
                "serves": f"version {o.champion}" if o.champion else "teacher",
                "agreement": _share(o.agreement),
                "kind": o.rung,
                "coverage": f"{o.coverage:.1%}",
                "why": o.reason,
            }
            for o in outcomes
        ],
        key="students",
        description=f"Night of {night.day}: students",
    )
