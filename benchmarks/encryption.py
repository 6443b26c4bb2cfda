"""What encryption at rest costs: lines into a journal, and a night's first two hops out of it.

    python -m benchmarks.encryption [--calls 20000] [--rounds 3]

Writes the same calls of about 4 KB into a journal without a key and with one, in turns, then reads
them: ingest of the journal, and validate. Calls a second and megabytes (of the plain journal) a
second of processor time, the best of the rounds. Prints a table; the last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.dialects import made_up
from serving.journal import Journal
from tasks.core.encryption import VARIABLE
from tasks.core.params import Ingest, Validate
from tasks.core.records import Json
from tasks.ingest.ingest import ingest
from tasks.validate.validate import validate

NAMES = "journal lines/s", "ingest MB/s", "validate MB/s", "journal MB", "parquet MB"


def lines(calls: int) -> list[Json]:
    """Journal lines as the gateway writes them."""
    found = []
    for call in made_up(calls, 0):
        call.request["messages"][0]["content"] *= 12
        line = {"id": call.id, "at": call.at, "request": call.request, "reply": call.reply}
        found.append({**line, "model": call.model, "answered_by": "teacher", "audit": None})
    return found


def seconds(run: Callable[[], object]) -> float:
    """The processor time that something takes."""
    start = time.process_time()
    run()
    return time.process_time() - start


def cost(told: list[Json], folder: Path, plain: float | None) -> tuple[float, ...]:
    """Write and read them once; `plain` are the megabytes of the journal without a key."""
    journal, out = Journal(folder / "journal"), folder / "ingest"

    def written() -> None:
        for line in told:
            journal.append(line)

    wrote = seconds(written)
    journal.close()
    size = megabytes(folder / "journal")
    took = seconds(lambda: ingest([], out, Ingest(), journal=folder / "journal"))
    checked = seconds(lambda: validate(out / "calls", folder / "validate", Validate()))
    read = plain or size
    return len(told) / wrote, read / took, read / checked, size, megabytes(out)


def megabytes(folder: Path) -> float:
    """The size of all files in a folder."""
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) / 1e6


def main() -> None:
    """Measure; print a table and one JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    told, key, best, plain = lines(chosen.calls), secrets.token_hex(32), dict[str, Json](), None
    for _ in range(chosen.rounds + 1):  # the first one loads what the hops need
        for name, value in (("without", ""), ("with", key)):
            os.environ[VARIABLE] = value
            with tempfile.TemporaryDirectory() as scratch:
                found = cost(told, Path(scratch), plain)
            plain = plain or found[3]
            kept = best.get(name, {})
            best[name] = {n: max(v, kept.get(n, 0.0)) for n, v in zip(NAMES, found, strict=True)}
    table = Table("", *NAMES)
    for name, row in best.items():
        table.add_row(f"{name} a key", *(f"{row[n]:,.1f}" for n in NAMES))
    Console().print(table)
    print(json.dumps(best))


if __name__ == "__main__":
    main()
