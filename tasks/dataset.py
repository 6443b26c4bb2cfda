"""A task's calls into train, validation, calibration and test sets: `python -m tasks.dataset` (DVC).

Only good replies of the teacher are targets. Training rows are cleaned and de-duplicated, with
frequencies kept as weights; calibration and test keep the traffic as it is, slips included, because
a certificate has to speak for it. What has been test data stays test data.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from zlib import crc32

import pyarrow.parquet as pq

from tasks.contract import answer, refusal, violation
from tasks.curate import curate
from tasks.evidence import user_text
from tasks.params import Dataset, load
from tasks.readiness import readiness
from tasks.records import REJECTED, TEACHER, CleanCall, Counts, Rejected, Writer, digest, read_clean
from tasks.rows import Candidate, Row, rows, write_rows
from tasks.splits import SPLITS, Groups, Split, leaks, share_out
from tasks.stage import finish, hop, main
from tasks.task import Task, save
from tasks.task import load as load_tasks

__all__ = ["Row", "dataset", "rows", "write_rows"]

PERMUTATIONS = 32
FEW_REFUSALS = 0.05  # where more replies apologise, apologising is the work
_WORD = re.compile(r"\w+|[^\w\s]")


class Aside:
    """What is dropped, by reason and by task."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.of: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._rejected: list[Rejected] = []

    def add(self, name: str, source: str, reason: str, task: str) -> None:
        """Set one call aside."""
        self._rejected.append(Rejected(id=name, source=source, reason=reason, detail=task))
        self.counts[reason] += 1
        self.of[task][reason] += 1

    def write(self, path: Path) -> None:
        """Write the quarantine file."""
        with Writer(path, REJECTED) as writer:
            for record in self._rejected:
                writer.write(record)


def dataset(
    clean: Sequence[Path],
    clusters: Path,
    out: Path,
    params: Dataset,
    *,
    previous: Path | None = None,
) -> Counts:
    """Make the datasets of all tasks; `previous` is the folder of the night before."""
    tasks = {task.id: task for task in load_tasks(clusters)}
    table = pq.read_table(clusters / "assignment.parquet")
    assigned = dict(zip(table["call_id"].to_pylist(), table["task_id"].to_pylist(), strict=True))
    aside, read = Aside(), 0
    found: defaultdict[str, list[Candidate]] = defaultdict(list)
    for call in _calls(clean):
        read += 1
        task = tasks.get(assigned.pop(call.id, ""))
        candidate = _candidate(call, task)
        if isinstance(candidate, Candidate) and task is not None:
            found[task.id].append(candidate)
        else:
            aside.add(call.id, call.source, str(candidate), task.id if task else "")
    report: dict[str, Any] = {}
    kept = 0
    for name, task in tasks.items():
        before = previous / name if previous else None
        report[name], rows_kept = _make(task, found.pop(name, []), out / name, params, before, aside)
        kept += rows_kept
    aside.write(out / "quarantine.parquet")
    result = Counts("dataset", read, kept, dict(sorted(aside.counts.items())))
    finish(out, result, {"tasks": report})
    return result


def _calls(clean: Sequence[Path]) -> Iterator[CleanCall]:
    return (call for path in clean for call in read_clean(path))


def _candidate(call: CleanCall, task: Task | None) -> Candidate | str:
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
    said = answer(call.reply, task.contract)
    if violation(said, task.contract):
        return "off contract"
    # The turns of one conversation begin alike, which tells where no conversation id does.
    begun = digest(user_text(call.request)) if task.template.turns else ""
    row = Row(call.id, call.at, "", task.template.prompt(payload), said, call.weight)
    return Candidate(row, call.source, call.conversation or begun, call.feedback)


def _unusable(call: CleanCall) -> str | None:
    if call.answered_by != TEACHER:
        return "not the teacher's"
    if call.error:
        return "error"
    if call.finish_reason == "length":
        return "truncated"
    if call.finish_reason == "content_filter" or call.reply.get("refusal"):
        return "refusal"
    if call.feedback is not None and call.feedback < 0:
        return "negative feedback"
    return None


def _make(
    task: Task,
    found: list[Candidate],
    out: Path,
    params: Dataset,
    previous: Path | None,
    aside: Aside,
) -> tuple[dict[str, Any], int]:
    """Write one task's splits; returns its part of the manifest and how many calls are in them."""

    def drop(some: Sequence[Candidate], reason: str) -> None:
        for candidate in some:
            aside.add(candidate.row.id, candidate.source, reason, task.id)

    found = sorted(_without_refusals(task, found, drop), key=lambda c: (c.row.at, c.row.id))
    parts, twins = _split(task, found, params, previous, drop)
    curated = curate(parts["train"], task.contract, twins)
    for candidate, reason in curated.dropped:
        drop([candidate], reason)
    final: dict[str, list[Row]] = {s: [c.row for c in parts[s]] for s in SPLITS[1:]}
    final["train"] = [c.row for c in curated.kept]
    every = [row for split in SPLITS for row in final[split]]
    index = readiness(final["train"], every, aside.of[task.id], task.contract)
    figures = {s: len(final[s]) for s in SPLITS} | {"readiness": index}
    reason = _not_ready(len(every), index.score, params)
    if reason:
        drop([*curated.kept, *(c for s in SPLITS[1:] for c in parts[s])], reason)
        return {**figures, "refused": reason}, 0
    carried = _carried(previous, {row.id for row in every})
    final["test"] += carried
    _check_leaks(task.id, final)
    for split in SPLITS:
        write_rows(out / f"{split}.parquet", final[split])
    save(out / "task.json", task)
    return {**figures, "test": len(final["test"]), "carried": len(carried)}, len(every)


