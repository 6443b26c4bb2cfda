"""Evaluate: a student on its frozen test set, beside the champion and the trivial baselines.

Agreement is with the teacher's replies, weighted as the traffic was sampled, with Wilson's 95 %
interval. Answers are kept in a Parquet file and never asked for twice.

    python -m tasks.evaluate     (the DVC stage: data/train → data/evaluate)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from tasks.core import economics, stage
from tasks.core import params as settings
from tasks.core.contract import Contract
from tasks.core.params import Economics, Evaluate
from tasks.core.records import Counts
from tasks.core.rows import Row, retagged, rows
from tasks.core.scorecard import Difference, Scorecard, ScorecardLine
from tasks.core.stage import Refused
from tasks.core.task import Task, load_one
from tasks.evaluate import quality, referee, significance
from tasks.evaluate.answers import Answers, answered, unadapted, write_answers
from tasks.evaluate.referee import Ask
from tasks.evaluate.table import baselines, of, slices
from tasks.students.adapters import kind_of
from tasks.students.causal import adapter_base
from tasks.train.domain import students

Work = Callable[[Path, Path, Path, settings.Params], Counts]  # datasets, students, out, params
BASE = 100  # rows that the base without an adapter is asked


def evaluate(
    dataset: Path,
    trained: Path,
    out: Path,
    params: Evaluate,
    *,
    champion: Path | None = None,
    prices: Economics | None = None,
    cache: Path | None = None,
    ask: Ask | None = None,
) -> Scorecard:
    """Measure `trained`/adapter on the test rows into `out`/scorecard.json and answers.parquet.

    `champion` is the bundle of the same task's champion; `cache` keeps answers over nights; `ask`
    asks the teacher, where it is the referee.
    """
    task = load_one(dataset)
    questions = newest(rows(dataset / "test.parquet"), params.max_rows)
    if not questions:
        raise Refused(f"{task.id}: no test rows in {dataset}")
    answers = answered(questions, task.contract, trained / "adapter", params, cache=cache)
    old = _champion(questions, task, champion, params, cache) if champion else None
    student = of("student", answers.rows, task.contract)
    verdicts = _refereed(task, questions, answers, params, ask, cache)
    table = [replace(student, metrics=student.metrics | verdicts)]
    table += [of("champion", old.rows, task.contract)] if old else []
    train = rows(dataset / "train.parquet")
    table += baselines(train, questions, task.contract)
    table += _bare(questions, task, trained / "adapter", params, cache)
    parts = slices(train, questions, answers, task.contract)
    scorecard = _scorecard(task, answers, table, parts, old, prices or Economics())
    write_answers(out / "answers.parquet", answers)
    stage.write_atomic(out / "scorecard.json", msgspec.json.encode(scorecard))
    return scorecard


def _bare(
    questions: Sequence[Row], task: Task, adapter: Path, params: Evaluate, cache: Path | None
) -> list[ScorecardLine]:
    """The base of a causal student without its adapter; an encoder alone answers nothing."""
    if kind_of(adapter) == "encoder":
        return []
    bare = unadapted(questions[-BASE:], task.contract, adapter_base(adapter), params, cache)
    return [of("base model without adapter", bare.rows, task.contract)]


def _refereed(
    task: Task,
    questions: Sequence[Row],
    answers: Answers,
    params: Evaluate,
    ask: Ask | None,
    cache: Path | None,
) -> dict[str, float]:
    """Return what the teacher says of free text; nothing unless it is asked for."""
    if not ask or not params.referee or task.contract.kind != "text":
        return {}
    prompts = {row.id: row.prompt for row in questions}
    pairs = [(prompts[answer.id], answer) for answer in answers.rows[-params.referee :]]
    file = cache / f"referee-{task.id}.json" if cache else None
    return referee.compared(task, pairs, params.rubric, ask, file)


def _champion(
    questions: Sequence[Row], task: Task, champion: Path, params: Evaluate, cache: Path | None
) -> Answers | None:
    """The champion's answers; None when its base has been replaced, so that it cannot be asked."""
    try:
        asked = retagged(questions, task.template.tag, load_one(champion).template.tag)
        return answered(asked, task.contract, champion / "adapter", params, cache=cache)
    except Refused:
        return None


def newest(questions: Sequence[Row], most: int) -> list[Row]:
    """The newest `most` rows, oldest first."""
    return sorted(questions, key=lambda row: (row.at, row.id))[-most:]


def _scorecard(
    task: Task,
    answers: Answers,
    table: list[ScorecardLine],
    parts: list[ScorecardLine],
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
        p=round(significance.mcnemar(better, worse), 5),
        ahead=_ahead(answers, old, task.contract) if old else {},
    )


def _ahead(new: Answers, old: Answers, contract: Contract) -> dict[str, Difference]:
    """Return how much better than the champion, metric by metric."""
    both = [
        quality.parts([r.expected for r in one.rows], [r.answer for r in one.rows], contract)
        for one in (new, old)
    ]
    return quality.differences(*both)


def evaluate_all(dataset: Path, trained: Path, out: Path, params: settings.Params) -> Counts:
    """Measure every trained student into `out`/task/rung; refused ones are dropped."""
    kept, dropped = 0, Counter[str]()
    folders = list(students(dataset, trained))
    for asked, folder, task, rung in folders:
        try:
            evaluate(asked, folder, out / task / rung, params.evaluate, prices=params.economics)
            kept += 1
        except Refused as error:
            dropped[str(error)] += 1
    result = Counts("evaluate", len(folders), kept, dict(dropped))
    stage.finish(out, result)
    return result


def over_students(hop: str, work: Work) -> Counts:
    """The DVC stage of a hop that goes over all trained students."""
    data, params = Path("data"), settings.load()
    folders = data / "dataset", data / "train"
    return stage.hop(hop, data / hop, lambda out: work(*folders, out, params))


def main() -> Counts:
    """The DVC stage."""
    return over_students("evaluate", evaluate_all)
