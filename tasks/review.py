"""A reviewer's view of the de-identification: before and after, what was found and by whom.

    python -m tasks.review data/validate/calls.parquet --sample 20

Shows real personal data. It goes to a terminal only: nothing here writes a file.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tasks.cleaner import Quarantined, strings
from tasks.deidentify import Night, load_key
from tasks.params import Deidentify, load
from tasks.records import Call, read
from tasks.stage import Refused

CONTEXT = 60  # characters shown around what was found


@dataclass(frozen=True, slots=True)
class Shown:
    """A string before and after, with what was found in it: type, text, score, detector."""

    call: str
    role: str
    before: str
    after: str
    findings: tuple[tuple[str, str, float, str], ...]


def sample(
    calls: Sequence[Call], params: Deidentify, key: bytes, n: int, seed: int = 0
) -> tuple[list[Shown], Counter[tuple[str, str]]]:
    """Some strings with findings, and how many were found by (type, detector) in all calls."""
    night = Night(params, key)
    night.survey(calls)
    shown: dict[tuple[str, str], Shown] = {}
    table: Counter[tuple[str, str]] = Counter()
    for call in calls:
        for item in _shown(night, call):
            table.update((kind, detector) for kind, _, _, detector in item.findings)
            shown.setdefault((item.role, item.before), item)
    every = list(shown.values())
    return Random(seed).sample(every, min(n, len(every))), table


def _shown(night: Night, call: Call) -> Iterable[Shown]:
    try:
        after = list(strings(night.clean(call)))
    except Quarantined:
        return
    for (role, path, old), (_, _, new) in zip(strings(call), after, strict=True):
        scanned = night.scanner.known(path, old)
        found = tuple(
            (f.finding.kind, f.text, f.finding.score, f.finding.detector)
            for leaf in scanned
            for f in leaf
        )
        if found:
            yield Shown(call.id, role, old, new, found)


def _cut(text: str, found: Sequence[str]) -> str:
    """A long text around the first thing that was found in it."""
    at = min((text.find(t) for t in found if t in text), default=0)
    start = max(at - CONTEXT, 0)
    return repr(text[start : at + 4 * CONTEXT])


def show(item: Shown) -> str:
    """One string as lines of text for a terminal."""
    lines = [
        f"{item.call} ({item.role})",
        f"  before  {_cut(item.before, [t for _, t, _, _ in item.findings])}",
    ]
    lines.append(
        f"  after   {_cut(item.after, [])}"
        if len(item.after) < 4 * CONTEXT
        else f"  after   {_near(item)}"
    )
    lines += [
        f"    {kind:16} {score:.2f} {by:9} {text!r}" for kind, text, score, by in item.findings[:8]
    ]
    return "\n".join(lines)


def _near(item: Shown) -> str:
    """The part of the changed text where the original first differs."""
    pairs = zip(item.before, item.after, strict=False)
    at = next((i for i, (a, b) in enumerate(pairs) if a != b), 0)
    return repr(item.after[max(at - CONTEXT, 0) : at + 3 * CONTEXT])


def main() -> None:
    """Show a sample of a file of validated calls."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("calls", type=Path)
    parser.add_argument("--sample", type=int, default=20)
    parser.add_argument("--home", type=Path, default=Path(".flywheel"))
    args = parser.parse_args()
    if not sys.stdout.isatty():
        raise Refused("this shows personal data; it writes to a terminal only")
    shown, table = sample(
        list(read(args.calls)), load().deidentify, load_key(args.home), args.sample
    )
    print("\n\n".join(map(show, shown)))
    for (kind, detector), count in table.most_common():
        print(f"{kind:18} {detector:10} {count:8,}")


if __name__ == "__main__":
    main()
