"""A task's calls into train, validation, calibration and test sets (`python -m tasks.dataset`).

Only good replies of the teacher are targets. Training rows are cleaned and de-duplicated, with
frequencies kept as weights; calibration and test keep the traffic as it is, replies off contract
and refusals included, because a certificate has to speak for it: there they are disagreements, as
the audit counts them. What has been test data stays test data.
"""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, pairwise
from pathlib import Path
from zlib import crc32

import msgspec
import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.core.contract import answer_of, infer, violation
from tasks.core.params import Dataset, load
from tasks.core.records import TEACHER, CleanCall, Counts, Json, read_clean
from tasks.core.rows import UNCURATED, Candidate, Row, rows, write_rows
from tasks.core.stage import finish, hop, write_atomic
from tasks.core.task import Task, save
from tasks.core.task import load as load_tasks
from tasks.dataset import clients, steering
from tasks.dataset.answer_formats import replaced
from tasks.dataset.candidates import (
    Aside,
    candidate_of,
    without_excess,
    without_refusals,
    without_steered,
)
from tasks.dataset.curate import curate
from tasks.dataset.history import HOMES, Past, hold, recall
from tasks.dataset.readiness import readiness
from tasks.dataset.scrub import REASON, Scrubber
from tasks.dataset.splits import LEARNED, SPLITS, Groups, Split, leaks, share_out
from tasks.deidentify import damage
from tasks.deidentify.damage import Harm
from tasks.deidentify.deidentify import load_key
from tasks.deidentify.leak_check import ORDINARY, Originals

__all__ = ["Row", "dataset", "rows", "write_rows"]

COLLECTING, NOT_READY = "collecting", "not ready"
FAILED, DAMAGED = "de-identification failed", "damaged by de-identification"
CHANGED = "before the teacher changed"
PERMUTATIONS, GENEROUS = 32, 0.2
CHUNK = 5_000  # prompts sketched at a time
_WORD = re.compile(r"\w+|[^\w\s]")


def dataset(
    clean: Sequence[Path],
    clusters: Path,
    out: Path,
    params: Dataset,
    *,
    previous: Path | None = None,
    originals: Originals | None = None,
    since: Mapping[str, float] | None = None,
) -> Counts:
    """Make the datasets of all tasks; `previous` is the folder of the night before.

    No row may hold one of the `originals`, the values that de-identification replaced. Tasks whose
    teacher answers otherwise `since` some time (seconds since the epoch) have no rows from before.
    """
    since, tasks = since or {}, {task.id: task for task in load_tasks(clusters)}
    table = pq.read_table(clusters / "assignment.parquet")
    assigned = dict(zip(table["call_id"].to_pylist(), table["task_id"].to_pylist(), strict=True))
    tasks = _renewed(tasks, clean, assigned, since) if since else tasks
    aside, read = Aside(), 0
    candidates: defaultdict[str, list[Candidate]] = defaultdict(list)
    for call in _calls(clean):
        read += 1
        task = tasks.get(assigned.pop(call.id, ""))
        late = task is None or call.at >= since.get(task.id, 0.0)
        candidate = candidate_of(call, task) if late else CHANGED
        if isinstance(candidate, Candidate) and task is not None:
            candidates[task.id].append(candidate)
        else:
            aside.add(call.id, call.source, str(candidate), task.id if task else "")
    report: dict[str, object] = {}
    kept = 0
    harm = Harm.read(path.with_name(damage.FILE) for path in clean)
    scrubber = Scrubber(originals or Originals(b""), chain.from_iterable(candidates.values()))
    for name, task in tasks.items():
        past = recall(previous, name, since.get(name, 0.0))
        some = candidates.pop(name, [])
        report[name], count = _make(task, some, out / name, params, past, aside, scrubber, harm)
        kept += count
    hold(previous, out)
    write_atomic(out / ORDINARY, b"".join(sorted(scrubber.originals.ordinary)))
    aside.write(out / "quarantine.parquet")
    result = Counts("dataset", read, kept, dict(sorted(aside.counts.items())))
    finish(out, result, {"tasks": report})
    return result