def _not_ready(count: int, score: float, params: Dataset) -> str | None:
    if count < params.min_rows:
        return "too few rows"
    return "not ready" if score < params.min_readiness else None


def _without_refusals(task: Task, found: list[Candidate], drop: Any) -> list[Candidate]:
    """Prose tasks: apologies go, unless apologising is what the task does."""
    sorry = [c for c in found if task.contract.kind == "text" and refusal(c.row.answer)]
    if not sorry or len(sorry) > FEW_REFUSALS * len(found):
        return found
    drop(sorry, "refusal")
    gone = {candidate.row.id for candidate in sorry}
    return [candidate for candidate in found if candidate.row.id not in gone]


def _split(
    task: Task, found: Sequence[Candidate], params: Dataset, previous: Path | None, drop: Any
) -> tuple[dict[Split, list[Candidate]], list[int]]:
    """The candidates of each split, with their groups, and the training rows' near-duplicates."""
    groups, twins = Groups(len(found)), Groups(len(found))
    prompts = [candidate.row.prompt for candidate in found]
    for a, b in near_duplicates(prompts, params.similar, params.seed):
        groups.join(a, b)
        # A turn's prompt holds the one before it: turns are never each other's duplicates.
        if not task.template.turns or prompts[a] == prompts[b]:
            twins.join(a, b)
    groups.join_equal(candidate.opening for candidate in found)
    members: defaultdict[str, list[int]] = defaultdict(list)
    for place in range(len(found)):
        members[found[groups.find(place)].row.id].append(place)
    strata = {key: _stratum(found[places[0]].row.answer) for key, places in members.items()}
    before = _before(previous, found)
    splits = share_out(members, strata, before, params)
    parts: dict[Split, list[Candidate]] = {split: [] for split in SPLITS}
    alike: list[int] = []
    for place, candidate in enumerate(found):
        if place not in splits:
            drop([candidate], "would leak into test")
            continue
        group = found[groups.find(place)].row.id
        parts[splits[place]].append(replace(candidate, row=replace(candidate.row, group=group)))
        if splits[place] == "train":
            alike.append(twins.find(place))
    return parts, alike


def _stratum(answer: str) -> str:
    return answer if len(answer) <= 120 else ""


def near_duplicates(prompts: Sequence[str], similar: float, seed: int) -> Iterator[tuple[int, int]]:
    """Pairs of places with equal or near-equal prompts: MinHash over word pairs, then LSH."""
    from datasketch import MinHash, MinHashLSH

    first: dict[str, int] = {}
    for place, prompt in enumerate(prompts):
        if prompt in first:
            yield first[prompt], place
        else:
            first[prompt] = place
    grams = [_grams(prompt) for prompt in first]
    hashes = MinHash.bulk(
        [[" ".join(gram).encode("utf-8", "replace") for gram in sorted(some)] for some in grams],
        num_perm=PERMUTATIONS,
        seed=seed + 1,
        hashfunc=crc32,
    )
    index = MinHashLSH(threshold=similar, num_perm=PERMUTATIONS)
    places = list(first.values())
    for number, minhash in enumerate(hashes):
        for other in sorted(index.query(minhash)):
            # The sketch only proposes; the true likeness decides.
            if _jaccard(grams[number], grams[other]) >= similar:
                yield places[other], places[number]
        index.insert(number, minhash)


def _grams(text: str) -> set[tuple[str, ...]]:
    words = _WORD.findall(text.lower())
    return set(zip(words, words[1:], strict=False)) or {tuple(words)}


def _jaccard(a: set[tuple[str, ...]], b: set[tuple[str, ...]]) -> float:
    return len(a & b) / len(a | b)


def _before(previous: Path | None, found: Sequence[Candidate]) -> dict[int, Split]:
    """Which rows were in which split the night before."""
    if previous is None or not previous.exists():
        return {}
    home: dict[str, Split] = {}
    for split in SPLITS:
        home.update((row.id, split) for row in rows(previous / f"{split}.parquet"))
    return {place: home[c.row.id] for place, c in enumerate(found) if c.row.id in home}


def _carried(previous: Path | None, known: set[str]) -> list[Row]:
    """Test rows of the night before whose calls were not read tonight: the test set only grows."""
    path = previous / "test.parquet" if previous else None
    if path is None or not path.exists():
        return []
    return [row for row in rows(path) if row.id not in known]


def _check_leaks(task: str, final: Mapping[str, Sequence[Row]]) -> None:
    """Raises ValueError when a group or a prompt stands in two splits."""
    for what in ("group", "prompt"):
        keys = {split: {getattr(row, what) for row in final[split]} for split in SPLITS}
        if found := leaks(keys):
            raise ValueError(f"{task}: {len(found)} {what}s stand in more than one split")


def _run() -> Counts:
    source, clusters = Path("data/deidentify/calls.parquet"), Path("data/cluster")
    params = load().dataset
    return hop("dataset", Path("data/dataset"), lambda out: dataset([source], clusters, out, params))


if __name__ == "__main__":
    main(_run)
