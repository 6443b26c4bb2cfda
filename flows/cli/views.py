"""`flywheel pii`: what de-identification does to calls, side by side, on a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from rich.table import Table
from rich.text import Text

from flows.console import console
from tasks.core.params import load
from tasks.core.records import Call, read
from tasks.core.stage import Refused
from tasks.deidentify.deidentify import load_key
from tasks.ingest import reader, sources
from tasks.report.review import Shown, sample

CALLS = 2_000  # that are read: enough for a look, and seconds


def show_sample(home: Path, path: str, count: int) -> None:
    """Print `count` texts before and after, and what was found by type and detector."""
    with console.status("  looking for personal data …"):
        calls = list(islice(_ingested(path) if path else _validated(home), CALLS))
        shown, calls_read = sample(calls, load().deidentify, load_key(home), count)
    console.print(_sides(shown))
    table = Table("type", "detector", "found", title=f"in {len(calls):,} calls")
    for (kind, detector), number in calls_read.most_common():
        table.add_row(kind, detector, f"{number:,}")
    console.print(table)


def _validated(home: Path) -> Iterator[Call]:
    """The calls of the last night."""
    files = sorted((home / "nights").glob("*/validate/calls.parquet"))
    if not files:
        raise Refused(f"no night has run on {home}; give a log file instead")
    return read(files[-1])


def _ingested(path: str) -> Iterator[Call]:
    for _, taken in reader.read(sources.resolve(path)):
        if isinstance(taken, list):
            yield from (call for call, _ in taken)


def _sides(shown: list[Shown]) -> Table:
    table = Table("before", "after", "found", show_lines=True, expand=True)
    table.columns[0].ratio = table.columns[1].ratio = 2
    table.columns[2].ratio = 1
    for one in shown:
        before, after = map(Text, one.excerpts)
        before.highlight_words([text for _, text, _, _ in one.findings], "bold red")
        findings = {f"{kind} {score:.2f} {by}": None for kind, _, score, by in one.findings}
        table.add_row(before, after, Text("\n".join(list(findings)[:8])))
    return table
