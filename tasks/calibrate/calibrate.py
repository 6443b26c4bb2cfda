"""Calibrate: the confidence above which a student's answers may be served, with a proof.

The proof (`tasks.calibrate.threshold`) is made of calibration rows, which no training saw; where it
begins is chosen on validation rows. Too little data gives no certificate, and the reason; never a
loose one. What would hardly prove anything is not tried, so that it takes nothing of the task's δ.
A certificate speaks about traffic like that of the days which it was made from, and each of them
counts by its rows: a change is for the audit to find.

    python -m tasks.calibrate    (the DVC stage: data/evaluate → data/calibrate)
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec

from tasks.calibrate.threshold import MIDDLE, choose, needed, plan, walk
from tasks.core import params as settings
from tasks.core import stage
from tasks.core.certificate import Certificate, Refusal, ThresholdTest, spent
from tasks.core.params import Calibrate, Evaluate
from tasks.core.records import Counts, digest
from tasks.core.rows import rows
from tasks.core.stage import Refused
from tasks.core.task import load_one
from tasks.evaluate.answers import Answered, Answers, answered
from tasks.evaluate.evaluate import over_students
from tasks.evaluate.significance import effective, weighted, wilson
from tasks.train.domain import students
from tasks.train.folds import out_of_fold, proving, unlearned

LIKELY = 0.2  # the chance of a proof under which no attempt is spent on it


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """A certificate's threshold, tried on answers that had no part in it.

    `coverage` is a share of the calls on the task's template, `agreement` of those served.
    """

    n: int
    served: int
    coverage: float
    agreement: float
    low: float
    high: float

    def breaks(self, certificate: Certificate) -> bool:
        """Return whether the answers show, beyond chance, more risk than was certified."""
        calls = self.coverage if certificate.risk == "marginal" else 1.0
        return calls * (1 - self.high) > certificate.alpha


@dataclass(frozen=True, slots=True)
class CertificateRequest:
    """Demands on a certificate: which of the task's attempts it is, and to be of use.

    `least` is the share of the calls that it has to cover; `pilot` are the student's answers to
    rows that are no part of the proof, and `folded` the confidences that it has of its training
    rows out of fold, and whether those answers agree. `tests` tasks share δ. The
    answers are of a `mixture` where each is by a head that had not learned its row.
    """

    attempt: int = 1
    tests: int = 1
    least: float = 0.0
    pilot: Sequence[Answered] = ()
    folded: Sequence[tuple[float, bool]] = ()
    mixture: bool = False


def confidence(logprobs: Sequence[float]) -> float:
    """Return how sure a student is of an answer: the log-probability of the whole of it.

    Of the raw scores this is the best calibrated; the mean per token favours long answers.
    """
    return sum(logprobs) if logprobs else -math.inf


def score(row: Answered) -> float:
    """The confidence of an answer; minus infinity when it could never be served."""
    servable = row.valid and row.finish_reason == "stop"
    return confidence(row.logprobs) if servable else -math.inf


def even(answers: Sequence[Answered], seed: int) -> list[Answered]:
    """Rows that are an even sample of the traffic.

    Where a student stood before the teacher, escalated calls are all on record and served ones only
    when they were audited, at a rate that each call carries: of the escalated as many are kept.
    """
    return [row for row in answers if _chance(row.id, seed) < row.rate * row.weight]


def _chance(name: str, seed: int) -> float:
    """A number in 0..1 that a row draws once and for all nights."""
    return int(digest(name, "even", str(seed), length=12), 16) / 16**12


def certify(
    answers: Answers, task: str, params: Calibrate, asked: CertificateRequest | None = None
) -> Certificate | Refusal:
    """A certificate from a student's calibration answers, or why there is none."""
    asked, alpha = asked or CertificateRequest(), params.accepted(task)
    delta, answered = (
        spent(params.delta, asked.attempt) / asked.tests,
        even(answers.rows, params.seed),
    )
    scores, correct = [score(row) for row in answered], [row.agrees for row in answered]
    groups = [row.group or row.id for row in answered]
    valid = [group for group, value in zip(groups, scores, strict=True) if value > -math.inf]
    start = _start(len(answered), valid, alpha, delta, params, asked)
    if isinstance(start, Refusal):
        return start
    steps = walk(scores, correct, alpha, delta, groups, start=start, risk=params.risk)
    best = choose(steps, delta)
    if best is None:
        return Refusal(refused=_unproven(steps[-1], alpha), attempt=asked.attempt)
    wrong = 1 - sum(correct) / len(correct)
    over = (wrong - alpha) / (1 - alpha if params.risk == "selective" else 1)
    return Certificate(
        task=task,
        adapter_digest=answers.adapter_digest,
        threshold=best.threshold,
        alpha=alpha,
        delta=params.delta,
        n=len(answered),
        accepted=best.accepted,
        wrong=best.wrong,
        coverage=round(best.accepted / len(answered), 4),
        floor=round(max(0.0, over), 4),
        p=best.p,
        method="progressive" if asked.mixture else "holdout",
        risk=params.risk,
        attempt=asked.attempt,
        tests=asked.tests,
        breaks=next((step for step in steps if step.p > delta), None),
    )


