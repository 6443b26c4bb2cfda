"""A version of a task's model: one registered student, and what it is called in the pool."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.train.train import adapter_name

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

AT_ONCE = 50  # names in a question to the registry's server: it must fit into a URL
TASK = "task"  # the scope of a student that has one task
PASSED, REFUSED = "passed", "refused"  # by the gate
REVOKED = "revoked"  # the tag that says why the watch took a version out


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One registered student. `scope` is `task`, or the domain whose tasks have it in common.

    `certificate` names the proof that it was registered with, empty without one; `signature` is
    what who registered it made of its bundle, and of what is signed of it, with the home's key.
    """

    name: str
    number: int
    adapter_digest: str
    dataset: str
    run: str
    passed: bool
    at: float
    scope: str = TASK
    certificate: str = ""
    signature: str = ""

    @property
    def signed(self) -> tuple[str, str, str]:
        """What its signature covers beside its bundle: task, the gate's verdict, scope."""
        return self.name, PASSED if self.passed else REFUSED, self.scope

    @property
    def bundle(self) -> str:
        """The name of its bundle's folder: every version has its own task and certificate."""
        return adapter_name(self.name, self.number, self.adapter_digest)

    @property
    def adapter(self) -> str:
        """The adapter's name in the pool: never the same for two different adapters.

        The tasks of a domain have one adapter under one name, so that it is loaded once.
        """
        return self.bundle if self.scope == TASK else f"{self.scope}-{self.adapter_digest[:8]}"


def version_of(version: ModelVersion) -> Version:
    """The version that the registry's server describes."""
    return Version(
        name=version.name,
        number=int(version.version),
        adapter_digest=version.tags.get("adapter_digest", ""),
        dataset=version.tags.get("dataset", ""),
        run=version.run_id or "",
        passed=version.tags.get("verdict") == PASSED,
        at=version.creation_timestamp / 1000,
        scope=version.tags.get("scope", TASK),
        certificate=version.tags.get("certificate", ""),
        signature=version.tags.get("signature", ""),
    )


def many(client: MlflowClient, numbers: Mapping[str, int]) -> Iterator[Version]:
    """Yield a version of each of many models, by name and number: some questions, not thousands."""
    named: dict[int, list[str]] = {}
    for name, number in numbers.items():
        named.setdefault(number, []).append(f"'{name}'")
    for number, names in named.items():
        for at in range(0, len(names), AT_ONCE):
            some = ", ".join(names[at : at + AT_ONCE])
            wanted = f"version_number = {number} AND name IN ({some})"
            yield from map(version_of, client.search_model_versions(wanted))
