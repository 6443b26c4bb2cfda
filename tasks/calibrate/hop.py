"""Calibrate: the confidence above which a student's answers may be served, with a proof.

The proof is a fixed-sequence Learn-then-Test: from the strictest threshold down, an exact binomial
test of "more than α of the answers served here are wrong", until one fails to be rejected at δ;
answers of one conversation count for less than as many of different ones. Too little data gives no
certificate, and the reason; never a loose one. It speaks about traffic like that of the days which
it was made from, and each of them counts by its rows: a change is for the audit to find.

    python -m tasks.calibrate    (the DVC stage: data/evaluate → data/calibrate)
"""

from __future__ import annotations

import math
import random
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import msgspec

from tasks.core import params as settings
from tasks.core import stage
from tasks.core.params import Calibrate, Evaluate
from tasks.core.records import Counts
from tasks.core.stage import Refused
from tasks.core.task import load_one
from tasks.dataset.hop import rows
from tasks.evaluate.answers import Answered, Answers, answered
from tasks.evaluate.metrics import binomial_tail, grouped_tail, weighted, wilson
from tasks.train.domain import students

DAY = 86_400


@dataclass(frozen=True, slots=True)
class Step:
    """A threshold, how many answers it accepts, how many of those are wrong, the test's p-value."""

    threshold: float
    accepted: int
    wrong: int
    p: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """Serving answers with confidence ≥ `threshold` is wrong in at most `alpha` of them.

    True with confidence 1 - `delta` for one task and one adapter. `n` calibration rows, of which
    `accepted` clear the threshold and `wrong` of those disagree with the teacher; `coverage` is
    the accepted share of the traffic, `floor` the share that no threshold could do without
    escalating; `tests` is how many tasks were tested together; `breaks` is the next threshold,
    where the proof ends.
    """

    task: str
    adapter_digest: str
    threshold: float
    alpha: float
    delta: float
    n: int
    accepted: int
    wrong: int
    coverage: float
    floor: float
    p: float
    tests: int = 1
    breaks: Step | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """What a certificate's threshold does on answers that had no part in it."""

    n: int
    served: int
    coverage: float
    agreement: float
    low: float
    high: float


def confidence(logprobs: Sequence[float]) -> float:
    """How sure a student is of an answer: the log-probability of the whole of it.

    Of the raw scores this is the best calibrated; the mean per token favours long answers.
    """
    return sum(logprobs) if logprobs else -math.inf


