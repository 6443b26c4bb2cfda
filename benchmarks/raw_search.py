"""Where in a home the sample's customers stand: names, mails, phones and streets, file by file.

    python -m benchmarks.raw_search HOME [--calls 3000] [--days 3] [--seed 0] [--forgotten DAY]

Makes the sample's traffic again (as `flywheel run` with the same numbers sent it), takes what is
personal in it, and looks for that in every file of the home. What is packed is opened: gzip, zstd,
Parquet, SQLite, zip and npz, one inside the other; safetensors, JSON and logs are read as they are,
with JSON's, HTML's and links' escapes undone. Raw calls may be in `journal` and each night's
`ingest` and `validate`, and, of days before --forgotten, nowhere. A surrogate may be the name of
another customer: a name counts where its own call, mail or no call's surrogate explains it.
Prints a table; the last line is one JSON object; the exit status is 1 where something is found.
"""

from __future__ import annotations

import argparse
import gzip
import html
import io
import json
import re
import sqlite3
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from urllib.parse import unquote_plus

import pyarrow.parquet as pq
import re2
import zstandard
from rich.console import Console
from rich.table import Table

from examples.agent import conversations
from examples.wording import SUFFIXES, Voice
from flows.cli.demo import FIRST
from tasks.core.encryption import parquet_file

DEEP = 4  # packings inside one another
RAW = re.compile(r"journal/|nights/[^/]+/[^/]*(?:ingest|validate)[^/]*/")
DAY = re.compile(r"\d{4}-\d\d-\d\d")
_STREET = re.compile(rf"\d+ [A-Z][\w'-]+ (?:{'|'.join(map(re.escape, SUFFIXES))})\b")
_UNICODE = re.compile(r"\\u([0-9a-fA-F]{4})")


@dataclass(frozen=True, slots=True)
class Values:
    """What is personal in raw calls, by kind, in lower case."""

    kinds: dict[str, str]

    def without(self, ambiguous: Iterable[str]) -> Values:
        """The same but for some."""
        gone = set(ambiguous)
        return Values({value: kind for value, kind in self.kinds.items() if value not in gone})

    def finder(self) -> re.Pattern[str]:
        """A pattern of all of them."""
        options = re2.Options()
        options.max_mem = 1 << 30
        longest = sorted(self.kinds, key=len, reverse=True)
        made: re.Pattern[str] = re2.compile("|".join(map(re2.escape, longest)), options=options)
        return made


def personal(calls: int, days: int, seed: int, first: date = FIRST) -> Values:
    """What stands in the sample's first messages of these days, as far as it is a person's."""
    kinds: dict[str, str] = {}
    for number in range(days):
        day = first + timedelta(days=number)
        for case in conversations(calls, day, seed + number):
            voice = Voice(case.seed, day)
            said = str(next(case.open())["messages"][-1]["content"])
            for kind in ("name", "email", "phone"):
                if voice.slots[kind].lower() in said.lower():
                    kinds[voice.slots[kind].lower()] = kind
            kinds |= dict.fromkeys(map(str.lower, _STREET.findall(said)), "street")
    return Values(kinds)


