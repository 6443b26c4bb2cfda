"""The MLflow run of one student, beside its files: figures, curves, data, tables and pictures."""

from __future__ import annotations

import shutil
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from registry import bundle as bundles
from registry import figures, model, plots
from registry.bundle import Lineage
from tasks.core.certificate import Certificate
from tasks.core.scorecard import Scorecard
from tasks.core.task import Task
from tasks.core.training import Training
from tasks.train.train import load_training

NEEDS = ("torch", "transformers", "peft", "safetensors", "llguidance")

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Metric, Run


def log(
    client: MlflowClient,
    run: Run,
    logged: str,
    task: Task,
    bundle: Path,
    scorecard: Scorecard,
    certificate: Certificate | None,
    lineage: Lineage,
) -> None:
    """Log all that a bundle tells about its student to a run; `logged` is the logged model's id."""
    from mlflow.entities import Param

    name, training, compared = run.info.run_id, load_training(bundle), bundles.answers(bundle)
    points = [(k, 0, v) for k, v in figures.metrics(scorecard, certificate).items()]
    client.log_batch(
        name,
        metrics=[*_metrics(run, logged, [*points, *figures.curves(training)]), *_usage(training)],
        params=[Param(k, v) for k, v in figures.params(lineage, training).items()],
    )
    client.log_inputs(name, [_dataset(task, lineage)])
    client.log_table(name, figures.scores(scorecard), "scorecard.json")
    if compared:
        client.log_table(name, figures.answers(compared, certificate), "answers.json")
    if compared and task.contract.kind in ("json", "tools"):
        client.log_table(name, figures.fields(compared), "fields.json")
    for title, drawn in plots.plots(task.contract, compared, certificate, training).items():
        client.log_figure(name, drawn, f"plots/{title}.png")


def _metrics(run: Run, logged: str, points: list[tuple[str, int, float]]) -> list[Metric]:
    """Metrics on the run and the model both, so that the UI compares either."""
    from mlflow.entities import Metric

    at = run.info.start_time
    return [Metric(name, value, at, step, model_id=logged) for name, step, value in points]


def _usage(training: Training) -> list[Metric]:
    """The training's use of the machine, by names and times of MLflow's own monitor."""
    from mlflow.entities import Metric

    return [
        Metric(f"system/{name}", value, int(1000 * sample.at), step)
        for step, sample in enumerate(training.usage)
        for name, value in sample.values.items()
    ]


def _dataset(task: Task, lineage: Lineage) -> DatasetInput:
    """The night's dataset folder as a logged input; its digest is the DVC hash."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    source = {"tool": "dvc", "path": f"nights/{lineage.night}/dataset/{task.id}"}
    data = Dataset(
        name=f"{task.id} {lineage.night}",
        digest=lineage.dataset[:36],
        source_type="dvc",
        source=msgspec.json.encode(source).decode(),
        profile=msgspec.json.encode({"rows": lineage.rows}).decode(),
    )
    return DatasetInput(data, [InputTag("mlflow.data.context", "training")])


def save(bundle: Path, scratch: Path) -> None:
    """Write an MLflow model at `scratch/model`: the bundle, and what opens it."""
    from mlflow.models import ModelSignature
    from mlflow.pyfunc import save_model
    from mlflow.types import ColSpec, Schema
    from pandas import DataFrame

    asked = bundles.read(bundle, "canary") or [{"prompt": ""}]
    shutil.copytree(bundle, scratch / "bundle")
    save_model(
        scratch / "model",
        loader_module=model.__name__,
        data_path=scratch / "bundle",
        signature=ModelSignature(
            Schema([ColSpec("string", "prompt")]), Schema([ColSpec("string", "answer")])
        ),
        input_example=DataFrame({"prompt": [asked[0]["prompt"]]}),
        pip_requirements=[f"{name}=={installed(name)}" for name in NEEDS],  # inferring is slow
    )
