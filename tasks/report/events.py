"""Events that the watch wrote into the ledger: revocations, and changes of the teacher."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path

import msgspec

LEDGER, WATCH = "promotions.jsonl", "watch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounds:
    """The part of a revocation's grounds that the report needs: since when answers were worse."""

    changed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchEvent:
    """A line of the ledger that the watch wrote; `task` is empty where all are concerned."""

    at: float
    task: str
    reason: str
    who: str
    before: int | None = None
    after: int | None = None
    breach: Grounds | None = None
    changed: float | None = None

    @property
    def since(self) -> datetime:
        """When it began, by the calls' own clock where that is known."""
        began = self.breach.changed if self.breach else self.changed
        return datetime.fromtimestamp(self.at if began is None else began, UTC)


def events(home: Path) -> list[WatchEvent]:
    """Read what the watch did, newest first."""
    file = home / LEDGER
    lines = []
    for line in file.read_bytes().split(b"\n") if file.exists() else ():
        with suppress(msgspec.DecodeError):
            lines.append(msgspec.json.decode(line, type=WatchEvent))
    return [event for event in reversed(lines) if event.who == WATCH]


def section(revoked: Sequence[WatchEvent]) -> str:
    """The report's part about them; nothing where nothing happened."""
    rows = "".join(
        f"<tr><td><b>{_about(event)}</b> "
        f'<span class="soft">{event.since:%d %B %Y, %H:%M} UTC</span>'
        f'<span class="why">{escape(event.reason)}</span></td></tr>'
        for event in revoked
    )
    return f"<h2>Taken out of service</h2><table>{rows}</table>" if rows else ""


def _about(event: WatchEvent) -> str:
    return escape(f"{event.task} v{event.before}" if event.task else "The teacher changed")


def by_day(revoked: Sequence[WatchEvent]) -> Counter[str]:
    """Return how many students' answers became worse on each day."""
    return Counter(f"{event.since:%Y-%m-%d}" for event in revoked if event.task)
