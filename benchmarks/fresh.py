"""How long `make run` and `make test` take from a fresh clone, and how much memory they use.

    python -m benchmarks.fresh --help

Clones the committed state of this repository into a temporary folder, runs the command there with
nothing installed beforehand, and samples the memory of the whole process tree (proportional set
size, so that shared pages count once). The peer in the same run is the same command a second time,
when the set-up is skipped.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
SAMPLE_SECONDS = 0.5


def tree_memory(root: psutil.Process) -> int:
    """Bytes of memory that a process and its descendants use now."""
    total = 0
    for process in (root, *root.children(recursive=True)):
        try:
            total += process.memory_full_info().pss
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue  # it ended between the listing and the look
    return total


def measure(command: list[str], cwd: Path) -> dict[str, float]:
    """Run a command; return its seconds, peak memory in bytes and exit status."""
    start, peak, ended = time.monotonic(), 0, threading.Event()
    process = subprocess.Popen(command, cwd=cwd)
    watched = psutil.Process(process.pid)

    def watch() -> None:
        nonlocal peak
        while not ended.wait(SAMPLE_SECONDS):
            try:
                peak = max(peak, tree_memory(watched))
            except psutil.NoSuchProcess:
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    status = process.wait()
    ended.set()
    watcher.join()
    return {"seconds": time.monotonic() - start, "peak_bytes": peak, "status": status}


def main() -> None:
    """Measure the targets and print a table and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", default=["run", "test"], help="make targets")
    parser.add_argument("--once", action="store_true", help="do not repeat without the set-up")
    parser.add_argument("--data", type=Path, default=ROOT, help="repository to clone")
    options = parser.parse_args()
    figures = {}
    with tempfile.TemporaryDirectory() as scratch:
        for target in options.targets:
            clone = Path(scratch) / target
            subprocess.run(["git", "clone", "-q", str(options.data), str(clone)], check=True)
            figures[f"{target}, fresh"] = measure(["make", target], clone)
            if not options.once:
                figures[f"{target}, again"] = measure(["make", target], clone)
    table = Table("command", "minutes", "peak GB", "exit")
    for name, one in figures.items():
        minutes, gigabytes = one["seconds"] / 60, one["peak_bytes"] / 1e9
        table.add_row(f"make {name}", f"{minutes:.1f}", f"{gigabytes:.2f}", f"{one['status']:.0f}")
    Console().print(table)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
