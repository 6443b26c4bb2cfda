"""Calls of many connections at once, by wrk: the gateway on one core, and LiteLLM beside it.

wrk is in Debian; LiteLLM has an environment of its own (`make .venv-litellm/ready`).
"""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from tasks.core.records import Json

KEY = "sk-4f1d0f4d7c1e4a9a8a7be0f3b5c2d6e1"  # LiteLLM wants one that looks like a key
_SCRIPT = """
wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
wrk.headers["authorization"] = "Bearer %s"
wrk.body = %s
done = function(summary, latency, requests)
  io.write(string.format('{"calls": %%d, "seconds": %%f, "p50": %%f, "p99": %%f, "failed": %%d}',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3,
    latency:percentile(99) / 1e3,
    summary.errors.status + summary.errors.timeout + summary.errors.connect + summary.errors.read))
end
"""


def load(url: str, body: bytes, connections: int, seconds: float, folder: Path) -> Json:
    """Calls per second, milliseconds at p50 and p99, and failures, at a number of connections."""
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is needed (Debian's package wrk)")
    script = folder / "post.lua"
    script.write_text(_SCRIPT % (KEY, json.dumps(body.decode())))
    command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}", "-s", str(script)]
    told = subprocess.run([*command, url], capture_output=True, text=True, check=True).stdout
    found: Json = json.loads(told[told.rindex('{"calls"') :])
    return {"calls_per_second": round(found["calls"] / found["seconds"], 1), **found}


def one_core(process: int) -> None:
    """Keep a process and its threads on the first core, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(process, {min(os.sched_getaffinity(process))})


@contextmanager
def litellm(command: str, up: str, port: int, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """LiteLLM's proxy in front of the same upstream, as one worker."""
    config = folder / "litellm.yaml"
    model = {"model": "openai/large", "api_base": f"{up}/v1", "api_key": KEY}
    listed = {"model_list": [{"model_name": "large", "litellm_params": model}]}
    config.write_bytes(msgspec.json.encode(listed))  # JSON is YAML
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    program = subprocess.Popen(
        [command, "--config", str(config), "--port", str(port), "--num_workers", "1"],
        env={**env, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MASTER_KEY": KEY},
        stdout=subprocess.DEVNULL,
    )
    try:
        yield program
    finally:
        program.terminate()
        program.wait(30)


def table(
    servers: dict[str, tuple[str, int]],
    body: bytes,
    connections: list[int],
    seconds: float,
    folder: Path,
    cpu_seconds: Callable[[int], float],
) -> dict[str, Json]:
    """Each server (its URL and process) at each number of connections, after a warm-up."""
    rows: dict[str, Json] = {}
    for name, (url, process) in servers.items():
        load(url, body, 4, 2, folder)
        for count in connections:
            used = cpu_seconds(process)
            row = load(url, body, count, seconds, folder)
            used = cpu_seconds(process) - used
            row["cpu_ms"] = round(1e3 * used / row["calls"], 3) if row["calls"] else math.nan
            rows[f"{name}, {count} connections"] = row
    return rows
