"""What a night does for one task: train, evaluate, calibrate, judge, register. No Prefect here."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import msgspec

import tasks.calibrate
import tasks.evaluate
import tasks.train
from flows import guard, show
from flows.night import Night, found
from flows.night import figures as night_figures
from registry import bundle, gate, ledger, router
from registry.gate import Verdict
from registry.store import Version
from serving.referee import referee
from tasks import stage
from tasks.adapters import Kind, kind_of
from tasks.answers import read_answers
from tasks.calibrate import Certificate, held_out, load_certificate
from tasks.dataset import rows
from tasks.evaluate import Scorecard
from tasks.fitting import Progress
from tasks.splits import SPLITS
from tasks.task import load_one
from tasks.train import load_training

SECONDS = 120.0  # that the teacher may take for a verdict


@dataclass(frozen=True, slots=True)
class Champion:
    """The version of a task that serves now."""

    number: int
    bundle: Path


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one task in a night, by its best student; shares are 0..1."""

    task: str
    version: int | None
    passed: bool
    reason: str
    agreement: float | None = None
    coverage: float = 0.0
    rung: str = ""


@dataclass(frozen=True, slots=True)
class Try:
    """One rung of the ladder: a student of that kind, measured and judged."""

    rung: Kind
    scorecard: Scorecard
    certificate: Certificate | str
    verdict: Verdict

    @property
    def coverage(self) -> float:
        """The share of the calls that it is certified for."""
        return 0.0 if isinstance(self.certificate, str) else self.certificate.coverage

    @property
    def rank(self) -> tuple[bool, float, float]:
        """What makes one student better than another."""
        return self.verdict.passed, self.coverage, self.scorecard.agreement


def ladder(night: Night, task: str, serving: Champion | None) -> list[Kind]:
    """The kinds of students worth a try, the cheapest first; none beside a champion that is enough.

    What the champion does on later calls is the audit's business.
    """
    proven = load_certificate(serving.bundle / "certificate.json") if serving else ""
    if not isinstance(proven, str) and proven.coverage >= night.params.train.enough:
        return []
    return tasks.train.ladder(night.out("dataset", task), night.params.train)[0]


def enough(night: Night, last: Try) -> bool:
    """Whether no dearer student is tried: this one serves enough, or the night's time is spent."""
    if last.verdict.passed and last.coverage >= night.params.train.enough:
        return True
    done = night.out("train").glob("*/*/training.json")
    spent = sum(load_training(file.parent).seconds for file in done)
    return spent > 60 * night.params.train.budget


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


