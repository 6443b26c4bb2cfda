"""The audits of all gateways of a home, read from their journals bit by bit.

What a journal's lines say about students is kept in `home/watch/<day>.jsonl`, a short line each, so
that a look every minute reads only what is new. Journals may be renamed or packed meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from serving import evidence
from serving.evidence import EvidenceKey, JournalLine, Observation, RiskTest, observed
from serving.route import RouteFile
from tasks.core.records import digest
from tasks.core.stage import write_atomic

FOLDER, READ, RAISED = "watch", "read.json", "raised.json"
FIRST = 64  # bytes that tell a journal's file from others


def gather(home: Path) -> list[Observation]:
    """Return all that the journals of the newest days say, in the order in which it was read.

    What is new is kept: one at a time may do this.
    """
    folder = home / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for old in sorted(folder.glob("????-??-??.jsonl"))[: -evidence.DAYS]:
        old.unlink()
    return look(home, keep=True)


def look(home: Path, *, keep: bool = False) -> list[Observation]:
    """Return the same; nothing is written unless told."""
    folder = home / FOLDER
    by_id = {observation.id: observation for observation in _kept(folder)}
    offsets = _offsets(folder)
    for file in evidence.files(home / "journal"):
        name, size = _name(file), file.stat().st_size
        start = offsets.get(name, 0)
        if size <= start:
            continue
        end = _end(file, start, size)
        new = [observation for observation in _new(file, start, end) if observation.id not in by_id]
        by_id |= {observation.id: observation for observation in new}
        offsets[name] = end
        if keep:
            _keep(folder / f"{file.name[:10]}.jsonl", new)
    if keep:
        write_atomic(folder / READ, msgspec.json.encode(offsets))
    return list(by_id.values())


def raised(home: Path) -> dict[str, float]:
    """The least share of answers that is audited, of the tasks whose proof is in doubt."""
    with suppress(FileNotFoundError, msgspec.DecodeError):
        return msgspec.json.decode((home / FOLDER / RAISED).read_bytes(), type=dict[str, float])
    return {}


def alarm(home: Path, audits_per_false_alarm: float) -> float:
    """The threshold of a test of all audits, or of one gateway's.

    Where several gateways write, every audit is in two tests, its gateway's and that of all of
    them: each gets half of the false alarms that are allowed.
    """
    named = (file.name.split(".")[1] != "jsonl" for file in evidence.files(home / "journal"))
    several = bool(os.environ.get("JOURNAL_WRITER")) or any(named)
    return audits_per_false_alarm * (2 if several else 1)


def tests(home: Path, threshold: float, observations: list[Observation]) -> list[RiskTest]:
    """Return the evidence about each student that may serve now, of all gateways.

    Those that are taken over from come last.
    """
    by_student = {
        EvidenceKey.of(route): RiskTest(route, threshold)
        for route in RouteFile(home / "routes.json").current().answering
    }
    for one in observations:
        if (test := by_student.get(one.key)) and test.alarm is None:
            test.see(one)
    return list(by_student.values())


def audited(home: Path, key: EvidenceKey) -> list[JournalLine]:
    """Return the audited calls of a student, whole, oldest first."""
    lines = (line for file in evidence.files(home / "journal") for line in evidence.lines(file))
    mine = {line.id: line for line in lines if line.audit and _about(line, key)}
    return sorted(mine.values(), key=lambda line: line.at)


def _about(line: JournalLine, key: EvidenceKey) -> bool:
    observation = observed(line)
    return observation is not None and observation.key == key


def _name(file: Path) -> str:
    """The name of a journal's file, and what is first in it: the call's id, if nothing else.

    Another file may come under the name of one that was rotated or removed, and in its place on
    the disk.
    """
    with file.open("rb") as opened:
        return f"{file.name} {digest(opened.read(FIRST))}"


def _new(file: Path, start: int, end: int) -> Iterator[Observation]:
    for line in evidence.lines(file, start, end):
        if observation := observed(line):
            yield observation


def _end(file: Path, start: int, size: int) -> int:
    """The end of the last whole line; of a packed file, its size."""
    with file.open("rb") as opened:
        if opened.read(1) != b"{":
            return size
        for back in range(size, start, -(1 << 20)):
            opened.seek(max(start, back - (1 << 20)))
            at = opened.read(back - opened.tell()).rfind(b"\n")
            if at >= 0:
                return max(start, back - (1 << 20)) + at + 1
    return start


def _offsets(folder: Path) -> dict[str, int]:
    with suppress(FileNotFoundError, msgspec.DecodeError):
        return msgspec.json.decode((folder / READ).read_bytes(), type=dict[str, int])
    return {}


def _kept(folder: Path) -> Iterator[Observation]:
    """Yield what was read before, of the newest days."""
    decode = msgspec.json.Decoder(Observation).decode
    for file in sorted(folder.glob("????-??-??.jsonl"))[-evidence.DAYS :]:
        for line in file.read_bytes().split(b"\n"):
            with suppress(msgspec.DecodeError):
                yield decode(line)


def _keep(file: Path, observations: list[Observation]) -> None:
    if observations:
        with file.open("ab") as opened:
            opened.write(b"".join(b"\n" + msgspec.json.encode(one) for one in observations) + b"\n")
