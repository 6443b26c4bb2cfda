"""The report as one HTML page without anything outside it: style, charts and tables are inline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from html import escape
from pathlib import Path
from types import MappingProxyType

from tasks.core.records import Counts
from tasks.report import chart, drift
from tasks.report.days import Day, agreement, milliseconds, row
from tasks.report.drift import DriftFile
from tasks.report.events import WatchEvent, by_day, section
from tasks.report.nights import NightSummary, TaskSummary

STYLE = Path(__file__).with_name("page.css")


def render(
    days: Sequence[Day],
    nights: Sequence[NightSummary],
    advice: str,
    target: float,
    now: datetime,
    shadows: Mapping[str, str] = MappingProxyType({}),
    events: Sequence[WatchEvent] = (),
    drifts: DriftFile | None = None,
) -> str:
    """The page's HTML. `target` is the agreement asked for, `now` when the page was made.

    `shadows` has a sentence about each student that is asked in the background, by task; `events`
    are what the watch took out of service, `drifts` what the last night found.
    """
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Flywheel report</title><style>{STYLE.read_text()}</style></head><body><main>",
        _header(days, nights, now),
        f'<p class="next"><b>Next:</b> {escape(advice)}</p>',
        _tiles(days) + _charts(days, target, by_day(events)) + _days(days) if days else "",
        section(events),
        drift.section(drifts),
        _shadows(shadows, nights[-1].tasks if nights else ()) if shadows else "",
        *(
            _night(night, night is nights[-1], days[-1] if days else None)
            for night in reversed(nights)
        ),
        "</main></body></html>\n",
    ]
    return "\n".join(parts)


def headline(days: Sequence[Day], nights: Sequence[NightSummary] = ()) -> str:
    """Return what happened, in a sentence; before there is traffic, what the logs promise."""
    if not days:
        could = offered(nights)
        if could:
            return f"Students could answer {could:.0%} of the calls of the tasks found"
        return "No call has gone through the gateway yet"
    first, last = days[0].escalation, days[-1].escalation
    if len(days) == 1:
        return f"The large model answers {last:.0%} of the calls"
    verb = "fell" if last < first else "rose" if last > first else "stayed"
    what = f"from {first:.0%} to {last:.0%}" if last != first else f"at {last:.0%}"
    return f"Calls that need the large model {verb} {what} in {len(days)} days"


def offered(nights: Sequence[NightSummary]) -> float:
    """The share of the last night's calls in tasks that its champions are certified to answer."""
    tasks = nights[-1].tasks if nights and nights[-1].ended else ()
    served = sum(task.coverage * task.calls for task in tasks if task.champion and task.passed)
    return served / max(1, sum(task.calls for task in tasks))


def _header(days: Sequence[Day], nights: Sequence[NightSummary], now: datetime) -> str:
    stamp = f"made {now:%d %B %Y, %H:%M} UTC"
    span = f"{sum(d.calls for d in days):,} calls, {_dates(days)} · " if days else ""
    return (
        f'<header><p class="eyebrow">Flywheel report</p><h1>{headline(days, nights)}</h1>'
        f'<p class="soft">{span}{stamp}</p></header>'
    )


def _dates(days: Sequence[Day]) -> str:
    first, last = (_short(day.day) for day in (days[0], days[-1]))
    return first if first == last else f"{first} – {last}"


def _short(day: str) -> str:
    try:
        parsed = date.fromisoformat(day)
    except ValueError:
        return day
    return f"{parsed.day} {parsed:%b}"


def _tiles(days: Sequence[Day]) -> str:
    last = days[-1]
    low, high = last.interval
    interval = f"{100 * low:.1f} – {100 * high:.1f} % with 95 % confidence, n={last.audited:,}"
    saved = 1 - last.cost / last.unaided if last.unaided else 0.0
    less = f"{saved:.0%} less than the teacher alone" if saved > 0 else "nothing saved yet"
    shown = "–" if last.agreement is None else f"{last.agreement:.1%}"
    tiles = (
        ("Escalated", f"{last.escalation:.1%}", f"{last.escalated:,} of {last.calls:,} calls"),
        ("Audited agreement", shown, interval if last.audited else "no student answered yet"),
        ("Per 1,000 calls", f"${last.cost:.2f}", less),
        ("Latency, p50", f"{milliseconds(last.p50)} ms", f"p95 {milliseconds(last.p95)} ms"),
    )
    cells = "".join(
        f'<div class="tile"><span class="soft">{name}</span><strong>{value}</strong>'
        f'<span class="soft">{note}</span></div>'
        for name, value, note in tiles
    )
    return f'<h2>{_short(last.day)}, the newest day</h2><div class="tiles">{cells}</div>'


