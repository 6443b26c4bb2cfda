"""The other parts of `benchmarks.deidentify`: false hits, JSON bodies, injected secrets, speed."""

from __future__ import annotations

import json
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import msgspec

from benchmarks.deidentify import SAMPLE, Find, Row, ours, rows, there
from tasks.core.records import Call, digest

TAU, SGD, MIXES = "tau_bench_airline_gpt4o/records", "sgd_assistant/train", "mixes/visible"
CARRIERS = (
    "{}",
    "Where is {}?",
    "The order {} is late.",
    "order id: {}",
    "item: {}\nquantity: 2",
    "I want to return {}.",
    "Your reservation {} is confirmed.",
    "id: {}\nstatus: open",
    "- **{}**",
    "see {} and call me",
    "({})",
    "Total: {}",
    "It was on {}.",
    "flight {} please",
    '"{}"',
)


def calls(name: str, limit: int = 10**9) -> list[Call]:
    """The calls of a set of ours."""
    out = []
    for number, row in enumerate(rows(name)):
        if number == limit:
            break
        reply = row["response"]["choices"][0]["message"]
        out.append(
            Call(
                id=f"{number}",
                at=0.0,
                source=f"{name}:{number}",
                request=row["request"],
                reply=reply,
            )
        )
    return out


def _numbers(rng: Random) -> dict[str, Callable[[], str]]:
    def digits(count: int) -> str:
        return "".join(str(rng.randint(0, 9)) for _ in range(count))

    return {
        "order id": lambda: rng.choice(
            (f"#W{digits(7)}", f"ORD-{digits(6)}", f"#{digits(5)}", f"A-{digits(8)}")
        ),
        "item id": lambda: str(rng.randint(10**9, 10**10 - 1)),
        "UUID": lambda: str(uuid.UUID(int=rng.getrandbits(128))),
        "ISO date": lambda: (
            f"20{rng.randint(10, 26)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}"
        ),
        "plain number": lambda: rng.choice(
            (digits(3), digits(5), f"{rng.random() * 999:.2f}", digits(7))
        ),
        "reservation": lambda: "".join(rng.choices("ABCDEFGHJKLMNPQRSTUVWXYZ0123456789", k=6)),
        "hash": lambda: f"{rng.getrandbits(128):032x}",
    }


def false_hits(find: Find, count: int = 600) -> Row:
    """Ids, dates and numbers that a task copies, and how many would be replaced."""
    from tasks.core.params import Deidentify
    from tasks.deidentify.recall_probe import interval

    rng, keep = Random(7), set(Deidentify().keep)
    shown: Row = {}
    for name, make in _numbers(rng).items():
        texts, spans = [], []
        for _ in range(count):
            before, after = rng.choice(CARRIERS).split("{}")
            value = make()
            texts.append(before + value + after)
            spans.append((len(before), len(before) + len(value)))
        hit = sum(
            any(
                k not in keep and 2 * (min(b, end) - max(a, start)) >= end - start
                for a, b, k in found
            )
            for (start, end), found in zip(spans, find(texts), strict=True)
        )
        low, high = interval(hit, count)
        print(f"  {name:14} false hits {hit}/{count} = {hit / count:.4f} [{low:.4f} {high:.4f}]")
        shown[name] = {"hits": hit, "n": count, "low": low, "high": high}
    return shown


def bodies() -> Row:
    """JSON bodies through the whole hop: still JSON, same keys; injected secrets gone."""
    from tasks.deidentify.recall_probe import rng_secret

    rng = Random(3)
    some = [c for name, step in ((TAU, 2), (SGD, 3)) if there(name) for c in calls(name)[::step]]
    secrets = [rng_secret(rng) for _ in range(min(400, len(some)))]
    for place, secret in zip(rng.sample(range(len(some)), len(secrets)), secrets, strict=True):
        some[place] = _with(some[place], secret)
    kept, seconds = _hop(some)
    clean = {c.id + c.source: c for c in kept}
    count = broken = 0
    for call in some:
        after = clean.get(call.id + call.source)
        if after is None:
            continue
        for old, new in zip(_bodies(call), _bodies(after), strict=True):
            count += 1
            broken += _shape(old) != _shape(new)
    text = "\n".join(json.dumps([c.request, c.reply]) for c in kept)
    left = sum(secret in text for secret in secrets)
    aside = len(some) - len(kept)
    print(f"  JSON bodies {count:,}, broken or keys changed {broken}; {aside} calls set aside")
    print(f"  injected secrets {len(secrets)}, surviving {left} ({seconds:.0f} s)")
    told = {"bodies": count, "broken": broken, "set aside": aside}
    return told | {"secrets": len(secrets), "surviving": left}


