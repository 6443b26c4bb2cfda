"""The figures of each day of traffic, from the gateway's journal."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import chain, groupby
from pathlib import Path

import msgspec

from tasks.core import economics, encryption
from tasks.core.params import Economics
from tasks.core.records import TEACHER
from tasks.core.stage import write_atomic
from tasks.evaluate.significance import weighted, wilson


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """One day of traffic. Shares are 0..1, costs dollars per 1,000 calls, latencies seconds.

    `agreed` of `audited` served answers were what the teacher said too; `agreed_share` is their
    share where each stands for as many as were served for one audit at its rate, `effective` the
    audits that it rests on (Kish). `interval` is where the true share lies with 95 % confidence.
    `unaided` is what the teacher alone would have cost.
    """

    day: str
    calls: int
    escalated: int
    audited: int
    agreed: int
    cost: float
    unaided: float
    p50: float
    p95: float
    agreed_share: float = 0.0
    effective: float = 0.0
    failed: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    served: Mapping[str, int] = field(default_factory=dict)
    asked: Mapping[str, int] = field(default_factory=dict)

    @property
    def escalation(self) -> float:
        """The share of calls that the teacher answered."""
        return self.escalated / self.calls if self.calls else 0.0

    @property
    def agreement(self) -> float | None:
        """The audited agreement, or None when nothing was audited."""
        if self.effective:
            return self.agreed_share
        return self.agreed / self.audited if self.audited else None

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % Wilson interval of the agreement."""
        return wilson(self.agreement or 0.0, self.effective or self.audited)


class _TokenUsage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Audit(msgspec.Struct):
    agrees: bool = False
    usage: _TokenUsage | None = None


class _Line(msgspec.Struct):
    """A journal line as far as the report needs it; texts stay undecoded."""

    request: msgspec.Raw = msgspec.Raw(b"")
    reply: msgspec.Raw = msgspec.Raw(b"")
    usage: _TokenUsage | None = None
    latency_s: float | None = None
    answered_by: str = TEACHER
    reason: str | None = None
    student: msgspec.Raw = msgspec.Raw(b"null")
    audit: _Audit | None = None
    audit_rate: float = 1.0
    task: str | None = None
    error: str | None = None


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value below which a share of the ordered values lies (nearest rank)."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


@dataclass(slots=True)
class _Bill:
    """Adds up dollars: what was spent, and what the teacher alone would have cost.

    Of a call that a student answered, nobody has counted the teacher's tokens. They are guessed
    as characters / 4, corrected by what that guess is worth on the day's calls with both figures.
    """

    prices: Economics
    spent: float = 0.0
    counted: float = 0.0
    counted_guess: float = 0.0
    served_guess: float = 0.0

    def add(self, line: _Line) -> None:
        usage, guess = _usage(line.usage), self._guess(line)
        student = economics.student_cost(usage, self.prices) if usage else 0.0
        if line.answered_by == TEACHER:
            asked = bytes(line.student) not in (b"", b"null")
            teacher = self._teacher(usage) if usage else guess
            self.counted += teacher
            self.counted_guess += guess
            self.spent += teacher + student * asked
        else:  # the usage on record is the student's
            self.served_guess += guess
            self.spent += student
            if line.audit:
                second = _usage(line.audit.usage)
                self.spent += self._teacher(second) if second else guess

    def _teacher(self, usage: economics.Usage) -> float:
        return economics.teacher_cost(usage, self.prices)

    def _guess(self, line: _Line) -> float:
        prompt, completion = (len(bytes(part)) / 4 for part in (line.request, line.reply))
        return self._teacher(economics.Usage(prompt, completion))

    @property
    def unaided(self) -> float:
        worth = self.counted / self.counted_guess if self.counted_guess else 1.0
        return self.counted + worth * self.served_guess


