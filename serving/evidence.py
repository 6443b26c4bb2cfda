"""The running test of each champion on its audited answers: one that breaks its promise stops.

A gateway keeps this in memory, from the journal at its start, and asks it before every call, so
that a breached student answers nothing more. The watch (`flows/watch.py`) pools the journals of all
gateways through the same code. Answers of one conversation, and to one prompt, are wrong together:
one of them counts in ten minutes. Where the promise is about all calls of a task, those that the
student was asked and did not answer count as right ones, drawn at the rate of the audit.
"""

from __future__ import annotations

import logging
import math
from collections import Counter as Counts
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import msgspec
from prometheus_client import Counter

from serving.route import Route, RouteFile
from tasks.calibrate.shadow_proof import QUIET
from tasks.cluster.signatures import user_text
from tasks.core import rollout
from tasks.core.records import TEACHER, Json, digest
from tasks.core.sequential_tests import ALARM, ChangeDetector, interval
from tasks.core.stage import Refused
from tasks.ingest.encoding import ENCRYPTED, lines_of

log = logging.getLogger("flywheel.gateway")

DAYS = 31  # newest days of a journal that are read: older answers say little about today
REMEMBERED = 20_000  # conversations of one student
_MARKS = (b'"audit":{', b'"student":{')


def drawn(call: str, rate: float) -> bool:
    """Return whether a call (by its id) is among the audited share."""
    return int(digest(call, "audit", length=12), 16) < rate * 16**12


class EvidenceKey(NamedTuple):
    """The subject of evidence: a version of a task, and since when a person lets it serve."""

    task: str
    adapter: str
    version: int
    since: float = 0.0

    @classmethod
    def of(cls, route: Route) -> EvidenceKey:
        """Return the key of a route's evidence."""
        return cls(route.task.id, route.adapter, route.version, route.since)


class AskedStudent(msgspec.Struct):
    """The student's part of a journal line."""

    adapter: str = ""
    version: int = 0
    since: float = 0.0


class AuditOutcome(msgspec.Struct):
    """The audit's part of a journal line."""

    agrees: bool = False
    reply: Json | None = None
    model: str | None = None
    fingerprint: str | None = None


class JournalLine(msgspec.Struct):
    """A journal line as far as evidence needs it."""

    id: str
    at: float
    request: Json | None = None
    conversation: str = ""
    answered_by: str = TEACHER
    task: str | None = None
    student: AskedStudent | None = None
    audit: AuditOutcome | None = None
    audit_rate: float = 1.0
    model: str | None = None
    fingerprint: str | None = None


class Observation(msgspec.Struct, array_like=True, frozen=True):
    """One call's word on a student: an audited answer, or one that was not served.

    Of those not served (`wrong` is None) as many are drawn as of the served ones. `teacher` is the
    model that the teacher's reply names, and its fingerprint.
    """

    id: str
    at: float
    key: EvidenceKey
    wrong: bool | None
    conversation: str
    opening: str
    request: str
    teacher: str
    asked: str = ""  # the model that the caller asked for


def observed(line: JournalLine) -> Observation | None:
    """Return what a line of the journal says about a student; None where it says nothing."""
    asked, request = line.student, line.request or {}
    if asked is None or line.task is None:
        return None
    served = line.answered_by != TEACHER
    if line.audit is None if served else not drawn(line.id, line.audit_rate):
        return None
    reply = line.audit if served and line.audit else line
    return Observation(
        id=line.id,
        at=line.at,
        key=EvidenceKey(line.task, asked.adapter, asked.version, asked.since),
        wrong=not line.audit.agrees if served and line.audit else None,
        conversation=line.conversation and digest(line.conversation),
        opening=digest(user_text(request)),
        request=digest(msgspec.json.encode(request).decode()),
        teacher=" ".join(filter(None, (reply.model, reply.fingerprint))),
        asked=str(request.get("model") or ""),
    )


@dataclass(slots=True)
class RiskTest:
    """The evidence about one student, answer by answer; `alarm` is how many it took, once."""

    route: Route
    threshold: float
    detector: ChangeDetector = field(init=False)
    wrong: int = 0
    unserved: int = 0  # of those that counted
    times: list[float] = field(default_factory=list)
    alarm: int | None = None
    steps: int = 0  # of its roll-out that are done
    _heard: OrderedDict[str, float] = field(default_factory=OrderedDict)

    def __post_init__(self) -> None:
        self.detector = ChangeDetector(self.route.certificate.alpha)
        self.steps = self.route.done

    @property
    def n(self) -> int:
        """Return how many answers counted."""
        return len(self.times)

    @property
    def changed(self) -> float:
        """Return when the answers became worse, as it looks from here."""
        return self.times[min(self.detector.changed, self.n - 1)] if self.times else 0.0

    def see(self, observation: Observation) -> bool:
        """Take in one answer; return whether it counted."""
        everything = self.route.certificate.risk == "marginal"
        if (observation.wrong is None and not everything) or not self._first(observation):
            return False
        self.detector.see(bool(observation.wrong))
        self.wrong += bool(observation.wrong)
        self.unserved += observation.wrong is None
        self.times.append(observation.at)
        if self.alarm is None and (self.detector.alarm(self.threshold) or self._taken_back()):
            self.alarm = self.n
        return True

    @property
    def share(self) -> float:
        """The share of its task's conversations that it may answer."""
        return max(self.route.share, rollout.share(self.route.rollout, self.steps))

    def _taken_back(self) -> bool:
        """Go on with the roll-out where that may be; return whether the student is taken back."""
        steps, certificate = self.route.rollout, self.route.certificate
        if self.steps >= len(steps):
            return False
        needed = rollout.needed(steps, self.steps) + self.unserved
        said = rollout.verdict(self.wrong, self.n, needed, certificate.alpha)
        self.steps += said == "go on"
        return said == "take back"

    def _first(self, observation: Observation) -> bool:
        """Return whether nothing of its conversation counted within the last ten minutes."""
        own = observation.opening if self.route.task.template.turns else observation.request
        name = observation.conversation or own
        if abs(observation.at - self._heard.get(name, -math.inf)) <= QUIET:
            return False
        self._heard[name] = observation.at
        self._heard.move_to_end(name)
        if len(self._heard) > REMEMBERED:
            self._heard.popitem(last=False)
        return True

    def __str__(self) -> str:
        """Say what was seen."""
        low, high = interval(self.wrong, self.n)
        e = math.exp(min(self.detector.log, 700.0))
        return (
            f"{self.wrong} of {self.n} audited answers wrong (the risk is {low:.1%} to {high:.1%}, "
            f"accepted {self.route.certificate.alpha:.1%}; e-value {e:,.0f})"
        )


