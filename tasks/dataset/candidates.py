"""From calls to rows that a dataset may hold, and what is set aside on the way."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence, Set
from dataclasses import replace
from pathlib import Path

from tasks.cluster.signatures import user_text
from tasks.core.contract import answer, unanswered, violation
from tasks.core.labels import refusal
from tasks.core.records import REJECTED, TEACHER, CleanCall, Rejected, Writer, digest
from tasks.core.rows import Candidate, Row
from tasks.core.task import Task
from tasks.dataset import clients, steering
from tasks.deidentify import conversations

OFF_CONTRACT = "off contract"
FEW_REFUSALS = 0.05  # where more replies apologise, apologising is the work


class Aside:
    """The dropped rows, by reason and by task."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.of: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._rejected: list[Rejected] = []

    def add(self, name: str, source: str, reason: str, task: str) -> None:
        """Set one call aside."""
        self._rejected.append(Rejected(id=name, source=source, reason=reason, detail=task))
        self.counts[reason] += 1
        self.of[task][reason] += 1

    def drop(self, some: Sequence[Candidate], reason: str, task: str) -> None:
        """Set rows aside; rows carried over from earlier nights are no calls of this one."""
        for candidate in some:
            if not candidate.carried:
                self.add(candidate.row.id, candidate.source, reason, task)

    def write(self, path: Path) -> None:
        """Write the quarantine file."""
        with Writer(path, REJECTED) as writer:
            for record in self._rejected:
                writer.write(record)


def candidate_of(call: CleanCall, task: Task | None) -> Candidate | str:
    """The row of a call, or why it cannot be one."""
    if task is None:
        return "no task"
    if reason := _unusable(call):
        return reason
    if not task.fitness.get("routable", 1.0):
        return "task not routable"
    payload = task.template.payload(call.request)
    if payload is None:
        return "off template"
    text = answer(call.reply, task.contract)
    # The turns of one conversation begin alike, which tells where no conversation id does.
    begun = digest(user_text(call.request)) if task.template.turns else None
    opening = conversations.opening(call.conversation) if call.conversation else begun
    prompt = task.template.prompt(payload)
    row = Row(call.id, call.at, "", prompt, text, call.weight, call.feedback, opening, call.rate)
    asked = steering.settings(call.request)
    return Candidate(row, call.source, _flaw(call, text, task), call.key, asked)


def _flaw(call: CleanCall, text: str, task: Task) -> str:
    """Return why nothing may be learned from an answer; empty where something may.

    The teacher gives such answers to live calls too, so they count wherever students are measured.
    """
    if violation(text, task.contract):
        return OFF_CONTRACT
    return "negative feedback" if call.feedback is not None and call.feedback < 0 else ""


def _unusable(call: CleanCall) -> str | None:
    """Return why a call has no whole answer of the teacher's."""
    if call.answered_by != TEACHER:
        return "not the teacher's"
    if call.error:
        return "error"
    return unanswered(call.reply, call.finish_reason)


def without_steered(
    task: Task, candidates: list[Candidate], usual: Set[str], aside: Aside
) -> list[Candidate]:
    """The rows whose clients asked the teacher as the task's do; the others are set aside."""
    kept = []
    for candidate in candidates:
        if reason := steering.unusual(candidate.settings, usual):
            aside.drop([candidate], reason, task.id)
        else:
            kept.append(candidate)
    return kept


def without_excess(
    task: Task, train: list[Candidate], alike: list[int], share: float, aside: Aside
) -> tuple[list[Candidate], list[int]]:
    """The training rows, and their groups, without what one client has above its share."""
    above = clients.above(train, share)
    aside.drop([c for c in train if c.row.id in above], clients.REASON, task.id)
    kept = [pair for pair in zip(train, alike, strict=True) if pair[0].row.id not in above]
    return [candidate for candidate, _ in kept], [twin for _, twin in kept]


def without_refusals(task: Task, candidates: list[Candidate]) -> list[Candidate]:
    """Prose tasks: apologies are not learned, unless apologising is what the task does."""
    sorry = [c for c in candidates if task.contract.kind == "text" and refusal(c.row.answer)]
    if not sorry or len(sorry) > FEW_REFUSALS * len(candidates):
        return candidates
    gone = {candidate.row.id for candidate in sorry}
    return [replace(c, flaw=c.flaw or "refusal") if c.row.id in gone else c for c in candidates]
