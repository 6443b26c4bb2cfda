"""The MLflow registry: a registered model per task, a version per student. Imports mlflow, alone.

The alias `candidate` marks the newest version that passed the gate, `champion` the one that serves.
A version is a pyfunc model without code or pickles: a bundle, opened by `_load_pyfunc` below.
`mlflow.pyfunc.load_model("models:/<task>@champion").predict(["a prompt", ...])` answers with it.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from registry import bundle as bundles
from registry import card
from registry.bundle import Lineage
from registry.gate import Verdict
from tasks.calibrate import Certificate
from tasks.evaluate import Scorecard
from tasks.stage import Refused, fresh
from tasks.task import Task
from tasks.train import adapter_digest

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput, Metric, Param, Run
    from mlflow.entities.model_registry import ModelVersion
    from pandas import DataFrame

EXPERIMENT = "flywheel"
OURS = {"made_by": "flywheel"}
CANDIDATE, CHAMPION = "candidate", "champion"
NEEDS = ("torch", "transformers", "peft", "safetensors", "llguidance")


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One registered student."""

    name: str
    number: int
    adapter_digest: str
    dataset: str
    run: str
    passed: bool
    at: float

    @property
    def adapter(self) -> str:
        """The adapter's name in the pool: never the same for two different adapters."""
        return f"{self.name}-v{self.number}-{self.adapter_digest[:8]}"


class Store:
    """A registry, by its tracking URI: `http://…` of a server, or `sqlite:///…` without one."""

    def __init__(self, tracking_uri: str) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        logging.getLogger("alembic").setLevel(logging.WARNING)
        from mlflow.tracking import MlflowClient

        self.uri = tracking_uri
        self._client = MlflowClient(tracking_uri, registry_uri=tracking_uri)

    def register(
        self,
        task: Task,
        bundle: Path,
        scorecard: Scorecard,
        certificate: Certificate | None,
        verdict: Verdict,
        lineage: Lineage,
    ) -> Version:
        """Register a bundle; one adapter becomes one version, however often a night is run.

        `candidate` moves to it when the gate let it pass. `champion` never moves here.
        """
        digest = adapter_digest(bundle / "adapter")
        bundles.check(bundle, digest)
        found = next((v for v in self.versions(task.id) if v.adapter_digest == digest), None)
        if found is None:
            tags = {
                "task": task.id,
                "category": task.category,
                "night": lineage.night,
                "adapter_digest": digest,
                "dataset": lineage.dataset,
                "verdict": "passed" if verdict.passed else "refused",
                "reason": verdict.reason,
            }
            note = card.version(task, scorecard, certificate, verdict, lineage)
            found = self._add(task, bundle, scorecard, certificate, lineage, tags, note)
        if verdict.passed:
            self._client.set_registered_model_alias(task.id, CANDIDATE, str(found.number))
        return found

    def versions(self, name: str) -> list[Version]:
        """All versions of a task's model, oldest first."""
        found = self._client.search_model_versions(f"name='{name}'", max_results=10_000)
        return sorted((_version(v) for v in found), key=lambda v: v.number)

    def champions(self) -> list[Version]:
        """What should serve now: the champion of every task that has one."""
        models = self._client.search_registered_models("tags.made_by='flywheel'", max_results=1_000)
        chosen = [(m.name, m.aliases[CHAMPION]) for m in models if CHAMPION in m.aliases]
        return [_version(self._client.get_model_version(*pair)) for pair in sorted(chosen)]

    def champion(self, name: str) -> int | None:
        """The number of a task's champion, or None."""
        models = self._client.search_registered_models(f"name='{name}'")
        number = models[0].aliases.get(CHAMPION) if models else None
        return None if number is None else int(number)

    def set_champion(self, name: str, number: int | None) -> None:
        """Move the alias `champion`, as a person does in the UI; None takes it away."""
        if number is None:
            self._client.delete_registered_model_alias(name, CHAMPION)
        else:
            self._client.set_registered_model_alias(name, CHAMPION, str(number))

    def version(self, name: str, number: int) -> Version:
        """One version of a task's model. Raises Refused when there is none."""
        found = next((v for v in self.versions(name) if v.number == number), None)
        if found is None:
            raise Refused(f"the registry at {self.uri} has no version {number} of {name}")
        return found

    def fetch(self, version: Version, to: Path) -> Path:
        """Copy a version's bundle to the folder `to`, checked against the registered digest."""
        from mlflow.artifacts import download_artifacts

        if to.exists():
            bundles.check(to, version.adapter_digest)
            return to
        with tempfile.TemporaryDirectory() as scratch:
            source = self._client.get_model_version_download_uri(version.name, str(version.number))
            model = Path(download_artifacts(source, dst_path=scratch, tracking_uri=self.uri))
            bundles.check(model / "data" / "bundle", version.adapter_digest)
            with fresh(to) as folder:
                shutil.copytree(model / "data" / "bundle", folder, dirs_exist_ok=True)
        return to

    def _add(
        self,
        task: Task,
        bundle: Path,
        scorecard: Scorecard,
        certificate: Certificate | None,
        lineage: Lineage,
        tags: dict[str, str],
        note: str,
    ) -> Version:
        """One run, one logged model, one version; the version comes last and makes it count."""
        experiment = self._experiment()
        run = self._run(experiment, task, tags, note)
        run_id = run.info.run_id
        model = self._client.create_logged_model(
            experiment, task.id, source_run_id=run_id, tags=tags, model_type="student"
        )
        training = bundles.read(bundle, "training")
        self._client.log_batch(
            run_id,
            metrics=_metrics(run, model.model_id, scorecard, certificate, training),
            params=_params(lineage, training),
        )
        self._client.log_inputs(run_id, [_dataset(task, lineage)])
        with tempfile.TemporaryDirectory() as scratch:
            _save(bundle, Path(scratch))
            self._client.log_model_artifacts(model.model_id, f"{scratch}/model")
        self._client.finalize_logged_model(model.model_id, "READY")
        self._client.set_terminated(run_id)
        self._describe(task)
        return _version(
            self._client.create_model_version(
                task.id,
                f"models:/{model.model_id}",
                run_id,
                tags=tags,
                description=note,
                model_id=model.model_id,
            )
        )

    def _experiment(self) -> str:
        found = self._client.get_experiment_by_name(EXPERIMENT)
        return found.experiment_id if found else str(self._client.create_experiment(EXPERIMENT))

    def _run(self, experiment: str, task: Task, tags: dict[str, str], note: str) -> Run:
        """A new run; what an interrupted registration of this adapter left behind is deleted."""
        query = f"tags.adapter_digest = '{tags['adapter_digest']}'"
        for left in self._client.search_runs([experiment], query):
            self._client.delete_run(left.info.run_id)
        name = f"{task.id} {tags['night']}"
        return self._client.create_run(
            experiment, tags={**tags, "mlflow.note.content": note}, run_name=name
        )

    def _describe(self, task: Task) -> None:
        """Create the registered model, or bring its description up to date."""
        tags = {**OURS, "task": task.id, "category": task.category}
        if self._client.search_registered_models(f"name='{task.id}'"):
            self._client.update_registered_model(task.id, card.model(task))
        else:
            self._client.create_registered_model(task.id, tags, card.model(task))


