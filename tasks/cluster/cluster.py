"""De-identified calls into tasks: `python -m tasks.cluster` (DVC), or `cluster(...)` (the night).

A sample of the calls is grouped by structure, then by meaning (`tasks.cluster.groups`); each
group gets a template, a contract, a name and last night's id where it is last night's task. The
other calls are read one by one and find their task by its template, so time grows with the calls
and memory does not. What is left over is grouped again, for tasks too rare for the sample.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.cluster import identity
from tasks.cluster.discover import Group, TemplateRouter, discover, examples, join, mark_routable
from tasks.cluster.identity import Fingerprint, Matched
from tasks.cluster.naming import about, apart, category_of, describe, fitness_of, name_of
from tasks.core.params import Cluster, load
from tasks.core.records import REJECTED, CleanCall, Counts, Rejected, Writer, digest, read_clean
from tasks.core.stage import finish
from tasks.core.task import Task, save
from tasks.core.task import load as load_tasks

ROUNDS = 3  # times that calls are sampled and grouped
FEWEST = 12  # calls of a group in a sample that is a small part of all calls
EXAMPLES = 5
ASSIGNMENT = pa.schema(
    [pa.field("call_id", pa.string(), False), pa.field("task_id", pa.string(), False)]
)


@dataclass(frozen=True, slots=True)
class PreviousNight:
    """The night before, as far as it is known."""

    tasks: Mapping[str, Task]
    marks: Mapping[str, Fingerprint]
    assigned: Mapping[str, str]


def cluster(
    clean: Sequence[Path], out: Path, params: Cluster, *, previous: Path | None = None
) -> Counts:
    """Find the tasks in de-identified calls; `previous` is last night's folder, whose ids go on."""
    total = sum(map(_length, clean))
    groups = _found(clean, total, params)
    kept = [group for group in groups if len(group.ids) >= params.min_calls]
    mark_routable(kept)
    before = _before(previous)
    matched = identity.match(
        [group.fingerprint for group in kept], before.marks, _shared(kept, before.assigned)
    )
    ids = _ids(kept, matched, before)
    dropped = _write_assignment(clean, out, kept, ids, groups)
    save(out / "tasks.json", _tasks(kept, ids, matched, before, total))
    marks = dict(zip(ids, (group.fingerprint for group in kept), strict=True))
    identity.remember(out / "marks.json", marks, before.marks)
    result = Counts("cluster", total, sum(len(f.ids) for f in kept), dict(sorted(dropped.items())))
    events = [
        f"{task} {event}" for task, told in zip(ids, matched.events, strict=True) for event in told
    ]
    finish(out, result, {"events": sorted(events + matched.night)})
    return result


def _length(path: Path) -> int:
    parts = path.glob("*.parquet") if path.is_dir() else [path]
    return sum(int(pq.ParquetFile(part).metadata.num_rows) for part in parts)


def _unassigned(clean: Sequence[Path], placed: Collection[str]) -> Iterator[CleanCall]:
    return (call for path in clean for call in read_clean(path) if call.id not in placed)


def _found(clean: Sequence[Path], total: int, params: Cluster) -> list[Group]:
    """The groups of all calls, each with the ids of its calls."""
    groups: list[Group] = []
    placed: set[str] = set()
    for turn in range(ROUNDS):
        left = total - len(placed)
        if left < params.min_calls:
            break
        sample = _sample(_unassigned(clean, placed), params.sample / left, turn)
        share = min(1.0, len(sample) / left)
        least = max(min(FEWEST, params.min_calls), math.ceil(share * params.min_calls))
        new = join(groups, discover(sample, least, params.seed))
        placed.update(call.id for call in sample)
        if share == 1.0 or not new:
            break
        routes = TemplateRouter(groups)
        for call in _unassigned(clean, placed):
            place = routes.find(call.request)
            if place is not None:
                groups[place].ids.append(call.id)
                placed.add(call.id)
    return groups


def _sample(calls: Iterator[CleanCall], share: float, turn: int) -> list[CleanCall]:
    """A share of the calls, chosen by their ids: the same calls whatever their order."""
    limit = int(min(1.0, share) * 2**32)
    seen: set[str] = set()
    result = []
    for call in calls:
        chosen = share >= 1.0 or int(digest(call.id, str(turn), length=8), 16) < limit
        if chosen and call.id not in seen:
            seen.add(call.id)
            result.append(call)
    return result


def _before(previous: Path | None) -> PreviousNight:
    if previous is None or not (previous / "tasks.json").exists():
        return PreviousNight({}, {}, {})
    table = pq.read_table(previous / "assignment.parquet")
    assigned = dict(zip(*(table[name].to_pylist() for name in ASSIGNMENT.names), strict=True))
    tasks = {task.id: task for task in load_tasks(previous)}
    return PreviousNight(tasks, identity.recall(previous / "marks.json"), assigned)


