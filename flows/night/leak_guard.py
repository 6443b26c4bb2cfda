"""No original may leave: datasets, answers, reports and logs are searched for what was replaced."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from flows.night.folders import Night, found
from tasks.core import stage
from tasks.core.task import Task
from tasks.dataset.dataset import COLLECTING
from tasks.deidentify.deidentify import load_key
from tasks.deidentify.leak_check import Originals, leaks


def replaced(night: Night) -> Originals:
    """Fingerprints of all that was replaced in the nights that tonight learns from."""
    folders = [path.parent for path in night.clean()]
    return Originals.load(folders, load_key(night.home))


def originals(night: Night) -> Originals:
    """Fingerprints of all that was replaced tonight and in the nights that tonight learns from."""
    values = replaced(night)
    values.excuse(night.out("dataset"))
    return values


def count(night: Night, paths: Iterable[Path]) -> int:
    """Return how many originals stand in files and folders; never which."""
    return sum(leak.count for leak in leaks(paths, originals(night)))


def datasets(night: Night) -> dict[str, int]:
    """The tasks whose datasets hold originals, and how many; no student may learn from those.

    Rows were cleaned of them when the datasets were made: this looks at what was written.
    """
    path = night.out("leaks.json")
    if not path.exists():
        values = originals(night)
        folders = {task.parent for task in night.out("dataset").glob("*/task.json")}
        counts = {f.name: sum(leak.count for leak in leaks([f], values)) for f in sorted(folders)}
        body = msgspec.json.encode({task: n for task, n in counts.items() if n})
        stage.write_atomic(path, body)
    return msgspec.json.decode(path.read_bytes(), type=dict[str, int])


def clean(night: Night) -> list[Task]:
    """The tasks that have a clean dataset."""
    ready = [t for t in found(night) if night.out("dataset", t.id, "train.parquet").exists()]
    return [task for task in ready if task.id not in datasets(night)]


def left_out(night: Night) -> list[str]:
    """The tasks that nothing is trained for tonight, a sentence each: why, or what is missing."""
    by_task = (stage.manifest(night.out("dataset")) or {}).get("tasks", {})
    least, sentences = night.params.dataset.min_rows, list[str]()
    for task, told in by_task.items():
        if told.get("refused") == COLLECTING:
            sentences.append(f"{task}: collecting, {told['rows']} of {least} rows")
        elif "refused" in told:
            sentences.append(f"{task}: {told['refused']}")
    held = datasets(night).items()
    return sentences + [f"{task}: {n} replaced values stand in its dataset" for task, n in held]


def logs(night: Night) -> None:
    """Raise Refused when an original stands in a log or a report."""
    places = [night.home / "logs", *night.home.glob("*.html")]
    if leaking := leaks(places, originals(night)):
        named = ", ".join(f"{leak.path.relative_to(night.home)} ({leak.count})" for leak in leaking)
        raise stage.Refused(
            f"values that de-identification replaced stand in {named}: remove those files, then "
            "look for what wrote them"
        )