def _version(found: ModelVersion) -> Version:
    return Version(
        name=found.name,
        number=int(found.version),
        adapter_digest=found.tags.get("adapter_digest", ""),
        dataset=found.tags.get("dataset", ""),
        run=found.run_id or "",
        passed=found.tags.get("verdict") == "passed",
        at=found.creation_timestamp / 1000,
    )


def _numbers(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Every number in nested plain data, by its dotted name."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _numbers(value, f"{prefix}{key}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{prefix}{key}", float(value)


def _metrics(
    run: Run,
    model: str,
    scorecard: Scorecard,
    certificate: Certificate | None,
    training: dict[str, Any],
) -> list[Metric]:
    from mlflow.entities import Metric

    at = run.info.start_time
    values = dict(_numbers(msgspec.to_builtins(scorecard)))
    values |= dict(_numbers(msgspec.to_builtins(certificate) or {}, "certificate."))
    values |= {f"training.{k}": v for k, v in _numbers(training) if k != "seed"}
    curve = enumerate(training.get("losses", ()), start=1)
    return [
        *(Metric(key, value, at, 0, model_id=model) for key, value in values.items()),
        *(Metric("loss", float(value), at, step, model_id=model) for step, value in curve),
    ]


def _params(lineage: Lineage, training: dict[str, Any]) -> list[Param]:
    from mlflow.entities import Param

    values = msgspec.to_builtins(lineage) | {
        key: value for key, value in training.items() if isinstance(value, str)
    }
    rows = values.pop("rows")
    values |= {f"rows.{part}": count for part, count in rows.items()}
    return [Param(key, str(value)) for key, value in values.items() if value != ""]


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


def _save(bundle: Path, scratch: Path) -> None:
    """Write an MLflow model at `scratch/model`: the bundle and the name of this module."""
    from mlflow.models import ModelSignature
    from mlflow.pyfunc import save_model
    from mlflow.types import ColSpec, Schema

    shutil.copytree(bundle, scratch / "bundle")
    save_model(
        scratch / "model",
        loader_module=__name__,
        data_path=scratch / "bundle",
        signature=ModelSignature(
            Schema([ColSpec("string", "prompt")]), Schema([ColSpec("string", "answer")])
        ),
        pip_requirements=[f"{name}=={installed(name)}" for name in NEEDS],  # inferring is slow
    )


class _Model:
    """What MLflow loads: prompts in (one column `prompt`), answers out."""

    def __init__(self, folder: Path) -> None:
        from tasks.student import Student, base_path

        lineage, task = bundles.read(folder, "lineage"), bundles.read(folder, "task")
        self._contract = msgspec.convert(task, Task).contract
        self._student = Student.load(base_path(lineage["base"]), folder / "adapter")

    def predict(self, frame: DataFrame, params: dict[str, Any] | None = None) -> list[str]:
        answers = self._student.answer(list(frame["prompt"]), self._contract, max_tokens=256)
        return [answer.text for answer in answers]


def _load_pyfunc(path: str) -> _Model:
    return _Model(Path(path))