def _charts(days: Sequence[Day], target: float, revoked: Mapping[str, int]) -> str:
    share = [
        chart.Point(
            _short(d.day),
            d.escalation,
            d.escalation,
            d.escalation,
            f"{d.day}: {d.escalated:,} of {d.calls:,} calls escalated ({_reasons(d)})",
            f"{revoked[d.day]} taken out" if d.day in revoked else "",
        )
        for d in days
    ]
    agreed = [
        chart.Point(_short(d.day), d.agreement, *d.interval, f"{d.day}: {agreement(d)}")
        for d in days
    ]
    figures = [
        ("Escalation rate", "calls that the large model answered", chart.line(share, "escalation")),
    ]
    audited = [d for d in days if d.audited]
    if audited:
        floor = min([target, *(d.interval[0] for d in audited)])
        drawn = chart.line(agreed, "agreement", floor=floor, target=target)
        note = "audited answers that the teacher gave too, 95 % interval"
        figures.append(("Audited agreement", note, drawn))
    return (
        '<div class="charts">'
        + "".join(
            f'<figure><h3>{name}</h3><p class="soft">{note}</p>{svg}</figure>'
            for name, note, svg in figures
        )
        + "</div>"
    )


def _reasons(day: Day) -> str:
    return ", ".join(f"{reason} {count:,}" for reason, count in day.reasons.items()) or "none"


def _table(head: Sequence[str], rows: Iterable[str], numbers: Sequence[int] = ()) -> str:
    names = "".join(
        f'<th class="n">{name}</th>' if i in numbers else f"<th>{name}</th>"
        for i, name in enumerate(head)
    )
    body = "".join(f"<tr>{cells}</tr>" for cells in rows)
    return (
        f'<div class="scroll"><table><thead><tr>{names}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _n(value: str, below: str = "") -> str:
    note = f'<span class="why">{escape(below)}</span>' if below else ""
    return f'<td class="n">{escape(value)}{note}</td>'


def _days(days: Sequence[Day]) -> str:
    head = ("Day", "Calls", "Escalated", "Audited agreement", "$ per 1,000 calls", "p50 / p95, ms")
    rows = [
        f'<td><b>{escape(cells[0])}</b><span class="why">{escape(_why(day))}</span></td>'
        + "".join(map(_n, cells[1:]))
        for day in reversed(days)
        for cells in [row(day)]
    ]
    return "<h2>Day by day</h2>" + _table(head, rows, range(1, 6))


def _why(day: Day) -> str:
    failed = f"; {day.failed:,} failed" if day.failed else ""
    return f"escalated: {_reasons(day)}{failed}"


def _shadows(told: Mapping[str, str], tasks: Sequence[TaskSummary]) -> str:
    """The students that earn their proof on live calls, and how many calls that takes at least."""
    names = {task.id: task.name for task in tasks}
    rows = [
        f"<td><b>{escape(names.get(task, task))}</b></td><td>{escape(sentence)}</td>"
        for task, sentence in told.items()
    ]
    return "<h2>Asked in the background</h2>" + _table(("Task", "So far"), rows)


def _night(night: NightSummary, newest: bool, last: Day | None) -> str:
    """A night's tasks and hops; the newest is unfolded, with what was served on the last day."""
    after = last if newest else None
    learned = sum(task.champion is not None for task in night.tasks)
    said = f"{len(night.tasks)} tasks, {learned} with a student" if night.ended else "not ended"
    title = f"Night of {_short(night.day)}: {said}"
    tasks = _table(
        ("Task", "Calls", "Answered by", "Answers itself", "Agreement"),
        (_task(task, after) for task in night.tasks if night.ended),
        (1, 3, 4),
    )
    hops = _table(("Hop", "In", "Kept", "Dropped"), map(_hop, night.hops), (1, 2))
    notes = (f'<p class="soft">{escape(n)}</p>' for n in (night.privacy, night.forgotten) if n)
    body = f'{tasks}<h3 class="above">What each hop kept</h3>{hops}{"".join(notes)}'
    if newest:
        return f"<h2>{title}</h2>{body}"
    return f"<details><summary>{title}</summary>{body}</details>"


def _task(task: TaskSummary, after: Day | None) -> str:
    who = f"student v{task.champion}" if task.champion else "teacher"
    why = (task.passed and task.certificate) or task.reason or "No student was trained."
    seen = _served(task, after) if after and task.champion else ""
    return (
        f'<td><b>{escape(task.name)}</b> <span class="soft">{escape(task.category)}</span>'
        f'<span class="why">{escape(why)}</span></td>'
        + _n(f"{task.calls:,}", task.client)
        + f'<td class="who {who.split()[0]}">{who}</td>'
        + _n(f"{task.coverage:.0%}" if task.passed else "–", seen)
        + _n("–" if task.agreement is None else f"{task.agreement:.1%}")
    )


def _served(task: TaskSummary, day: Day) -> str:
    asked = day.asked.get(task.id, 0)
    return f"{day.served.get(task.id, 0) / asked:.0%} on {_short(day.day)}" if asked else ""


def _hop(counts: Counts) -> str:
    dropped = ", ".join(f"{reason} {n:,}" for reason, n in counts.dropped.items()) or "nothing"
    width = 100 * counts.kept / counts.read if counts.read else 100
    bar = f'<span class="flow"><i style="width:{width:.1f}%"></i></span>'
    return (
        f"<td><b>{escape(counts.hop)}</b></td>"
        + _n(f"{counts.read:,}")
        + _n(f"{counts.kept:,}")
        + f"<td>{escape(dropped)}{bar if counts.dropped else ''}</td>"
    )
