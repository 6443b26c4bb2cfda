"""Shards of ingested calls: one Parquet file per day, each call once, the rest in quarantine.

Memory stays flat: waiting rows are written as soon as they hold `SPILL` bytes of JSON, whatever
day they belong to; what was seen is remembered as 128 bits per call.
"""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import date, timedelta
from functools import lru_cache
from operator import attrgetter
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.core.encryption import parquet_writer
from tasks.core.records import CALLS, REJECTED, Call, Rejected, Writer, digest, text_of

DUPLICATE, OUTSIDE = "duplicate", "outside window"
SPILL = 8 << 20
RECENT = 1 << 17  # calls kept in a dict before they are sorted in
SEEN = "seen.parquet"
STATED = ["at"]  # the column whose range a file states: texts would double its footer
_NONE = np.empty(0, np.int64)
_SEEN = pa.schema([pa.field("id", pa.int64()), pa.field("content", pa.int64())])


_row = attrgetter(*CALLS.names)
_REQUEST, _REPLY, _STUDENT = (CALLS.names.index(n) for n in ("request", "reply", "student"))


def row(call: Call) -> list[object]:
    """A call as the row that its file has: JSON as bytes. Raises on what JSON cannot say."""
    columns = list(_row(call))
    columns[_REQUEST] = msgspec.json.encode(call.request)
    columns[_REPLY] = msgspec.json.encode(call.reply)
    if call.student is not None:
        columns[_STUDENT] = msgspec.json.encode(call.student)
    return columns


class _Shard:
    """A day's file, whose waiting rows are written when memory says so, not when they are many."""

    def __init__(self, path: Path) -> None:
        self.waiting: list[list[object]] = []
        how = {"compression": "zstd", "write_statistics": STATED}
        self._file = parquet_writer(path, CALLS, **how)

    def __enter__(self) -> _Shard:
        return self

    def __exit__(self, *_: object) -> None:
        self.spill()
        self._file.close()

    def spill(self) -> None:
        """Write what waits as one row group."""
        if self.waiting:
            columns = zip(*self.waiting, strict=True)
            arrays = [pa.array(c, f.type) for c, f in zip(columns, CALLS, strict=True)]
            self._file.write_table(pa.Table.from_arrays(arrays, schema=CALLS))
            self.waiting.clear()


class TakenCalls:
    """The calls that were taken: 64 bits of the id and of the content each, 16 bytes a call.

    The newest are in a dict; the others in two arrays, sorted by key.
    """

    def __init__(self) -> None:
        self._recent: dict[int, int] = {}
        self._keys, self._contents = array("q"), array("q")

    def get(self, key: int) -> int | None:
        """The content that was taken under a key."""
        content = self._recent.get(key)
        at = bisect_left(self._keys, key) if content is None else 0
        if content is None and at < len(self._keys) and self._keys[at] == key:
            return self._contents[at]
        return content

    def add(self, key: int, content: int) -> None:
        """Take a call."""
        self._recent[key] = content
        if len(self._recent) >= RECENT:
            self._settle()

    def update(self, table: pa.Table) -> None:
        """Take what an earlier night took."""
        self._settle(*(column.to_numpy() for column in table.columns))

    def table(self) -> pa.Table:
        """All of them, by key."""
        self._settle()
        columns = [pa.array(np.asarray(part)) for part in (self._keys, self._contents)]
        return pa.Table.from_arrays(columns, schema=_SEEN)

    def _settle(self, keys: object = _NONE, contents: object = _NONE) -> None:
        """Sort the newest in, and some more."""
        recent = self._recent
        keys = np.concatenate([self._keys, np.fromiter(recent, np.int64), keys])
        contents = np.concatenate(
            [self._contents, np.fromiter(recent.values(), np.int64), contents]
        )
        order = np.argsort(keys, kind="stable")
        self._keys = array("q", keys[order].tobytes())
        self._contents = array("q", contents[order].tobytes())
        recent.clear()


