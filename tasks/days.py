"""The figures of each day of traffic, from the gateway's journal."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from tasks.params import Economics
from tasks.records import TEACHER


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """One day of traffic. Shares are 0..1, costs dollars per 1,000 calls, latencies seconds.

    `agreed` of `audited` served answers were what the teacher said too; `interval` is where their
    true share lies with 95 % confidence. `unaided` is what the teacher alone would have cost.
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
        return self.agreed / self.audited if self.audited else None

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % Wilson interval of the agreement."""
        return wilson(self.agreed, self.audited)


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Audit(msgspec.Struct):
    reply: msgspec.Raw = msgspec.Raw(b"")
    agrees: bool = False


class _Line(msgspec.Struct):
    """What the report needs of a journal line; texts stay undecoded."""

    request: msgspec.Raw = msgspec.Raw(b"")
    reply: msgspec.Raw = msgspec.Raw(b"")
    usage: _Usage | None = None
    latency_s: float | None = None
    answered_by: str = TEACHER
    reason: str | None = None
    student: msgspec.Raw = msgspec.Raw(b"null")
    audit: _Audit | None = None
    task: str | None = None
    error: str | None = None


def wilson(hits: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's interval for a share of `hits` in `n`; (0, 1) when nothing was counted."""
    if n == 0:
        return 0.0, 1.0
    share, weight = hits / n, z * z / n
    middle = share + weight / 2
    half = z * math.sqrt(share * (1 - share) / n + weight / (4 * n))
    return max(0.0, (middle - half) / (1 + weight)), min(1.0, (middle + half) / (1 + weight))


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value below which a share of the ordered values lies (nearest rank)."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


def _tokens(line: _Line) -> tuple[float, float]:
    """Prompt and completion tokens of a call: as the provider counted, else characters / 4."""
    usage = line.usage or _Usage()
    prompt, completion = usage.prompt_tokens, usage.completion_tokens
    return (
        len(bytes(line.request)) / 4 if prompt is None else prompt,
        len(bytes(line.reply)) / 4 if completion is None else completion,
    )


def _costs(line: _Line, prices: Economics) -> tuple[float, float]:
    """Dollars that a call cost, audit included, and dollars that the teacher alone would cost."""
    prompt, completion = _tokens(line)
    if line.answered_by != TEACHER:  # the usage on record is the student's
        cost = prompt * prices.student_input + completion * prices.student_output
        prompt, completion = len(bytes(line.request)) / 4, len(bytes(line.reply)) / 4
        unaided = prompt * prices.teacher_input + completion * prices.teacher_output
        return (cost + unaided * (line.audit is not None)) / 1e6, unaided / 1e6
    unaided = prompt * prices.teacher_input + completion * prices.teacher_output
    tried = bytes(line.student) not in (b"", b"null")
    attempt = (prompt * prices.student_input + completion * prices.student_output) * tried
    return (unaided + attempt) / 1e6, unaided / 1e6


def _lines(path: Path) -> Iterator[_Line]:
    """The lines of one journal file; one that is still being written, or torn, is left out."""
    decode = msgspec.json.Decoder(_Line).decode
    with path.open("rb") as file:
        for raw in file:
            try:
                yield decode(raw)
            except msgspec.DecodeError:
                continue


def _day(path: Path, prices: Economics) -> Day:
    latencies: list[float] = []
    asked, served, reasons = Counter[str](), Counter[str](), Counter[str]()
    calls = failed = audited = agreed = 0
    cost = unaided = 0.0
    for line in _lines(path):
        calls += 1
        failed += line.error is not None
        asked[line.task or ""] += 1
        if line.answered_by == TEACHER:
            reasons[line.reason or "no task"] += 1
        else:
            served[line.task or ""] += 1
        if line.audit is not None and line.answered_by != TEACHER:
            audited, agreed = audited + 1, agreed + line.audit.agrees
        if line.latency_s is not None:
            latencies.append(line.latency_s)
        mine, alone = _costs(line, prices)
        cost, unaided = cost + mine, unaided + alone
    latencies.sort()
    thousand = 1_000 / max(calls, 1)
    return Day(
        day=path.stem,
        calls=calls,
        escalated=reasons.total(),
        audited=audited,
        agreed=agreed,
        cost=cost * thousand,
        unaided=unaided * thousand,
        p50=percentile(latencies, 0.50),
        p95=percentile(latencies, 0.95),
        failed=failed,
        reasons=dict(reasons.most_common()),
        served=dict(served),
        asked=dict(asked),
    )


def days(journal: Path, prices: Economics) -> list[Day]:
    """The figures of each day in a journal folder (`<YYYY-MM-DD>.jsonl`), oldest first."""
    return [_day(path, prices) for path in sorted(journal.glob("*.jsonl"))]


def row(day: Day) -> tuple[str, str, str, str, str, str]:
    """One day as text cells: day, calls, escalation, agreement, cost, latency."""
    return (
        day.day,
        f"{day.calls:,}",
        f"{day.escalation:.1%}",
        agreement(day),
        f"{day.cost:.2f}",
        f"{_seconds(day.p50)} / {_seconds(day.p95)}",
    )


def agreement(day: Day) -> str:
    """The audited agreement with its interval and how many answers it rests on."""
    if day.agreement is None:
        return "–"
    low, high = day.interval
    return f"{day.agreement:.1%} ({low:.1%}–{high:.1%}, n={day.audited:,})"


def _seconds(value: float) -> str:
    if math.isnan(value):
        return "–"
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"
