"""What a night does for one task: train, evaluate, calibrate, judge, register. No Prefect here."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

import tasks.calibrate
import tasks.evaluate
import tasks.train
from flows import show
from flows.night import Night, trainable
from registry import bundle, gate, ledger
from registry.gate import Verdict
from registry.store import Version
from tasks import stage
from tasks.answers import read_answers
from tasks.calibrate import Certificate, held_out, load_certificate
from tasks.evaluate import Scorecard
from tasks.splits import SPLITS
from tasks.student import base_digest, base_path
from tasks.task import load_one


@dataclass(frozen=True, slots=True)
class Champion:
    """The version of a task that serves now."""

    number: int
    bundle: Path


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one task's student in a night; shares are 0..1."""

    task: str
    version: int | None
    passed: bool
    reason: str
    agreement: float
    coverage: float


def train(night: Night, task: str) -> Path:
    """Train one student; a training that was killed goes on from its checkpoint."""
    out = night.out("train", task)
    if not out.exists():
        with show.bar(task, 100) as advance, stage.fresh(out) as folder:
            tasks.train.train(
                night.out("dataset", task),
                folder,
                night.params.train,
                minutes=night.params.train.minutes,
                progress=lambda step, steps, _loss: advance(100 * step // max(steps, 1)),
                checkpoint=night.out("train", f".{task}.checkpoint"),
            )
    return out


def evaluate(night: Night, task: str, serving: Champion | None) -> Scorecard:
    """Measure the student, the champion and the do-nothing baselines on the frozen test set."""
    out = night.out("evaluate", task)
    if not out.exists():
        with stage.fresh(out) as folder:
            tasks.evaluate.evaluate(
                night.out("dataset", task),
                night.out("train", task),
                folder,
                night.params.evaluate,
                champion=serving.bundle if serving else None,
                prices=night.params.economics,
                cache=night.home / "answers",
            )
    return msgspec.json.decode((out / "scorecard.json").read_bytes(), type=Scorecard)


def calibrate(night: Night, task: str) -> Certificate | str:
    """Certify a threshold at the chosen risk, or say why there is none."""
    out, params = night.out("calibrate", task), night.params
    if not out.exists():
        with stage.fresh(out) as folder:
            tasks.calibrate.calibrate(
                night.out("dataset", task),
                night.out("train", task),
                folder,
                params.calibrate,
                tests=len(trainable(night)) if params.calibrate.correct else 1,
                evaluation=params.evaluate,
                cache=night.home / "answers",
            )
    return load_certificate(out / "certificate.json")


def champion(night: Night, task: str) -> Champion | None:
    """The version that serves the task now, and its bundle on this machine."""
    store = night.store
    number = store.champion(task)
    if number is None:
        return None
    version = store.version(task, number)
    return Champion(number, store.fetch(version, night.home / "adapters" / version.adapter))


def judge(
    night: Night,
    task: str,
    scorecard: Scorecard,
    certificate: Certificate | str,
    serving: Champion | None,
) -> Verdict:
    """Judge one student against the gate and against the champion."""
    held = None
    if isinstance(certificate, Certificate):
        held = held_out(certificate, read_answers(night.out("evaluate", task) / "answers.parquet"))
    proven = load_certificate(serving.bundle / "certificate.json") if serving else None
    return gate.judge(
        scorecard,
        certificate,
        bundle.scorecard(serving.bundle) if serving else None,
        night.params.judge,
        held=held,
        serving=proven if isinstance(proven, Certificate) else None,
    )


def register(
    night: Night,
    task: str,
    scorecard: Scorecard,
    certificate: Certificate | str,
    verdict: Verdict,
    serving: Champion | None,
) -> Outcome:
    """Register a student that passed; make it champion when the policy says so."""
    proof = certificate if isinstance(certificate, Certificate) else None
    version = None
    if verdict.passed and proof:
        version = _registered(night, task, scorecard, proof, verdict)
        if night.params.judge.promote:
            ledger.promote(
                night.home,
                night.store,
                task,
                version.number,
                expected=serving.number if serving else None,
                reason=verdict.reason,
                now=time.time(),
            )
    return Outcome(
        task=task,
        version=version.number if version else None,
        passed=verdict.passed,
        reason=verdict.reason,
        agreement=scorecard.agreement,
        coverage=proof.coverage if proof else 0.0,
    )


def _registered(
    night: Night, task: str, scorecard: Scorecard, certificate: Certificate, verdict: Verdict
) -> Version:
    lineage = _lineage(night, task)
    folder = bundle.pack(
        night.out("register", task),
        dataset=night.out("dataset", task),
        trained=night.out("train", task),
        evaluated=night.out("evaluate", task),
        calibrated=night.out("calibrate", task),
        lineage=lineage,
    )
    known = load_one(folder)
    return night.store.register(known, folder, scorecard, certificate, verdict, lineage)


def _lineage(night: Night, task: str) -> bundle.Lineage:
    base = base_path(night.params.train.base)
    made = stage.manifest(night.out("dataset")) or {}
    return bundle.Lineage(
        night=night.day,
        dataset=ledger.snapshot(night.home, night.out("dataset")),
        base=night.params.train.base,
        base_digest=base_digest(base),
        seed=night.params.train.seed,
        rows={k: v for k, v in made["tasks"][task].items() if k in SPLITS},
    )


def close(night: Night, outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Write what became of each task; return it."""
    body = msgspec.json.encode(list(outcomes))
    stage.write_atomic(night.out("judge.json"), msgspec.json.format(body, indent=2))
    return list(outcomes)