def _shared(groups: Sequence[Group], assigned: Mapping[str, str]) -> dict[tuple[int, str], float]:
    """The Jaccard share of the calls that tonight's groups and last night's tasks both have.

    Only calls that both nights saw are counted: a window that moves on is no change.
    """
    both = [[assigned[name] for name in group.ids if name in assigned] for group in groups]
    there = Counter(task for tasks in both for task in tasks)
    result = {}
    for place, tasks in enumerate(both):
        for task, n in Counter(tasks).items():
            result[place, task] = n / (len(tasks) + there[task] - n)
    return result


def _ids(groups: Sequence[Group], matched: Matched, before: PreviousNight) -> list[str]:
    taken = set(before.marks)
    result = []
    for group, name, earlier in zip(
        groups, _names(groups, matched, before), matched.ids, strict=True
    ):
        task = earlier or identity.new_id(name, group.fingerprint, taken)
        taken.add(task)
        result.append(task)
    return result


def _names(groups: Sequence[Group], matched: Matched, before: PreviousNight) -> list[str]:
    """A task that is known keeps its name; new names are told apart."""
    fresh = [name_of(group.template, group.calls, group.contract) for group in groups]
    names = apart(fresh, [about(group.template, group.calls) for group in groups])
    return [
        before.tasks[earlier].name if earlier and earlier in before.tasks else name
        for name, earlier in zip(names, matched.ids, strict=True)
    ]


def _write_assignment(
    clean: Sequence[Path],
    out: Path,
    kept: Sequence[Group],
    ids: Sequence[str],
    groups: Sequence[Group],
) -> Counter[str]:
    """Write which call is whose, fill in the groups' sizes, and set the others aside."""
    place = {name: index for index, group in enumerate(kept) for name in group.ids}
    small = {name for group in groups for name in group.ids} - place.keys()
    dropped: Counter[str] = Counter()
    pairs: list[tuple[str, str]] = []
    with Writer(out / "quarantine.parquet", REJECTED) as aside:
        for path in clean:
            for call in read_clean(path):
                index = place.pop(call.id, None)
                if index is not None:
                    pairs.append((call.id, ids[index]))
                    kept[index].size += 1
                    kept[index].tokens += (call.prompt_tokens or 0) + (call.completion_tokens or 0)
                    small.add(call.id)
                    continue
                reason = "too few calls" if call.id in small else "no task"
                dropped[reason] += 1
                aside.write(Rejected(id=call.id, source=call.source, reason=reason))
    columns = zip(*pairs, strict=True) if pairs else ([], [])
    table = pa.table([pa.array(c, pa.string()) for c in columns], schema=ASSIGNMENT)
    pq.write_table(table, out / "assignment.parquet", compression="zstd")
    return dropped


def _tasks(
    groups: Sequence[Group], ids: Sequence[str], matched: Matched, before: PreviousNight, total: int
) -> list[Task]:
    families = _families(groups, ids, before)
    names = _names(groups, matched, before)
    result = []
    for place, (group, task) in enumerate(zip(groups, ids, strict=True)):
        share = group.size / max(1, total)
        old = before.tasks.get(task)
        centre, edges = examples(group.calls, EXAMPLES)
        hints = Counter(call.hint for call in group.calls if call.hint)
        fitness = fitness_of(group.template, group.calls, group.contract)
        result.append(
            Task(
                id=task,
                name=names[place],
                description=describe(group.template, group.calls, group.contract),
                category=category_of(group.template, group.calls, group.contract),
                family=families[place],
                template=group.template,
                contract=group.contract,
                size=group.size,
                share=round(share, 6),
                growth=round(share - old.share, 6) if old else None,
                tokens=group.tokens,
                examples=centre,
                edges=edges,
                hints=tuple(hint for hint, _ in hints.most_common(10)),
                fitness={**fitness, "routable": float(group.routable)},
                events=tuple(matched.events[place]),
            )
        )
    return sorted(result, key=lambda task: (-task.size, task.id))


def _families(groups: Sequence[Group], ids: Sequence[str], before: PreviousNight) -> list[str]:
    """A family is called after its largest task, or as it was called before."""
    chief: dict[int, str] = {}
    for place in sorted(range(len(groups)), key=lambda p: (-len(groups[p].ids), ids[p])):
        earlier = before.tasks.get(ids[place])
        chief.setdefault(groups[place].family, earlier.family if earlier else ids[place])
    return [chief[group.family] for group in groups]


def main() -> Counts:
    """Run the hop for DVC: from `data/` to `data/cluster`, as params.yaml says."""
    from tasks.core.stage import hop

    params = load().cluster
    source = Path("data/deidentify/calls.parquet")
    return hop("cluster", Path("data/cluster"), lambda out: cluster([source], out, params))
