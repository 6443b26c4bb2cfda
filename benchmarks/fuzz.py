"""Hostile input for minutes: it may cause no error of ours, and let no memory grow.

    python -m benchmarks.fuzz [--minutes 10] [--parts gateway ingest engine] [--seed 0]

gateway: half of the time Schemathesis over docs/openapi/gateway.yaml, half damaged requests over
bare sockets (heads, chunks, packed bodies, odd JSON, cut off anywhere), to a gateway with routes,
whose teacher and pool always answer. ingest: damaged and hostile lines of every log format, plain
and packed, through ingest, validate and de-identification (patterns only). engine: Schemathesis
over docs/openapi/engine.yaml. Every part has `--minutes`. Statuses 501 and 503 of the gateway are
refusals by design, and counted apart. Prints a table; the last line is one JSON object; the exit
status is 1 where anything failed, or memory grew by more than 200 MB after the first tenth.
"""

from __future__ import annotations

import argparse
import gc
import gzip
import json
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import msgspec
import psutil
import zstandard
from rich.console import Console
from rich.table import Table

from benchmarks.dialects import damaged
from benchmarks.gateway import DAY, free_port, routes, running, wait_for
from examples import desk
from tasks.core.params import Deidentify, Ingest, Validate
from tasks.core.records import Json
from tasks.core.stage import Refused
from tasks.deidentify.deidentify import deidentify
from tasks.ingest.ingest import ingest
from tasks.validate.validate import validate

