"""The MLflow registry: a registered model per task, a version per student.

The alias `candidate` marks the newest version that passed the gate, `champion` the one that serves,
`shadow` one that is asked in the background until it is proven.
A version is a pyfunc model without code or pickles: a bundle, which `registry.model` opens.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from registry import bundle as bundles
from registry import card, mlflow_run
from registry.bundle import Lineage
from registry.gate import Verdict
from registry.server import reach
from registry.version import PASSED, REFUSED, REVOKED, TASK, many, version_of
from registry.version import Version as Version  # part of what a store gives
from tasks.core.certificate import Certificate
from tasks.core.records import digest
from tasks.core.scorecard import Scorecard
from tasks.core.stage import Refused, fresh
from tasks.core.task import Task
from tasks.students.adapters import adapter_digest

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.entities.model_registry import RegisteredModel

EXPERIMENT, NIGHTS, ROUTERS = "flywheel", "flywheel nights", "flywheel routers"
ABOUT = {
    EXPERIMENT: "One run for each student that was trained and judged.",
    NIGHTS: "One run for each night: calls in and kept, tasks, recall of injected personal data.",
    ROUTERS: "Which task a call belongs to: the templates of all tasks, a version for each change.",
}
OURS = {"made_by": "flywheel"}
CANDIDATE, CHAMPION, SHADOW = "candidate", "champion", "shadow"
Aliases = Mapping[str, Mapping[str, int]]  # which version of each task has which


def numbers(aliases: Aliases, alias: str) -> dict[str, int]:
    """Return the number of the version of each task that has an alias."""
    return {task: of[alias] for task, of in aliases.items() if alias in of}


class Store:
    """A registry, by its tracking URI: `http://…` of a server, or `sqlite:///…` without one.

    Versions are signed with the `key`: who may write to MLflow can have nothing else served.
    """

    def __init__(self, tracking_uri: str, key: bytes) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")  # 7 take four minutes
        from mlflow.tracking import MlflowClient

        for chatty in ("mlflow", "alembic"):
            logging.getLogger(chatty).setLevel(logging.WARNING)
        self.uri, self._key = tracking_uri, key
        self.client = MlflowClient(tracking_uri, registry_uri=tracking_uri)

    def reach(self) -> None:
        """Raise Refused where the registry's server does not answer."""
        reach(self.uri)

    def register(
        self,
        task: Task,
        bundle: Path,
        scorecard: Scorecard,
        certificate: Certificate | None,
        verdict: Verdict,
        lineage: Lineage,
    ) -> Version:
        """Register a bundle; an adapter with a proof is one version, however often a night is run.

        `candidate` moves to it when the gate let it pass. `champion` never moves here.
        """
        adapter = adapter_digest(bundle / "adapter")
        bundles.check(bundle, adapter)
        proof = digest(msgspec.json.encode(certificate)) if certificate else ""
        proven = (v for v in self.versions(task.id) if v.certificate == proof)
        same = next((v for v in proven if v.adapter_digest == adapter), None)
        if same is None:
            signed = (task.id, PASSED if verdict.passed else REFUSED, lineage.domain or TASK)
            tags = {
                "verdict": signed[1],
                "agreement": f"{scorecard.agreement:.1%}",
                "coverage": f"{certificate.coverage if certificate else 0:.1%}",
                "night": lineage.night,
                "adapter_digest": adapter,
                "dataset": lineage.dataset,
                "scope": signed[2],
                **({"certificate": proof} if proof else {}),
                "signature": bundles.signature(bundle, signed, self._key),
            }
            note = card.version(task, scorecard, certificate, verdict, lineage)
            same = self._add(task, bundle, scorecard, certificate, lineage, tags, note)
        if verdict.passed:
            self.client.set_registered_model_alias(task.id, CANDIDATE, str(same.number))
        return same

    def versions(self, name: str) -> list[Version]:
        """All versions of a task's model, oldest first."""
        versions = self.client.search_model_versions(f"name='{name}'", max_results=10_000)
        return sorted((version_of(v) for v in versions), key=lambda v: v.number)

    def champions(self, aliases: Aliases | None = None) -> list[Version]:
        """Return what should serve now: the champion of every task that has one.

        By `aliases` that were read already, as a thousand tasks take a second to read.
        """
        return self._named(CHAMPION, aliases)

    def shadows(self, aliases: Aliases | None = None) -> list[Version]:
        """Return what should be asked in the background: the shadow of every task that has one."""
        return self._named(SHADOW, aliases)

    def aliases(self) -> dict[str, dict[str, int]]:
        """Return which version of each task has which alias."""
        return {m.name: {a: int(n) for a, n in m.aliases.items()} for m in self._models()}

    def serving(self) -> dict[str, int]:
        """Return the number of each task's champion."""
        return numbers(self.aliases(), CHAMPION)

    def _models(self) -> Iterator[RegisteredModel]:
        """Our registered models, page by page."""
        token: str | None = None
        while token != "":
            query = "tags.made_by='flywheel'"
            page = self.client.search_registered_models(query, max_results=1_000, page_token=token)
            yield from page
            token = page.token or ""

    def _named(self, alias: str, aliases: Aliases | None) -> list[Version]:
        found = numbers(self.aliases() if aliases is None else aliases, alias)
        return sorted(many(self.client, found), key=lambda version: version.name)

    def note(self, version: Version, text: str) -> None:
        """Put what live calls say about a version at the top of its page."""
        page = self.client.get_model_version(version.name, str(version.number))
        after = card.noted(page.description or "", text, page.tags.get(REVOKED, ""))
        if after != page.description:
            self.client.update_model_version(version.name, str(version.number), after)

    def revoke(self, version: Version, why: str) -> None:
        """Say on a version's page, and in a tag, why the watch took it out; it is no candidate."""
        self.client.set_model_version_tag(version.name, str(version.number), REVOKED, why)
        self.note(version, "")
        if self._number(version.name, CANDIDATE) == version.number:
            self._move(version.name, CANDIDATE, None)

    def reinstate(self, version: Version) -> None:
        """Say so no longer: a person has put the version back."""
        name, number = version.name, str(version.number)
        if REVOKED in self.client.get_model_version(name, number).tags:
            self.client.delete_model_version_tag(name, number, REVOKED)
            self.note(version, "")

    def champion(self, name: str) -> int | None:
        """The number of a task's champion, or None."""
        return self._number(name, CHAMPION)

    def shadow(self, name: str) -> int | None:
        """The number of the version of a task that is asked in the background, or None."""
        return self._number(name, SHADOW)

    def _number(self, name: str, alias: str) -> int | None:
        models = self.client.search_registered_models(f"name='{name}'")
        number = models[0].aliases.get(alias) if models else None
        return None if number is None else int(number)

    def set_champion(self, name: str, number: int | None) -> None:
        """Move the alias `champion`, as a person does in the UI; None takes it away."""
        self._move(name, CHAMPION, number)

    def set_shadow(self, name: str, number: int | None) -> None:
        """Make a version the one that is asked in the background; None takes the alias away."""
        if number is not None or self.shadow(name) is not None:
            self._move(name, SHADOW, number)

    def _move(self, name: str, alias: str, number: int | None) -> None:
        if number is None:
            self.client.delete_registered_model_alias(name, alias)
        else:
            self.client.set_registered_model_alias(name, alias, str(number))

    def version(self, name: str, number: int) -> Version:
        """One version of a task's model. Raises Refused when there is none."""
        match = next((v for v in self.versions(name) if v.number == number), None)
        if match is None:
            raise Refused(f"the registry at {self.uri} has no version {number} of {name}")
        return match

    def fetch(self, version: Version, to: Path) -> Path:
        """Copy a version's bundle to the folder `to`, checked against its digest and signature.

        A copy that is there and was damaged is made anew. Raises Refused.
        """
        from mlflow.artifacts import download_artifacts
        from mlflow.exceptions import MlflowException

        with suppress(Refused, OSError):
            self._check(to, version)
            return to
        with tempfile.TemporaryDirectory() as scratch:
            at = version.name, str(version.number)
            try:
                source = self.client.get_model_version_download_uri(*at)
                saved = Path(download_artifacts(source, dst_path=scratch, tracking_uri=self.uri))
            except (MlflowException, OSError) as error:
                raise Refused(f"version {at[1]} of {at[0]} cannot be fetched: {error}") from None
            self._check(saved / "data" / "bundle", version)
            with fresh(to) as folder:
                shutil.copytree(saved / "data" / "bundle", folder, dirs_exist_ok=True)
        return to

    def _check(self, folder: Path, version: Version) -> None:
        bundles.check(folder, version.adapter_digest)
        bundles.check_signature(folder, version.signed, self._key, version.signature)

    def record(self, day: str, figures: Mapping[str, float]) -> None:
        """The figures of one night as a run of its own; a night that is run again has one run."""
        from mlflow.entities import Metric

        place, at = self.experiment(NIGHTS), int(1000 * time.time())
        for old in self.client.search_runs([place], f"tags.night = '{day}'"):
            self.client.delete_run(old.info.run_id)
        run = self.client.create_run(place, tags={"night": day}, run_name=f"night of {day}")
        metrics = [Metric(name, value, at, 0) for name, value in figures.items()]
        self.client.log_batch(run.info.run_id, metrics=metrics)
        self.client.set_terminated(run.info.run_id)

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
        from mlflow.entities import LoggedModelOutput

        experiment = self.experiment(EXPERIMENT)
        entry = self._run(experiment, task, tags, note)
        run_id = entry.info.run_id
        logged = self.client.create_logged_model(
            experiment, task.id, source_run_id=run_id, tags=tags, model_type="student"
        )
        parts = (bundle, scorecard, certificate, lineage)
        mlflow_run.log(self.client, entry, logged.model_id, task, *parts)
        self.client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
        with tempfile.TemporaryDirectory() as scratch:
            mlflow_run.save(bundle, Path(scratch))
            self.client.log_model_artifacts(logged.model_id, f"{scratch}/model")
        self.client.finalize_logged_model(logged.model_id, "READY")
        self.client.set_terminated(run_id)
        self._describe(task)
        place, model = logged.artifact_location, logged.model_id
        made = self.client.create_model_version(
            task.id, place, run_id, tags=tags, description=note, model_id=model
        )
        return version_of(made)

    def experiment(self, name: str) -> str:
        """The id of one of our experiments, created when it is not there."""
        experiment = self.client.get_experiment_by_name(name)
        if experiment:
            return str(experiment.experiment_id)
        place = None  # a server knows where its artifacts go; a bare database has them beside it
        if self.uri.startswith("sqlite:///"):
            database = Path(self.uri.removeprefix("sqlite:///")).resolve()
            place = database.with_name("mlartifacts").as_uri()
        about = {
            "mlflow.experimentKind": "custom_model_development",  # the UI's view for trained models
            "mlflow.note.content": ABOUT[name],
        }
        return str(self.client.create_experiment(name, place, tags=about))

    def _run(self, experiment: str, task: Task, tags: dict[str, str], note: str) -> Run:
        """A new run; what an interrupted registration of this adapter left behind is deleted."""
        query = f"tags.task = '{task.id}' and tags.adapter_digest = '{tags['adapter_digest']}'"
        for left in self.client.search_runs([experiment], query):
            self.client.delete_run(left.info.run_id)
        about = {
            "task": task.id,
            "category": task.category,
            "mlflow.note.content": note,
            "mlflow.user": "flywheel",
            "mlflow.source.name": "flows/nightly.py",
            "mlflow.source.type": "JOB",
        }
        name = f"{task.name}, {tags['night']}"
        return self.client.create_run(experiment, tags={**tags, **about}, run_name=name)

    def _describe(self, task: Task) -> None:
        """Create the registered model, or bring its description up to date."""
        tags = {"category": task.category, "task": task.id, **OURS}
        if self.client.search_registered_models(f"name='{task.id}'"):
            self.client.update_registered_model(task.id, card.model(task))
        else:
            self.client.create_registered_model(task.id, tags, card.model(task))
