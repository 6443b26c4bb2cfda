"""Who serves a task now: the version with the alias `champion`, and its bundle on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from flows.night import Night
from registry.store import Version
from tasks.calibrate import Certificate, load_certificate


@dataclass(frozen=True, slots=True)
class Champion:
    """The version of a task that serves now."""

    version: Version
    bundle: Path

    @property
    def certificate(self) -> Certificate | None:
        """What it is certified for."""
        proven = load_certificate(self.bundle / "certificate.json")
        return proven if isinstance(proven, Certificate) else None


def champion(night: Night, task: str) -> Champion | None:
    """The version that serves the task now, and its bundle on this machine."""
    store = night.store
    number = store.champion(task)
    if number is None:
        return None
    version = store.version(task, number)
    return Champion(version, store.fetch(version, night.home / "adapters" / version.bundle))


def enough(night: Night, serving: Champion | None) -> bool:
    """Whether a champion is certified for so many of the calls that nothing is trained beside it.

    What it does on later calls is the audit's business.
    """
    proven = serving.certificate if serving else None
    return proven is not None and proven.coverage >= night.params.train.enough