def texts(data: bytes, deep: int = DEEP) -> Iterator[str]:
    """All text in some bytes: what is packed in them, and they themselves."""
    if deep and data[:2] == b"\x1f\x8b":
        yield from texts(gzip.decompress(data), deep - 1)
    elif deep and data[:4] == b"\x28\xb5\x2f\xfd":
        yield from texts(zstandard.ZstdDecompressor().stream_reader(data).read(), deep - 1)
    elif data[:4] == b"PAR1":
        yield from _cells(data)
    elif deep and data[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                yield name
                yield from texts(archive.read(name), deep - 1)
    elif data[:16] == b"SQLite format 3\0":
        yield from _rows(data)
        yield _plain(data)  # and what was deleted, but not yet written over
    else:
        yield _plain(data)
        if b"\0" in data[:4_096]:  # an array of wide letters
            yield data.replace(b"\0", b"").decode("utf-8", "ignore").lower()


def _cells(data: bytes) -> Iterator[str]:
    file = pq.ParquetFile(io.BytesIO(data))
    yield _plain(str(file.schema_arrow.metadata).encode())
    for batch in file.iter_batches(1_024):
        yield _plain(json.dumps(batch.to_pylist(), default=str, ensure_ascii=False).encode())


def _rows(data: bytes) -> Iterator[str]:
    with sqlite3.connect(":memory:") as database:
        database.deserialize(data)
        named = "select name from sqlite_master where type = 'table'"
        for (table,) in database.execute(named).fetchall():
            rows = database.execute(f'select * from "{table}"').fetchall()
            yield _plain("\n".join(map(str, rows)).encode("utf-8", "replace"))
    database.close()


def _plain(data: bytes) -> str:
    """Text in lower case, without the escapes of JSON, HTML and links."""
    text = data.decode("utf-8", "replace")
    if "\\" in text:
        text = _UNICODE.sub(lambda found: chr(int(found[1], 16)), text)
        text = re.sub(r"\\+([/\"'])", r"\1", text)
    if "&" in text:
        text = html.unescape(text)
    unquoted = unquote_plus(text) if "%40" in text or "%20" in text else ""
    return (text + unquoted).lower()


def search(home: Path, values: Values) -> dict[str, Counter[str]]:
    """Return in which files (by their path in the home) how many values of each kind stand."""
    find, found = values.finder(), dict[str, Counter[str]]()
    for path in sorted(p for p in home.rglob("*") if p.is_file() and not p.is_symlink()):
        hits = set(find.findall(str(path.relative_to(home)).lower()))
        for text in texts(path.read_bytes()):
            hits |= set(find.findall(text))
        if hits:
            found[str(path.relative_to(home))] = Counter(values.kinds[hit] for hit in hits)
    return found


def surrogate_names(home: Path, values: Values) -> set[str]:
    """Names of customers that other customers' surrogates are, too: of those nobody can tell."""
    names = [value for value, kind in values.kinds.items() if kind == "name"]
    find = Values(dict.fromkeys(names, "name")).finder()
    found = set[str]()
    for path in home.glob("nights/*/deidentify/calls.parquet"):
        raw = {row["id"]: row for row in _calls(path.parents[1] / "validate/calls.parquet")}
        for row in _calls(path):
            before = str(raw.get(row["id"], "")).lower()
            found |= {name for name in find.findall(str(row).lower()) if name not in before}
    return found


def _calls(path: Path) -> list[dict[str, object]]:
    return parquet_file(path).read().to_pylist() if path.exists() else []


def leaks(found: dict[str, Counter[str]], forgotten: str = "") -> dict[str, Counter[str]]:
    """Return what stands where it may not."""
    return {
        path: kinds
        for path, kinds in found.items()
        if not RAW.match(path) or min(DAY.findall(path), default="9") < forgotten
    }


def main() -> None:
    """Search a home; print a table and one JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("home", type=Path)
    parser.add_argument("--calls", type=int, default=3_000, help="a day, as they were sent")
    parser.add_argument("--days", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--forgotten", default="", help="the day before which nothing may be left")
    chosen = parser.parse_args()
    values = personal(chosen.calls, chosen.days, chosen.seed)
    known = values.without(surrogate_names(chosen.home, values))
    found = search(chosen.home, known)
    bad = leaks(found, chosen.forgotten)
    table = Table("file", "values", "may be there")
    for path, kinds in found.items():
        named = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        table.add_row(path, named, "no" if path in bad else "yes")
    Console().print(table)
    looked = Counter(known.kinds.values())
    print(json.dumps({"looked for": looked, "files": len(found), "leaks": bad}))
    raise SystemExit(int(bool(bad)))


if __name__ == "__main__":
    main()
