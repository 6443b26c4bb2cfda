"""Identity of tasks over nights: ids stay, and every change is an event.

Each task leaves a *fingerprint*: its template evidence, tools, answer shape and words, as stable
hashes. Tonight's groups are paired with the fingerprints of the nights before, best pairs first;
calls that both nights saw count as well.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from tasks.cluster.naming import constant_text
from tasks.cluster.signatures import shape, tool_names, user_text
from tasks.core.contract import answer_of
from tasks.core.records import CleanCall, digest
from tasks.core.stage import write_atomic
from tasks.core.template import Template

SAME = 0.5  # similarity from which a task is last night's
PART = 0.35  # ... and from which one is a part of the other
KEPT_NIGHTS = 30
WORDS = 200
_WORD = re.compile(r"\w+")


class Fingerprint(msgspec.Struct, frozen=True):
    """The memory of a task. `unseen` counts the nights since it was last there."""

    text: list[int]
    tools: list[str]
    shape: list[str]
    words: dict[str, float]
    unseen: int = 0


@dataclass(frozen=True, slots=True)
class Matched:
    """The id that each group carries on (None: a new task), and what happened."""

    ids: list[str | None]
    events: list[list[str]]
    gone: list[str] = field(default_factory=list)
    night: list[str] = field(default_factory=list)


def fingerprint(template: Template, calls: Sequence[CleanCall]) -> Fingerprint:
    """Return what tells a task from others."""
    words = _WORD.findall(constant_text(template).lower())
    shingles = {zlib.crc32(" ".join(words[i : i + 4]).encode()) for i in range(len(words) - 3)}
    tools = Counter(name for call in calls for name in set(tool_names(call.request)))
    shapes = Counter(word for call in calls for word in shape(call))
    frequent = Counter(
        word
        for call in calls
        for word in set(_WORD.findall(f"{user_text(call.request)} {answer_of(call.reply)}".lower()))
    )
    often = sorted(frequent.items(), key=lambda p: (-p[1], p[0]))[:WORDS]
    return Fingerprint(
        sorted(shingles),
        sorted(name for name, n in tools.items() if 2 * n > len(calls)),
        sorted(word for word, n in shapes.items() if 2 * n > len(calls)),
        {word: round(n / len(calls), 4) for word, n in often},
    )


def alike(a: Fingerprint, b: Fingerprint) -> float:
    """Return how alike two tasks are, 0 to 1; words count only where a template is missing."""
    score = total = 0.0
    for weight, mine, other in (
        (3.0, a.text, b.text),
        (1.0, a.tools, b.tools),
        (1.0, a.shape, b.shape),
    ):
        if mine or other:
            total += weight
            score += weight * _jaccard(set(map(str, mine)), set(map(str, other)))
    if not (a.text and b.text):
        total += 2.0
        score += 2.0 * _overlap(a.words, b.words)
    return score / total if total else 0.0


def match(
    marks: Sequence[Fingerprint],
    before: Mapping[str, Fingerprint],
    shared: Mapping[tuple[int, str], float],
) -> Matched:
    """Pair tonight's groups with last night's tasks.

    `shared` is, for a group and a task id, the Jaccard share of the calls that both have.
    """
    scores = {
        (group, task): max(alike(fingerprint, old), shared.get((group, task), 0.0))
        for group, fingerprint in enumerate(marks)
        for task, old in before.items()
    }
    ids: list[str | None] = [None] * len(marks)
    taken: set[str] = set()
    for (group, task), score in sorted(scores.items(), key=lambda p: (-p[1], p[0])):
        if score >= SAME and ids[group] is None and task not in taken:
            ids[group] = task
            taken.add(task)
    return _told(ids, before, scores)


def _told(
    ids: list[str | None],
    before: Mapping[str, Fingerprint],
    scores: Mapping[tuple[int, str], float],
) -> Matched:
    result = Matched(ids, [[] for _ in ids])
    taken = {task for task in ids if task is not None}
    for group, task in enumerate(ids):
        if task is not None:
            if before[task].unseen:
                result.events[group].append("returned")
            continue
        near = max(taken, key=lambda old: (scores[group, old], old), default=None)
        part = near is not None and scores[group, near] >= PART
        result.events[group].append(f"split from {near}" if part else "appeared")
    for task in sorted(set(before) - taken):
        near_group = max(range(len(ids)), key=lambda g: scores[g, task], default=None)
        result.gone.append(task)
        if before[task].unseen:
            continue
        if near_group is not None and scores[near_group, task] >= PART:
            result.events[near_group].append(f"merged with {task}")
        else:
            result.night.append(f"{task} vanished")
    return result


def new_id(name: str, fingerprint: Fingerprint, taken: set[str]) -> str:
    """A readable id that stays: the name, and a digest of what the task is."""
    slug = "-".join(re.findall(r"[a-z0-9]+", name.lower()))[:48].strip("-") or "task"
    body = msgspec.json.encode(
        [fingerprint.text, fingerprint.tools, fingerprint.shape, sorted(fingerprint.words)[:20]]
    )
    candidates = (f"{slug}-{digest(slug, body, str(salt), length=6)}" for salt in range(1_000))
    return next(candidate for candidate in candidates if candidate not in taken)


def remember(
    path: Path, marks: Mapping[str, Fingerprint], before: Mapping[str, Fingerprint]
) -> None:
    """Write tonight's marks, and those of tasks that may come back."""
    old = {
        task: msgspec.structs.replace(fingerprint, unseen=fingerprint.unseen + 1)
        for task, fingerprint in before.items()
        if task not in marks and fingerprint.unseen < KEPT_NIGHTS
    }
    body = dict(sorted((old | dict(marks)).items()))
    write_atomic(path, msgspec.json.encode(body))


def recall(path: Path) -> dict[str, Fingerprint]:
    """The marks of the nights before; none when there are none."""
    return (
        msgspec.json.decode(path.read_bytes(), type=dict[str, Fingerprint]) if path.exists() else {}
    )


def _jaccard(a: set[str], b: set[str]) -> float:
    return len(a & b) / len(a | b)


def _overlap(a: Mapping[str, float], b: Mapping[str, float]) -> float:
    both = sum(min(a[word], b[word]) for word in a.keys() & b.keys())
    either = sum(max(a.get(w, 0.0), b.get(w, 0.0)) for w in a.keys() | b.keys())
    return both / either if either else 0.0
