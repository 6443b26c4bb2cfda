"""The version of a task that serves now: what it is certified for, and whether to go on from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from flows.night import Night
from registry import bundle
from tasks.adapters import Kind, kind_of
from tasks.calibrate import Certificate, load_certificate
from tasks.dataset import rows
from tasks.splits import SPLITS


@dataclass(frozen=True, slots=True)
class Champion:
    """The version of a task that serves now."""

    number: int
    bundle: Path


def champion(night: Night, task: str) -> Champion | None:
    """The version that serves the task now, and its bundle on this machine."""
    store = night.store
    number = store.champion(task)
    if number is None:
        return None
    version = store.version(task, number)
    return Champion(number, store.fetch(version, night.home / "adapters" / version.adapter))


def proven(serving: Champion | None) -> Certificate | None:
    """The certificate of a champion, if there are both."""
    found = load_certificate(serving.bundle / "certificate.json") if serving else ""
    return found if isinstance(found, Certificate) else None


def origin(night: Night, task: str, rung: Kind, serving: Champion | None) -> Path | None:
    """The champion's adapter, to go on from; None for the encoder's.

    None as well when an earlier night may have learned a row that tonight measures with: a row
    that the curation leaves out for a night can come back in another split.
    """
    if serving is None or "encoder" in (rung, kind_of(serving.bundle / "adapter")):
        return None
    made = list(night.home.glob(f"nights/*/dataset/{task}/train.parquet"))
    nights = {path.parents[2].name for path in made}
    if (bundle.read(serving.bundle, "lineage") or {}).get("night") not in nights:
        return None
    learned = {row.id for path in made for row in rows(path)}
    held = (night.out("dataset", task, f"{split}.parquet") for split in SPLITS if split != "train")
    unseen = all(row.id not in learned for path in held for row in rows(path))
    return serving.bundle / "adapter" if unseen else None
