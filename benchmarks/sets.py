"""Sets of recorded calls that benchmarks read: `<set>/<part>.jsonl.gz` in a folder, or one file."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tasks.core.records import CleanCall, Json
from tasks.core.stage import Refused
from tasks.ingest.wire.times import seconds

END = ".jsonl.gz"


def home() -> Path:
    """The folder of the sets: `$FLYWHEEL_EVAL_DATA`, or beside the project."""
    beside = Path(__file__).parents[1] / "../shared/data"
    return Path(os.environ.get("FLYWHEEL_EVAL_DATA") or beside)


def find(data: Path, known: Mapping[str, str], wanted: Sequence[str] = ()) -> dict[str, Path]:
    """The files of the sets by name: `known` gives the part of each that is meant.

    `data` is one file, or a folder: of its sets those that are `wanted` (others than the known by
    their path), else the known ones, else all call records that lie there. Raises Refused.
    """
    if data.is_file():
        return {f"{data.resolve().parent.name}/{data.name.removesuffix(END)}": data}
    there = {name: data / f"{part}{END}" for name, part in known.items()}
    if wanted:
        found = {name: there.get(name, data / f"{name}{END}") for name in wanted}
    elif any(path.exists() for path in there.values()):
        found = there
    else:
        every = (path for path in sorted(data.glob(f"*/*{END}")) if _calls(path))
        found = {str(path.relative_to(data)).removesuffix(END): path for path in every}
    missing = [str(path) for path in found.values() if not path.exists()]
    if missing or not found:
        raise Refused(f"no calls at {', '.join(missing) or data} (--data)")
    return found


def _calls(path: Path) -> bool:
    with gzip.open(path, "rt") as lines:
        first = json.loads(next(lines, "null"))
    return isinstance(first, dict) and "request" in first and "response" in first


def read(path: Path) -> Iterator[Json]:
    """The records of a file."""
    with gzip.open(path, "rt") as lines:
        yield from map(json.loads, lines)


def calls(path: Path, name: str) -> list[CleanCall]:
    """A file's calls in the order of time; nothing in them says which task they are of."""
    found, known = [], set[str]()
    for number, record in enumerate(read(path)):
        source, response = f"{name}:{number}", record["response"]
        choice = response["choices"][0]
        own = str(response.get("id") or source)
        found.append(
            CleanCall(
                id=source if own in known else own,
                at=seconds(record.get("timestamp")) or float(number),
                source=source,
                request=record["request"],
                reply=choice["message"],
                finish_reason=choice.get("finish_reason"),
            )
        )
        known.add(own)
    return sorted(found, key=lambda call: (call.at, call.id))
