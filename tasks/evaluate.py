"""Evaluate: a student on its frozen test set, beside the champion and the do-nothing baselines.

Agreement is with the teacher's replies, weighted as the traffic was sampled, with Wilson's 95 %
interval. Answers are kept in a Parquet file and never asked for twice.

    python -m tasks.evaluate     (the DVC stage: data/train → data/evaluate)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from tasks import economics, metrics, stage
from tasks import params as settings
from tasks.answers import Answered, Answers, answered, write_answers
from tasks.contract import Contract, agree, normal, violation
from tasks.dataset import Row, rows
from tasks.params import Economics, Evaluate
from tasks.records import Counts
from tasks.rows import retagged
from tasks.stage import Refused
from tasks.task import Task, load_one

DAY = 86_400
FEWEST = 5  # rows of a slice
MOSTLY = 0.8  # share of ASCII characters under which a prompt is in another script
RARE = 0.05  # share of the training rows under which an answer is rare


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One candidate in the table: what it is and how well it does on the test rows."""

    name: str
    agreement: float
    low: float
    high: float
    valid: float
    metrics: dict[str, float] = field(default_factory=dict)
    n: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scorecard:
    """A student's measured quality. `table` holds the student first, then all it is compared to.

    `slices` are the student on some of the rows: where averages hide what goes wrong.
    `better` and `worse` count the rows on which only the student, or only the champion, agrees
    with the teacher; `p` is McNemar's. Costs are dollars per 1,000 calls answered.
    """

    task: str
    adapter_digest: str
    test_digest: str
    n: int
    agreement: float
    low: float
    high: float
    valid: float
    metrics: dict[str, float]
    table: list[Line]
    latency_ms: float
    prompt_tokens: float
    completion_tokens: float
    student_cost: float
    teacher_cost: float
    slices: list[Line] = field(default_factory=list)
    better: int = 0
    worse: int = 0
    p: float = 1.0

    @property
    def champion(self) -> Line | None:
        """The champion's line, when one was measured."""
        return next((line for line in self.table if line.name == "champion"), None)


def evaluate(
    dataset: Path,
    trained: Path,
    out: Path,
    params: Evaluate,
    *,
    champion: Path | None = None,
    prices: Economics | None = None,
    cache: Path | None = None,
) -> Scorecard:
    """Measure `trained`/adapter on the test rows into `out`/scorecard.json and answers.parquet.

    `champion` is the bundle of the same task's champion; `cache` keeps answers over nights.
    """
    task = load_one(dataset)
    found = newest(rows(dataset / "test.parquet"), params.max_rows)
    if not found:
        raise Refused(f"{task.id}: no test rows in {dataset}")
    answers = answered(found, task.contract, trained / "adapter", params, cache=cache)
    old = _champion(found, task, champion, params, cache) if champion else None
    table = [_line("student", answers, task.contract)]
    table += [_line("champion", old, task.contract)] if old else []
    known = rows(dataset / "train.parquet")
    table += baselines(known, found, task.contract)
    parts = slices(known, found, answers, task.contract)
    scorecard = _scorecard(task, answers, table, parts, old, prices or Economics())
    write_answers(out / "answers.parquet", answers)
    stage.write_atomic(out / "scorecard.json", msgspec.json.encode(scorecard))
    return scorecard


def _champion(
    found: Sequence[Row], task: Task, champion: Path, params: Evaluate, cache: Path | None
) -> Answers | None:
    """The champion's answers; None when its base has been replaced, so that it cannot be asked."""
    try:
        asked = retagged(found, task.template.tag, load_one(champion).template.tag)
        return answered(asked, task.contract, champion / "adapter", params, cache=cache)
    except Refused:
        return None


def newest(found: Sequence[Row], most: int) -> list[Row]:
    """The newest `most` rows, oldest first."""
    return sorted(found, key=lambda row: (row.at, row.id))[-most:]


