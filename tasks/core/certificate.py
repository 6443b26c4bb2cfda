"""The certificate: what may be served at which confidence, and what proves it.

A task's δ is the chance that any certificate which it is ever given is loose. It is spent over the
attempts that its students make: attempt j is tested at δ / (j (j + 1)), which sums up to δ however
many there are. An attempt counts when its answers are looked at, whether it proves anything or not.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from tasks.core.stage import Refused

Method = Literal["holdout", "progressive", "shadow", "joint"]
Risk = Literal["selective", "marginal"]


@dataclass(frozen=True, slots=True)
class ThresholdTest:
    """A threshold, how many answers it accepts, how many of those are wrong, the test's p-value."""

    threshold: float
    accepted: int
    wrong: int
    p: float


@dataclass(frozen=True, slots=True)
class JointCounts:
    """Which proof several tasks have in common: of `accepted` answers `wrong` were wrong."""

    tasks: int
    accepted: int
    wrong: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """Serving answers with confidence ≥ `threshold` is wrong at a risk of at most `alpha`.

    The risk is `selective`, of the served answers, or `marginal`, of all calls of the task. Over
    all attempts of the task, whatever comes of them, the chance that any such sentence is false is
    at most `delta`. `n` labelled calls, of which `accepted` clear the threshold and `wrong` of
    those disagree with the teacher; `coverage` is accepted / n, the share of the calls on the
    task's template; `floor` is the share of them that no threshold could do without escalating.
    `method` says where the calls come from: rows held out of the training, or, of a mixture of
    heads, each answered by a head that had not learned it yet, or live traffic that the student was
    asked about in the background. `attempt` is which of the task's it was, `tests`
    how many tasks shared `delta`; `breaks` is the next threshold, where the proof ends.
    """

    task: str
    adapter_digest: str
    threshold: float
    alpha: float
    delta: float
    n: int
    accepted: int
    wrong: int
    coverage: float
    floor: float
    p: float
    method: Method = "holdout"
    risk: Risk = "selective"
    attempt: int = 1
    tests: int = 1
    breaks: ThresholdTest | None = None
    joint: JointCounts | None = None

    @property
    def selective(self) -> float:
        """The share of the accepted answers that is wrong."""
        return self.wrong / self.accepted if self.accepted else 0.0

    @property
    def marginal(self) -> float:
        """The share of all calls whose answer is accepted and wrong."""
        return self.wrong / self.n if self.n else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why there is no certificate; `attempt` is 0 where no answers were looked at."""

    refused: str
    attempt: int = 0


def spent(delta: float, attempt: int) -> float:
    """The part of a task's delta that an attempt (1, 2, …) is tested at."""
    return delta / (attempt * (attempt + 1))


def read_proof(path: Path) -> Certificate | Refusal:
    """Read certificate.json. Raises Refused where there is no file."""
    try:
        body = msgspec.json.decode(path.read_bytes())
    except FileNotFoundError:
        raise Refused(f"no certificate at {path}") from None
    if "refused" in body:
        return msgspec.convert(body, Refusal)
    return msgspec.convert(body, Certificate)


def load_certificate(path: Path) -> Certificate | str:
    """Read certificate.json: a certificate, or why there is none. Raises Refused."""
    proof = read_proof(path)
    return proof.refused if isinstance(proof, Refusal) else proof
