"""A reviewer's view of the de-identification: before and after, what was found and by whom.

Holds real personal data: `flywheel pii` shows it on a terminal, and nothing here writes a file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random

from tasks.core.params import Deidentify
from tasks.core.records import Call
from tasks.deidentify.cleaner import Quarantined, strings
from tasks.deidentify.deidentify import Deidentifier

CONTEXT = 80  # characters shown before what was found
EXCERPT = 480  # characters shown of a string


@dataclass(frozen=True, slots=True)
class Shown:
    """A string before and after, with what was found in it: type, text, score, detector."""

    call: str
    role: str
    before: str
    after: str
    findings: tuple[tuple[str, str, float, str], ...]

    @property
    def excerpts(self) -> tuple[str, str]:
        """Both texts around the first thing that was found, fit for a terminal."""
        at = min((self.before.find(text) for _, text, _, _ in self.findings), default=0)
        start = max(at - CONTEXT, 0)
        if len(self.before) <= EXCERPT:
            start = 0
        return _printable(self.before[start:]), _printable(self.after[start:])


def _printable(text: str) -> str:
    """The beginning of a text, with the control characters of a log spelled out."""
    cut = text if len(text) <= EXCERPT else text[:EXCERPT] + " …"
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in cut)


def sample(
    calls: Sequence[Call], params: Deidentify, key: bytes, n: int, seed: int = 0
) -> tuple[list[Shown], Counter[tuple[str, str]]]:
    """Some strings with findings, and how many were found by (type, detector) in all calls."""
    deidentifier = Deidentifier(params, key)
    deidentifier.survey(calls)
    shown: dict[tuple[str, str], Shown] = {}
    table: Counter[tuple[str, str]] = Counter()
    for call in calls:
        for item in _shown(deidentifier, call):
            table.update((kind, detector) for kind, _, _, detector in item.findings)
            shown.setdefault((item.role, item.before), item)
    every = list(shown.values())
    return Random(seed).sample(every, min(n, len(every))), table


def _shown(deidentifier: Deidentifier, call: Call) -> Iterable[Shown]:
    try:
        after = list(strings(deidentifier.clean(call)))
    except Quarantined:
        return
    for (role, path, old), (_, _, new) in zip(strings(call), after, strict=True):
        scanned = deidentifier.scanner.known(path, old)
        findings = tuple(
            (f.finding.kind, f.text, f.finding.score, f.finding.detector)
            for leaf in scanned
            for f in leaf
        )
        if findings:
            yield Shown(call.id, role, old, new, findings)
