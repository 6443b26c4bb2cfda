"""Answers: what a student says to the rows of a dataset, asked once and kept as Parquet."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.core.contract import Contract, agree, violation
from tasks.core.params import Evaluate
from tasks.core.records import digest
from tasks.core.rows import Row
from tasks.evaluate import significance
from tasks.students.adapters import adapter_digest, open_student
from tasks.students.causal import Student, base_digest
from tasks.students.encoder import EncoderStudent

ALONE = 12  # answers that are timed one at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One row's expected answer and what a student said."""

    id: str
    expected: str
    answer: str
    agrees: bool
    valid: bool
    weight: float
    at: float
    logprobs: tuple[float, ...]
    finish_reason: str
    group: str = ""  # rows of one conversation, and near-duplicates, share it
    rate: float = 1.0  # of the audit, where a student stood before the teacher


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """A student's answers to a set of rows, and what they took."""

    rows: list[Answered]
    adapter_digest: str
    rows_digest: str
    latency_ms: float
    prompt_tokens: float
    completion_tokens: float

    @property
    def agreement(self) -> tuple[float, float]:
        """The weighted share that agrees, and the effective number of rows behind it."""
        return significance.weighted([r.agrees for r in self.rows], [r.weight for r in self.rows])


def answered(
    questions: Sequence[Row],
    contract: Contract,
    adapter: Path,
    params: Evaluate,
    *,
    cache: Path | None = None,
    heads: Mapping[str, int] | None = None,
) -> Answers:
    """A student's answers to rows, from the cache where they are there already.

    `heads` says which head of a mixture is to answer a row, by its id.
    """
    who = adapter_digest(adapter)
    own = [heads.get(row.id, 0) for row in questions] if heads else []
    return _cached(questions, contract, who, lambda: open_student(adapter), params, cache, own)


def unadapted(
    questions: Sequence[Row], contract: Contract, base: Path, params: Evaluate, cache: Path | None
) -> Answers:
    """Answers of a base model without an adapter, cached where they are there already."""
    who = base_digest(base)
    return _cached(questions, contract, who, lambda: Student.load(base, None), params, cache)


def _cached(
    questions: Sequence[Row],
    contract: Contract,
    who: str,
    open_it: Callable[[], Student | EncoderStudent],
    params: Evaluate,
    cache: Path | None,
    heads: Sequence[int] = (),
) -> Answers:
    parts = [part for row in questions for part in (row.id, row.prompt, row.answer)]
    name = digest(*parts, *map(str, (params.max_tokens, *heads)), msgspec.json.encode(contract))
    file = cache / f"{who}-{name}.parquet" if cache else None
    if file and file.exists():
        return _anew(read_answers(file), questions, contract)
    answers = _ask(questions, contract, open_it(), params, who, name, heads)
    if file:
        write_answers(file, answers)
    return answers


def _anew(answers: Answers, questions: Sequence[Row], contract: Contract) -> Answers:
    """The answers as those to tonight's rows, which may stand for more calls than before.

    Whether they agree is asked again: an older version may have had another rule.
    """
    rows = [
        replace(
            given,
            agrees=_agrees(row, given.answer, given.finish_reason, contract),
            valid=violation(given.answer, contract) is None,
            weight=row.weight,
            at=row.at,
            group=row.group,
            rate=row.rate,
        )
        for given, row in zip(answers.rows, questions, strict=True)
    ]
    return replace(answers, rows=rows)


def _agrees(row: Row, text: str, finish_reason: str, contract: Contract) -> bool:
    """Return whether an answer says what was expected; one that was cut off never does."""
    return finish_reason == "stop" and agree(row.answer, text, contract)


def _ask(
    questions: Sequence[Row],
    contract: Contract,
    student: Student | EncoderStudent,
    params: Evaluate,
    who: str,
    name: str,
    heads: Sequence[int],
) -> Answers:
    prompts, limits = [row.prompt for row in questions], (params.max_tokens, params.batch)
    if heads and isinstance(student, EncoderStudent):
        answers = student.answer(prompts, max_tokens=limits[0], batch=limits[1], heads=heads)
    else:
        answers = student.answer(prompts, max_tokens=limits[0], batch=limits[1])
    times = []
    for prompt in prompts[:ALONE]:
        began = time.perf_counter()
        student.answer([prompt], max_tokens=params.max_tokens)
        times.append(time.perf_counter() - began)
    return Answers(
        rows=[
            Answered(
                id=row.id,
                expected=row.answer,
                answer=answer.text,
                agrees=_agrees(row, answer.text, answer.finish_reason, contract),
                valid=violation(answer.text, contract) is None,
                weight=row.weight,
                at=row.at,
                logprobs=answer.logprobs,
                finish_reason=answer.finish_reason,
                group=row.group,
                rate=row.rate,
            )
            for row, answer in zip(questions, answers, strict=True)
        ],
        adapter_digest=who,
        rows_digest=name,
        latency_ms=round(1000 * statistics.median(times), 2),
        prompt_tokens=statistics.fmean(map(len, student.prompts(prompts))),
        completion_tokens=statistics.fmean(len(answer.logprobs) for answer in answers),
    )


def write_answers(path: Path, answers: Answers) -> None:
    """Keep answers as Parquet; what they took is in the file's metadata."""
    path.parent.mkdir(parents=True, exist_ok=True)
    facts = {k: str(v) for k, v in asdict(answers).items() if k != "rows"}
    table = pa.Table.from_pylist([asdict(row) for row in answers.rows])
    temporary = path.with_name(f".{path.name}.tmp")
    pq.write_table(table.replace_schema_metadata(facts), temporary)
    temporary.replace(path)


def read_answers(path: Path) -> Answers:
    """Read answers back."""
    table = pq.read_table(path)
    facts = {k.decode(): v.decode() for k, v in (table.schema.metadata or {}).items()}
    answers = msgspec.convert(table.to_pylist(), list[Answered])
    return msgspec.convert({**facts, "rows": answers}, Answers, strict=False)
