"""Groups that are one program's one kind of work, however alike some of its documents are.

Documents of one layout, mails of one sender share long runs of text; what makes them one task is
the prompt that they come under and the contract of the answers. Groups are joined when nothing
but what their users sent tells them apart.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tasks.cluster.signatures import Signature, user_text
from tasks.cluster.wording import action
from tasks.core.contract import answer_of, structure
from tasks.core.records import CleanCall

SAME_PROMPT = 0.8  # likeness of the system prompts
SPOKEN = 5  # shingles from which a system prompt says what the work is
KEYS = 2  # of answers that show by themselves what the work is
READ = 300  # calls of a group that are read closely
CLOSED = 3  # times that each value of a closed field stands there, on average
APART = 0.2  # share of values in common under which two closed fields are of different work
MOSTLY = 0.8  # share of a group's labels that another one knows
ORDERED = 0.8  # share of a group's texts that begin or end with an order


@dataclass(frozen=True, slots=True)
class Work:
    """A group's kind of work: what is asked, and what it answers.

    `seen` is what most calls share, `values` are those of closed fields, `answers` all answers that
    are no JSON, `order` is what nearly all users' texts ask for.
    """

    seen: Signature
    values: Mapping[str, frozenset[str]]
    answers: frozenset[str]
    order: str


def work_of(calls: Sequence[CleanCall], seen: Signature) -> Work:
    """The work of a group, from some of its calls and what most of them share."""
    some = calls[:: max(1, len(calls) // READ)]
    columns: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for call in some:
        for key, value in _values(answer_of(call.reply)).items():
            columns[key][value] += 1
    closed = {
        key: frozenset(column)
        for key, column in columns.items()
        if 1 < len(column) <= column.total() / CLOSED
    }
    orders = Counter(order_of(user_text(call.request)) for call in some)
    order, count = orders.most_common(1)[0]
    answers = frozenset(columns[""])
    return Work(seen, closed, answers, order if count >= ORDERED * len(some) else "")


def _values(answer: str) -> dict[str, str]:
    value: object = structure(answer)
    if isinstance(value, dict):
        return {key: str(item) for key, item in value.items() if isinstance(item, str | bool | int)}
    return {"": answer}


def order_of(text: str) -> str:
    """Return what a text asks for in its first or its last line; empty where it only tells."""
    lines = [line for line in text.split("\n") if line.strip()] or [""]
    return " ".join(action(lines[0][:300]) or action(lines[-1][-300:]))


def by_order(calls: Sequence[CleanCall], min_calls: int) -> list[int]:
    """The part of each call, where nearly all texts ask for one of a few things; else all are 0."""
    orders = [order_of(user_text(call.request)) for call in calls]
    counts = Counter(order for order in orders if order)
    large = [order for order, n in counts.most_common() if n >= min_calls]
    if len(large) < 2 or sum(counts[order] for order in large) < ORDERED * len(calls):
        return [0] * len(calls)
    return [large.index(order) if order in large else -1 for order in orders]


def same_work(a: Work, b: Work) -> bool:
    """Return whether two groups are one kind of work of one program."""
    one, other = a.seen, b.seen
    if (one.tools, one.format, one.shape) != (other.tools, other.format, other.shape):
        return False
    if not one.shape or "tools" in one.shape or (a.order and b.order and a.order != b.order):
        return False
    told = len(one.system) >= SPOKEN or len(other.system) >= SPOKEN
    if told and _likeness(one.system, other.system) < SAME_PROMPT:
        return False
    closed = [key for key in a.values if key in b.values]
    shared = [_overlap(a.values[key], b.values[key]) for key in closed]
    if closed and max(shared) < APART:
        return False
    keys = sum(word.startswith("key:") for word in one.shape)
    return told or keys >= KEYS or ("label" in one.shape and _same_labels(a, b))


def _same_labels(a: Work, b: Work) -> bool:
    """Return whether the labels of one, which are a closed set, are those of the other."""
    labelled, others = (a, b) if "" in a.values else (b, a)
    return "" in labelled.values and len(others.answers & labelled.answers) > (
        MOSTLY * len(others.answers)
    )


def _likeness(a: frozenset[int], b: frozenset[int]) -> float:
    return len(a & b) / max(1, len(a | b))


def _overlap(a: frozenset[str], b: frozenset[str]) -> float:
    return len(a & b) / min(len(a), len(b))


def joined(works: Sequence[Work]) -> list[int]:
    """For each group, in their order, the first one that it is the same work as."""
    home: list[int] = []
    for place, work in enumerate(works):
        same = (i for i in range(place) if home[i] == i and same_work(works[i], work))
        home.append(next(same, place))
    return home
