"""What ingest makes of real and generated logs: read, kept, quarantined with a reason, lost.

    python -m benchmarks.dialects [--data ../shared/data] [--calls 500] [--fuzz 20000] [--big 0]

Real: recorded wire pairs, framework traces, blueprint variants and the production-like stream
under `--data`. Generated: `--calls` calls in every log format, compared with what comes back.
Fuzzed: `--fuzz` damaged lines. Speed: ingest and validate of the stream, and with `--big N` of a
file of N megabytes (peak memory). `lost` must be 0.
Prints a table; the last line is one JSON object.
"""

from __future__ import annotations

import argparse
import gzip
import json
import multiprocessing
import os
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.formats import FORMATS
from tasks.core import records
from tasks.core.params import Ingest, Validate
from tasks.core.records import Call, Counts, Json
from tasks.core.stage import Refused
from tasks.ingest.ingest import ingest
from tasks.validate.validate import validate

T = TypeVar("T")
LONG = (50_000_000, 70_000_000)  # bytes of a line, below and above what ingest takes
WORDS = [
    "where",
    "is",
    "my",
    "order",
    "please",
    "cancel",
    "the",
    "blue",
    "one",
    "and",
    "refund",
    "it",
    "to",
    "my",
    "card",
    "thanks",
    "again",
]
TOOL: Json = {
    "type": "function",
    "function": {
        "name": "find_order",
        "description": "Finds an order.",
        "parameters": {"type": "object", "properties": {"q": {"type": "string"}}},
    },
}


def made_up(count: int, seed: int = 0) -> Iterator[Call]:
    """Calls with system prompts, turns, tools and replies of both kinds."""
    draw = random.Random(seed)

    def said(n: int = 12) -> str:
        return " ".join(draw.choices(WORDS, k=draw.randint(2, n))) + f" #{draw.randrange(10**6)}"

    def asks(name: str) -> Json:
        function = {"name": "find_order", "arguments": json.dumps({"q": said(4)})}
        made = [{"id": name, "type": "function", "function": function}]
        return {"role": "assistant", "content": None, "tool_calls": made}

    for number in range(count):
        messages = [{"role": "system", "content": said(40)}, {"role": "user", "content": said()}]
        for turn in range(draw.randrange(3)):
            result = {"role": "tool", "tool_call_id": f"c{turn}", "content": said()}
            messages += [asks(f"c{turn}"), result]
        tool = draw.random() < 0.4
        yield Call(
            id=f"call-{seed}-{number}",
            at=1_760_000_000.0 + number,
            source="",
            request={"model": "big", "messages": messages, "tools": [TOOL]},
            reply=asks("r") if tool else {"role": "assistant", "content": said()},
            model="big-1",
            finish_reason="tool_calls" if tool else "stop",
            prompt_tokens=draw.randint(20, 900),
            completion_tokens=draw.randint(1, 90),
            latency_s=draw.randint(50, 5_000) / 1e3,
            conversation=f"conv-{number // 3}",
            client="app",
        )


