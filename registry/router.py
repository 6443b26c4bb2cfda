"""The router in the registry: which templates calls were routed by, a version for each change."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import msgspec

from registry.store import ABOUT, ROUTERS, Store
from tasks.core.records import digest
from tasks.core.task import load

NAME = "router"


def register(store: Store, tasks: Path, day: str) -> int:
    """Register the templates of a night's tasks.json; the version's number.

    Equal templates stay one version, whatever the tasks' sizes.
    """
    client = store.client
    templates = digest(msgspec.json.encode([(task.id, task.template) for task in load(tasks)]))
    if not client.search_registered_models(f"name='{NAME}'"):
        client.create_registered_model(NAME, {"kind": NAME}, ABOUT[ROUTERS])
    for old in client.search_model_versions(f"name='{NAME}'", max_results=10_000):
        if old.tags.get("digest") == templates:
            return int(old.version)
    tags, place = {"digest": templates, "night": day}, store.experiment(ROUTERS)
    run = client.create_run(place, tags=tags, run_name=f"router of {day}").info.run_id
    logged = client.create_logged_model(place, NAME, source_run_id=run, tags=tags, model_type=NAME)
    with tempfile.TemporaryDirectory() as scratch:
        shutil.copy(tasks, scratch)
        client.log_model_artifacts(logged.model_id, scratch)
    client.finalize_logged_model(logged.model_id, "READY")
    version = client.create_model_version(
        NAME, logged.artifact_location, run, tags=tags, model_id=logged.model_id
    )
    client.set_terminated(run)
    return int(version.version)
