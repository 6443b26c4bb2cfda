"""A resource monitor: processor, memory and GPU of the machine, sampled while something runs.

The names are those of MLflow's own monitor, so that the tab *System metrics* of its UI knows them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tasks.core.training import Sample

SECONDS, MOST = 5.0, 400  # between samples, and how many are kept
CONTAINER = Path("/sys/fs/cgroup")  # where Linux tells a container its limits


@contextmanager
def watched(seconds: float = SECONDS) -> Iterator[list[Sample]]:
    """A list that fills while the body runs; when that is long, samples grow sparse."""
    import psutil

    samples: list[Sample] = []
    over = threading.Event()
    psutil.cpu_percent()  # the first reading starts the clock, and says nothing

    def watch() -> None:
        every = seconds
        while not over.wait(every):
            samples.append(sample())
            if len(samples) == MOST:
                del samples[::2]
                every *= 2

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        over.set()
        thread.join()
        samples.append(sample())


def sample() -> Sample:
    """The machine now; the processor's share is the mean since the last sample."""
    import psutil
    import torch

    memory = psutil.virtual_memory()
    values = {
        "cpu_utilization_percentage": psutil.cpu_percent(),
        "system_memory_usage_megabytes": round(memory.used / 1e6, 1),
        "system_memory_usage_percentage": round(100 * memory.used / memory.total, 1),
    }
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            values |= _gpu(torch.cuda, number)
    return Sample(round(time.time(), 3), values)


def free_memory() -> int:
    """Bytes that may still be used where models train: of the GPU, or of machine and container."""
    import psutil
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.mem_get_info()[0])
    free = int(psutil.virtual_memory().available)
    with suppress(OSError, ValueError):  # without a limit it says "max", or nothing
        limit, used = (int((CONTAINER / f"memory.{n}").read_text()) for n in ("max", "current"))
        free = min(free, limit - used)
    return free


def _gpu(cuda: Any, number: int) -> dict[str, float]:
    free, total = cuda.mem_get_info(number)
    values = {
        f"gpu_{number}_memory_usage_megabytes": round((total - free) / 1e6, 1),
        f"gpu_{number}_memory_usage_percentage": round(100 * (total - free) / total, 1),
    }
    with suppress(ImportError, RuntimeError):  # it needs nvidia-ml-py, which may not be there
        values[f"gpu_{number}_utilization_percentage"] = float(cuda.utilization(number))
    return values
