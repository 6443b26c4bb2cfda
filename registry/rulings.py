"""Rulings of the ledger: the watch's revocations, and people's moves after them. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from registry.ledger import OURS, POLICY, WATCH, Entry


def changes(ledger: Sequence[Entry]) -> dict[str, float]:
    """The tasks whose teacher has changed, and when: no older answer of theirs is learned from.

    A later breach of a student's own leaves that as it is. What a person put back was no breach.
    """
    breaches: dict[str, list[Entry]] = {}
    for entry in ledger:
        earlier = breaches.setdefault(entry.task, [])
        if entry.breach and entry.breach.teacher:
            earlier.append(entry)
        elif entry.moved and entry.who not in OURS:
            breaches[entry.task] = [breach for breach in earlier if breach.before != entry.after]
    return {
        task: max(entry.breach.changed for entry in found if entry.breach)
        for task, found in breaches.items()
        if found
    }


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
