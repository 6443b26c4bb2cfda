"""The champion of a task: the version with the alias `champion`, its bundle and how it stands."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import msgspec

from flows import console
from flows.night.folders import Night, ended
from registry import bundle, gate, ledger, rulings
from registry.choice import Rung
from registry.store import Version
from registry.version import TASK
from tasks.calibrate.calibrate import HeldOut, held_out
from tasks.core.certificate import Certificate, load_certificate, read_proof
from tasks.core.rows import retagged, rows
from tasks.core.stage import Refused
from tasks.core.task import load_one
from tasks.dataset.splits import SPLITS
from tasks.evaluate.answers import answered
from tasks.evaluate.significance import wilson
from tasks.students.adapters import kind_of, stale

FEWEST = 30  # rows newer than its proof that say something about a champion


@dataclass(frozen=True, slots=True)
class Champion:
    """The version of a task that has the alias.

    A stale one cannot serve: it is of a base that is not served now, or its bundle is damaged.
    """

    version: Version
    bundle: Path
    stale: bool = False

    @property
    def rival(self) -> Path | None:
        """The bundle that a new student has to beat."""
        return None if self.stale else self.bundle

    @property
    def certificate(self) -> Certificate | None:
        """Return what it is certified for; nothing where it cannot serve."""
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
    folder = night.home / "adapters" / version.bundle
    return Champion(version, folder, stale=not usable(night, version, folder))


def usable(night: Night, version: Version, folder: Path) -> bool:
    """Return whether a version can serve: whole, proven, and of the base that is served now.

    Where it cannot, its task is learned anew, and a damaged bundle costs no other task's night.
    """
    try:
        night.store.fetch(version, folder)
        load_one(folder), bundle.scorecard(folder)
        if isinstance(load_certificate(folder / "certificate.json"), str):
            return False
        return not stale(folder / "adapter", night.params.train.base)
    except (Refused, OSError, TypeError, msgspec.MsgspecError) as error:
        console.say(f"{version.bundle} cannot serve: {error}")
        return False


def origin(night: Night, task: str, rung: Rung, serving: Champion | None) -> Path | None:
    """The champion's adapter, to resume from; None for the encoder's and a domain's.

    None as well when an earlier night may have learned a row that tonight measures with: a row
    that the curation leaves out for a night can come back in another split.
    """
    if serving is None or rung != "causal" or serving.version.scope != TASK or serving.stale:
        return None
    if kind_of(serving.bundle / "adapter") != rung:
        return None
    datasets = list(night.home.glob(f"nights/*/dataset/{task}/train.parquet"))
    nights = {path.parents[2].name for path in datasets}
    if (bundle.read(serving.bundle, "lineage") or {}).get("night") not in nights:
        return None
    learned = {row.id for path in datasets for row in rows(path)}
    held = (night.out("dataset", task, f"{split}.parquet") for split in SPLITS if split != "train")
    unseen = all(row.id not in learned for path in held for row in rows(path))
    return serving.bundle / "adapter" if unseen else None


def enough(night: Night, serving: Champion | None) -> bool:
    """Return whether a champion is certified for enough calls: then nothing is trained.

    At the risk that is accepted now, or a lower one, and as long as it is also seen on later calls.
    """
    proven, asked = serving.certificate if serving else None, night.params.calibrate
    if serving is None or proven is None or proven.delta > asked.delta:
        return False
    changed = rulings.changes(ledger.entries(night.home)).get(proven.task, 0.0)
    if changed and _made(serving) <= changed:
        return False
    accepted = asked.accepted(proven.task, load_one(serving.bundle).family)
    if proven.alpha > accepted or proven.coverage < night.params.train.enough:
        return False
    now = standing(night, serving)
    most = wilson(now.coverage, now.n)[1] if now else 1.0
    return most >= night.params.train.enough and not (now and now.breaks(proven))


def _made(serving: Champion) -> float:
    """The end of the day whose night made a champion."""
    night = (bundle.read(serving.bundle, "lineage") or {}).get("night")
    return ended(night) if night else 0.0


def standing(night: Night, serving: Champion) -> HeldOut | None:
    """Return what a champion does on tonight's held-out calls that are newer than its proof.

    None where there are too few, or it cannot be asked.
    """
    proven = serving.certificate
    if proven is None:
        return None
    own_task = load_one(serving.bundle)
    day = (bundle.read(serving.bundle, "lineage") or {}).get("night", "")
    files = [night.out("dataset", own_task.id, f"{s}.parquet") for s in ("calibration", "test")]
    if not day or not all(file.exists() for file in files):
        return None
    newer = [row for file in files for row in rows(file) if row.at >= ended(day)]
    if len(newer) < FEWEST:
        return None
    tag = load_one(files[0].parent).template.tag
    asked = retagged(newer, tag, own_task.template.tag)
    adapter, cache = serving.bundle / "adapter", night.home / "answers"
    return held_out(
        proven, answered(asked, own_task.contract, adapter, night.params.evaluate, cache=cache)
    )


def to_beat(night: Night, serving: Champion | None) -> float:
    """The share of the calls that a challenger has to be certified for; 0 where nobody serves."""
    if serving is None or serving.stale:
        return 0.0
    own_task, asked = load_one(serving.bundle), night.params.calibrate
    alpha = asked.accepted(own_task.id, own_task.family)
    return gate.to_beat(serving.certificate, standing(night, serving), alpha, asked.risk)


def attempts(night: Night, task: str, tonight: Collection[str] | None = None) -> int:
    """Return how often the task's students were put to the proof, in all nights.

    What a killed night left half written is no proof. `tonight` are the students of this night that
    count; by default all do.
    """
    proofs = night.home.glob(f"nights/*/calibrate/{task}/[!.]*/certificate.json")
    if tonight is not None:
        here = night.out("calibrate", task)
        proofs = (p for p in proofs if p.parents[1] != here or p.parent.name in tonight)
    return max((read_proof(path).attempt for path in proofs), default=0)