def damaged(count: int, seed: int = 0) -> Iterator[bytes]:
    """Lines with cuts, wrong types, deep nesting, huge numbers, NULs, lone surrogates, 50 MB."""
    draw = random.Random(seed)
    junk: list[object] = [None, 0, -1, 1e300, 10**60, "", "\0", [], {}, [[]], {"role": 5}, True]
    writers = [write for _, write in FORMATS.values()]

    def spoil(node: object) -> None:
        while isinstance(node, dict | list) and node:
            key = draw.choice(list(node) if isinstance(node, dict) else range(len(node)))
            if draw.random() < 0.3 or not isinstance(node[key], dict | list):
                node[key] = draw.choice(junk)
                return
            node = node[key]

    for call in made_up(count, seed + 1):
        document = json.loads(json.dumps(draw.choice(writers)(call)[-1]))
        if (kind := draw.randrange(8)) < 4:
            spoil(document)
        line = json.dumps(document).encode()
        if kind == 4:
            line = line[: draw.randrange(len(line))]
        elif kind == 5:
            line = line.replace(b'"a', b'"\\ud800', 3)
        elif kind == 6:
            place = draw.randrange(len(line))
            line = line[:place] + draw.randbytes(3).replace(b"\n", b"") + line[place:]
        elif draw.random() < 0.02:
            line = b"[" * draw.randrange(1, 5_000)
        yield line
    for size in LONG:
        content = "word " * (size // 5)
        line = json.dumps({"messages": [{"role": "user", "content": content}]}).encode()
        yield line
        yield line[: size - 9]


def write_lines(path: Path, lines: Iterable[bytes]) -> int:
    """Write lines to a file; return how many are not blank."""
    count = 0
    with path.open("wb") as file:
        for line in lines:
            file.write(line + b"\n")
            count += bool(line.strip())
    return count


def take(source: Path, out: Path) -> Counts:
    """Ingest one source; a source without any call counts as refused with all its records."""
    out.mkdir(parents=True)
    try:
        return ingest([str(source)], out, Ingest())
    except Refused:
        bad = sum(1 for _ in records.read_rejected(out / "quarantine.parquet"))
        return Counts("ingest", bad, 0, {"refused": bad})


def inside(path: Path) -> int:
    """Return how many records a log file holds, counted without ingest."""
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        data = file.read()
    if ".jsonl" in path.name:
        return sum(bool(line.strip()) for line in data.splitlines())
    document = json.loads(data)
    return len(document["observations"]) if "observations" in document else 1


Row = Json


def row(name: str, held: int, counts: Counts, **more: object) -> Row:
    """One line of the table."""
    dropped = dict(counts.dropped)
    lost = max(0, held - counts.read)
    return {"log": name, "in": held, "kept": counts.kept, "dropped": dropped, "lost": lost, **more}


def real(data: Path, work: Path) -> Iterator[Row]:
    """The logs under `data`, file by file."""
    names = ["wire/*.gz", "traces/*.json.gz", "ingest/*.jsonl", "mixes/visible.jsonl.gz"]
    for path in (p for name in names for p in sorted(data.glob(name))):
        counts = take(path, work / "real" / path.parent.name / path.name)
        yield row(f"{path.parent.name}/{path.name}", inside(path), counts)


def generated(count: int, work: Path) -> Iterator[Row]:
    """Calls written in every format and read back."""
    known = list(made_up(count))
    for name, (_, write) in FORMATS.items():
        lines = [json.dumps(d).encode() for call in known for d in write(call)]
        path = work / f"{name}.jsonl"
        write_lines(path, lines)
        counts = take(path, work / "generated" / name)
        back = {c.id: c for c in records.read(work / "generated" / name / "calls")}
        same = sum(_same(call, back.get(call.id)) for call in known)
        yield row(f"generated/{name}", len(known), counts, same=same)


def _same(call: Call, back: Call | None) -> bool:
    return back is not None and _said(call) == _said(back) and abs(call.at - back.at) < 1e-3


def _said(call: Call) -> list[Any]:
    def plain(message: Json) -> object:
        made = [c["function"] for c in message.get("tool_calls") or ()]
        named = [(f["name"], json.loads(f["arguments"])) for f in made]
        return message["role"], records.text_of(message.get("content")), named

    return [plain(m) for m in (*call.messages, call.reply)]


def fuzzed(count: int, work: Path) -> Row:
    """Damaged lines: nothing crashes, nothing vanishes."""
    path = work / "fuzz.jsonl"
    return row("fuzzed", write_lines(path, damaged(count)), take(path, work / "fuzz"))


def check(taken: Path, out: Path) -> Counts:
    """Validate what was ingested."""
    out.mkdir()
    return validate(taken / "calls", out, Validate())


def both(source: Path, out: Path) -> Counts:
    """Ingest and validate."""
    take(source, out)
    return check(out, out / "checked")


def speed(source: Path, work: Path) -> Row:
    """Ingest and validate of one raw JSONL file, in megabytes per second of processor time.

    What Great Expectations takes whatever the size, once a process and once a night, stands apart.
    """
    size = source.stat().st_size / 1e6

    def timed(run: Callable[[], T]) -> tuple[T, float]:
        start = time.process_time()
        return run(), time.process_time() - start

    with source.open("rb") as file:
        _, plain = timed(lambda: sum(len(json.loads(line)) for line in file))
        file.seek(0)
        (work / "first.jsonl").write_bytes(file.readline())
        (work / "some.jsonl").write_bytes(b"".join(islice(file, 2_000)))
    _, fixed = timed(lambda: both(work / "some.jsonl", work / "warm"))  # loads Great Expectations
    _, again = timed(lambda: both(work / "first.jsonl", work / "again"))  # its suite and Data Docs
    taken, first = timed(lambda: take(source, work / "taken"))
    checked, second = timed(lambda: check(work / "taken", work / "checked"))
    rates = {
        "json.loads alone": size / plain,
        "ingest": size / first,
        "validate": size / (second - again),
        "both": size / (first + second - again),
    }
    return {
        "megabytes": round(size, 1),
        "calls": taken.kept,
        "valid": checked.kept,
        **{f"{name} MB/s": round(rate, 1) for name, rate in rates.items()},
        "once s": round(fixed, 1),
        "a night s": round(again, 1),
        "peak MB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def big(path: Path, megabytes: int) -> None:
    """Write a log of about that size, every call different."""
    with path.open("wb") as file:
        seed = 0
        while file.tell() < megabytes * 1_000_000:
            seed += 1
            for call in made_up(2_000, seed):
                call.request["messages"][0]["content"] *= 12
                file.write(json.dumps(FORMATS["openai"][1](call)[0]).encode() + b"\n")


def alone(source: Path, work: Path) -> Row:
    """The speed in a process of its own, so that its peak memory is its own."""
    work.mkdir()
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(speed, (source, work))


def speeds(data: Path, megabytes: int, work: Path) -> Iterator[Row]:
    """The production-like stream, and a generated file where one is asked for."""
    stream = data / "mixes" / "visible.jsonl.gz"
    if stream.exists():
        path = work / "stream.jsonl"
        path.write_bytes(gzip.decompress(stream.read_bytes()))
        yield {"log": "mixes/visible", **alone(path, work / "stream")}
    if megabytes:
        path = work / "big.jsonl"
        big(path, megabytes)
        yield {"log": f"generated {megabytes} MB", **alone(path, work / "big")}


def told(one: Row) -> str:
    """One line of the table, and the reasons below it."""
    same = f"  same {one['same']:,}" if "same" in one else ""
    line = f"{one['log']:<52}{one['in']:>8,} in{one['kept']:>8,} kept{one['lost']:>4} lost{same}"
    return line + (f"\n    {one['dropped']}" if one["dropped"] else "")


def main() -> None:
    """Run every part and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    home = Path(__file__).parents[2] / "shared/data"
    where = Path(os.environ.get("FLYWHEEL_EVAL_DATA") or home)
    parser.add_argument("--data", type=Path, default=where, help="folder of real logs")
    parser.add_argument("--calls", type=int, default=500, help="generated calls per format")
    parser.add_argument("--fuzz", type=int, default=20_000, help="damaged lines")
    parser.add_argument("--big", type=int, default=0, help="megabytes of the generated large file")
    given = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        for one in (
            *real(given.data, work),
            *generated(given.calls, work),
            fuzzed(given.fuzz, work),
        ):
            rows.append(one)
            print(told(one))
        timed = list(speeds(given.data, given.big, work))
        for one in timed:
            print(one)
    lost = sum(one["lost"] for one in rows)
    print(json.dumps({"lost": lost, "logs": rows, "speed": timed}))
    sys.exit(1 if lost else 0)


if __name__ == "__main__":
    main()