ROOT = Path(__file__).parents[1]
MOST = 200.0  # MB of growth
BY_DESIGN = (501, 503)
AT_ONCE = 8  # requests under way
PATIENCE = 1.0  # seconds that a client waits for more
BATCH = 300  # lines of one round of ingest
HOSTILE: list[object] = [
    None,
    -1,
    10**400,
    1e308,
    "\0",
    "\u2028\ud800",
    "a" * 5_000 + "!",
    {"$ref": "#"},
    [[[]]],
    {"": {"": ""}},
    {"type": "object", "properties": {"q": {"type": "string", "pattern": "^(a+)+$"}}},
    {"$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}] * 2}}, "$ref": "#/$defs/a"},
    "data:image/png;base64,AAAA",
    "\u202e" * 50,
    "{" * 200,
]


class Memory(threading.Thread):
    """Watches a process: its megabytes after a tenth of the time, and the most since then."""

    def __init__(self, process: int, seconds: float) -> None:
        super().__init__(daemon=True)
        self._process, self._warm = psutil.Process(process), time.monotonic() + seconds / 10
        self._over = threading.Event()
        self.first = self.most = self.last = 0.0

    def run(self) -> None:
        """Look once a second."""
        while not self._over.wait(1):
            self.last = self._process.memory_info().rss / 1e6
            self.most = max(self.most, self.last)
            if time.monotonic() < self._warm or not self.first:
                self.first = self.most = max(self.first, self.last)

    def figures(self) -> Json:
        """Stop; return the megabytes, and by how many they grew in the end."""
        self._over.set()
        self.join()
        named = {"mb warm": self.first, "mb most": self.most, "mb grown": self.last - self.first}
        return {name: round(value, 1) for name, value in named.items()}


def spoiled(node: object, draw: random.Random) -> object:
    """A JSON value with one of its parts exchanged for a hostile one."""
    if not isinstance(node, dict | list) or not node or draw.random() < 0.15:
        return draw.choice(HOSTILE)
    key = draw.choice(list(node) if isinstance(node, dict) else range(len(node)))
    copy = dict(node) if isinstance(node, dict) else list(node)
    copy[key] = spoiled(copy[key], draw)
    return copy


def bitten(data: bytes, draw: random.Random) -> bytes:
    """Bytes with a few of them changed, doubled or cut off."""
    for _ in range(draw.randrange(4)):
        at, size = draw.randrange(len(data) + 1), draw.randrange(9)
        kind = draw.randrange(3)
        middle = (draw.randbytes(size), data[at : at + size] * 3, b"")[kind]
        data = data[:at] + middle + data[at + size :]
    return data[: draw.randrange(len(data) + 1)] if draw.random() < 0.1 else data


def packed(data: bytes, draw: random.Random) -> tuple[bytes, bytes]:
    """A body as some client might pack it, and what it calls that."""
    kind = draw.randrange(8)
    if kind == 0:
        return gzip.compress(data) * draw.choice((1, 1, 50)), b"gzip"
    if kind == 1:
        return zstandard.compress(data), b"zstd"
    if kind == 2:
        return zlib.compress(data), b"deflate"
    if kind == 3:
        return gzip.compress(bytes(1 << draw.randrange(10, 28)), 1), b"gzip"
    return data, draw.choice((b"", b"", b"br", b"gzip, zstd"))


def request(seeds: list[Json], draw: random.Random) -> bytes:
    """One damaged request, as bytes on the wire."""
    asked = spoiled(draw.choice(seeds), draw) if draw.random() < 0.7 else draw.choice(seeds)
    text = json.dumps(asked).encode()
    body, encoding = packed(bitten(text, draw) if draw.random() < 0.5 else text, draw)
    paths = ("chat/completions", "responses", "messages", "models", "embeddings", "%ff/..%2f", "")
    head = [b"POST /v1/" + draw.choice(paths).encode() + b" HTTP/1.1", b"host: a"]
    if encoding:
        head.append(b"content-encoding: " + encoding)
    if draw.random() < 0.2:
        head.append(b"transfer-encoding: chunked")
        cuts = [body[at : at + 777] for at in range(0, len(body), 777)]
        body = b"".join(b"%x\r\n%s\r\n" % (len(cut), cut) for cut in cuts) + b"0\r\n\r\n"
    else:
        head.append(b"content-length: %d" % len(body))
    head += [b"connection: close"] * (draw.random() < 0.9)
    head += draw.sample([b"expect: 100-continue", b"x-client-id: \xff", b"upgrade: h2c"], 1)
    lines = b"\r\n".join(head) + b"\r\n\r\n"
    return (bitten(lines, draw) if draw.random() < 0.3 else lines) + body


def status(port: int, data: bytes) -> int:
    """Send bytes and hang up when nothing more comes; return the last status, 0 for none."""
    said = b""
    with (
        suppress(OSError),
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as place,
    ):
        place.sendall(data)
        while part := place.recv(65536):
            said += part
    found = re.findall(rb"HTTP/1\.1 (\d{3})", said)
    return int(found[-1]) if found else 0


def healthy(url: str) -> float:
    """Return the seconds that the gateway takes to say that it is well."""
    start = time.monotonic()
    httpx.get(url + "/healthz", timeout=60, trust_env=False).raise_for_status()
    return time.monotonic() - start


def schemathesis(name: str, url: str, seconds: float, seed: int, *more: str) -> Json:
    """Run it over one of our descriptions; return how many cases failed."""
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.ndjson"
        program = Path(sys.executable).with_name("schemathesis")
        found = subprocess.run(
            [program, "run", ROOT / f"docs/openapi/{name}.yaml", "--url", url, "--seed", str(seed),
             "--checks", "not_a_server_error,response_schema_conformance", "--warnings", "off",
             "--phases", "examples,coverage,fuzzing", "--max-time", str(max(1, int(seconds))),
             "--suppress-health-check", "all", "--no-color", "--request-timeout", "30",
             "--report", "ndjson", "--report-ndjson-path", report, *more],
            capture_output=True, text=True, cwd=scratch, timeout=seconds + 300,
        )  # fmt: skip
    cases = re.search(r"([\d,]+) generated", found.stdout)
    if "Empty test suite" in found.stdout:  # there was no time for one
        return {"schemathesis": 0, "schemathesis failed": 0}
    if found.returncode not in (0, 1) or not cases:
        raise SystemExit(found.stdout[-2000:] + found.stderr[-2000:])
    if found.returncode:
        print(found.stdout[-6000:])
    sent = int(cases[1].replace(",", ""))
    return {"schemathesis": sent, "schemathesis failed": found.returncode}


def gateway(seconds: float, seed: int) -> Json:
    """The gateway, in a process of its own."""
    draw, counts, slowest = random.Random(seed), Counter[int](), 0.0
    seeds: list[Json] = [next(case.open()) for case in desk.cases(DAY, seed, 40)]
    with tempfile.TemporaryDirectory() as scratch:
        body = msgspec.json.encode({"routes": routes(), "digest": "1"})
        (Path(scratch) / "routes.json").write_bytes(body)
        at_once = ThreadPoolExecutor(AT_ONCE)
        with at_once as pool, running(Path(scratch)) as (_, url, process):
            memory = Memory(process, seconds)
            memory.start()
            told = schemathesis("gateway", url, seconds / 2, seed)
            end = time.monotonic() + seconds / 2
            while time.monotonic() < end:
                sent = [request(seeds, draw) for _ in range(5 * AT_ONCE)]
                found = [pool.submit(status, urlsplit(url).port or 0, one) for one in sent]
                slowest = max(slowest, healthy(url))
                counts.update(one.result() for one in found)
            figures = memory.figures()
            alive = psutil.pid_exists(process)
    ours = sum(n for code, n in counts.items() if code >= 500 and code not in BY_DESIGN)
    statuses = {str(code): n for code, n in sorted(counts.items())}
    failed = ours + told["schemathesis failed"] + (not alive)
    figures |= {"slowest health s": round(slowest, 2), "failed": failed}
    return {"sent": counts.total(), **told, "statuses": statuses, **figures}


def lines(draw: random.Random) -> Iterator[bytes]:
    """Damaged lines of every format, and well-formed ones with something hostile in them."""
    for line in islice(damaged(BATCH, draw.randrange(1 << 30)), BATCH):
        if draw.random() < 0.5:
            try:
                value = spoiled(json.loads(line), draw)
            except (ValueError, RecursionError):
                value = None
            line = json.dumps(value).encode()
        yield bitten(line, draw) if draw.random() < 0.2 else line


def written(path: Path, draw: random.Random) -> Path:
    """A log file of such lines, plain, packed, in UTF-16, or damaged as a whole."""
    data = b"\n".join(lines(draw))
    kind = draw.randrange(8)
    if kind == 0:
        data = gzip.compress(data) + gzip.compress(bytes(1 << 26), 1)
    elif kind == 1:
        data = zstandard.compress(data) + zstandard.compress(bytes(1 << 26))
    elif kind == 2:
        data = data.decode("utf-8", "replace").encode("utf-16")
    elif kind == 3:
        data = bitten(gzip.compress(data), draw)
    path.write_bytes(data)
    return path


def night(file: Path, out: Path) -> Counter[str]:
    """The hops that read what strangers wrote; what they refuse in words is no error."""
    counts = Counter[str]()
    try:
        taken = ingest([str(file)], out / "ingest", Ingest())
        counts.update(read=taken.read, kept=taken.kept)
        good = validate(out / "ingest/calls", out / "validate", Validate(max_rejected=1.0))
        counts["valid"] += good.kept
        calls = out / "validate/calls.parquet"
        deidentify(calls, private(out / "clean"), Deidentify(ner="none", probe=0), key=b"k" * 32)
    except Refused:
        counts["refused"] += 1
    return counts


def private(folder: Path) -> Path:
    """The folder, made."""
    folder.mkdir()
    return folder


def logs(seconds: float, seed: int) -> Json:
    """Ingest and what follows, in this process."""
    draw, counts, end = random.Random(seed), Counter[str](), time.monotonic() + seconds
    memory, slowest = Memory(os.getpid(), seconds), 0.0
    memory.start()
    while time.monotonic() < end:
        with tempfile.TemporaryDirectory() as scratch:
            file, start = written(Path(scratch) / "log", draw), time.monotonic()
            try:
                counts += night(file, Path(scratch))
            except Exception as error:  # that is what is looked for
                counts["failed"] += 1
                print(f"round {counts['rounds']}: {type(error).__name__}: {error}")
            slowest = max(slowest, time.monotonic() - start)
        counts["rounds"] += 1
        gc.collect()
    return {"failed": 0, **counts, **memory.figures(), "slowest s": round(slowest, 1)}


@contextmanager
def an_engine() -> Iterator[tuple[str, int]]:
    """The embedded engine without adapters: its URL and its process id."""
    with tempfile.TemporaryDirectory() as scratch:
        port = free_port()
        command = ["-m", "serving.engine", "--adapters", scratch, "--port", str(port)]
        env = {**os.environ, "POOL_TOKEN": "fuzz"}
        program = subprocess.Popen([sys.executable, *command], env=env)
        try:
            wait_for(f"http://127.0.0.1:{port}/health")
            yield f"http://127.0.0.1:{port}", program.pid
        finally:
            program.terminate()
            program.wait(15)


def engine(seconds: float, seed: int) -> Json:
    """The embedded engine, in a process of its own."""
    with an_engine() as (url, process):
        memory = Memory(process, seconds)
        memory.start()
        told = schemathesis("engine", url, seconds, seed, "-H", "Authorization: Bearer fuzz")
        alive = psutil.pid_exists(process)
        return {**told, **memory.figures(), "failed": told["schemathesis failed"] + (not alive)}


PARTS = {"gateway": gateway, "ingest": logs, "engine": engine}


def main() -> None:
    """Run the parts; print a table and one JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="of each part")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=["gateway", "ingest"])
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    figures = {n: PARTS[n](60 * chosen.minutes, chosen.seed) for n in chosen.parts}
    table = Table("part", "figure", "value")
    for part, told in figures.items():
        for name, value in told.items():
            table.add_row(part, name, str(value))
    Console().print(table)
    print(json.dumps(figures))
    bad = any(told["failed"] or told["mb grown"] > MOST for told in figures.values())
    raise SystemExit(int(bad))


if __name__ == "__main__":
    main()
