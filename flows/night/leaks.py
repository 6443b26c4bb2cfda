"""No original may leave: datasets, answers, reports and logs are searched for what was replaced."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from flows.night.hops import Night, found
from tasks.core import stage
from tasks.core.task import Task
from tasks.deidentify.hop import load_key
from tasks.deidentify.leak_check import Originals, leaks


def originals(night: Night) -> Originals:
    """Fingerprints of all that was replaced tonight and in the nights that tonight learns from."""
    key = load_key(night.home)
    folders = [path.parent for path in night.clean()]
    return Originals(key, set().union(*(Originals.load(f, key).prints for f in folders)))


def count(night: Night, paths: Iterable[Path]) -> int:
    """How many originals stand in files and folders; never which."""
    return sum(leak.count for leak in leaks(paths, originals(night)))


def datasets(night: Night) -> dict[str, int]:
    """The tasks whose datasets hold originals, and how many; no student may learn from those."""
    path = night.out("leaks.json")
    if not path.exists():
        folders = {task.parent for task in night.out("dataset").glob("*/task.json")}
        counts = {folder.name: count(night, [folder]) for folder in sorted(folders)}
        body = msgspec.json.encode({task: n for task, n in counts.items() if n})
        stage.write_atomic(path, body)
    return msgspec.json.decode(path.read_bytes(), type=dict[str, int])


def clean(night: Night) -> list[Task]:
    """The tasks that have a clean dataset."""
    made = [t for t in found(night) if night.out("dataset", t.id, "train.parquet").exists()]
    return [task for task in made if task.id not in datasets(night)]


def logs(night: Night) -> None:
    """Raise Refused when an original stands in a log, a report or a reply to a canary."""
    places = [night.home / "logs", *night.home.glob("*.html")]
    if leaked := count(night, places):
        raise stage.Refused(
            f"{leaked} values that de-identification replaced stand in {night.home / 'logs'} or in "
            "a report: remove those files, then look for what wrote them"
        )
