"""params.yaml, typed and closed: an unknown key or a value of the wrong type is refused by name."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from tasks.stage import Refused

DEFAULT = Path(__file__).parents[1] / "params.yaml"
Share = float  # 0..1


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One section of params.yaml."""


class Ingest(Section):
    """Where calls come from. `dialect` is `auto` or a module of `tasks/dialects`."""

    source: list[str] = msgspec.field(default_factory=list)
    dialect: str = "auto"


class Validate(Section):
    """What a call must be to go on, and what a batch must look like."""

    max_characters: int = 200_000


class Deidentify(Section):
    """Which personal data is replaced."""

    threshold: Share = 0.35


class Cluster(Section):
    """How calls become tasks."""

    min_calls: int = 40


class Dataset(Section):
    """How a task's calls become training, validation, calibration and test sets."""

    min_rows: int = 120


class Train(Section):
    """LoRA on the base model; `base` is a folder, `bundled` the one in this repository."""

    base: str = "bundled"
    rank: int = 16
    seed: int = 0


class Evaluate(Section):
    """How students are measured."""

    max_rows: int = 400


class Calibrate(Section):
    """The risk that the team accepts: at most `alpha` wrong served, with confidence 1 - `delta`."""

    alpha: Share = 0.05
    delta: Share = 0.1


class Judge(Section):
    """The gate between a student and the registry's alias `champion`."""

    promote: bool = True
    min_coverage: Share = 0.05


class Serve(Section):
    """The gateway: how long a student may take (seconds), and the share of answers audited."""

    student_timeout: float = 2.0
    audit: Share = 0.1


class Economics(Section):
    """Prices in dollars per million tokens."""

    teacher_input: float = 2.5
    teacher_output: float = 10.0
    student_input: float = 0.02
    student_output: float = 0.08


class Params(Section):
    """All of params.yaml."""

    ingest: Ingest = Ingest()
    validate: Validate = Validate()
    deidentify: Deidentify = Deidentify()
    cluster: Cluster = Cluster()
    dataset: Dataset = Dataset()
    train: Train = Train()
    evaluate: Evaluate = Evaluate()
    calibrate: Calibrate = Calibrate()
    judge: Judge = Judge()
    serve: Serve = Serve()
    economics: Economics = Economics()


def load(path: Path | None = None) -> Params:
    """Read params from `path`, `$FLYWHEEL_PARAMS` or the repository. Raises Refused."""
    path = path or Path(os.environ.get("FLYWHEEL_PARAMS") or DEFAULT)
    try:
        return msgspec.yaml.decode(path.read_bytes(), type=Params)
    except FileNotFoundError:
        raise Refused(f"no params file at {path}") from None
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise Refused(f"{path}: {error}") from None
