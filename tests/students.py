"""A task, its scorecard, certificate and bundle, made up: for tests of what follows training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from registry.bundle import Lineage, pack
from registry.gate import Verdict
from tasks.core.certificate import Certificate
from tasks.core.contract import Contract
from tasks.core.scorecard import Scorecard, ScorecardLine
from tasks.core.stage import write_atomic
from tasks.core.task import Task, save
from tasks.core.template import Head, Pattern, Slot, Template
from tasks.core.training import Mark, Sample, Training
from tasks.evaluate.answers import Answered, Answers, write_answers
from tasks.students.adapters import adapter_digest
from tasks.students.causal import ADAPTER_FILES, base_digest
from tasks.train.prepare import save as write_adapter

SYSTEM = Pattern(
    ("You route messages of an online shop. Today is ", ". Request ", "."),
    (Slot(name="date", noise=True), Slot(name="request id", noise=True)),
)
MACHINE = {"cpu_utilization_percentage": 50.0, "system_memory_usage_megabytes": 900.0}
LABELS = ("billing", "delivery", "refund", "returns", "other")
PASSED = Verdict(True, "It answers 86% of the calls by itself.")
COLOUR = Contract(kind="labels", labels=("blue", "green", "red"))


def task(id: str = "route-intent-3f2a9c", /, **changes: Any) -> Task:
    """A routing task with a per-request header in its system prompt."""
    fields = {
        "id": id,
        "name": "Route a customer's message",
        "description": "Names the department that a customer's message is for.",
        "category": "classification",
        "family": "support desk",
        "template": Template(
            heads=(Head({"role": "system", "content": ""}, (SYSTEM,)),),
            first=(Pattern(("Message: ", ""), (Slot(name="message"),)),),
        ),
        "contract": Contract(kind="labels", labels=LABELS),
        "size": 880,
        "share": 0.22,
    }
    return Task(**{**fields, **changes})


def scorecard(digest: str = "ad1", **changes: Any) -> Scorecard:
    """A good student beside the majority answer."""
    fields = {
        "task": "route-intent-3f2a9c",
        "adapter_digest": digest,
        "test_digest": "te57",
        "n": 320,
        "agreement": 0.953,
        "low": 0.924,
        "high": 0.971,
        "valid": 1.0,
        "metrics": {"macro F1": 0.948},
        "table": [
            ScorecardLine(name="student", agreement=0.953, low=0.924, high=0.971, valid=1.0),
            ScorecardLine(name="majority answer", agreement=0.31, low=0.26, high=0.363, valid=1.0),
        ],
        "latency_ms": 18.4,
        "prompt_tokens": 31.0,
        "completion_tokens": 3.0,
        "student_cost": 0.00086,
        "teacher_cost": 1.09,
    }
    return Scorecard(**{**fields, **changes})


def certificate(digest: str = "ad1", **changes: Any) -> Certificate:
    """A certificate that covers 86 % of the calls."""
    fields = {
        "task": "route-intent-3f2a9c",
        "adapter_digest": digest,
        "threshold": -0.105,
        "alpha": 0.05,
        "delta": 0.1,
        "n": 300,
        "accepted": 258,
        "wrong": 7,
        "coverage": 0.86,
        "floor": 0.0,
        "p": 0.06,
    }
    return Certificate(**{**fields, **changes})


def training(digest: str, **changes: Any) -> Training:
    """How an adapter came about, with a falling loss."""
    fields = {
        "task": "route-intent-3f2a9c",
        "base": "bundled",
        "base_digest": "ba5e",
        "adapter_digest": digest,
        "seed": 0,
        "learning_rate": 2e-3,
        "rows": 420,
        "too_long": 0,
        "tokens": 54_000,
        "steps": 120,
        "best": 100,
        "seconds": 41.5,
        "losses": [(step, 2.4 / (1 + step / 12)) for step in range(10, 121, 10)],
        "usage": [Sample(at=1e9 + 5 * i, values=dict(MACHINE)) for i in range(3)],
        "validation": [Mark(step=60, loss=0.4, exact=0.8), Mark(step=120, loss=0.3, exact=0.95)],
    }
    return Training(**{**fields, **changes})


def adapter(folder: Path, seed: int) -> str:
    """Write an adapter of random numbers; return its digest."""
    import numpy as np
    from safetensors.numpy import save_file

    folder.mkdir(parents=True)
    weights = np.random.default_rng(seed).normal(size=(16, 256)).astype(np.float32)
    save_file({"lora": weights}, folder / ADAPTER_FILES[1])
    (folder / ADAPTER_FILES[0]).write_bytes(b'{"peft_type": "LORA"}')
    return adapter_digest(folder)


def lora(base: Path, folder: Path) -> str:
    """Write a real, untrained LoRA adapter of a base model; return its digest."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    config = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    write_adapter(model, folder, base=str(base), base_digest=base_digest(base))
    return adapter_digest(folder)


def answers(folder: Path, digest: str, subject: Task, *, questions: int = 8) -> None:
    """Write a dataset folder with its task and test rows, and what the student answered."""
    said = [
        {"id": f"q{i}", "prompt": f"my parcel {i} is late", "answer": LABELS[1], "sure": -i / 10}
        for i in range(questions)
    ]
    rows = [{**{k: s[k] for k in ("id", "prompt", "answer")}, **ROW} for s in said]
    save(folder / "dataset" / "task.json", subject)
    pq.write_table(pa.Table.from_pylist(rows), folder / "dataset" / "test.parquet")
    answered = [
        Answered(
            id=s["id"],
            expected=s["answer"],
            answer=s["answer"],
            agrees=True,
            valid=True,
            weight=1.0,
            at=0.0,
            logprobs=(s["sure"],),
            finish_reason="stop",
        )
        for s in said
    ]
    facts = {"latency_ms": 18.4, "prompt_tokens": 31.0, "completion_tokens": 3.0}
    kept = Answers(rows=answered, adapter_digest=digest, rows_digest="te57", **facts)
    write_answers(folder / "evaluated" / "answers.parquet", kept)


ROW = {"at": 0.0, "group": "g", "weight": 1.0}


def bundle(
    home: Path,
    *,
    seed: int = 0,
    subject: Task | None = None,
    base: str = "",
    trained: Path | None = None,
) -> tuple[Path, str, Lineage]:
    """Write the hops' folders and pack them; return the bundle, its digest and its lineage.

    `trained` holds a real adapter of `base`; without it the adapter is made up.
    """
    subject = subject or task()
    hops = home / f"{subject.id}-{seed}"
    if trained is None:
        trained = hops / "trained"
        adapter(trained / "adapter", seed)
    digest = adapter_digest(trained / "adapter")
    write_atomic(trained / "training.json", msgspec.json.encode(training(digest)))
    answers(hops, digest, subject)
    parts = {
        "evaluated/scorecard": scorecard(digest),
        "calibrated/certificate": certificate(digest, task=subject.id),
    }
    for name, part in parts.items():
        write_atomic(hops / f"{name}.json", msgspec.json.encode(part))
    lineage = Lineage(
        night="2026-03-14",
        dataset="2dbf05a3d7b85a8709fcbb54de2643b4.dir",
        base=base or "bundled",
        base_digest="ba5e",
        rows={"train": 420, "validation": 90, "calibration": 300, "test": 320},
    )
    folders = {name: hops / name for name in ("dataset", "evaluated", "calibrated")}
    return pack(hops / "bundle", lineage=lineage, trained=trained, **folders), digest, lineage
