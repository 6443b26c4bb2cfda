"""Curation keeps each row or names the reason: repeats, conflicts, old formats, wrong labels."""

from __future__ import annotations

import dataclasses
import json
import random

from tasks.core.contract import Contract
from tasks.core.rows import Candidate, Row
from tasks.dataset.answer_formats import replaced
from tasks.dataset.curate import conflicts, curate
from tasks.dataset.dataset import near_duplicates
from tasks.dataset.label_errors import doubtful
from tasks.dataset.readiness import readiness
from tests.traffic import LABELS, WORDS


def candidate(number: int, prompt: str, answer: str, at: float = 0.0) -> Candidate:
    return Candidate(Row(f"r{number:04}", at or float(number), "", prompt, answer, 1.0))


def test_near_duplicates_are_found_and_likeness_decides() -> None:
    """One word of thirty is a near-duplicate; another order number in a short text is not."""
    long = " ".join(f"word{n}" for n in range(40))
    prompts = [long, long + " more", "cancel order 123 please", "cancel order 987 please", long]
    assert set(near_duplicates(prompts, 0.9, 0)) == {(0, 1), (0, 4)}


def test_conflicting_answers_are_settled_by_support() -> None:
    """Three against one wins; one against one and both go; prose may differ."""
    labels = Contract(kind="labels", labels=("a", "b"))
    some = [candidate(n, "same", "a" if n else "b") for n in range(4)]
    even = [candidate(n, "same", "ab"[n]) for n in range(2)]
    assert conflicts(some, labels) == {0: "conflicting answer"}
    assert conflicts(even, labels).keys() == {0, 1}
    assert conflicts(even, Contract(kind="text")) == {}


def test_feedback_outweighs_repetition() -> None:
    labels = Contract(kind="labels", labels=("a", "b"))
    some = [candidate(n, "same", "a" if n else "b") for n in range(3)]
    some[0] = dataclasses.replace(some[0], row=dataclasses.replace(some[0].row, feedback=1.0))
    assert conflicts(some, labels).keys() == {1, 2}


def test_an_old_format_is_brought_to_the_new_one() -> None:
    """Where the values say which key became which, old rows stay, written as it is done now."""
    old = [candidate(n, f"p{n}", json.dumps({"label": "AB"[n % 2], "v": 1})) for n in range(50)]
    new = [candidate(n, f"p{n}", json.dumps({"intent": "ab"[n % 2]})) for n in range(50, 100)]
    moved = replaced([*old, *new], Contract(kind="json", schema={}))
    assert moved == {n: json.dumps({"intent": "ab"[n % 2]}) for n in range(50)}


def test_an_old_format_without_a_successor_goes() -> None:
    """A new key whose value the old answers do not hold cannot be filled in."""
    old = [candidate(n, f"p{n}", json.dumps({"a": n})) for n in range(50)]
    new = [candidate(n, f"p{n}", json.dumps({"a": n, "mood": "good"})) for n in range(50, 100)]
    contract = Contract(kind="json", schema={})
    assert replaced([*old, *new], contract) == dict.fromkeys(range(50))


def test_formats_side_by_side_stay() -> None:
    rows_ = [
        candidate(n, f"p{n}", json.dumps({"a": 1} | ({"b": 2} if n % 2 else {}))) for n in range(99)
    ]
    assert replaced(rows_, Contract(kind="json", schema={})) == {}


def wordy(count: int, noise: float) -> tuple[list[Candidate], set[int]]:
    """Rows whose label follows from their words, some of them with a wrong one."""
    rng = random.Random(1)
    found, wrong = [], set()
    for number in range(count):
        label = rng.choice(LABELS)
        prompt = f"{label} {rng.choice(WORDS)} {rng.choice(WORDS)} number {number}"
        if rng.random() < noise:
            wrong.add(number)
            label = rng.choice([other for other in LABELS if other != label])
        found.append(candidate(number, prompt, label))
    return found, wrong


def test_wrong_labels_are_found() -> None:
    """Of 20 % wrong answers most go, and hardly a right one."""
    found, wrong = wordy(400, 0.2)
    gone = set(doubtful(found, Contract(kind="labels", labels=LABELS)))
    assert len(gone & wrong) >= 0.75 * len(wrong)
    assert len(gone - wrong) <= 0.02 * len(found)


def test_clean_labels_stay() -> None:
    assert not doubtful(wordy(400, 0.0)[0], Contract(kind="labels", labels=LABELS))


def test_a_task_too_hard_for_the_check_is_left_alone() -> None:
    """Where words say nothing about the answer, no answer is called wrong; a rare one neither."""
    rng = random.Random(2)
    for labels in ("ab", "aaaaaaaab"):
        found = [candidate(n, f"is {rng.random()} round", rng.choice(labels)) for n in range(300)]
        assert not doubtful(found, Contract(kind="labels", labels=("a", "b")))


def test_curation_keeps_every_row_or_names_the_reason() -> None:
    found, _ = wordy(300, 0.2)
    done = curate(found, Contract(kind="labels", labels=LABELS), list(range(300)))
    names = [c.row.id for c in done.kept] + [c.row.id for c, _ in done.dropped]
    assert sorted(names) == [c.row.id for c in found]


def test_readiness_names_the_weakest_part() -> None:
    """A noisy set scores lower than a clean one and says what to do."""
    found = [c.row for c in wordy(700, 0.0)[0]]
    labels = Contract(kind="labels", labels=LABELS)
    good = readiness(found, found, {}, labels)
    bad = readiness(found, found, {"conflicting answer": 300}, labels)
    assert 0 <= bad.score < good.score <= 100
    assert "different answers" in bad.advice
    assert readiness(found[:20], found[:20], {}, labels).parts["volume"] < 0.6


def test_answers_that_move_with_time_lower_readiness() -> None:
    old = [dataclasses.replace(c.row, answer="a") for c in wordy(300, 0.0)[0]]
    new = [dataclasses.replace(r, at=r.at + 1000, answer="b") for r in old]
    labels = Contract(kind="labels", labels=("a", "b"))
    assert readiness(old, [*old, *new], {}, labels).parts["drift"] < 0.3
