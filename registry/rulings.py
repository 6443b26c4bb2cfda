"""Rulings of the ledger: the watch's revocations, and people's moves after them. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from registry.ledger import OURS, POLICY, WATCH, Entry


def changes(ledger: Sequence[Entry]) -> dict[str, float]:
    """The tasks whose teacher has changed, and when: no older answer of theirs is learned from.

    What a person put back was no breach.
    """
    breaches: dict[str, Entry] = {}
    for entry in ledger:
        if entry.breach:
            breaches[entry.task] = entry
        elif (breach := breaches.get(entry.task)) and _put_back(entry, breach):
            del breaches[entry.task]
    return {task: e.breach.changed for task, e in breaches.items() if e.breach and e.breach.teacher}


def _put_back(entry: Entry, breach: Entry) -> bool:
    return entry.moved and entry.who not in OURS and entry.after == breach.before


def overruled(ledger: Sequence[Entry], task: str, version: int) -> float:
    """Return when a person last put back a version that the watch had taken out.

    0 where nobody did.
    """
    since, out = 0.0, False
    for entry in ledger:
        if entry.task != task or not entry.moved:
            continue
        if entry.before == version and entry.after != version:
            out = entry.who == WATCH or (out and entry.who != POLICY)
        if entry.after == version and entry.who not in OURS and out:
            since, out = entry.at, False
    return since


def rolled_back(ledger: Sequence[Entry], task: str, version: int) -> bool:
    """Return whether a person, or the watch, preferred an earlier version, or none, to this one."""
    verdict = False
    for entry in ledger:
        if entry.task == task and entry.moved and entry.who != POLICY:
            if entry.before == version:
                verdict = entry.after is None or entry.after < version
            elif entry.after == version:
                verdict = False
    return verdict
