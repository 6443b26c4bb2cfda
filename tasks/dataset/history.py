"""The history of a task's rows in earlier nights: a row that was learned never becomes a test row.

A task without a dataset tonight keeps its earlier splits under `held/<task id>`, so that its test
set is still the same when it comes back.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tasks.core.rows import Row, rows
from tasks.dataset.splits import SPLITS, Split

HELD = "held"
HOMES = "homes.json"  # the split of each row that was given one, curated away since or not


@dataclass(frozen=True, slots=True)
class Past:
    """The split that each row was in, by its id, and the test rows."""

    home: Mapping[str, Split]
    test: tuple[Row, ...] = ()


def recall(previous: Path | None, task: str, since: float = 0.0) -> Past:
    """The past of one task; empty for a new one. Rows from before `since` are no test rows now."""
    folder = next((f for f in _folders(previous, task) if (f / "test.parquet").exists()), None)
    if folder is None:
        return Past({})
    parts = {split: rows(folder / f"{split}.parquet") for split in SPLITS}
    home: dict[str, Split] = {row.id: split for split in SPLITS for row in parts[split]}
    if (folder / HOMES).exists():
        home |= msgspec.json.decode((folder / HOMES).read_bytes(), type=dict[str, Split])
    return Past(home, tuple(row for row in parts["test"] if row.at >= since))


def hold(previous: Path | None, out: Path) -> None:
    """Keep the splits of last night's tasks that have no dataset in `out` tonight."""
    if previous is None:
        return
    for file in sorted(previous.glob("**/test.parquet")):
        task = file.parent.name
        if not (out / task).exists():
            (out / HELD / task).mkdir(parents=True)
            kept = (file.with_name(name) for name in (*(f"{s}.parquet" for s in SPLITS), HOMES))
            for path in kept:
                if path.exists():
                    shutil.copyfile(path, out / HELD / task / path.name)


def _folders(previous: Path | None, task: str) -> list[Path]:
    return [previous / task, previous / HELD / task] if previous else []
