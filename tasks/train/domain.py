"""A domain: tasks of one program whose calls one causal student learns together.

Students read payloads only, and two tasks' payloads may look alike: the student of a domain reads a
tag first, which names the task. `gather` writes dataset folders in which the rows and the template
have it, so that training, measuring and serving need to know nothing of domains.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from itertools import chain, zip_longest
from pathlib import Path

import msgspec

from tasks.core.contract import Contract
from tasks.core.params import Dataset, Train
from tasks.core.rows import Row, retagged, rows, some, write_rows
from tasks.core.stage import Refused
from tasks.core.task import Task, load_one, save
from tasks.core.template import Template
from tasks.dataset.dataset import near_duplicates
from tasks.dataset.splits import SPLITS, Groups, Split

Parts = dict[Split, list[Row]]
ROWS = "rows"  # beside a domain's student, what it learns and is asked


def group(tasks: Iterable[Task], named: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The domains of at least two tasks: their names, and the ids of their tasks.

    `named` are domains by patterns of task ids; other tasks are grouped by their family. Raises
    Refused when a name cannot be that of a folder.
    """
    for name in named:
        if not re.fullmatch(r"[\w.-]+", name):
            raise Refused(
                f"train.domains: {name!r} has other characters than letters, digits, . _ -"
            )
    members: dict[str, list[str]] = {}
    for task in tasks:
        fits = (n for n, some in named.items() if any(fnmatchcase(task.id, p) for p in some))
        rest = f"{task.family}-others" if task.family in named else task.family
        members.setdefault(f"domain-{next(fits, rest)}", []).append(task.id)
    return {name: sorted(ids) for name, ids in members.items() if len(ids) > 1}


def tag(task: str) -> str:
    """Return what the student of a domain reads before a payload of this task."""
    return f"[{task}] "


def budget(params: Train, tasks: int) -> Train:
    """The params of a domain's training: each task brings its tokens and its validation rows."""
    return msgspec.structs.replace(
        params, tokens=tasks * params.tokens, validation_rows=tasks * params.validation_rows
    )


def students(dataset: Path, trained: Path) -> Iterator[tuple[Path, Path, str, str]]:
    """The students in a folder: the rows each is asked, where it is, its task and its rung.

    A domain's is there once, with the rows that `gather` wrote beside it, and has a turn for each
    of its tasks.
    """
    for file in sorted(trained.glob("*/*/training.json")):
        folder, shared = file.parent, file.parent.with_name(ROWS)
        name, rung = folder.parts[-2:]
        if not shared.exists():
            yield dataset / name, folder, name, rung
        for task in sorted(shared.glob("*/task.json")):
            yield task.parent, folder, task.parent.name, "domain"


def gather(
    dataset: Path,
    name: str,
    tasks: Sequence[str],
    out: Path,
    params: Dataset,
    checked: int,
) -> None:
    """Write `out`, the domain's own dataset folder, and `out`/task, a tagged one for each task.

    Training and validation rows that are like another task's held-out rows, or of the same
    conversation, are left out of the domain's. Each task has at most `checked` validation rows.
    """
    loaded = {id: load_one(dataset / id) for id in tasks}
    parts = {id: {s: rows(dataset / id / f"{s}.parquet") for s in SPLITS} for id in tasks}
    seen = _held_out(list(parts.values()), params)
    learned: dict[Split, list[list[Row]]] = {"train": [], "validation": []}
    for id, task in loaded.items():
        marked = replace(task, template=replace(task.template, tag=tag(id)))
        save(out / id / "task.json", marked)
        for split in SPLITS:
            tagged = retagged(parts[id][split], "", tag(id))
            write_rows(out / id / f"{split}.parquet", tagged)
            if split in learned:
                left = [row for row in tagged if row.id not in seen]
                learned[split].append(some(left, checked) if split == "validation" else left)
    for split, shares in learned.items():
        turns = chain.from_iterable(zip_longest(*shares))
        write_rows(out / f"{split}.parquet", [row for row in turns if row is not None])
    save(out / "task.json", _whole(name, list(loaded.values())))


def _whole(name: str, tasks: Sequence[Task]) -> Task:
    """The domain as a task to train: any text is its answer."""
    return Task(
        id=name,
        name=name,
        description=f"The tasks {', '.join(task.id for task in tasks)}",
        category="structured generation",
        family=tasks[0].family,
        template=Template(),
        contract=Contract(kind="text"),
        size=sum(task.size for task in tasks),
        share=sum(task.share for task in tasks),
    )


def _held_out(parts: Sequence[Parts], params: Dataset) -> set[str]:
    """The ids of all rows that are like, or of one conversation with, a held-out row."""
    every = [(row, split) for part in parts for split in SPLITS for row in part[split]]
    groups = Groups(len(every))
    for a, b in near_duplicates([row.prompt for row, _ in every], params.similar, params.seed):
        groups.join(a, b)
    groups.join_equal(row.opening or "" for row, _ in every)
    held = ("calibration", "test")
    kept = {groups.find(place) for place, (_, split) in enumerate(every) if split in held}
    return {row.id for place, (row, _) in enumerate(every) if groups.find(place) in kept}
