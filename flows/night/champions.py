"""Who serves a task now: the version with the alias `champion`, and what is made of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from flows.night.hops import Night
from registry import bundle
from registry.choice import Rung
from registry.store import Version
from registry.version import TASK
from tasks.calibrate.hop import Certificate, load_certificate
from tasks.dataset.hop import rows
from tasks.dataset.splits import SPLITS
from tasks.students.adapters import kind_of, stale


@dataclass(frozen=True, slots=True)
class Champion:
    """The version of a task that has the alias; a stale one is of a base that is not served now."""

    version: Version
    bundle: Path
    stale: bool = False

    @property
    def rival(self) -> Path | None:
        """The bundle that a new student has to beat."""
        return None if self.stale else self.bundle

    @property
    def certificate(self) -> Certificate | None:
        """What it is certified for; nothing where it cannot serve."""
        if self.stale:
            return None
        proven = load_certificate(self.bundle / "certificate.json")
        return proven if isinstance(proven, Certificate) else None


def champion(night: Night, task: str) -> Champion | None:
    """The version that is to serve the task now, and its bundle on this machine."""
    store = night.store
    number = store.champion(task)
    if number is None:
        return None
    version = store.version(task, number)
    folder = store.fetch(version, night.home / "adapters" / version.bundle)
    return Champion(version, folder, stale=stale(folder / "adapter", night.params.train.base))


def origin(night: Night, task: str, rung: Rung, serving: Champion | None) -> Path | None:
    """The champion's adapter, to go on from; None for the encoder's and a domain's.

    None as well when an earlier night may have learned a row that tonight measures with: a row
    that the curation leaves out for a night can come back in another split.
    """
    if serving is None or rung != "causal" or serving.version.scope != TASK:
        return None
    if kind_of(serving.bundle / "adapter") != rung:
        return None
    made = list(night.home.glob(f"nights/*/dataset/{task}/train.parquet"))
    nights = {path.parents[2].name for path in made}
    if (bundle.read(serving.bundle, "lineage") or {}).get("night") not in nights:
        return None
    learned = {row.id for path in made for row in rows(path)}
    held = (night.out("dataset", task, f"{split}.parquet") for split in SPLITS if split != "train")
    unseen = all(row.id not in learned for path in held for row in rows(path))
    return serving.bundle / "adapter" if unseen else None


def enough(night: Night, serving: Champion | None) -> bool:
    """Whether a champion is certified for so many of the calls that nothing is trained beside it.

    At the risk that is accepted now, or a lower one. What it does on later calls is the audit's
    business.
    """
    proven, asked = serving.certificate if serving else None, night.params.calibrate
    if proven is None or proven.alpha > asked.alpha or proven.delta > asked.delta:
        return False
    return proven.coverage >= night.params.train.enough