def _renewed(
    tasks: Mapping[str, Task],
    clean: Sequence[Path],
    assigned: Mapping[str, str],
    since: Mapping[str, float],
) -> dict[str, Task]:
    """The tasks, with contracts of what the teacher says since it has changed."""
    by_task: defaultdict[str, list[CleanCall]] = defaultdict(list)
    for call in _calls(clean):
        name = assigned.get(call.id, "")
        if call.answered_by == TEACHER and name in since and call.at >= since[name]:
            by_task[name].append(call)
    renewed = dict(tasks)
    for name, calls in by_task.items():
        if task := tasks.get(name):
            tools = task.contract.kind == "tools"
            answers = [answer_of(call.reply, tools=tools) for call in calls]
            renewed[name] = replace(task, contract=infer([call.request for call in calls], answers))
    return renewed


def _calls(clean: Sequence[Path]) -> Iterator[CleanCall]:
    return (call for path in clean for call in read_clean(path))


def _make(
    task: Task,
    candidates: list[Candidate],
    out: Path,
    params: Dataset,
    past: Past,
    aside: Aside,
    scrubber: Scrubber,
    harm: Harm,
) -> tuple[Json, int]:
    """Write one task's splits; returns its part of the manifest and how many calls are in them."""
    ids = {candidate.row.id for candidate in candidates}
    hurt = harm.of(ids)
    usual = steering.usual(candidates)
    candidates = without_refusals(task, without_steered(task, candidates, usual, aside))
    shares = clients.shares(candidates)
    candidates += [Candidate(row, carried=True) for row in past.test if row.id not in ids]
    candidates.sort(key=lambda candidate: (candidate.row.at, candidate.row.id))
    clean = scrubber.scrub(candidates, task.contract)
    aside.drop(clean.aside, REASON, task.id)
    candidates = _current(task, clean.found, aside)
    parts, twins, uncurated = _split(task, candidates, params, past, aside)
    homes = {c.row.id: split for split in SPLITS for c in parts[split]}
    train, twins = without_excess(task, parts["train"], twins, params.client_share, aside)
    curated = curate(train, task.contract, twins)
    for candidate, reason in curated.dropped:
        aside.drop([candidate], reason, task.id)
    parts["train"] = curated.kept
    every = [candidate for split in SPLITS for candidate in parts[split]]
    final = {split: [candidate.row for candidate in parts[split]] for split in SPLITS}
    lost = aside.of[task.id] + Counter(c.flaw for c in every if c.flaw)
    index = readiness(final["train"], [c.row for c in every], lost, task.contract, hurt.share)
    figures: Json = {split: len(final[split]) for split in SPLITS}
    figures |= {"carried": sum(c.carried for c in every), "readiness": index}
    figures |= {"cleaned again": clean.cleaned, "rows": len(every)}
    figures |= {"clients": shares, "usual": sorted(usual)}
    refused = clean.failed or hurt.over(harm.limit) or _not_ready(len(every), index.score, params)
    if refused:
        short = (COLLECTING, NOT_READY)
        reason = refused if refused in short else FAILED if clean.failed else DAMAGED
        aside.drop(every, reason, task.id)
        return {**figures, "refused": refused}, 0
    _check_leaks(task.id, final)
    for split in SPLITS:
        write_rows(out / f"{split}.parquet", final[split])
    write_rows(out / UNCURATED, [candidate.row for candidate in uncurated])
    write_atomic(out / HOMES, msgspec.json.encode(homes))
    save(out / "task.json", task)
    return figures, len(every) - figures["carried"]


def _current(task: Task, candidates: list[Candidate], aside: Aside) -> list[Candidate]:
    """Rows in the format that the agent expects today, the older ones brought to it."""
    moved = replaced(candidates, task.contract)
    result = []
    for place, candidate in enumerate(candidates):
        text = moved.get(place, candidate.row.answer)
        dated = place in moved or candidate.carried
        if text is None or (dated and violation(text, task.contract)):
            aside.drop([candidate], "old format", task.id)
            continue
        flaw = "" if place in moved else candidate.flaw
        result.append(replace(candidate, row=replace(candidate.row, answer=text), flaw=flaw))
    return result


def _not_ready(count: int, score: float, params: Dataset) -> str | None:
    if count < params.min_rows:
        return COLLECTING
    return NOT_READY if score < params.min_readiness else None


