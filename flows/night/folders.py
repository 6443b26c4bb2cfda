"""One night: its home, its day and its params, and the folders that its hops write into.

`home/nights/<day>/<hop>` holds what a hop made that night; a hop that is complete there is not run
again, so a night that died is started anew and ends the same.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from filelock import FileLock, Timeout

from registry.store import Store
from tasks.core import stage
from tasks.core.params import Params, load
from tasks.core.task import Task
from tasks.core.task import load as load_tasks
from tasks.deidentify.deidentify import load_key


@dataclass(frozen=True, slots=True)
class Night:
    """A home folder, the day (`YYYY-MM-DD`) whose calls this night learns from, and the params."""

    home: Path
    day: str
    params: Params

    @property
    def store(self) -> Store:
        """The model registry: `$MLFLOW_TRACKING_URI`, or SQLite in the home folder."""
        return registry_of(self.home)

    def out(self, hop: str, *parts: str) -> Path:
        """Return where a hop of this night writes.

        For all tasks, for one, or for one student of it.
        """
        return self.home.joinpath("nights", self.day, hop, *parts)

    def earlier(self, hop: str) -> list[Path]:
        """The complete outputs of the same hop in earlier nights, oldest first."""
        nights = sorted(p for p in (self.home / "nights").glob("*") if p.name < self.day)
        return [night / hop for night in nights if stage.counts(night / hop)]

    def latest(self, hop: str) -> Path | None:
        """The newest complete output of the same hop in earlier nights."""
        return next(reversed(self.earlier(hop)), None)

    def clean(self) -> list[Path]:
        """The de-identified calls of this night and of earlier ones within the window."""
        folders = [*self.earlier("deidentify"), self.out("deidentify")]
        return [f / "calls.parquet" for f in folders[-self.params.cluster.window_nights :]]


def open_night(home: str | Path, day: str) -> Night:
    """The night of a day (empty: of none yet), with the params in force. Raises Refused."""
    try:
        if day:
            date.fromisoformat(day)
    except ValueError:
        raise stage.Refused(f"{day!r} is no day; one is written 2026-03-02") from None
    return Night(Path(home).resolve(), day, load())


@contextmanager
def alone(night: Night, *, wait: bool = False) -> Iterator[None]:
    """One night of a home at a time: two would write into the same folders.

    `wait` for the other one, or raise Refused. The lock ends with the process that holds it.
    """
    stage.private(night.home)
    try:
        held = FileLock(night.home / ".night.lock").acquire(timeout=-1 if wait else 0)
    except Timeout:
        raise stage.Refused(f"another night is running on {night.home}") from None
    with held:
        yield


def registry_of(home: Path) -> Store:
    """The registry that a home folder uses; what it registers is signed with the home's key."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{home / 'mlflow.db'}"
    return Store(uri, load_key(home))


def ended(day: str) -> float:
    """The end of a UTC day, in seconds since 1970."""
    return (datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(days=1)).timestamp()


def found(night: Night) -> list[Task]:
    """Tonight's tasks, the largest first."""
    return sorted(load_tasks(night.out("cluster") / "tasks.json"), key=lambda t: -t.size)
