"""Clean calls for tests: the sample agent's log, small traffic made here, and real mixes."""

from __future__ import annotations

import gzip
import json
import os
import random
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tasks.core import records
from tasks.core.records import CleanCall

ROOT = Path(__file__).parents[1]
REAL = Path(os.environ.get("FLYWHEEL_EVAL_DATA") or ROOT / "../shared/data")
DAY = 1_772_409_600.0  # Monday 2026-03-02, 00:00 UTC

LABELS = ("billing", "delivery", "account", "other")
WORDS = ("parcel", "invoice", "login", "sofa", "chair", "refund", "late", "broken", "paid", "card")


def logged(path: Path) -> list[CleanCall]:
    """The calls of a log in the NVIDIA-blueprint shape."""
    with gzip.open(path, "rt") as lines:
        return [_logged(json.loads(line), f"{path.name}:{n}") for n, line in enumerate(lines, 1)]


def _logged(record: dict[str, Any], source: str) -> CleanCall:
    choice, usage = record["response"]["choices"][0], record["response"]["usage"]
    return CleanCall(
        id=record["response"]["id"],
        at=datetime.fromisoformat(record["timestamp"]).timestamp(),
        source=source,
        request=record["request"],
        reply=choice["message"],
        finish_reason=choice["finish_reason"],
        prompt_tokens=usage["prompt_tokens"],
        completion_tokens=usage["completion_tokens"],
    )


def sample_agent() -> list[CleanCall]:
    """The sample agent's day: nine kinds of calls."""
    return logged(ROOT / "examples/calls.jsonl.gz")


def visible() -> list[CleanCall]:
    """Fourteen days of ten real sources; skips where the data is not there."""
    path = REAL / "mixes/visible.jsonl.gz"
    if not path.exists():
        pytest.skip(f"no evaluation data at {path}")
    return logged(path)


def truth() -> dict[str, dict[str, Any]]:
    """What each call of `visible` is."""
    with gzip.open(REAL / "mixes/visible.truth.jsonl.gz", "rt") as lines:
        return {row["id"]: row for row in map(json.loads, lines)}


def call(number: int, system: str, user: str, reply: str, **more: Any) -> CleanCall:
    """One call of one turn."""
    fields: dict[str, Any] = {
        "id": f"c{number:05}",
        "at": DAY + 60 * number,
        "source": f"t:{number}",
    }
    messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
    fields |= {"request": {"messages": messages}, "reply": {"role": "assistant", "content": reply}}
    return CleanCall(**fields | more)


def tickets(count: int, seed: int = 0, start: int = 0) -> Iterator[CleanCall]:
    """A router with a per-request header and labels as answers."""
    rng = random.Random(seed)
    for number in range(start, start + count):
        day = f"2026-03-{2 + number // 1440:02}"
        head = f"[request {rng.getrandbits(40):010x} | {day}]\n\nChoose the queue of the message. "
        label = rng.choice(LABELS)
        text = f"{label} " + " ".join(rng.choices(WORDS, k=rng.randint(4, 12)))
        rules = (
            "Answer with one word: billing, delivery, account or other. Do not explain anything."
        )
        yield call(number, head + rules, text, label)


def orders(count: int, seed: int = 1, start: int = 50_000) -> Iterator[CleanCall]:
    """An extractor with JSON answers and no header."""
    rng = random.Random(seed)
    for number in range(start, start + count):
        item, amount = rng.choice(WORDS), rng.randint(1, 90)
        text = f"please send {amount} of the {item} to {rng.choice(WORDS)} {rng.randint(1, 9999)}"
        reply = json.dumps({"item": item, "amount": amount})
        system = (
            "Extract the order from the message of the customer. Return JSON with item, amount."
        )
        yield call(number, system, text, reply)


def write(path: Path, calls: list[CleanCall]) -> Path:
    """A file of clean calls."""
    records.write(path, calls, records.CLEAN)
    return path
