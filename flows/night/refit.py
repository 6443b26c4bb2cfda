"""The refit: where a proof is far, a student learns the rows that were to prove it as well.

About half of a task's rows prove and measure, and where rows are few that half is what a student
lacks most. A refit is the encoder's student of the training and the calibration rows; live calls
are its only proof, as it is asked in the background. Of rows so few that none of them could prove
anything it is the only student of the encoder. `nights/<day>/refit/<task>/` has its rows.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence

from flows.night import shadow_plan
from flows.night.champions import Champion, attempts
from flows.night.folders import Night
from registry.choice import JudgedStudent
from tasks.calibrate.threshold import needed
from tasks.core import stage
from tasks.core.certificate import spent
from tasks.core.rows import UNCURATED, rows, write_rows
from tasks.core.task import load_one
from tasks.train.folds import raw
from tasks.train.prepare import to_learn
from tasks.train.train import ladder

LEARNED = "it has learned the rows that were to prove it: live calls are its proof"
CHEAPER = ("domain", "linear")  # students that are put to the proof before the encoder's
COPIED = ("task.json", "validation.parquet", "test.parquet")


def worth(
    night: Night, task: str, judged: Sequence[JudgedStudent], serving: Champion | None
) -> bool:
    """Return whether a refit is tried: none of a task's students is proven, nor about to be.

    About to be is one that the next night's calls are expected to prove.
    """
    proofs = night.out("calibrate", task)
    if (proofs / shadow_plan.RUNG).exists():  # the night was begun before: it ends the same
        return (proofs / "refit").exists()
    if night.out("refit", task).exists():
        return True
    if any(one.verdict.passed for one in judged):
        return False
    if instead(night, task):
        return "encoder" in ladder(night.out("dataset", task), night.params.train)[0]
    best = shadow_plan.waiting(night, judged)
    if best is None or "encoder" not in {one.rung for one in judged}:
        return False
    a_night = load_one(night.out("dataset", task)).size / len(night.clean())
    return shadow_plan.calls_left(night, task, best, serving) > a_night


def instead(night: Night, task: str) -> bool:
    """Return whether a refit takes the encoder's place: so few rows can prove nothing.

    The answer stays the same when the encoder was put to the proof, and in a night begun again.
    """
    asked, data = night.params.calibrate, night.out("dataset", task)
    if asked.correct or not night.params.serve.shadow:
        return False
    level = spent(asked.delta, attempts(night, task, CHEAPER) + 1)
    least = needed(asked.accepted(task, load_one(data).family), level)
    return len(rows(data / "calibration.parquet")) < least


def gather(night: Night, task: str) -> None:
    """Write the rows of a refit: those that train or prove are learned, and none is left to prove.

    The proof may hold rows that nobody should learn, such as replies off the contract.
    """
    source, out = night.out("dataset", task), night.out("refit", task)
    if out.exists():
        return
    with stage.fresh(out) as folder:
        for name in COPIED:
            shutil.copyfile(source / name, folder / name)
        contract = load_one(source).contract
        more = to_learn(rows(source / "calibration.parquet"), contract, night.params.train)
        write_rows(folder / "train.parquet", [*rows(source / "train.parquet"), *more])
        write_rows(folder / "calibration.parquet", [])
        write_rows(folder / UNCURATED, raw(source))