def schedule(n: int, alpha: float, delta: float) -> list[int]:
    """How many of the surest answers each test of the walk accepts: a function of `n` alone.

    A test at the smallest count that tolerates k errors, for each k, and one of all answers; in
    between, a test could only fail that the next one passes. The first count that can prove
    anything is ln δ / ln(1-α); the walk starts at half of the rows, so that an early slip of the
    teacher's does not end it.
    """
    counts: list[int] = []
    at = 1
    while True:
        tolerated = len(counts)
        at = bisect_left(
            range(n + 1), True, lo=at, key=lambda m: binomial_tail(tolerated, m, alpha) <= delta
        )
        if at > n:
            break
        counts.append(at)
    late = [count for count in counts if count >= n // 2] or counts[-1:]
    return [*late, n] if late and late[-1] < n else late


def needed(alpha: float, delta: float) -> int:
    """How many answers, all of them right, are the least that prove anything."""
    return math.ceil(math.log(delta) / math.log1p(-alpha))


def walk(
    scores: Sequence[float],
    correct: Sequence[bool],
    alpha: float,
    delta: float,
    groups: Sequence[str] | None = None,
) -> list[Step]:
    """The thresholds tested, strictest first, up to the first that is not proven.

    Equal scores are accepted together; answers that could never be served have no part in it.
    `groups` says which answers belong together, such as those of one conversation.
    """
    apart = groups or list(map(str, range(len(scores))))
    rows = zip(scores, correct, apart, strict=True)
    ranked = sorted((row for row in rows if row[0] > -math.inf), key=lambda row: -row[0])
    wrong, apart = [not good for _, good, _ in ranked], [group for *_, group in ranked]
    slips = [0, *accumulate(map(int, wrong))]
    steps: list[Step] = []
    for count in schedule(len(ranked), alpha, delta):
        value = ranked[count - 1][0]
        while count < len(ranked) and ranked[count][0] == value:
            count += 1
        if groups and len(set(apart[:count])) < needed(alpha, delta):
            continue  # which no answers could pass
        alone = binomial_tail(slips[count], count, alpha)
        p = grouped_tail(wrong[:count], apart[:count], alpha) if groups else alone
        steps.append(Step(value, count, slips[count], p))
        if p > delta:
            break
    return steps


def threshold(
    scores: Sequence[float], correct: Sequence[bool], alpha: float, delta: float
) -> Step | None:
    """The loosest threshold whose risk is proven to be at most `alpha`; None when there is none."""
    proven = [step for step in walk(scores, correct, alpha, delta) if step.p <= delta]
    return proven[-1] if proven else None


def exchangeable(weights: Sequence[float], days: Sequence[int], seed: int) -> list[int]:
    """Rows that are an even sample of each day's traffic, by index.

    A row that stands for w calls stays with probability w / (the day's heaviest): escalated calls
    are all on record, served ones only when they were audited, and the test needs equal chances.
    """
    rng = random.Random(seed)
    heaviest: dict[int, float] = {}
    for weight, day in zip(weights, days, strict=True):
        heaviest[day] = max(weight, heaviest.get(day, 0.0))
    return [
        i
        for i, (weight, day) in enumerate(zip(weights, days, strict=True))
        if rng.random() * heaviest[day] < weight
    ]


def score(row: Answered) -> float:
    """The confidence of an answer; minus infinity when it could never be served."""
    servable = row.valid and row.finish_reason == "stop"
    return confidence(row.logprobs) if servable else -math.inf


def certify(answers: Answers, task: str, params: Calibrate, *, tests: int = 1) -> Certificate | str:
    """A certificate from a student's calibration answers, or why there is none."""
    days = [int(row.at // DAY) for row in answers.rows]
    kept = exchangeable([row.weight for row in answers.rows], days, params.seed)
    found = [answers.rows[i] for i in kept]
    delta = params.delta / tests
    scores, correct = [score(row) for row in found], [row.agrees for row in found]
    groups = [row.group or row.id for row in found]
    valid = [group for group, value in zip(groups, scores, strict=True) if value > -math.inf]
    steps = walk(scores, correct, params.alpha, delta, groups)
    if not steps:
        said = f"{len(valid)} of {len(found)} calibration rows got a valid answer, "
        said += f"they are of {len(set(valid))} groups, " * (len(set(valid)) < len(valid))
        return f"{said}at least {needed(params.alpha, delta)} are needed"
    proven = [step for step in steps if step.p <= delta]
    if not proven:
        last = steps[-1]
        seen = f"{last.wrong} of the {last.accepted} surest answers"
        return f"wrong in {seen}: a risk of at most {params.alpha:g} is not proven"
    best, risk = proven[-1], 1 - sum(correct) / len(correct)
    return Certificate(
        task=task,
        adapter_digest=answers.adapter_digest,
        threshold=best.threshold,
        alpha=params.alpha,
        delta=params.delta,
        n=len(found),
        accepted=best.accepted,
        wrong=best.wrong,
        coverage=round(best.accepted / len(found), 4),
        floor=round(max(0.0, (risk - params.alpha) / (1 - params.alpha)), 4),
        p=best.p,
        tests=tests,
        breaks=next((step for step in steps if step.p > delta), None),
    )


def calibrate(
    dataset: Path,
    trained: Path,
    out: Path,
    params: Calibrate,
    *,
    tests: int = 1,
    evaluation: Evaluate | None = None,
    cache: Path | None = None,
) -> Certificate | None:
    """Certify `trained`/adapter on the calibration rows into `out`/certificate.json.

    The file holds `{"refused": reason}` and the result is None when nothing can be proven.
    """
    task = load_one(dataset)
    found = rows(dataset / "calibration.parquet")
    asked = evaluation or Evaluate()
    result: Certificate | str = "no calibration rows"
    if found:
        answers = answered(found, task.contract, trained / "adapter", asked, cache=cache)
        result = certify(answers, task.id, params, tests=tests)
    body = {"refused": result} if isinstance(result, str) else result
    stage.write_atomic(out / "certificate.json", msgspec.json.encode(body))
    return None if isinstance(result, str) else result


def load_certificate(path: Path) -> Certificate | str:
    """Read certificate.json: a certificate, or why there is none. Raises Refused."""
    try:
        body = msgspec.json.decode(path.read_bytes())
    except FileNotFoundError:
        raise Refused(f"no certificate at {path}") from None
    return body["refused"] if "refused" in body else msgspec.convert(body, Certificate)


def held_out(certificate: Certificate, answers: Answers) -> HeldOut:
    """What serving at the certificate's threshold does on a student's test answers."""
    served = [row for row in answers.rows if score(row) >= certificate.threshold]
    weights = [row.weight for row in answers.rows]
    agreement, effective = weighted([r.agrees for r in served], [r.weight for r in served])
    low, high = wilson(agreement, effective)
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
    tried = Counter(task for _, _, task, _ in every)  # the best of a task's students is kept
    for asked, folder, task, rung in every:
        own, tests = out / task / rung, len(every) if params.calibrate.correct else tried[task]
        try:
            calibrate(asked, folder, own, params.calibrate, tests=tests, evaluation=params.evaluate)
            found = load_certificate(own / "certificate.json")
        except Refused as error:
            found = str(error)
        kept += isinstance(found, Certificate)
        dropped |= {f"{task}, {rung}: {found}": 1} if isinstance(found, str) else {}
    result = Counts("calibrate", len(every), kept, dropped)
    stage.finish(out, result)
    return result


def main() -> Counts:
    """The DVC stage."""
    data, found = Path("data"), settings.load()
    return stage.hop(
        "calibrate",
        data / "calibrate",
        lambda folder: calibrate_all(data / "dataset", data / "train", folder, found),
    )
