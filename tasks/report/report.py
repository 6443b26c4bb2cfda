"""The report: a table for the terminal and one self-contained page for the browser.

`days` reads the journal, `nights` the nights' folders. Run it: `python -m tasks.report HOME`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tasks.core import params
from tasks.core.stage import write_atomic
from tasks.report import drift, page
from tasks.report.days import Day, row
from tasks.report.days import days as days
from tasks.report.events import by_day, events
from tasks.report.nights import NightSummary, nights

if TYPE_CHECKING:
    from rich.table import Table


def write(home: Path, traffic: Sequence[Day], *, now: datetime, target: float = 0.95) -> Path:
    """Write `home/report.html` and return its path. `target` is the agreement asked for."""
    done, seen = nights(home), events(home)
    taken = by_day(seen)[traffic[-1].day] if traffic else 0
    path, sentence = home / "report.html", advice(traffic, done, target, taken)
    last = drift.read(home / "nights" / done[-1].day) if done else None
    html = page.render(traffic, done, sentence, target, now, shadows(home), seen, last)
    write_atomic(path, html.encode())
    return path


def shadows(home: Path) -> dict[str, str]:
    """Return what live calls say about the students that are asked in the background, by task."""
    path = home / "shadows.json"
    return msgspec.json.decode(path.read_bytes(), type=dict[str, str]) if path.exists() else {}


def advice(
    traffic: Sequence[Day], nights: Sequence[NightSummary], target: float, taken: int = 0
) -> str:
    """The one thing to do next, in a sentence; `taken` students were revoked on the last day."""
    if not any(day.calls for day in traffic) and not nights:
        return "No calls yet: point an agent's base URL at the gateway."
    last = traffic[-1] if traffic else None
    if last and last.audited and last.interval[1] < target:
        low = f"Audited agreement is {last.agreement:.1%}, below the {target:.0%} you asked for: "
        if taken:
            one = f"{taken} student{'s were' if taken > 1 else ' was'} taken out of service for it"
            return f"{low}{one}, and the next night learns from the calls since then."
        return f"{low}take the champions with the most disagreements back in MLflow, and retrain."
    if not nights:
        return "No night has run yet: “flywheel nightly” turns these calls into students."
    ended = [night for night in nights if night.ended]
    if not ended:
        return (
            f"The night of {nights[-1].day} has not ended: it runs, or “flywheel nightly” goes on."
        )
    if not ended[-1].tasks:
        return "The last night found no task: more calls of a kind are needed."
    if not last and page.offered(ended):
        return "Let them answer: “flywheel up”, and point your agents' base URL at its gateway."
    waiting = [task for task in ended[-1].tasks if task.champion is None]
    if waiting:
        top = waiting[0]
        return (
            f"The largest task still with the teacher is “{top.name}” ({top.calls:,} calls). "
            + (top.reason or "No student was trained for it.")
        )
    return "Every task found has a student; the calls left are what the students are not sure of."


def table(traffic: Sequence[Day]) -> Table:
    """The days as a table for the terminal, 80 characters wide."""
    from rich import box
    from rich.table import Table

    out = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    out.add_column("day", no_wrap=True)
    for name in ("calls", "escalated", "audited agreement", "$/1,000", "p50 / p95 ms"):
        out.add_column(name, justify="right", no_wrap=True)
    for day in traffic:
        out.add_row(*row(day))
    return out


def main() -> None:
    """Print the table of a home folder and write its page."""
    from rich.console import Console

    home, settings = Path(sys.argv[1]), params.load()
    traffic = days(home / "journal", settings.economics)
    Console().print(table(traffic))
    target = 1 - settings.calibrate.accepted()
    print(write(home, traffic, now=datetime.now(UTC), target=target))