@dataclass(slots=True)
class Evidence:
    """The tests of a gateway's routes."""

    routes: RouteFile
    threshold: float = ALARM
    new: float = 0.0  # the share of a new student's answers that is audited
    revoked: Counter | None = None
    awaited: Counts[EvidenceKey] = field(default_factory=Counts)  # answers whose audit is under way
    _tests: dict[EvidenceKey, RiskTest] = field(default_factory=dict)

    def of(self, route: Route) -> RiskTest:
        """Return the evidence about a route."""
        key = EvidenceKey.of(route)
        if key not in self._tests:
            self._tests[key] = RiskTest(route, self.threshold)
        test = self._tests[key]
        test.route, test.steps = route, max(test.steps, route.done)  # as all gateways know by now
        return test

    def breached(self, route: Route) -> bool:
        """Return whether a route's student broke its promise, and may answer nothing more."""
        return self.of(route).alarm is not None

    def share(self, route: Route) -> float:
        """Return the share of its task's conversations that a route's student may answer."""
        return self.of(route).share if route.rollout else 1.0

    def full(self, route: Route, asked: int) -> bool:
        """Return whether as many answers are unaudited, or `asked` for, as a new student may have.

        Where calls come faster than audits end, a bad one would answer many before the first does.
        """
        most = rollout.at_once(route.rollout, self.of(route).steps)
        return self.awaited[EvidenceKey.of(route)] + asked >= most

    def audit_rate(self, route: Route) -> float:
        """Return the least share of its answers to audit: more of a new student's."""
        test = self.of(route)
        return max(route.audit, rollout.audit_rate(route.rollout, test.steps, test.n, self.new))

    def see(self, line: JournalLine) -> None:
        """Take in one line of the journal."""
        if observation := observed(line):
            current = self.routes.current().answering
            route = next((r for r in current if EvidenceKey.of(r) == observation.key), None)
            if route:
                self._take(route, observation)

    def _take(self, route: Route, observation: Observation) -> None:
        """Take in what a call says about a route; a breach is logged, once."""
        if self.breached(route):
            return
        self.of(route).see(observation)
        if self.breached(route):
            log.warning("%s is revoked: %s", route.adapter, self.of(route))
            if self.revoked:
                self.revoked.labels(route.adapter).inc()

    def state(self) -> list[Json]:
        """Return what is served now, and what the audits say about it."""
        return [
            {
                "task": route.task.id,
                "adapter": route.adapter,
                "version": route.version,
                "threshold": route.threshold,
                "share": self.share(route),
                "revoked": self.breached(route),
                "evidence": str(self.of(route)),
            }
            for route in self.routes.current().routes
        ]

    def recall(self, observations: Iterable[Observation]) -> None:
        """Take in what was seen before, as far as it is about today's routes."""
        current = {EvidenceKey.of(route): route for route in self.routes.current().answering}
        for observation in observations:
            if route := current.get(observation.key):
                self._take(route, observation)


def files(folder: Path) -> list[Path]:
    """The newest days' files of a journal, oldest first, packed and renamed ones included."""
    paths = sorted(path for path in folder.glob("*.jsonl*") if path.name[:4].isdigit())
    days = sorted({path.name[:10] for path in paths})[-DAYS:]
    return [path for path in paths if path.name[:10] in days]


def lines(path: Path, start: int = 0, end: int | None = None) -> Iterator[JournalLine]:
    """The lines of a journal file in which a student was asked; torn ones are left out.

    Of a file that is not packed, those between two places. Raises Refused without their key.
    """
    decode = msgspec.json.Decoder(JournalLine).decode
    with path.open("rb") as file:
        magic = file.read(4)
        packed = not magic.startswith(b"{")
        file.seek(0 if packed else start)
        part = file if packed or end is None else BytesIO(file.read(end - start))
        for raw in lines_of(part, magic):
            if raw.problem.startswith(ENCRYPTED):
                raise Refused(f"{path} is {raw.problem.removeprefix(f'{ENCRYPTED}: ')}")
            if any(mark in raw.data for mark in _MARKS):
                with suppress(msgspec.DecodeError):
                    yield decode(raw.data)