def _with(call: Call, secret: str) -> Call:
    messages = [
        *call.messages,
        {"role": "user", "content": json.dumps({"note": f"use {secret} now"})},
    ]
    return replace(call, request=call.request | {"messages": messages})


def _bodies(call: Call) -> Iterator[str]:
    for message in [*call.messages, call.reply]:
        content = message.get("content")
        if isinstance(content, str) and content[:1] in {"{", "["}:
            yield content
        for tool in message.get("tool_calls") or ():
            yield tool["function"]["arguments"]


def _shape(body: str) -> object:
    def walk(value: object) -> object:
        if isinstance(value, dict):
            return {k: walk(v) for k, v in value.items()}
        return [walk(v) for v in value] if isinstance(value, list) else type(value).__name__

    try:
        return walk(json.loads(body))
    except ValueError:
        return body


def _hop(some: Sequence[Call]) -> tuple[list[Call], float]:
    from tasks.core.params import Deidentify
    from tasks.core.records import read_clean, write
    from tasks.deidentify.deidentify import deidentify

    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / "calls.parquet", Path(folder) / "out"
        out.mkdir()
        write(source, some)
        began = time.process_time()
        deidentify(source, out, Deidentify(probe=0), key=b"benchmark")
        return list(read_clean(out / "calls.parquet")), time.process_time() - began


def speed() -> Row:
    """MB/s of raw records and calls/s of the whole hop, and of `BatchAnalyzerEngine`.

    Seconds are of processor time on one core; a digest tells whether two versions write the same.
    """
    import torch

    torch.set_num_threads(1)
    began = time.process_time()
    ours()(["My name is Ann Lee."])
    shown: Row = {"start s": time.process_time() - began}
    print(f"  start: {shown['start s']:.1f} s, libraries and model")
    for name in filter(there, (SAMPLE.name, TAU, MIXES)):
        some = calls(name)
        size = sum(len(json.dumps([c.request, c.reply])) for c in some) / 1e6
        kept, seconds = _hop(some)
        rate, told = len(some) / seconds, digest(msgspec.json.encode(kept))
        print(f"  {name}: {size:.1f} MB, {len(some):,} calls in {seconds:.1f} s: "
              f"{size / seconds:.2f} MB/s, {rate:.0f} calls/s; kept {len(kept):,}")  # fmt: skip
        print(f"    written: {told}")
        theirs = _batch_engine(some[:: max(len(some) // 20, 1)])
        print(
            f"    BatchAnalyzerEngine, same detectors: {theirs:.2f} calls/s; {rate / theirs:.0f}x"
        )
        shown[name] = {
            "MB/s": size / seconds,
            "calls/s": rate,
            "written": told,
            "BatchAnalyzerEngine calls/s": theirs,
        }
    return shown


def _batch_engine(some: Sequence[Call]) -> float:
    """The same recognisers and tagger behind Presidio's own batch engine, call by call."""
    from presidio_analyzer import BatchAnalyzerEngine

    from tasks.core.params import Deidentify
    from tasks.deidentify.detectors import Detector

    detector = Detector(Deidentify())
    engine = BatchAnalyzerEngine(detector.engine([detector.model_recogniser()]))
    began = time.process_time()
    for call in some:
        texts = [t for t in _strings(call) if t]
        Counter(len(found) for found in engine.analyze_iterator(texts, language="en"))
    return len(some) / (time.process_time() - began)


def _strings(call: Call) -> list[str]:
    from tasks.deidentify.cleaner import strings

    return [text for _, _, text in strings(call)]
