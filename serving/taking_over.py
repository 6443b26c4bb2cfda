"""How champions take over from those before them: what `home/routes.json` says of a roll-out.

How far each is, the audits of all gateways say; a gateway goes on by itself with what it audited.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from registry import ledger
from serving import audit_history
from serving.evidence import RiskTest
from serving.route import RouteFile
from tasks.core.records import Json
from tasks.core.rollout import Steps

DONE: Json = {"rollout": (), "share": 1.0, "former": None}


@dataclass(frozen=True, slots=True)
class Rollouts:
    """The steps of new roll-outs, and the share that each version has reached in its own."""

    steps: Steps = ()
    shares: Mapping[tuple[str, int], float] = field(default_factory=dict)

    def of(self, route: Json, known: Json | None, loaded: Collection[str]) -> Json:
        """Return how a champion takes over, after its task's route until now.

        Who goes back to an earlier version has it at once, and who overrules the watch as well.
        """
        before = known["version"] if known else 0
        if route["since"] or before > route["version"]:
            return DONE
        if known is None or before < route["version"]:
            return self._begun(route, known, loaded)
        steps, share, former = ((DONE | known)[name] for name in ("rollout", "share", "former"))
        share = max(share, self.shares.get((route["task"]["id"], before), 0.0))
        stays = former if share < 1 and former and former["adapter"] in loaded else None
        return {"rollout": steps, "share": share, "former": stays}

    def _begun(self, route: Json, known: Json | None, loaded: Collection[str]) -> Json:
        """Begin a roll-out, a step later for a student that live calls have proven."""
        steps = self.steps[route["certificate"].get("method") == "shadow" :]
        if not steps:
            return DONE
        former = known["former"] if known and known.get("share", 1.0) < 1 else known
        share = steps[0][0]
        stays = share < 1 and former and former["adapter"] in loaded
        kept = {**former, **DONE} if former and stays else None
        return {"rollout": steps, "share": share, "former": kept}


def rollouts(home: Path, steps: Steps, audits_per_false_alarm: float) -> Rollouts:
    """Look how far all roll-outs are; steps that are news are written into the ledger."""
    current = RouteFile(home / "routes.json").current().routes
    if all(route.share >= 1 or not route.rollout for route in current):
        return Rollouts(steps)
    threshold = audit_history.alarm(home, audits_per_false_alarm)
    tests = audit_history.tests(home, threshold, audit_history.look(home))
    under_way = [test for test in tests if test.route.rollout and test.alarm is None]
    for test in under_way:
        if test.share > test.route.share:
            _note(home, test)
    return Rollouts(steps, {(t.route.task.id, t.route.version): t.share for t in under_way})


def _note(home: Path, test: RiskTest) -> None:
    """Write a step into the ledger, once."""
    task, number = test.route.task.id, test.route.version
    what = f"It answers {test.share:.0%} of the conversations now"
    known = (e for e in ledger.entries(home) if (e.task, e.after) == (task, number))
    if any(entry.reason.startswith(what) for entry in known):
        return
    entry = ledger.Entry(
        at=time.time(),
        task=task,
        before=number,
        after=number,
        who=ledger.ROLLOUT,
        reason=f"{what}: {test.wrong} of {test.n} audited answers were wrong.",
        moved=False,
    )
    ledger.note(home, entry)
