"""A gateway under floods: what its memory and its `/healthz` do meanwhile.

    python -m benchmarks.flood [--bodies 10] [--megabytes 100] [--half 5000] [--idle 300]

A gateway as a process that may open 256 files at first; one after the other: large bodies at once,
with their length and in chunks; requests that stop in the middle of their head or body; idle
connections. A client asks for `/healthz` twenty times a second, and afterwards for one answer.
Prints a table; the last line is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import psutil
from rich.console import Console
from rich.table import Table
from yarl import URL

from benchmarks.gateway import PATH, running
from tasks.core.records import Json

FEW = 256  # files that the gateway may open at first
MEGABYTE = b"x" * (1 << 20)
HALVES = (
    b"POST /v1/chat",
    f"POST {PATH} HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n{{".encode(),
)
CALL = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
Flood = Callable[[URL], Coroutine[Any, Any, str]]


def bodies(count: int, megabytes: int) -> Flood:
    """So many large bodies at once, every second one in chunks."""

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(megabytes):
            yield MEGABYTE

    async def one(session: aiohttp.ClientSession, url: URL, chunked: bool) -> int:
        length = {} if chunked else {"content-length": str(megabytes << 20)}
        try:
            sent = session.post(url.with_path(PATH), data=parts(), headers=length)
            async with sent as answer:
                return answer.status
        except aiohttp.ClientError:  # it hung up while we were sending
            return 0

    async def flood(url: URL) -> str:
        async with aiohttp.ClientSession() as session:
            found = await asyncio.gather(*(one(session, url, n % 2 == 0) for n in range(count)))
        return "statuses " + ", ".join(f"{code}: {n}" for code, n in Counter(found).items())

    return flood


async def ended(reader: asyncio.StreamReader) -> bool:
    """Return whether the gateway has hung up, after whatever it said."""
    with suppress(TimeoutError, OSError):
        async with asyncio.timeout(1):
            await reader.read()
            return True
    return False


def connections(count: int, sent: tuple[bytes, ...], seconds: float) -> Flood:
    """So many connections that send this and no more, held for some seconds."""

    async def flood(url: URL) -> str:
        opened = []
        for number in range(count):
            with suppress(OSError):
                reader, writer = await asyncio.open_connection(url.host, url.port)
                writer.write(sent[number % len(sent)])
                opened.append((reader, writer))
        await asyncio.sleep(seconds)
        closed = sum(await asyncio.gather(*(ended(reader) for reader, _ in opened)))
        for _, writer in opened:
            writer.close()
        return f"{len(opened):,} opened, {closed:,} closed by the gateway after {seconds:.0f} s"

    return flood


async def under(flood: Flood, url: URL, process: psutil.Process) -> Json:
    """Figures of one flood."""
    over, waits, most = asyncio.Event(), list[float](), 0.0

    async def watch() -> None:
        nonlocal most
        async with aiohttp.ClientSession() as session:
            while not over.is_set():
                start = time.perf_counter()
                async with session.get(url.with_path("/healthz")) as answer:
                    answer.raise_for_status()
                waits.append(time.perf_counter() - start)
                most = max(most, process.memory_info().rss / 1e6)
                await asyncio.sleep(0.05)

    before, watcher = process.memory_info().rss / 1e6, asyncio.create_task(watch())
    told = await flood(url)
    over.set()
    await watcher
    async with (
        aiohttp.ClientSession() as session,
        session.post(url.with_path(PATH), json=CALL) as after,
    ):
        figures: Json = {"mb before": round(before), "mb most": round(most), "answer": after.status}
    return {**figures, "health s, worst": round(max(waits), 2), "looks": len(waits), "": told}


async def measure(floods: dict[str, Flood], url: str, process: int) -> dict[str, Json]:
    """Figures of each flood."""
    gateway = psutil.Process(process)
    return {name: await under(flood, URL(url), gateway) for name, flood in floods.items()}


def main() -> None:
    """Run the floods; print a table and one JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bodies", type=int, default=10)
    parser.add_argument("--megabytes", type=int, default=100, help="of each body")
    parser.add_argument("--half", type=int, default=5_000, help="requests that are half sent")
    parser.add_argument("--idle", type=int, default=300, help="connections that say nothing")
    chosen = parser.parse_args()
    floods = {
        "large bodies": bodies(chosen.bodies, chosen.megabytes),
        "half-sent requests": connections(chosen.half, HALVES, 70.0),
        "idle connections": connections(chosen.idle, (b"",), 30.0),
    }
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (FEW, hard))  # which the gateway inherits
    with tempfile.TemporaryDirectory() as scratch, running(Path(scratch)) as (_, url, process):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        figures = asyncio.run(measure(floods, url, process))
        written = sum(path.stat().st_size for path in Path(scratch).glob("journal/*"))
    table = Table("flood", "figure", "value")
    for name, told in figures.items():
        for what, value in told.items():
            table.add_row(name, what, str(value))
    Console().print(table)
    print(json.dumps(figures | {"journal mb": round(written / 1e6, 2)}))


if __name__ == "__main__":
    main()