class Shards:
    """The files of a day and the quarantine: records are written, counted and known again."""

    def __init__(self, out: Path, window: tuple[float | None, float | None]) -> None:
        self.out, self.window = out, window
        self.kept, self.waiting = 0, 0
        self.dropped: Counter[str] = Counter()
        self.seen, self.earlier = TakenCalls(), TakenCalls()
        self._shards: dict[str, _Shard] = {}
        self._files = ExitStack()
        self._quarantine = self._files.enter_context(
            Writer(out / "quarantine.parquet", REJECTED, chunk=64, raw=True)
        )

    def __enter__(self) -> Shards:
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    def remember(self, earlier: Sequence[Path]) -> None:
        """Know the calls that earlier nights kept."""
        for folder in earlier:
            if (path := folder / SEEN).exists():
                self.earlier.update(pq.read_table(path))

    def save_seen(self) -> None:
        """Write which calls this night kept, for later nights to know."""
        pq.write_table(self.seen.table(), self.out / SEEN, compression="zstd")

    def reject(self, rejected: Rejected) -> None:
        """Put a record into quarantine."""
        self.dropped[rejected.reason] += 1
        self._quarantine.write(rejected)

    def take(self, call: Call, row: list[object], again: bool = False) -> None:
        """Keep a call as its row, unless it is outside the night's window or was kept before.

        `again` takes a call that an earlier night kept: it comes back out of quarantine.
        """
        since, until = self.window
        early = since is not None and call.at < since
        if call.at and (early or (until is not None and call.at >= until)):
            self._pass(call, OUTSIDE)
            return
        row[0] = self._fresh(call, TakenCalls() if again else self.earlier)
        if not row[0]:
            self._pass(call, DUPLICATE)
            return
        self._shard(day_of(call.at)).waiting.append(row)
        self.kept += 1
        self.waiting += len(row[_REQUEST]) + len(row[_REPLY])
        if self.waiting > SPILL:
            self.waiting = 0
            for shard in self._shards.values():
                shard.spill()

    def _pass(self, call: Call, reason: str) -> None:
        """Drop a good call; it is at its source, so no copy is kept."""
        detail = day_of(call.at)
        self.reject(Rejected(id=call.id, source=call.source, reason=reason, detail=detail))

    def _fresh(self, call: Call, earlier: TakenCalls) -> str:
        """The call's id; empty when it is known. Another call under a known id gets its own."""
        content, named = _short(turn(call)), call.id
        key = _short(named.encode())
        earlier_content = self.seen.get(key) or earlier.get(key)
        if earlier_content is not None and earlier_content != content:
            named = f"{named}-{digest(str(content), length=8)}"
            key = _short(named.encode())
            earlier_content = self.seen.get(key) or earlier.get(key)
        if earlier_content is not None:
            return ""
        self.seen.add(key, content)
        return named

    def _shard(self, day: str) -> _Shard:
        if day not in self._shards:
            shard = _Shard(self.out / "calls" / f"{day}.parquet")
            self._shards[day] = shard
            self._files.enter_context(shard)
        return self._shards[day]


def day_of(at: float) -> str:
    """The UTC day of a time; calls of unknown time share one shard."""
    return _day(int(at // 86_400)) if at else "undated"


@lru_cache(maxsize=1024)
def _day(number: int) -> str:
    return (date(1970, 1, 1) + timedelta(days=number)).isoformat()


def turn(call: Call) -> bytes:
    """The text of a call's messages and reply, however an exporter lays out its JSON."""
    texts = [text_of(one.get("content")) for one in (*call.request["messages"], call.reply)]
    texts += [str(call.reply.get("refusal") or "")]
    for tool_call in call.reply.get("tool_calls") or ():
        texts += [tool_call["function"]["name"], tool_call["function"]["arguments"]]
    return "\0".join(texts).encode("utf-8", "surrogatepass").translate(None, b" \t\r\n")


def _short(data: bytes) -> int:
    """64 bits, not all zero, that stand for some bytes."""
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big", signed=True) or 1
