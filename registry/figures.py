"""The figures of a student as MLflow shows them: metrics, curves and params, by readable names."""

from __future__ import annotations

import re
from collections.abc import Iterator

from registry.bundle import Lineage
from tasks.calibrate import Certificate
from tasks.evaluate import Scorecard
from tasks.train import Training

_FORBIDDEN = re.compile(r"[^\w\-. :/]+ ?")  # what MLflow does not take in a name


def metrics(scorecard: Scorecard, certificate: Certificate | None) -> dict[str, float]:
    """The figures that versions are compared by: the headline ones bare, the rest in groups."""
    found = {
        "agreement": scorecard.agreement,
        "agreement low": scorecard.low,
        "agreement high": scorecard.high,
        "on contract": scorecard.valid,
        "test rows": scorecard.n,
        "latency ms": scorecard.latency_ms,
        "student cost per 1000": scorecard.student_cost,
        "teacher cost per 1000": scorecard.teacher_cost,
        "coverage": certificate.coverage if certificate else 0.0,
    }
    found |= {f"quality/{name}": value for name, value in scorecard.metrics.items()}
    found |= {f"beside/{line.name}": line.agreement for line in scorecard.table[1:]}
    found |= {f"slice/{line.name}": line.agreement for line in scorecard.slices}
    if certificate:
        found |= {
            "certificate/threshold": certificate.threshold,
            "certificate/alpha": certificate.alpha,
            "certificate/delta": certificate.delta,
            "certificate/rows": certificate.n,
            "certificate/accepted": certificate.accepted,
            "certificate/wrong": certificate.wrong,
            "certificate/escalation floor": certificate.floor,
        }
    return {_FORBIDDEN.sub("", name): float(value) for name, value in found.items()}


def curves(training: Training) -> Iterator[tuple[str, int, float]]:
    """The training's curves, as (name, step, value)."""
    for step, loss in training.losses:
        yield "training/loss", step, loss
    for mark in training.validation:
        yield "validation/loss", mark.step, mark.loss
        yield "validation/exact", mark.step, mark.exact


def params(lineage: Lineage, training: Training) -> dict[str, str]:
    """What the student was made with; empty values are left out."""
    found = {
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
    found |= {f"rows {part}": count for part, count in lineage.rows.items()}
    return {name: str(value) for name, value in found.items() if value != ""}
