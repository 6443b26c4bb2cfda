"""Registration of a task's students at the end of its night: promoted, candidates, or shadows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from flows.night import domains, shadow_plan
from flows.night.champions import Champion
from flows.night.folders import Night
from flows.night.outcome import Outcome
from registry import bundle, card, choice, ledger
from registry.choice import JudgedStudent, Rung
from registry.gate import Verdict
from registry.store import Version
from tasks.calibrate import shadow_proof
from tasks.core import stage
from tasks.core.certificate import Certificate
from tasks.core.task import load_one
from tasks.dataset.splits import SPLITS
from tasks.evaluate.answers import read_answers
from tasks.train import train as train_hop
from tasks.train.train import load_training


def register(
    night: Night, task: str, judged: Sequence[JudgedStudent], serving: Champion | None
) -> Outcome:
    """Register the best student if it passed; make it champion when the policy says so."""
    best = _kept(night, task, judged)
    if best is None:
        return _untried(night, task, serving)
    version, promoted, reason = None, False, best.verdict.reason
    champion = serving.version.number if serving and serving.rival else None
    if best.verdict.passed:
        version = _registered(night, task, best)
        promoted, reason = promote(night, version, best.verdict.reason, serving)
    if version and promoted:
        champion = version.number
        night.store.set_shadow(task, None)
    elif version and not night.params.judge.promote and night.params.serve.shadow:
        night.store.set_shadow(task, version.number)  # live figures for whoever decides
    elif not best.verdict.passed:
        reason += _shadowed(night, task, judged, serving)
    return Outcome(
        task=task,
        version=version.number if version else None,
        passed=best.verdict.passed,
        promoted=promoted,
        reason=reason,
        agreement=best.scorecard.agreement,
        coverage=best.coverage,
        rung=best.rung,
        champion=champion,
    )


def promote(
    night: Night, version: Version, reason: str, serving: Champion | None
) -> tuple[bool, str]:
    """Make a version champion, where the policy may; whether it is, and why or why not."""
    if not night.params.judge.promote:
        return False, f"{reason} It waits for a person to promote it."
    rival = serving.rival if serving else None
    if rival and (bundle.read(rival, "lineage") or {}).get("night", "") > night.day:
        return False, f"{reason} The champion is of a later night and stays."
    entry = ledger.promote(
        night.home,
        night.store,
        version.name,
        version.number,
        expected=serving.version.number if serving else None,
        reason=reason,
        now=time.time(),
    )
    return entry.moved, reason if entry.moved else f"{reason} Not promoted: {entry.reason}."


def _kept(night: Night, task: str, judged: Sequence[JudgedStudent]) -> JudgedStudent | None:
    """The student that is kept, if any was tried: its domain's where that is as good as its own."""
    shared = next((one for one in judged if one.rung == "domain"), None)
    own = choice.best([one for one in judged if one.rung != "domain"])
    if shared is None or own is None:
        return shared or own
    answers = (night.out("evaluate", task, one.rung) / "answers.parquet" for one in (shared, own))
    return choice.choose(shared, own, choice.pair(*map(read_answers, answers)))


def _untried(night: Night, task: str, serving: Champion | None) -> Outcome:
    """Return what became of a task for which no training was worth its while."""
    if serving and (proven := serving.certificate):
        card, number = bundle.scorecard(serving.bundle), serving.version.number
        reason = f"Its champion answers {proven.coverage:.0%} of the calls; nothing was trained."
        figures = card.agreement, proven.coverage
        return Outcome(task, number, True, reason, *figures, promoted=True, champion=number)
    aside = train_hop.ladder(night.out("dataset", task), night.params.train)[1]
    return Outcome(
        task, None, False, f"Nothing was trained: {'; '.join(dict.fromkeys(aside.values()))}."
    )


def _shadowed(
    night: Night, task: str, judged: Sequence[JudgedStudent], serving: Champion | None
) -> str:
    """Register a student that only lacks proof as the task's shadow; what that means for it."""
    one = shadow_plan.waiting(night, judged)
    to_prove = shadow_plan.plan(night, task, one, serving) if one else None
    if one is None or to_prove is None:
        return ""
    left = shadow_proof.standing(to_prove, ())
    sentence = card.shadow(left, to_prove.risk)
    unproven = replace(one, verdict=Verdict(False, f"It only lacks proof. {sentence}"))
    version = _registered(night, task, unproven, shadow_plan.RUNG)
    night.store.set_shadow(task, version.number)
    said = f"about calls that come through the gateway (v{version.number})"
    return f" It is asked in the background {said}: {sentence}"


def _registered(night: Night, task: str, best: JudgedStudent, proof: str = "") -> Version:
    """Register a student; `proof` is the folder of its proof where that is not its rung's."""
    lineage = _lineage(night, task, best.rung)
    folder = bundle.pack(
        night.out("register", task),
        dataset=domains.dataset(night, task, best.rung),
        trained=domains.trained(night, task, best.rung),
        evaluated=night.out("evaluate", task, best.rung),
        calibrated=night.out("calibrate", task, proof or best.rung),
        lineage=lineage,
    )
    proven = best.certificate if isinstance(best.certificate, Certificate) else None
    registered_task = load_one(folder)
    return night.store.register(
        registered_task, folder, best.scorecard, proven, best.verdict, lineage
    )


def _lineage(night: Night, task: str, rung: Rung) -> bundle.Lineage:
    training = load_training(domains.trained(night, task, rung))
    manifest = stage.manifest(night.out("dataset")) or {}
    shared = {k: v for k, v in manifest["tasks"][task].items() if k in SPLITS}
    if rung == "refit":
        shared |= {"train": shared["train"] + shared["calibration"], "calibration": 0}
    return bundle.Lineage(
        night=night.day,
        dataset=ledger.snapshot(night.home, night.out("dataset")),
        base=training.base,
        base_digest=training.base_digest,
        seed=training.seed,
        rows=shared,
        domain=domains.domain_of(night, task) if rung == "domain" else "",
    )
