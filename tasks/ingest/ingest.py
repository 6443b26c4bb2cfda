"""Calls out of logs: any source, any dialect, one canonical record, one Parquet shard per day.

Run as a DVC stage: `python -m tasks.ingest` reads `ingest.source` of params.yaml and writes
`data/ingest/`. A look without writing anything: `flywheel ingest --dry-run PATH`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from tasks.core import stage
from tasks.core.params import Ingest, load
from tasks.core.records import Counts, Rejected, digest
from tasks.core.stage import Refused
from tasks.ingest import dialect_registry
from tasks.ingest.dialects.batch import Joiner
from tasks.ingest.encoding import ENCRYPTED
from tasks.ingest.preview import Summary
from tasks.ingest.reader import Taken, joined, read
from tasks.ingest.shards import Shards, day_of
from tasks.ingest.sources import resolve

DEFAULT_SOURCE = "examples/calls.jsonl.gz"
DAY = 86_400.0


def _pour(
    entry: str, names: Sequence[str], dialect: str, sink: Shards, halves: Joiner
) -> Counter[str]:
    """Read one source into the sink. Raises Refused when nothing in it was recognised."""
    seen: Counter[str] = Counter()
    first = None
    for document, result in read(names, dialect, sink.window[0], halves):
        if isinstance(result, Rejected):
            if result.reason == ENCRYPTED and dialect == "journal":  # no single line: all of them
                raise Refused(f"{result.source} is {result.detail}")
            first = first or result
            seen[document] += 1
            sink.reject(result)
            continue
        for call, row in result:
            seen[document] += 1
            sink.take(call, row, again=document == "kept")
    unknown = seen.pop("", 0)
    if unknown and not seen and first and not halves.holds(names):
        raise _unrecognised(entry, unknown, first)
    return seen


def _join(halves: Joiner, sink: Shards) -> Counter[str]:
    """Write the lines of batches, whose halves may stand in two sources."""
    seen: Counter[str] = Counter()
    for document, result in joined(halves):
        seen[document] += 1
        if isinstance(result, Rejected):
            sink.reject(result)
            continue
        for call, row in result:
            sink.take(call, row)
    return seen


def _unrecognised(entry: str, records: int, first: Rejected) -> Refused:
    if first.reason == ENCRYPTED:
        return Refused(f"{first.source} is {first.detail}")
    names = ", ".join(dialect_registry.DIALECTS)
    return Refused(
        f"{entry}: none of its {records:,} records looks like a call in a known dialect "
        f"({names}); the first, {first.source}, is {first.reason}: {first.detail[:160]}"
    )


def _plan(sources: Sequence[str], params: Ingest) -> list[tuple[str, list[str], str]]:
    """(source, its files, dialect) for each configured source. Raises Refused."""
    if params.dialect != "auto" and params.dialect not in dialect_registry.DIALECTS:
        dialects = ", ".join(("auto", *dialect_registry.DIALECTS))
        raise Refused(f"ingest.dialect is {params.dialect!r}; known dialects are {dialects}")
    return [(entry, resolve(entry), params.dialect) for entry in sources]


def logs_named(sources: Sequence[str]) -> str:
    """A name for the files that sources are, as in the hop's manifest. Raises Refused."""
    return _named(name for entry in sources for name in resolve(entry))


def _named(names: Iterable[str]) -> str:
    return digest(*sorted(n if "://" in n else str(Path(n).resolve()) for n in names))


def _journal(folder: Path, since: float | None, until: float | None) -> list[str]:
    """The journal's files that can hold calls of the window; a call may cross midnight."""
    first = day_of(since - DAY) if since and since > DAY else ""
    last = day_of(until + DAY) if until else "9999"
    return [str(p) for p in sorted(folder.glob("*.jsonl*")) if first <= p.name[:10] <= last]


def ingest(
    sources: Sequence[str],
    out: Path,
    params: Ingest,
    *,
    journal: Path | None = None,
    since: float | None = None,
    until: float | None = None,
    previous: Sequence[Path] = (),
) -> Counts:
    """Read calls with `since <= at < until` into one Parquet shard per day. Raises Refused.

    `previous` are this hop's folders of earlier nights: what they kept is a duplicate now, so
    windows may overlap and a call that reached the log late is still taken once.
    """
    plan = _plan(sources, params)
    if journal is not None:
        plan.append((str(journal), _journal(journal, since, until), "journal"))
    if not plan:
        raise Refused("ingest.source in params.yaml names no source, and there is no journal")
    (out / "calls").mkdir(parents=True, exist_ok=True)
    dialects: Counter[str] = Counter()
    with Shards(out, (since, until)) as sink:
        sink.remember(previous)
        halves = Joiner()
        for entry, names, dialect in plan:
            dialects += _pour(entry, names, dialect, sink, halves)
        dialects += _join(halves, sink)
    sink.save_seen()
    read_ = sink.kept + sum(sink.dropped.values())
    result = Counts("ingest", read_, sink.kept, dict(sink.dropped))
    logs = _named(name for _, names, _ in plan for name in names)
    stage.finish(out, result, {"dialects": dict(dialects), "until": until, "logs": logs})
    return result


def dry_run(sources: Sequence[str], params: Ingest | None = None) -> Summary:
    """Return what an ingest of these sources would find, without writing anything.

    Raises Refused.
    """
    summary, halves = Summary(), Joiner()
    for entry, names, dialect in _plan(sources, params or Ingest()):
        for document, result in read(names, dialect, halves=halves):
            _note(summary, document, result)
        if not summary.dialects and summary.problems and not halves.holds(names):
            raise _unrecognised(entry, summary.records, summary.problems[0])
    for document, result in joined(halves):
        _note(summary, document, result)
    return summary


def _note(summary: Summary, document: str, result: list[Taken] | Rejected) -> None:
    if isinstance(result, Rejected):
        summary.reject(document, result)
        return
    for call, _ in result:
        summary.add(document, call)


def main() -> Counts:
    """Run the hop for DVC: from `data/` to `data/ingest`, as params.yaml says."""
    chosen = load().ingest
    out = Path("data/ingest")
    with stage.fresh(out) as folder:
        return ingest(chosen.source or [DEFAULT_SOURCE], folder, chosen)