def _scorecard(
    task: Task,
    answers: Answers,
    table: list[Line],
    parts: list[Line],
    old: Answers | None,
    prices: Economics,
) -> Scorecard:
    student = table[0]
    pairs = list(zip(answers.rows, old.rows, strict=True)) if old else []
    better = sum(new.agrees and not before.agrees for new, before in pairs)
    worse = sum(before.agrees and not new.agrees for new, before in pairs)
    usage = economics.Usage(answers.prompt_tokens, answers.completion_tokens)
    # The teacher reads the whole prompt; a task's mean tokens are the whole of a call.
    whole = max(task.tokens / task.size if task.size else 0.0, usage.prompt + usage.completion)
    teacher = economics.Usage(whole - usage.completion, usage.completion)
    return Scorecard(
        task=task.id,
        adapter_digest=answers.adapter_digest,
        test_digest=answers.rows_digest,
        n=len(answers.rows),
        agreement=student.agreement,
        low=student.low,
        high=student.high,
        valid=student.valid,
        metrics=student.metrics,
        table=table,
        slices=parts,
        latency_ms=answers.latency_ms,
        prompt_tokens=answers.prompt_tokens,
        completion_tokens=answers.completion_tokens,
        student_cost=round(1000 * economics.student_cost(usage, prices), 6),
        teacher_cost=round(1000 * economics.teacher_cost(teacher, prices), 6),
        better=better,
        worse=worse,
        p=round(metrics.mcnemar(better, worse), 5),
    )


def _line(name: str, answers: Answers, contract: Contract) -> Line:
    return _of(name, answers.rows, contract)


def _of(name: str, said: Sequence[Answered], contract: Contract) -> Line:
    given, expected = [r.answer for r in said], [r.expected for r in said]
    return line(name, expected, given, [r.weight for r in said], contract)


def slices(
    known: Sequence[Row], test: Sequence[Row], answers: Answers, contract: Contract
) -> list[Line]:
    """The student on long prompts, other scripts, rare answers and the newest day.

    A slice of fewer than `FEWEST` rows, or of all of them, is none.
    """
    lengths = sorted(len(row.prompt) for row in test)
    long, newest_day = lengths[3 * len(lengths) // 4], max(row.at // DAY for row in test)
    counts = Counter(normal(row.answer, contract) for row in known)
    closed = metrics.closed([row.answer for row in known], contract)
    tests: dict[str, Callable[[Row], bool]] = {
        "long prompts": lambda row: len(row.prompt) > long,
        "other scripts": lambda row: sum(map(str.isascii, row.prompt)) < MOSTLY * len(row.prompt),
        "rare answers": lambda row: (
            closed and counts[normal(row.answer, contract)] < RARE * len(known)
        ),
        "newest day": lambda row: row.at // DAY == newest_day,
    }
    found = {
        name: [said for row, said in zip(test, answers.rows, strict=True) if inside(row)]
        for name, inside in tests.items()
    }
    return [
        _of(name, said, contract) for name, said in found.items() if FEWEST <= len(said) < len(test)
    ]


def line(
    name: str,
    expected: Sequence[str],
    given: Sequence[str],
    weights: Sequence[float],
    contract: Contract,
) -> Line:
    """One line of the table from answers of any origin."""
    hits = [agree(e, g, contract) for e, g in zip(expected, given, strict=True)]
    share, effective = metrics.weighted(hits, weights)
    low, high = metrics.wilson(share, effective)
    valid = sum(violation(answer, contract) is None for answer in given) / len(given)
    return Line(
        name=name,
        agreement=round(share, 4),
        low=round(low, 4),
        high=round(high, 4),
        valid=round(valid, 4),
        metrics=metrics.measure(expected, given, contract),
        n=len(given),
    )


def baselines(train: Sequence[Row], test: Sequence[Row], contract: Contract) -> list[Line]:
    """What costs nothing: the commonest answer and, for closed answers, a linear classifier."""
    known, expected = [row.answer for row in train], [row.answer for row in test]
    weights = [row.weight for row in test]
    given = {"majority answer": metrics.majority(known, len(test))}
    if metrics.closed(known, contract):
        prompts = [row.prompt for row in train]
        said = metrics.tfidf(prompts, known, [row.prompt for row in test])
        given["TF-IDF + logistic regression"] = said
    return [line(name, expected, said, weights, contract) for name, said in given.items()]


def evaluate_all(dataset: Path, trained: Path, out: Path, params: settings.Params) -> Counts:
    """Measure every trained student into `out`/task/rung; refused ones are dropped."""
    kept, dropped = 0, {}
    folders = sorted(path.parent for path in trained.glob("*/*/training.json"))
    for folder in folders:
        task, rung = folder.parts[-2:]
        place = (dataset / task, folder, out / task / rung)
        try:
            evaluate(*place, params.evaluate, prices=params.economics)
            kept += 1
        except Refused as error:
            dropped[str(error)] = 1
    result = Counts("evaluate", len(folders), kept, dropped)
    stage.finish(out, result)
    return result


def main() -> Counts:
    """The DVC stage."""
    data, found = Path("data"), settings.load()
    return stage.hop(
        "evaluate",
        data / "evaluate",
        lambda folder: evaluate_all(data / "dataset", data / "train", folder, found),
    )


if __name__ == "__main__":
    stage.main(main)