def train(
    night: Night,
    task: str,
    rung: Kind,
    serving: Champion | None,
    told: Progress | None = None,
) -> Path:
    """Train one student; a training that was killed goes on from its checkpoint.

    A causal one goes on from the champion where that wins. `told` hears of each step, its loss and
    how many there are at most.
    """
    out = night.out("train", task, rung)
    if not out.exists():
        with show.bar(f"{task} · {rung}", 100) as advance, stage.fresh(out) as folder:

            def progress(step: int, steps: int, loss: float) -> None:
                advance(100 * step // max(steps, 1))
                if told:
                    told(step, steps, loss)

            tasks.train.train(
                night.out("dataset", task),
                folder,
                night.params.train,
                rung=rung,
                minutes=night.params.train.minutes,
                progress=progress,
                warm=origin(night, task, rung, serving),
                checkpoint=night.out("train", task, f".{rung}.checkpoint"),
            )
            advance(100)  # early stopping ends before the last step
    return out


def evaluate(night: Night, task: str, rung: Kind, serving: Champion | None) -> Scorecard:
    """Measure the student, the champion and the do-nothing baselines on the frozen test set."""
    out, params = night.out("evaluate", task, rung), night.params.evaluate
    if not out.exists():
        with stage.fresh(out) as folder, httpx.Client(timeout=SECONDS) as client:
            tasks.evaluate.evaluate(
                night.out("dataset", task),
                night.out("train", task, rung),
                folder,
                params,
                champion=serving.bundle if serving else None,
                prices=night.params.economics,
                cache=night.home / "answers",
                ask=referee(os.environ, client) if params.referee else None,
            )
    return msgspec.json.decode((out / "scorecard.json").read_bytes(), type=Scorecard)


def calibrate(night: Night, task: str, rung: Kind) -> Certificate | str:
    """Certify a threshold at the chosen risk, or say why there is none."""
    out, params = night.out("calibrate", task, rung), night.params
    every = len(guard.clean(night)) * len(params.train.rungs)
    if not out.exists():
        with stage.fresh(out) as folder:
            tasks.calibrate.calibrate(
                night.out("dataset", task),
                night.out("train", task, rung),
                folder,
                params.calibrate,
                tests=every if params.calibrate.correct else 1,
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
    rung: Kind,
    scorecard: Scorecard,
    certificate: Certificate | str,
    serving: Champion | None,
) -> Verdict:
    """Judge one student against the gate and against the champion."""
    held = None
    if isinstance(certificate, Certificate):
        answers = night.out("evaluate", task, rung) / "answers.parquet"
        held = held_out(certificate, read_answers(answers))
    proven = load_certificate(serving.bundle / "certificate.json") if serving else None
    return gate.judge(
        scorecard,
        certificate,
        bundle.scorecard(serving.bundle) if serving else None,
        night.params.judge,
        held=held,
        serving=proven if isinstance(proven, Certificate) else None,
        leaked=guard.count(night, [night.out(h, task, rung) for h in ("train", "evaluate")]),
    )


def register(night: Night, task: str, tries: Sequence[Try], serving: Champion | None) -> Outcome:
    """Register the best student if it passed; make it champion when the policy says so."""
    if not tries:
        return _untried(night, task, serving)
    best = max(tries, key=lambda one: one.rank)
    version = None
    if best.verdict.passed:
        version = _registered(night, task, best)
        if night.params.judge.promote:
            ledger.promote(
                night.home,
                night.store,
                task,
                version.number,
                expected=serving.number if serving else None,
                reason=best.verdict.reason,
                now=time.time(),
            )
    return Outcome(
        task=task,
        version=version.number if version else None,
        passed=best.verdict.passed,
        reason=best.verdict.reason,
        agreement=best.scorecard.agreement,
        coverage=best.coverage,
        rung=best.rung,
    )


def _untried(night: Night, task: str, serving: Champion | None) -> Outcome:
    """What became of a task for which no training was worth its while."""
    proven = load_certificate(serving.bundle / "certificate.json") if serving else ""
    if serving and isinstance(proven, Certificate):
        card = bundle.scorecard(serving.bundle)
        reason = f"Its champion answers {proven.coverage:.0%} of the calls; nothing was trained."
        return Outcome(task, serving.number, True, reason, card.agreement, proven.coverage)
    aside = tasks.train.ladder(night.out("dataset", task), night.params.train)[1]
    return Outcome(
        task, None, False, f"Nothing was trained: {'; '.join(dict.fromkeys(aside.values()))}."
    )


def _registered(night: Night, task: str, best: Try) -> Version:
    assert isinstance(best.certificate, Certificate)  # the gate lets nothing pass without one
    lineage = _lineage(night, task, best.rung)
    folder = bundle.pack(
        night.out("register", task),
        dataset=night.out("dataset", task),
        trained=night.out("train", task, best.rung),
        evaluated=night.out("evaluate", task, best.rung),
        calibrated=night.out("calibrate", task, best.rung),
        lineage=lineage,
    )
    known = load_one(folder)
    parts = (best.scorecard, best.certificate, best.verdict, lineage)
    return night.store.register(known, folder, *parts)


def _lineage(night: Night, task: str, rung: Kind) -> bundle.Lineage:
    training = load_training(night.out("train", task, rung))
    made = stage.manifest(night.out("dataset")) or {}
    return bundle.Lineage(
        night=night.day,
        dataset=ledger.snapshot(night.home, night.out("dataset")),
        base=training.base,
        base_digest=training.base_digest,
        seed=training.seed,
        rows={k: v for k, v in made["tasks"][task].items() if k in SPLITS},
    )


def close(night: Night, outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Write what became of each task, and the night's figures into MLflow; return it."""
    body = msgspec.json.encode(list(outcomes))
    stage.write_atomic(night.out("judge.json"), msgspec.json.format(body, indent=2))
    figures = {"tasks/found": len(found(night)), "tasks/passed": sum(o.passed for o in outcomes)}
    night.store.record(night.day, night_figures(night) | figures)
    router.register(night.store, night.out("cluster", "tasks.json"), night.day)
    return list(outcomes)