def _split(
    task: Task, candidates: Sequence[Candidate], params: Dataset, past: Past, aside: Aside
) -> tuple[dict[Split, list[Candidate]], list[int], list[Candidate]]:
    """The candidates of each split, with their groups, and the training rows' near-duplicates.

    Beside them those that train as they came, for students that are proven on what they learn next.
    """
    groups, twins = Groups(len(candidates)), Groups(len(candidates))
    prompts = [candidate.row.prompt for candidate in candidates]
    for a, b in near_duplicates(prompts, params.similar, params.seed):
        groups.join(a, b)
        # A turn's prompt holds the one before it: turns are never each other's duplicates.
        if not task.template.turns or prompts[a] == prompts[b]:
            twins.join(a, b)
    groups.join_equal(candidate.row.opening or "" for candidate in candidates)
    groups.join_equal(candidate.row.group for candidate in candidates)
    members: defaultdict[str, list[int]] = defaultdict(list)
    for place in range(len(candidates)):
        members[candidates[groups.find(place)].row.id].append(place)
    strata = {key: _stratum(candidates[places[0]].row.answer) for key, places in members.items()}
    homes = {p: past.home[c.row.id] for p, c in enumerate(candidates) if c.row.id in past.home}
    splits = share_out(members, strata, homes, params)
    parts: dict[Split, list[Candidate]] = {split: [] for split in SPLITS}
    alike, uncurated = list[int](), list[Candidate]()
    for place, candidate in enumerate(candidates):
        if place not in splits:
            aside.drop([candidate], "would leak into test", task.id)
            continue
        group = candidates[groups.find(place)].row.id
        grouped = replace(candidate, row=replace(candidate.row, group=group))
        if splits[place] == "train":
            uncurated.append(grouped)
        if candidate.flaw and splits[place] in LEARNED:
            aside.drop([candidate], candidate.flaw, task.id)
            continue
        parts[splits[place]].append(grouped)
        if splits[place] == "train":
            alike.append(twins.find(place))
    return parts, alike, uncurated


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
    # The sketch only proposes, and generously: at its own threshold it misses half of the pairs.
    index = MinHashLSH(threshold=similar - GENEROUS, num_perm=PERMUTATIONS)
    places, joined, shingles = list(first.values()), Groups(len(first)), list[NDArray[np.uint32]]()
    for start in range(0, len(places), CHUNK):
        some = [_pairs(prompts[place]) for place in places[start : start + CHUNK]]
        hashes = MinHash.bulk(
            some, num_perm=PERMUTATIONS, seed=seed + 1, hashfunc=int, scheme="affine32"
        )
        for pairs, minhash in zip(some, hashes, strict=True):
            own = len(shingles)
            shingles.append(pairs)
            for other in sorted(index.query(minhash)):
                apart = joined.find(other) != joined.find(own)
                if apart and _likeness(pairs, shingles[other]) >= similar:
                    joined.join(other, own)
                    yield places[other], places[own]
            index.insert(own, minhash)


def _pairs(text: str) -> NDArray[np.uint32]:
    """The pairs of words that follow each other in a text, each as a number, once."""
    words = _WORD.findall(text.lower())
    pairs = [f"{a} {b}" for a, b in pairwise(words)] or [" ".join(words)]
    return np.unique(np.array([crc32(p.encode("utf-8", "replace")) for p in pairs], np.uint32))


def _likeness(a: NDArray[np.uint32], b: NDArray[np.uint32]) -> float:
    both = len(np.intersect1d(a, b, assume_unique=True))
    return both / (len(a) + len(b) - both)


def _check_leaks(task: str, final: Mapping[Split, Sequence[Row]]) -> None:
    """Raises ValueError when a group or a prompt stands in two splits."""
    for what in ("group", "prompt"):
        keys = {split: {getattr(row, what) for row in final[split]} for split in SPLITS}
        if leaking := leaks(keys):
            raise ValueError(f"{task}: {len(leaking)} {what}s stand in more than one split")


def main() -> Counts:
    source, clusters = Path("data/deidentify"), Path("data/cluster")
    params, key = load().dataset, load_key(Path(os.environ.get("FLYWHEEL_HOME", ".flywheel")))
    originals = Originals.load([source], key)
    return hop(
        "dataset",
        Path("data/dataset"),
        lambda out: dataset([source / "calls.parquet"], clusters, out, params, originals=originals),
    )
