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
from tasks.core import rollout
from tasks.core.records import Json
from tasks.core.rollout import Steps

LIVE = ("shadow", "joint")  # methods of a proof that is made of live answers
DONE: Json = {"rollout": (), "share": 1.0, "done": 0, "former": None}


@dataclass(frozen=True, slots=True)
class Rollouts:
    """The steps of new roll-outs, and how many each version has done of its own."""

    steps: Steps = ()
    done: Mapping[tuple[str, int], int] = field(default_factory=dict)

    def of(self, route: Json, known: Json | None, loaded: Collection[str]) -> Json:
        """Return how a champion takes over, after its task's route until now.

        Who goes back to an earlier version has it at once, and who overrules the watch as well; one
        that was in its last step before is in it again.
        """
        before = known["version"] if known else 0
        if route["since"]:
            return DONE
        if known is None or before < route["version"]:
            return self._begun(route, known, loaded)
        former = known.get("former")
        if before > route["version"]:
            back = former if former and former["version"] == route["version"] else {}
            return {name: back.get(name, value) for name, value in DONE.items()}
        steps, share, done = ((DONE | known)[name] for name in ("rollout", "share", "done"))
        done = max(done, self.done.get((route["task"]["id"], before), 0))
        share = max(share, rollout.share(steps, done))
        stays = former if share < 1 and former and former["adapter"] in loaded else None
        return {"rollout": steps, "share": share, "done": done, "former": stays}

    def _begun(self, route: Json, known: Json | None, loaded: Collection[str]) -> Json:
        """Begin a roll-out, a step later for a student that live calls have proven."""
        steps = self.steps[route["certificate"].get("method") in LIVE :]
        if not steps:
            return DONE
        former = known["former"] if known and known.get("share", 1.0) < 1 else known
        share = steps[0][0]
        stays = share < 1 and former and former["adapter"] in loaded
        kept = {**former, "share": 1.0, "former": None} if former and stays else None
        return {"rollout": steps, "share": share, "done": 0, "former": kept}


def rollouts(home: Path, steps: Steps, audits_per_false_alarm: float) -> Rollouts:
    """Look how far all roll-outs are; steps that are news are written into the ledger."""
    current = RouteFile(home / "routes.json").current().routes
    if all(route.done >= len(route.rollout) for route in current):
        return Rollouts(steps)
    threshold = audit_history.alarm(home, audits_per_false_alarm)
    tests = audit_history.tests(home, threshold, audit_history.look(home))
    under_way = [test for test in tests if test.route.rollout and test.alarm is None]
    for test in under_way:
        if test.share > test.route.share:
            _note(home, test)
    return Rollouts(steps, {(t.route.task.id, t.route.version): t.steps for t in under_way})


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