def _pilot(asked: CertificateRequest) -> list[tuple[float, bool]]:
    """Confidences of answers outside the proof that can be served, and whether they agree."""
    every = [*((score(row), row.agrees) for row in asked.pilot), *asked.folded]
    return [pair for pair in every if pair[0] > -math.inf]


def _start(
    n: int,
    valid: Sequence[str],
    alpha: float,
    delta: float,
    params: Calibrate,
    asked: CertificateRequest,
) -> float | Refusal:
    """Return where the walk over `n` rows begins, or why there is none.

    `valid` are the groups of those with an answer that can be served.
    """
    size = effective(valid) if valid else 0.0
    if (1 - alpha) ** size > delta:
        groups = f"they are of {len(set(valid))} groups, " * (len(set(valid)) < len(valid))
        shortage = f"{len(valid)} of {n} calibration rows got a valid answer, {groups}at least "
        return Refusal(refused=f"{shortage}{needed(alpha, delta)} are needed")
    if params.risk == "marginal":
        return MIDDLE
    pilot = _pilot(asked)
    per_group = len(valid) / size  # answers that count as one, as conversations are alike
    chosen = plan(
        pilot,
        len(valid),
        alpha,
        delta,
        fewest=math.ceil(needed(alpha, delta) * per_group),
        least=asked.least * n / len(valid),
        seed=params.seed,
    )
    if chosen and chosen.chance < LIKELY:
        share = f"at least {asked.least:.0%} of the calls" if asked.least else "any of the calls"
        shortage = (
            f"by {len(pilot)} rows outside the proof, {share} would be certified with a chance of"
        )
        return Refusal(refused=f"{shortage} {chosen.chance:.0%}: no attempt is spent on it")
    return chosen.start if chosen else MIDDLE


def _unproven(last: ThresholdTest, alpha: float) -> str:
    seen = f"{last.wrong} of the {last.accepted} most confident answers"
    return f"wrong in {seen}: a risk of at most {alpha:g} is not proven"


def calibrate(
    dataset: Path,
    trained: Path,
    out: Path,
    params: Calibrate,
    *,
    attempt: int = 1,
    tests: int = 1,
    least: float = 0.0,
    evaluation: Evaluate | None = None,
    cache: Path | None = None,
) -> Certificate | Refusal:
    """Certify `trained`/adapter on the calibration rows; the result is `out`/certificate.json."""
    task = load_one(dataset)
    params = msgspec.structs.replace(params, alpha=params.accepted(task.id, task.family))
    ask = partial(answered, params=evaluation or Evaluate(), cache=cache)
    result: Certificate | Refusal = Refusal(refused="no calibration rows")
    if calibration := proving(dataset, trained):
        heads = unlearned(trained)
        answers = ask(calibration, task.contract, trained / "adapter", heads=heads)
        checked = rows(dataset / "validation.parquet")
        pilot = ask(checked, task.contract, trained / "adapter").rows if checked else ()
        folded = out_of_fold(trained)
        asked = CertificateRequest(attempt, tests, least, pilot, folded, bool(heads))
        result = certify(answers, task.id, params, asked)
    stage.write_atomic(out / "certificate.json", msgspec.json.encode(result))
    return result


def held_out(certificate: Certificate, answers: Answers) -> HeldOut:
    """Return what serving at the certificate's threshold does on a student's test answers."""
    served = [row for row in answers.rows if score(row) >= certificate.threshold]
    weights = [row.weight for row in answers.rows]
    agreement, seen = weighted([r.agrees for r in served], [r.weight for r in served])
    low, high = wilson(agreement, seen)
    covered = sum(row.weight for row in served) / sum(weights) if weights else 0.0
    return HeldOut(
        n=len(answers.rows),
        served=len(served),
        coverage=round(covered, 4),
        agreement=round(agreement, 4),
        low=round(low, 4),
        high=round(high, 4),
    )


def calibrate_all(dataset: Path, trained: Path, out: Path, params: settings.Params) -> Counts:
    """Certify every trained student into `out`/task/rung; those without a proof are dropped."""
    kept, dropped = 0, dict[str, int]()
    every = list(students(dataset, trained))
    tasks, tried = {task for _, _, task, _ in every}, Counter[str]()
    certified = partial(calibrate, params=params.calibrate, evaluation=params.evaluate)
    for asked, folder, task, rung in every:
        own, tests = out / task / rung, len(tasks) if params.calibrate.correct else 1
        try:
            proof = certified(asked, folder, own, attempt=tried[task] + 1, tests=tests)
        except Refused as error:
            proof = Refusal(refused=str(error))
        tried[task] = max(tried[task], proof.attempt)
        kept += isinstance(proof, Certificate)
        dropped |= {f"{task}, {rung}: {proof.refused}": 1} if isinstance(proof, Refusal) else {}
    result = Counts("calibrate", len(every), kept, dropped)
    stage.finish(out, result)
    return result


def main() -> Counts:
    """The DVC stage."""
    return over_students("calibrate", calibrate_all)
