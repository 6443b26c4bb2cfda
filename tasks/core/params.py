"""params.yaml, typed and closed: an unknown key or a value of the wrong type is refused by name."""

from __future__ import annotations

import os
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import yaml
from msgspec import Meta

from tasks.core.stage import Refused

DEFAULT, DEFAULT_ALPHA = Path(__file__).parents[2] / "params.yaml", "default"
Share = Annotated[float, Meta(ge=0, le=1)]
Risk = Annotated[float, Meta(gt=0, lt=1)]
Part = Annotated[float, Meta(gt=0, le=1)]
Count = Annotated[int, Meta(ge=1)]
Rung = Literal["linear", "encoder", "causal"]  # kinds of students, from cheap to costly
Swept = Literal[
    "learning_rate", "muon", "warmup", "batch", "rank", "alpha", "rslora", "dora", "swaps"
]


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One section of params.yaml."""


class Ingest(Section, frozen=True):
    """Sources of calls. `dialect` is `auto` or a module of `tasks/ingest/dialects`."""

    source: list[str] = msgspec.field(default_factory=list)
    dialect: str = "auto"


class Validate(Section, frozen=True):
    """Limits of a call, and of a night's batch.

    `scripts` are the Unicode scripts that may be read (`LATIN`, `GREEK`, ...); none means any.
    Shares are of the batch. `max_rejected` stops the night, everything else is a warning.
    `volume` and `drift` are factors of calls and median tokens to the trailing week; `new` is the
    share that may be of models, tools or system prompts unseen there.
    """

    max_characters: int = 200_000
    scripts: list[str] = msgspec.field(default_factory=list)
    max_rejected: Share = 0.5
    max_errors: Share = 0.1
    max_repeats: Share = 0.5
    complete: Share = 0.9
    max_tokens: int = 200_000
    max_age_hours: float = 48.0
    volume: float = 3.0
    drift: float = 2.0
    new: Share = 0.05


class Deidentify(Section, frozen=True):
    """The personal data that is replaced.

    `ner` finds names and places: `bundled`, `spacy:NAME`, `transformers:NAME`, or `none` (patterns
    and cues only, by explicit choice). `languages` are read; a call in another one is set aside
    under its name, unless `other_languages` lets it pass as it is read. A line is the template's
    when it stands in `public_conversations` conversations and names an organisation, not a person.
    `keep` are types that are found but left as they are; `keys` are more JSON keys with their type.
    `probe` values of each type are injected each night; below the `floor` of recall (`floors` by
    type) nothing trains. Neither does it on a night, or a task, of which more than `damage` of the
    words or of the labels are changed that are nobody's, by an estimate on a sample.
    """

    threshold: Share = 0.35
    ner: str = "bundled"
    tagger_threshold: Share = 0.35
    languages: tuple[str, ...] = ("de", "en", "es", "fr", "it", "nl", "pt")
    keep: tuple[str, ...] = ("LOCATION", "ORGANIZATION", "DATE_TIME")
    keys: dict[str, str] = msgspec.field(default_factory=dict)
    public_conversations: int = 20
    other_languages: Literal["quarantine", "pass"] = "quarantine"
    probe: int = 40
    floor: Share = 0.9
    floors: dict[str, Share] = msgspec.field(default_factory=dict)
    damage: Share = 0.02


class Cluster(Section, frozen=True):
    """Clustering: how many calls make a task, and how many are read closely.

    Tasks are found and students trained on the calls of the last `window_nights` nights.
    """

    min_calls: int = 40
    window_nights: int = 14
    sample: int = 20_000
    seed: int = 0


class Dataset(Section, frozen=True):
    """The training, validation, calibration and test sets that a task's calls become.

    `shares` of the groups (conversations, near-duplicates) go to the four splits; calibration is
    large because the certificate is proved on it. `similar` is the Jaccard likeness of two prompts
    that are near-duplicates. Below `min_rows` or `min_readiness` nothing trains. `client_share`
    limits the training rows of one of several clients.
    """

    min_rows: int = 40
    min_readiness: float = 40.0
    train: Share = 0.45
    validation: Share = 0.1
    calibration: Share = 0.35
    test: Share = 0.1
    similar: Share = 0.9
    client_share: Share = 0.8
    seed: int = 0


class Train(Section, frozen=True):
    """Linear heads on the frozen encoder, LoRA on it, and LoRA on a causal base model.

    `rungs` are tried in this order until a student is certified for `enough` of a task's calls;
    once a night has trained for `budget` minutes, none is tried beyond the first that is trained at
    length. Tasks come first of which a minute of training may take over the most calls. `base` is
    a folder or `bundled`, this repository's.
    A training reads at most `tokens` tokens in at most `epochs` rounds, is measured `marks` times
    on the validation rows and stops after `patience` marks that brought nothing. It ends after
    `minutes`, with the best weights so far. Where `learning_rate` is null, `rate` has the rule;
    where `muon` is, that optimizer moves adapters of the bundled base, and Adam all others.
    `alpha`, `rslora` and `swaps` are of causal students; the encoder's scale is fixed, and it needs
    no rows with swapped values (so many copies of each row) to learn to copy.
    Every combination of the values in `sweep` is tried shortly on the validation rows; the best is
    trained. Causal students train in so many `processes` (0: one for each GPU), and with
    `quantize` beside a base in 4 bits (QLoRA; needs bitsandbytes).

    With `scope` domain, the tasks of one program also have a causal student in common. It is
    trained first, on `tokens` tokens for each of them, and a task keeps it where it is as good as
    its own. `domains` names groups of tasks by patterns of their ids; the rest go by their program.
    """

    rungs: list[Rung] = msgspec.field(default_factory=lambda: ["linear", "encoder", "causal"])
    scope: Literal["task", "domain"] = "task"
    domains: dict[str, list[str]] = msgspec.field(default_factory=dict)
    enough: Share = 0.9
    budget: float = 0.5
    base: str = "bundled"
    rank: Count = 16
    alpha: int = 32
    rslora: bool = True
    dora: bool = False
    quantize: bool = False
    learning_rate: float | None = None
    muon: bool | None = None
    swaps: int = 0
    warmup: Share = 0.06
    batch: Count = 8
    epochs: int = 10
    tokens: int = 150_000
    max_length: int = 512
    marks: Count = 8
    patience: int = 3
    minutes: float = 30.0
    validation_rows: int = 128
    processes: int = 1
    sweep: dict[Swept, list[bool | int | float]] = msgspec.field(default_factory=dict)
    seed: int = 0

    def rate(self, width: int = 256) -> float:
        """The peak learning rate on a base so many units wide, when the team sets none.

        LoRA takes about ten times the rate of full fine-tuning (Schulman et al. 2025, "LoRA Without
        Regret"). Here 2e-3, tried on the bundled base of 256, falls with the width, Adam's law for
        hidden matrices (muP, Yang et al. 2022, arXiv 2203.03466).
        """
        return self.learning_rate or 2e-3 * 256 / width


class Evaluate(Section, frozen=True):
    """The measurement of students: the newest `max_rows` test rows, answers up to `max_tokens`.

    Of free texts the teacher compares the newest `referee` with its own by the `rubric`, in both
    orders: for teams whose answers may be worded in many ways. It costs calls.
    """

    max_rows: int = 400
    max_tokens: int = 256
    batch: int = 32
    referee: int = 0
    rubric: str = (
        "The better answer is right, complete, keeps to what the request supports, and is in the "
        "form and the tone that it asks for. How long an answer is does not matter."
    )


class Calibrate(Section, frozen=True):
    """The risk that the team accepts: at most `alpha`, and `delta` that a task's proofs are loose.

    `alpha` is a number, or one for each pattern of task ids or programs, of which the first that
    fits counts, and for `default`. The `risk` is `selective`, wrong among the served answers, or
    `marginal`, wrong and served among all calls. The `scope` is `task`, or `all`: tasks of one
    alpha are also proven together. Delta is for all attempts; with `correct` for all tasks, too.
    """

    alpha: Risk | dict[str, Risk] = 0.05
    delta: Risk = 0.1
    risk: Literal["selective", "marginal"] = "selective"
    scope: Literal["task", "all"] = "task"
    correct: bool = False
    seed: int = 0

    def accepted(self, *names: str) -> float:
        """The alpha of a task that is known by these names; without one, the default."""
        if not isinstance(self.alpha, dict):
            return self.alpha
        fits = (
            alpha
            for pattern, alpha in self.alpha.items()
            if pattern != DEFAULT_ALPHA and any(fnmatchcase(name, pattern) for name in names)
        )
        return next(fits, self.alpha[DEFAULT_ALPHA])


class Judge(Section, frozen=True):
    """The gate between a student and the registry's alias `champion`."""

    promote: bool = True
    min_coverage: Share = 0.05


class Serve(Section, frozen=True):
    """The gateway: how long (seconds, tokens) an answer may be, and the share that is audited.

    `shadow` is the share of the pool's time for students that lack proof, `max_body` in megabytes;
    `rollout` are a new champion's shares of the conversations, and the audits to go on from each.
    """

    student_timeout: float = 2.0
    teacher_timeout: float = 600.0
    answer_tokens: int = 256
    audit: Share = 0.1
    shadow: Share = 0.2
    max_body: Count = 32
    rollout: tuple[tuple[Part, Count], ...] = ((0.5, 5), (1.0, 15))


class Watch(Section, frozen=True):
    """The watch, which takes students out of service. `alerts` are Apprise's URLs."""

    audits_per_false_alarm: Annotated[int, Meta(ge=2)] = 3_000
    raised: Share = 0.5
    alerts: list[str] = msgspec.field(default_factory=list)


class Economics(Section, frozen=True):
    """Prices in dollars: per million tokens, and per hour of the machine that trains."""

    teacher_input: float = 2.5
    teacher_output: float = 10.0
    student_input: float = 0.02
    student_output: float = 0.08
    compute_hour: float = 0.1


class Schedule(Section, frozen=True):
    """When `flywheel up` runs what: nights as a cron in `timezone` (in summer and in winter)."""

    nightly: str = "0 2 * * *"
    timezone: str = "UTC"
    promote: Annotated[int, Meta(ge=5)] = 60
    watch: Annotated[int, Meta(ge=5)] = 60


class Retention(Section, frozen=True):
    """How many days raw calls stay in a home (0: all), and the journal's gigabytes at most."""

    days: Annotated[int, Meta(ge=0)] = 30
    journal: Annotated[float, Meta(gt=0)] = 50.0


class Params(Section, frozen=True):
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
    watch: Watch = Watch()
    economics: Economics = Economics()
    schedule: Schedule = Schedule()
    retention: Retention = Retention()


def load(path: Path | None = None) -> Params:
    """Read params from `path`, `$FLYWHEEL_PARAMS` or the repository. Raises Refused."""
    path = path or Path(os.environ.get("FLYWHEEL_PARAMS") or DEFAULT)
    try:
        params = msgspec.yaml.decode(path.read_bytes(), type=Params)
    except OSError as error:
        raise Refused(f"no params file at {path} ({error.strerror})") from None
    except (msgspec.DecodeError, yaml.YAMLError, UnicodeError) as error:
        raise Refused(f"{path}: {' '.join(str(error).split())}") from None
    if isinstance(alpha := params.calibrate.alpha, dict) and DEFAULT_ALPHA not in alpha:
        raise Refused(f"{path}: calibrate.alpha has no `{DEFAULT_ALPHA}`, only {', '.join(alpha)}")
    if params.serve.answer_tokens > params.evaluate.max_tokens:
        raise Refused(
            f"{path}: serve.answer_tokens is {params.serve.answer_tokens}, more than "
            f"evaluate.max_tokens, {params.evaluate.max_tokens}: no certificate knows such answers"
        )
    if 0 < params.retention.days <= params.cluster.window_nights:
        raise Refused(
            f"{path}: retention.days is {params.retention.days}; students learn from "
            f"cluster.window_nights, {params.cluster.window_nights}, and need all their calls"
        )
    return params
