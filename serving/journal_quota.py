"""How much a journal may hold: beyond that a call's line is written without its texts."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from pathlib import Path

from tasks.core.records import Json

log = logging.getLogger("flywheel.gateway")

GIGABYTE = 1e9


@dataclass(slots=True)
class JournalQuota:
    """The bytes of a journal's folder and how many they may be; `bare` counts lines without texts.

    Several gateways may share the folder, and nights empty it: it is measured now and then.
    """

    folder: Path
    most: float = math.inf
    held: int = 0
    bare: int = 0
    full: bool = False

    def measure(self) -> None:
        """Look at the files; what changes is said in the log, once."""
        self.held = sum(path.stat().st_size for path in self.folder.glob("*.jsonl*"))
        self._judge()

    def _judge(self) -> None:
        full = self.held >= self.most
        if full and not self.full:
            log.error("%s", self)
        elif self.full and not full:
            log.warning("the journal has room again: texts of calls are kept")
        self.full = full

    def kept(self, line: Json) -> Json:
        """Return the line as it may be written now: with its texts, or without."""
        if not self.full:
            return line
        self.bare += 1
        return line | {"request": None, "reply": None, "full": True} | _without_answers(line)

    def wrote(self, size: int) -> None:
        """Count what was written since the last look."""
        self.held += size
        self._judge()

    def __str__(self) -> str:
        """Say what is so, in a sentence."""
        if not self.full:
            return f"the journal holds {self.held / GIGABYTE:.1f} GB"
        return (
            f"the journal holds {self.held / GIGABYTE:.1f} GB, as much as retention.journal in "
            "params.yaml allows: calls are answered, but their texts are not kept and not learned"
        )


def _without_answers(line: Json) -> Json:
    """The parts of a line that hold what a student or an audit said, without what they said."""
    student, audit = line.get("student"), line.get("audit")
    return {
        "student": {**student, "answer": ""} if student else student,
        "audit": {**audit, "reply": None} if audit else audit,
    }
