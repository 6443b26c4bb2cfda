"""The figures of a student as MLflow shows them: metrics, curves, params, tables, all by name."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

from registry.bundle import ComparedAnswer, Lineage
from tasks.core.certificate import Certificate
from tasks.core.scorecard import Scorecard
from tasks.core.training import Training
from tasks.evaluate import quality

LONG = 1_000  # characters of a text in a table
_FORBIDDEN = re.compile(r"[^\w\-. :/]+ ?")  # what MLflow does not take in a name


def metrics(scorecard: Scorecard, certificate: Certificate | None) -> dict[str, float]:
    """The figures that versions are compared by: the headline ones bare, the rest in groups."""
    result = {
        "agreement": scorecard.agreement,
        "agreement low": scorecard.low,
        "agreement high": scorecard.high,
        "on contract": scorecard.valid,
        "test rows": scorecard.n,
        "latency ms": scorecard.latency_ms,
        "prompt tokens": scorecard.prompt_tokens,
        "completion tokens": scorecard.completion_tokens,
        "student cost per 1000": scorecard.student_cost,
        "teacher cost per 1000": scorecard.teacher_cost,
        "coverage": certificate.coverage if certificate else 0.0,
    }
    result |= {f"quality/{name}": value for name, value in scorecard.metrics.items()}
    for name, (low, high) in scorecard.table[0].intervals.items():
        result |= {f"interval/{name} low": low, f"interval/{name} high": high}
    for name, ahead in scorecard.ahead.items():
        result |= {f"ahead/{name}": ahead.value}
        result |= {f"ahead/{name} low": ahead.low, f"ahead/{name} high": ahead.high}
    result |= {f"beside/{line.name}": line.agreement for line in scorecard.table[1:]}
    result |= {f"slice/{line.name}": line.agreement for line in scorecard.slices}
    if certificate:
        result |= {
            "certificate/threshold": certificate.threshold,
            "certificate/alpha": certificate.alpha,
            "certificate/delta": certificate.delta,
            "certificate/rows": certificate.n,
            "certificate/accepted": certificate.accepted,
            "certificate/wrong": certificate.wrong,
            "certificate/escalation floor": certificate.floor,
        }
    return {_FORBIDDEN.sub("", name): float(value) for name, value in result.items()}


def curves(training: Training) -> Iterator[tuple[str, int, float]]:
    """The training's curves, as (name, step, value)."""
    for step, loss in training.losses:
        yield "training/loss", step, loss
    for mark in training.validation:
        yield "validation/loss", mark.step, mark.loss
        yield "validation/exact", mark.step, mark.exact
    for number, trial in enumerate(training.trials, 1):
        if trial.mark:
            yield "trials/loss", number, trial.mark.loss
            yield "trials/exact", number, trial.mark.exact


def params(lineage: Lineage, training: Training) -> dict[str, str]:
    """Return what the student was made with; empty values are left out."""
    result = {
        "night": lineage.night,
        "dataset": lineage.dataset,
        "kind": training.kind,
        "domain": lineage.domain,
        "base": training.base,
        "base digest": training.base_digest,
        "seed": training.seed,
        "learning rate": f"{training.learning_rate:g}",
        "steps": training.steps,
        "kept step": training.best,
        "tokens": training.tokens,
        "seconds": round(training.seconds, 1),
        "note": training.note,
    }
    result |= {f"trial {n}": str(trial) for n, trial in enumerate(training.trials, 1)}
    result |= {f"rows {part}": count for part, count in lineage.rows.items()}
    return {name: str(value) for name, value in result.items() if value != ""}


def answers(
    compared: Sequence[ComparedAnswer], certificate: Certificate | None
) -> dict[str, list[object]]:
    """The test questions as columns: what was asked, given and expected, and if it would serve.

    Side by side the UI shows the second column of several versions for each value of the first.
    """
    scores = [-math.inf if row.score is None else row.score for row in compared]
    least = certificate.threshold if certificate else math.inf
    return {
        "prompt": [row.prompt[:LONG] for row in compared],
        "given": [row.given[:LONG] for row in compared],
        "expected": [row.expected[:LONG] for row in compared],
        "agrees": [row.agrees for row in compared],
        "confidence": [round(math.exp(score), 4) for score in scores],
        "served": [score >= least for score in scores],
    }


def fields(compared: Sequence[ComparedAnswer]) -> dict[str, list[object]]:
    """Each field of JSON answers, its F1 and how often it was expected, as columns."""
    by_field = quality.by_field([row.expected for row in compared], [row.given for row in compared])
    return {
        "field": list(by_field),
        "f1": [round(f1, 4) for f1, _ in by_field.values()],
        "expected": [count for _, count in by_field.values()],
    }


def scores(scorecard: Scorecard) -> dict[str, list[object]]:
    """The scorecard as columns: the student, its rivals and its slices, a line each."""
    lines = [*scorecard.table, *scorecard.slices]
    names = dict.fromkeys(name for line in lines for name in line.metrics)
    columns: dict[str, list[object]] = {
        "who": [line.name for line in lines],
        "agreement": [line.agreement for line in lines],
        "low": [line.low for line in lines],
        "high": [line.high for line in lines],
        "on contract": [line.valid for line in lines],
        "calls": [line.n or scorecard.n for line in lines],
    }
    for name in names:
        columns[name] = [line.metrics.get(name) for line in lines]
        columns[f"{name} low"] = [line.intervals.get(name, (None,))[0] for line in lines]
        columns[f"{name} high"] = [line.intervals.get(name, (None,))[-1] for line in lines]
    return columns
