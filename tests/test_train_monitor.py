"""What the machine does is sampled while something runs."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from tasks.train import monitor


def test_samples_come_while_it_runs_and_at_its_end() -> None:
    """Even a short run has one; each knows its time, and the names are MLflow's."""
    with monitor.watched() as samples:
        assert samples == []
    assert len(samples) == 1
    began = time.time()
    with monitor.watched(0.01) as samples:
        while len(samples) < 3:
            time.sleep(0.01)
    times = [sample.at for sample in samples]
    assert times == sorted(times)
    assert began - 1 < times[0] <= times[-1] <= time.time() + 1
    values = samples[-1].values
    assert values.keys() == {
        "cpu_utilization_percentage",
        "system_memory_usage_megabytes",
        "system_memory_usage_percentage",
    }
    assert 0 < values["system_memory_usage_percentage"] < 100


def test_a_failure_ends_the_watch() -> None:
    """Nothing is sampled any more when the body has failed."""
    with pytest.raises(ValueError, match="diverged"), monitor.watched(0.01) as samples:
        raise ValueError("diverged")
    count = len(samples)
    time.sleep(0.05)
    assert len(samples) == count


def test_long_runs_are_sampled_sparsely(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never more than so many samples, from the beginning to the end."""
    monkeypatch.setattr(monitor, "MOST", 10)
    began = time.time()
    with monitor.watched(0.002) as samples:
        time.sleep(0.3)
    assert 3 <= len(samples) <= 10
    assert samples[0].at - began < 0.2


def test_gpus_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory of each, and how busy it is where the driver's library can be asked."""
    import torch

    def silent(number: int) -> float:
        raise ModuleNotFoundError("nvidia-ml-py")

    cuda = SimpleNamespace(
        is_available=lambda: True,
        device_count=lambda: 1,
        mem_get_info=lambda number: (60e9, 80e9),
        utilization=lambda number: 93,
    )
    monkeypatch.setattr(torch, "cuda", cuda)
    values = monitor.sample().values
    assert values["gpu_0_memory_usage_megabytes"] == 20_000
    assert values["gpu_0_memory_usage_percentage"] == 25
    assert values["gpu_0_utilization_percentage"] == 93
    cuda.utilization = silent
    assert "gpu_0_utilization_percentage" not in monitor.sample().values


def test_a_container_has_less_memory_than_its_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its limit counts where it has one."""
    monkeypatch.setattr(monitor, "CONTAINER", tmp_path)
    whole = monitor.free_memory()
    assert whole > 10_000
    (tmp_path / "memory.current").write_text("3000\n")
    (tmp_path / "memory.max").write_text("10000\n")
    assert monitor.free_memory() == 7000
    (tmp_path / "memory.max").write_text("max\n")
    assert monitor.free_memory() > 10_000
