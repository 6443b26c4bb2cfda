"""What the ledger says about a task's teacher: since when it answers otherwise."""

from __future__ import annotations

from registry import ledger, rulings
from registry.ledger import Breach, Entry

TASK = "routing-3f2a9c"


def out(version: int, changed: float, *, earlier: int | None = None) -> Entry:
    """The watch takes a version out; an earlier one takes its place, or the teacher is to blame."""
    teacher = earlier is None
    breach = Breach(audits=9, wrong=5, alpha=0.05, e=1e4, changed=changed, teacher=teacher)
    return moved(version, earlier, ledger.WATCH, breach)


def moved(
    before: int | None, after: int | None, who: str = ledger.POLICY, breach: Breach | None = None
) -> Entry:
    """A line of the ledger."""
    return Entry(at=1.0, task=TASK, before=before, after=after, who=who, reason="", breach=breach)


def test_the_newest_change_counts() -> None:
    """What is promoted after it, by the policy or a person, leaves it as it is."""
    assert rulings.changes([moved(None, 1), out(1, 10.0)]) == {TASK: 10.0}
    later = [out(1, 10.0), moved(None, 2), out(2, 20.0), moved(None, 3, ledger.PERSON)]
    assert rulings.changes(later) == {TASK: 20.0}


def test_a_bad_student_does_not_undo_a_change() -> None:
    """The rows from before it stay left out when a later student is revoked by its own fault."""
    since = [out(1, 10.0), moved(None, 2), moved(2, 3, ledger.PERSON), out(3, 20.0, earlier=2)]
    assert rulings.changes(since) == {TASK: 10.0}


def test_what_a_person_puts_back_was_no_breach() -> None:
    """Nothing is left out on its account; an earlier change stays one."""
    assert rulings.changes([out(1, 10.0), moved(None, 1, ledger.PERSON)]) == {}
    assert rulings.changes([out(1, 10.0), moved(None, 1)]) == {TASK: 10.0}
    twice = [out(1, 10.0), moved(None, 2), out(2, 20.0), moved(None, 2, ledger.PERSON)]
    assert rulings.changes(twice) == {TASK: 10.0}
