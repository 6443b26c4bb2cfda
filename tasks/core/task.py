"""A task: calls that ask for the same kind of work. Its id stays from night to night.

`tasks.json` holds a list of them: `load(folder / "tasks.json")`; `task.json` beside a dataset or in
a bundle holds one: `load_one(path)`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from tasks.core.contract import Contract
from tasks.core.stage import Refused, write_atomic
from tasks.core.template import Template

T = TypeVar("T")

Category = Literal[
    "classification",
    "extraction",
    "tool calling",
    "structured generation",
    "summarisation",
    "code",
    "open-ended",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One task, as tonight's calls show it.

    `family` names the program that calls; `share` is the part of tonight's calls, `growth` the
    change of that share since the night before (None when new), `tokens` what it used tonight.
    `examples` are the call ids nearest its centre, `edges` those farthest from it; `fitness` says
    how repetitive, constrained and risky it is (0..1 each); `events` what happened to it tonight.
    """

    id: str
    name: str
    description: str
    category: Category
    family: str
    template: Template
    contract: Contract
    size: int
    share: float
    growth: float | None = None
    tokens: int = 0
    examples: tuple[str, ...] = ()
    edges: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
    fitness: Mapping[str, float] = field(default_factory=dict)
    events: tuple[str, ...] = ()


def load(path: Path) -> list[Task]:
    """Read tasks.json (a file, or the folder that holds it). Raises Refused."""
    return _decode(path / "tasks.json" if path.is_dir() else path, list[Task])


def load_one(path: Path) -> Task:
    """Read one task.json (a file, or the folder that holds it). Raises Refused."""
    return _decode(path / "task.json" if path.is_dir() else path, Task)


def save(path: Path, value: Task | Sequence[Task]) -> None:
    """Write one task or a list of tasks as readable JSON."""
    write_atomic(path, msgspec.json.format(msgspec.json.encode(value), indent=2))


def _decode(path: Path, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        raise Refused(f"no tasks at {path}") from None
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise Refused(f"{path}: {error}") from None
