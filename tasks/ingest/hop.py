"""Calls out of logs: any source, any dialect, one canonical record, one Parquet shard per day.

Run as a DVC stage: `python -m tasks.ingest` reads `ingest.source` of params.yaml and writes
`data/ingest/`. A look without writing anything: `flywheel ingest --dry-run PATH`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tasks.core import stage
from tasks.core.params import Ingest, load
from tasks.core.records import Call, Counts, Rejected
from tasks.core.stage import Refused
from tasks.ingest import detect
from tasks.ingest.dialects import batch
from tasks.ingest.preview import Summary
from tasks.ingest.shards import Shards, day_of, row
from tasks.ingest.sources import MAX_RAW, Document, documents, reject, resolve
from tasks.ingest.wire import shape

DEFAULT_SOURCE = "examples/calls.jsonl.gz"
UNKNOWN = "unknown format"
MAX_DEPTH = 64
DAY = 86_400.0
# What a line of the wrong types can cause. It is that line's problem, never the night's.
_CONFUSED = (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError)

Taken = tuple[Call, list[Any]]  # a call and the row that it becomes


def _deep(value: Any) -> bool:
    """Whether JSON nests deeper than a later hop may recurse."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if type(outer) is dict else outer)
            if type(inner) is dict or type(inner) is list
        ]
        if not level:
            return False
    return True


def read(
    names: Sequence[str], dialect: str = "auto", since: float | None = None
) -> Iterator[tuple[str, list[Taken] | Rejected]]:
    """Every record of one source's files as (dialect, its calls) or (dialect, why it is none).

    The dialect is the empty string for a record that no dialect recognises.
    """
    halves = batch.Joiner()
    for name in names:
        last = dialect if dialect != "auto" else ""
        for found in documents(name, since):
            if isinstance(found, Rejected):
                yield "", found
                continue
            items = list(_split(found))
            for item in items:
                named = dialect if dialect != "auto" else _detect(item.value, last)
                last = named or last
                if named != "batch":
                    yield named, _parse(named, item)
                elif isinstance(item.value, dict):
                    for place, line in halves.add(item.value, item.source):
                        yield named, _parse(named, Document(place, line))
            if not items:
                yield last, reject(found.source, shape.NOT_A_CALL, "an empty page", "[]")
    for place, line in halves.rest():
        yield "batch", _parse("batch", Document(place, line))


def _split(found: Document) -> Iterator[Document]:
    if detect.is_one(found.value):
        yield found
        return
    try:
        for number, item in enumerate(detect.split(found.value), 1):
            place = found.source if number == 1 else f"{found.source}.{number}"
            yield Document(place, item, found.flat)
    except _CONFUSED:
        yield found


def _detect(value: Any, last: str) -> str:
    """The dialect of one record: most often that of the record before it."""
    try:
        if last and detect.DIALECTS[last].sniff(value):
            return last
        return detect.detect(value) or ""
    except _CONFUSED:
        return ""


def _parse(named: str, item: Document) -> list[Taken] | Rejected:
    if detect.is_action(item.value):
        return reject(item.source, shape.NOT_A_CALL, "an Elasticsearch action line")
    if not named:
        return reject(item.source, UNKNOWN, _looks(item.value), _raw(item.value))
    try:
        if not item.flat and _deep([item.value]):
            raise ValueError(f"{shape.UNREADABLE}: nested more than {MAX_DEPTH} levels deep")
        return [(c, row(c)) for c in detect.DIALECTS[named].parse(item.value, item.source)]
    except _CONFUSED as error:
        reason, found, detail = str(error).partition(": ")
        if not isinstance(error, ValueError) or not found:
            reason, detail = shape.UNREADABLE, f"{type(error).__name__}: {error}"
        kept = b"" if reason == shape.NOT_A_CALL else _raw(item.value)
        return reject(item.source, reason, detail, kept)


def _looks(value: Any) -> str:
    if not isinstance(value, dict):
        return f"a JSON {type(value).__name__}"
    return f"an object with the keys {', '.join(list(value)[:12])}"


def _raw(value: Any) -> bytes:
    try:
        return msgspec.json.encode(value)
    except _CONFUSED:
        return repr(value)[:MAX_RAW].encode("utf-8", "replace")


def _pour(entry: str, names: Sequence[str], dialect: str, sink: Shards) -> Counter[str]:
    """Read one source into the sink. Raises Refused when nothing in it was recognised."""
    seen: Counter[str] = Counter()
    first = None
    for found, result in read(names, dialect, sink.window[0]):
        if isinstance(result, Rejected):
            first = first or result
            seen[found] += 1
            sink.reject(result)
            continue
        for call, made in result:
            seen[found] += 1
            sink.take(call, made, again=found == "kept")
    unknown = seen.pop("", 0)
    if unknown and not seen and first:
        raise _unrecognised(entry, unknown, first)
    return seen


def _unrecognised(entry: str, records: int, first: Rejected) -> Refused:
    known = ", ".join(detect.DIALECTS)
    return Refused(
        f"{entry}: none of its {records:,} records looks like a call in a known dialect "
        f"({known}); the first, {first.source}, is {first.reason}: {first.detail[:160]}"
    )


def _plan(sources: Sequence[str], params: Ingest) -> list[tuple[str, list[str], str]]:
    """(source, its files, dialect) for each configured source. Raises Refused."""
    if params.dialect != "auto" and params.dialect not in detect.DIALECTS:
        known = ", ".join(("auto", *detect.DIALECTS))
        raise Refused(f"ingest.dialect is {params.dialect!r}; known dialects are {known}")
    return [(entry, resolve(entry), params.dialect) for entry in sources]


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
    found: Counter[str] = Counter()
    with Shards(out, (since, until)) as sink:
        sink.remember(previous)
        for entry, names, dialect in plan:
            found += _pour(entry, names, dialect, sink)
    sink.save_seen()
    read_ = sink.kept + sum(sink.dropped.values())
    result = Counts("ingest", read_, sink.kept, dict(sink.dropped))
    stage.finish(out, result, {"dialects": dict(found), "until": until})
    return result


def dry_run(sources: Sequence[str], params: Ingest | None = None) -> Summary:
    """What an ingest of these sources would find, without writing anything. Raises Refused."""
    summary = Summary()
    for entry, names, dialect in _plan(sources, params or Ingest()):
        for found, result in read(names, dialect):
            if isinstance(result, Rejected):
                summary.reject(found, result)
            else:
                for call, _ in result:
                    summary.add(found, call)
        if not summary.dialects and summary.problems:
            raise _unrecognised(entry, summary.records, summary.problems[0])
    return summary


def main() -> Counts:
    """Run the hop for DVC: from `data/` to `data/ingest`, as params.yaml says."""
    chosen = load().ingest
    out = Path("data/ingest")
    with stage.fresh(out) as folder:
        return ingest(chosen.source or [DEFAULT_SOURCE], folder, chosen)
