"""A bundle: the folder that is registered, fetched and served, all that one student is.

adapter/          the PEFT adapter, safetensors only
task.json         the task with its template and contract
scorecard.json    how it was measured
certificate.json  the threshold and what proves it
lineage.json      where it comes from
training.json     the loss curve and what it cost to train
answers.json      what it said to the newest test questions
shadow.json       what it has to prove on live calls, where it only lacks proof
canary.json       a few questions whose answers are on record, asked before it may serve
"""

from __future__ import annotations

import hmac
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from tasks.calibrate.calibrate import score
from tasks.core.certificate import Certificate
from tasks.core.rows import rows
from tasks.core.scorecard import Scorecard
from tasks.core.stage import Refused, fresh, write_atomic
from tasks.evaluate.answers import Answered, read_answers
from tasks.students.adapters import adapter_digest

QUESTIONS = 5  # in a canary
MOST, LONG = 500, 4_000  # test questions that are kept, and the characters of one
SAFE = frozenset({".safetensors", ".json", ".md", ".txt", ".jinja"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """A student's origin: night, data (DVC hash), base model, and what trained on what.

    `domain` names the tasks that a student has in common with others; empty for a task's own.
    """

    night: str
    dataset: str
    base: str = ""
    base_digest: str = ""
    seed: int = 0
    rows: Mapping[str, int] = field(default_factory=dict)
    domain: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedAnswer:
    """A test question, the teacher's answer and the student's; `score` is None when unservable."""

    prompt: str
    expected: str
    given: str
    agrees: bool
    weight: float
    score: float | None


def pack(
    to: Path, *, dataset: Path, trained: Path, evaluated: Path, calibrated: Path, lineage: Lineage
) -> Path:
    """Make a task's bundle at `to` from the folders that its hops wrote."""
    files = (
        dataset / "task.json",
        trained / "training.json",
        evaluated / "scorecard.json",
        calibrated / "certificate.json",
    )
    with fresh(to) as folder:
        shutil.copytree(trained / "adapter", folder / "adapter")
        for file in (*files, *calibrated.glob("shadow.json")):
            shutil.copy(file, folder)
        write_atomic(folder / "lineage.json", msgspec.json.encode(lineage))
        prompts = {row.id: row.prompt for row in rows(dataset / "test.parquet")}
        answers = read_answers(evaluated / "answers.parquet").rows
        write_atomic(folder / "answers.json", msgspec.json.encode(asked(prompts, answers)))
        write_atomic(folder / "canary.json", msgspec.json.encode(canary(prompts, answers)))
    return to


def proven(folder: Path, to: Path, proof: Certificate) -> Path:
    """A copy of a student's bundle at `to`, with the certificate that it has earned."""
    with fresh(to) as copy:
        shutil.copytree(folder, copy, dirs_exist_ok=True)
        write_atomic(copy / "certificate.json", msgspec.json.encode(proof))
    return to


def canary(prompts: Mapping[str, str], answers: Sequence[Answered]) -> list[dict[str, str]]:
    """The test questions that the student was most confident of, and what it answered."""
    confident = sorted(answers, key=lambda row: -score(row))
    return [{"prompt": prompts[row.id], "answer": row.answer} for row in confident[:QUESTIONS]]


def asked(prompts: Mapping[str, str], answers: Sequence[Answered]) -> list[ComparedAnswer]:
    """The newest test questions and their answers, long questions cut."""
    return [
        ComparedAnswer(
            prompt=prompts[row.id][:LONG],
            expected=row.expected,
            given=row.answer,
            agrees=row.agrees,
            weight=row.weight,
            score=None if score(row) == -math.inf else score(row),
        )
        for row in sorted(answers, key=lambda row: (row.at, row.id))[-MOST:]
    ]


def read(bundle: Path, name: str) -> Any:
    """One of the bundle's JSON files; None when it is not there."""
    path = bundle / f"{name}.json"
    return msgspec.json.decode(path.read_bytes()) if path.exists() else None


def answers(bundle: Path) -> list[ComparedAnswer]:
    """The test questions in a bundle and their answers; none in one of an earlier release."""
    return msgspec.convert(read(bundle, "answers") or [], list[ComparedAnswer])


def scorecard(bundle: Path) -> Scorecard:
    """The scorecard in a bundle."""
    return msgspec.json.decode((bundle / "scorecard.json").read_bytes(), type=Scorecard)


def signature(bundle: Path, about: Sequence[str], key: bytes) -> str:
    """HMAC-SHA256, hexadecimal, of what a version says of a bundle and of every file in it."""
    mac = hmac.new(key, b"flywheel bundle", "sha256")
    for part in (*(word.encode() for word in about), *_files(bundle)):
        mac.update(len(part).to_bytes(8, "big") + part)
    return mac.hexdigest()


def check_signature(bundle: Path, about: Sequence[str], key: bytes, signed: str) -> None:
    """Raise Refused for a bundle that is not as it was signed with this key; its task comes first.

    What is compared are bytes: a tag of MLflow's may hold any text.
    """
    if not hmac.compare_digest(signature(bundle, about, key).encode(), signed.encode()):
        raise Refused(
            f"this version of {about[0]!r} does not have this flywheel's signature: somebody else "
            "registered or changed it, or the key is another one"
        )


def _files(bundle: Path) -> Iterator[bytes]:
    """The names and the bytes of a bundle's files, in the order of the names."""
    for path in sorted(p for p in bundle.rglob("*") if p.is_file()):
        yield str(path.relative_to(bundle)).encode()
        yield path.read_bytes()


def check(bundle: Path, digest: str) -> None:
    """Refuse a bundle with more than data in it, a torn file or another adapter than promised."""
    for path in sorted(bundle.rglob("*")):
        if path.is_symlink() or (path.is_file() and path.suffix not in SAFE):
            raise Refused(f"{path} may not be in a bundle: only {', '.join(sorted(SAFE))} files")
    if not (bundle / "adapter").is_dir():
        raise Refused(f"{bundle} holds no adapter")
    for path in sorted(bundle.rglob("*.json")):
        try:
            msgspec.json.decode(path.read_bytes())
        except msgspec.DecodeError as error:
            raise Refused(f"{path}: {error}") from None
    if (actual := adapter_digest(bundle / "adapter")) != digest:
        raise Refused(f"the adapter in {bundle} has digest {actual}, registered was {digest}")
