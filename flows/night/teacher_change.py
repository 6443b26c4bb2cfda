"""The teacher changes: another model answers, or several tasks are answered otherwise at once.

Each is an event in the ledger. All champions are in doubt from then on: more of their answers are
audited (`watch.raised`) until each is proven anew by audits since then, or revoked.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

import msgspec

from flows.night.folders import Night
from registry import ledger
from registry.ledger import WATCH, Entry
from serving import audit_history
from serving.evidence import EvidenceKey, Observation, RiskTest
from tasks.core.sequential_tests import Proof
from tasks.core.stage import write_atomic

SEEN = "teachers.json"
FEW = 3  # replies of another model that are no slip
DAY = 86_400.0  # seconds within which tasks are revoked "at once"


def events(night: Night, observations: Sequence[Observation]) -> list[str]:
    """Write new events into the ledger; return their sentences."""
    file = night.home / audit_history.FOLDER / SEEN
    names: dict[str, list[str]] = {}
    with suppress(FileNotFoundError, msgspec.DecodeError):
        names = msgspec.json.decode(file.read_bytes(), type=dict[str, list[str]])
    changes = [*_models(names, observations), *_together(ledger.entries(night.home))]
    for changed, reason in changes:
        entry = Entry(
            at=time.time(),
            task="",
            before=None,
            after=None,
            who=WATCH,
            reason=reason,
            moved=False,
            changed=changed,
        )
        ledger.note(night.home, entry)
    write_atomic(file, msgspec.json.encode(names))
    return [reason for _, reason in changes]


def _models(
    names: dict[str, list[str]], observations: Sequence[Observation]
) -> Iterator[tuple[float, str]]:
    """Yield when which model began to answer in another's place; it joins the known `names`."""
    times: dict[tuple[str, str], list[float]] = {}
    for one in observations:
        if one.teacher:
            times.setdefault((one.asked, one.teacher), []).append(one.at)
    for (asked, name), seen in sorted(times.items(), key=lambda item: item[1][0]):
        before = names.setdefault(asked, [])
        if name in before or len(seen) < FEW:
            continue
        if before:
            what = f"Calls for {asked}" if asked else "Calls"
            yield min(seen), f"{what} are answered by {name}, no longer by {before[-1]}"
        before.append(name)


def _together(entries: Sequence[Entry]) -> Iterator[tuple[float, str]]:
    """Yield the revocation of several tasks within a day, where no earlier version did better."""
    changes = [(e.breach.changed, e.task) for e in entries if e.breach and e.breach.teacher]
    latest = sorted(changes)[-2:]
    if len({task for _, task in latest}) < 2 or latest[1][0] - latest[0][0] > DAY:
        return
    if all(entry.changed != latest[1][0] for entry in entries):
        tasks = " and ".join(task for _, task in latest)
        yield latest[1][0], f"The teacher answers {tasks} otherwise within a day: it has changed"


def raise_audits(
    night: Night, tests: Sequence[RiskTest], observations: Sequence[Observation]
) -> bool:
    """Say which champions are in doubt since the last event; return whether that is news."""
    since = max((e.changed or 0.0 for e in ledger.entries(night.home)), default=0.0)
    rates = dict[str, float]()
    if since:
        doubted = _unproven(tests, observations, since, night.params.calibrate.delta)
        rates = dict.fromkeys(sorted(doubted), night.params.watch.raised)
    if rates == audit_history.raised(night.home):
        return False
    write_atomic(
        night.home / audit_history.FOLDER / audit_history.RAISED, msgspec.json.encode(rates)
    )
    return True


def _unproven(
    tests: Sequence[RiskTest], observations: Sequence[Observation], since: float, delta: float
) -> Iterator[str]:
    """The tasks whose champion has not been proven by audits since some time."""
    again: Mapping[EvidenceKey, tuple[RiskTest, Proof]] = {
        EvidenceKey.of(test.route): (
            RiskTest(test.route, test.threshold),
            Proof(test.route.certificate.alpha),
        )
        for test in tests
    }
    for one in observations:
        if one.at >= since and one.key in again:
            test, proof = again[one.key]
            if test.see(one):
                proof.see(bool(one.wrong))
    return (key.task for key, (_, proof) in again.items() if not proof.proven(delta))
