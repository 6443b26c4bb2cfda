"""Whether finding tasks and making datasets grows linearly: time and memory from 10,000 calls on.

    python -m benchmarks.growth [--calls 10000 30000 100000] [--days 30]

The calls are the sample agent's, answered by its teacher in-process. Each size runs in a process of
its own, so that its peak memory is its own. Prints a table and a plot; the last line is JSON. Exit
status 1 when the time or the memory per call grows by more than half from the smallest size on.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

from rich.console import Console
from rich.table import Table

from examples import agent
from tasks.cluster.cluster import cluster
from tasks.core import records
from tasks.core.params import Cluster, Dataset
from tasks.core.records import CleanCall
from tasks.dataset.dataset import dataset

FIRST = date(2026, 3, 2)
SLACK = 1.5
Figures = dict[str, float]


def traffic(count: int, days: int) -> Iterator[CleanCall]:
    """`count` calls of the sample agent, spread over `days` days."""
    for number in range(days):
        day = FIRST + timedelta(number)
        share = count // days + (number < count % days)
        for made, record in enumerate(agent.records(share, day, number)):
            choice, usage = record["response"]["choices"][0], record["response"]["usage"]
            yield CleanCall(
                id=f"{number}-{made}",
                at=float(record["response"]["created"]),
                source=f"{day}:{made}",
                request=record["request"],
                reply=choice["message"],
                finish_reason=choice["finish_reason"],
                prompt_tokens=usage["prompt_tokens"],
                completion_tokens=usage["completion_tokens"],
            )


def measure(count: int, days: int) -> Figures:
    """Seconds of both hops and the peak memory for one size."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        records.write(home / "calls.parquet", traffic(count, days), records.CLEAN)
        figures: Figures = {"calls": count}
        for name, hop in (("cluster", _cluster), ("dataset", _dataset)):
            (home / name).mkdir()
            start, processor = time.perf_counter(), time.process_time()
            hop(home)
            figures[f"{name} s"] = time.perf_counter() - start
            figures[f"{name} cpu s"] = time.process_time() - processor
        figures["tasks"] = len(list((home / "dataset").glob("*/task.json")))
    figures["GB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return figures


def _cluster(home: Path) -> None:
    cluster([home / "calls.parquet"], home / "cluster", Cluster())


def _dataset(home: Path) -> None:
    dataset([home / "calls.parquet"], home / "cluster", home / "dataset", Dataset())


def show(rows: list[Figures]) -> None:
    """A table, and a bar of the processor time for each size."""
    table = Table(*rows[0])
    for row in rows:
        table.add_row(*(f"{value:,.1f}" for value in row.values()))
    console = Console()
    console.print(table)
    most = max(_processor(row) for row in rows)
    for row in rows:
        bar = "█" * max(1, round(50 * _processor(row) / most))
        console.print(
            f"{row['calls']:>10,.0f} {bar} {1e3 * _processor(row) / row['calls']:.2f} ms a call"
        )


def _processor(row: Figures) -> float:
    return row["cluster cpu s"] + row["dataset cpu s"]


def main() -> None:
    """Measure each size and compare what a call costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, nargs="+", default=[10_000, 30_000, 100_000])
    parser.add_argument("--days", type=int, default=30)
    chosen = parser.parse_args()
    rows = []
    for count in chosen.calls:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            rows.append(pool.apply(measure, (count, chosen.days)))
    show(rows)
    print(json.dumps({"sizes": rows}))
    first, last = rows[0], rows[-1]
    slower = (_processor(last) / last["calls"]) / (_processor(first) / first["calls"])
    if slower > SLACK:
        sys.exit(f"a call costs {slower:.1f} times as much in {last['calls']:,.0f} calls")


if __name__ == "__main__":
    main()