def _usage(tokens: _TokenUsage | None) -> economics.Usage | None:
    if tokens is None or tokens.prompt_tokens is None or tokens.completion_tokens is None:
        return None
    return economics.Usage(tokens.prompt_tokens, tokens.completion_tokens)


def _lines(path: Path) -> Iterator[_Line]:
    """The lines of one journal file; one that is still being written, or torn, is left out."""
    decode = msgspec.json.Decoder(_Line).decode
    for raw in encryption.lines(path):
        with suppress(msgspec.DecodeError):
            yield decode(raw)


def _day(day: str, paths: Iterable[Path], prices: Economics) -> Day:
    latencies: list[float] = []
    asked, served, reasons = Counter[str](), Counter[str](), Counter[str]()
    calls = failed = 0
    weights, agrees = list[float](), list[bool]()
    bill = _Bill(prices)
    for line in chain.from_iterable(map(_lines, paths)):
        calls += 1
        failed += line.error is not None
        asked[line.task or ""] += 1
        if line.answered_by == TEACHER:
            reasons[line.reason or "no task"] += 1
        else:
            served[line.task or ""] += 1
        if line.audit is not None and line.answered_by != TEACHER:
            weights.append(1 / line.audit_rate if 0 < line.audit_rate <= 1 else 1.0)
            agrees.append(line.audit.agrees)
        if line.latency_s is not None:
            latencies.append(line.latency_s)
        bill.add(line)
    latencies.sort()
    share, effective = weighted(agrees, weights)
    thousand = 1_000 / max(calls, 1)
    return Day(
        day=day,
        calls=calls,
        escalated=reasons.total(),
        audited=len(agrees),
        agreed=sum(agrees),
        agreed_share=share,
        effective=effective,
        cost=bill.spent * thousand,
        unaided=bill.unaided * thousand,
        p50=percentile(latencies, 0.50),
        p95=percentile(latencies, 0.95),
        failed=failed,
        reasons=dict(reasons.most_common()),
        served=dict(served),
        asked=dict(asked),
    )


def days(journal: Path, prices: Economics) -> list[Day]:
    """The figures of each day in a journal folder, oldest first.

    Its files begin with the day; where several gateways write, a day has several. Of a day whose
    calls were forgotten, the figures are there that `keep` wrote.
    """
    by_day = groupby(sorted(journal.glob("*.jsonl")), key=lambda path: path.name.split(".")[0])
    lived = {day: _day(day, paths, prices) for day, paths in by_day}
    kept = {path.stem: path for path in journal.glob("*.json") if path.stem not in lived}
    old = {day: msgspec.convert(json.loads(path.read_bytes()), Day) for day, path in kept.items()}
    return [one for _, one in sorted((lived | old).items())]


def keep(journal: Path, before: str, prices: Economics) -> None:
    """Write the figures of the days before one, whose calls are about to be forgotten."""
    for day in days(journal, prices):
        if day.day < before:
            body = json.dumps(asdict(day))  # knows NaN, the latency of a day without any
            write_atomic(journal / f"{day.day}.json", body.encode())


def row(day: Day) -> tuple[str, str, str, str, str, str]:
    """One day as text cells: day, calls, escalation, agreement, cost, latency."""
    return (
        day.day,
        f"{day.calls:,}",
        f"{day.escalation:.1%}",
        agreement(day),
        f"{day.cost:.2f}",
        f"{milliseconds(day.p50)} / {milliseconds(day.p95)}",
    )


def agreement(day: Day) -> str:
    """The audited agreement with its interval and how many answers it rests on."""
    if day.agreement is None:
        return "–"
    low, high = day.interval
    return f"{day.agreement:.1%} ({100 * low:.1f}–{100 * high:.1f}, n={day.audited:,})"


def milliseconds(seconds: float) -> str:
    """Seconds as milliseconds, or a dash when there is nothing to tell."""
    return "–" if math.isnan(seconds) else f"{1000 * seconds:,.0f}"
