"""The journal: one JSON line for each call that the gateway answered. Only ever added to.

`<folder>/<YYYY-MM-DD>.jsonl`, by the UTC day of the call; `<YYYY-MM-DD>.$JOURNAL_WRITER.jsonl`
where several gateways share a folder, as each has to write files of its own. A line is handed to
the operating system in one `write` as soon as the call (and its audit) is over, so a crash of the
gateway loses no line that was written. `sync`, which the gateway calls every second and at the end,
also brings the lines to the disk: a power cut loses at most the last second. A line that a crash
tore is closed with a line break when the file is next opened, so it never swallows the record after
it.

The line of a call that was answered and is still audited is kept aside, one file each in a hidden
folder of this gateway; what a killed gateway left there, the next one to start writes.

Where nothing can be written, as on a full disk, no student's answer may be given (NotRecorded). The
teacher's answers go on without a line; once a line is written again, all is as before.
"""

from __future__ import annotations

import logging
import math
import os
import shutil
import threading
import uuid
from collections import deque
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from filelock import FileLock, Timeout

from serving.journal_quota import JournalQuota
from tasks.core import encryption
from tasks.core.records import Json

log = logging.getLogger("flywheel.gateway")

VERSION = 1
OPEN_FILES = 4
ASIDE = ".aside-"


class NotRecorded(OSError):  # noqa: N818 - it reads as what happened
    """A student's answer cannot be put on record, so it may not be given."""


class Journal:
    """Appends lines to the files of one folder.

    The texts in it are as personal as the calls are: only the owner may read the files. Beyond
    `most` bytes lines have none. Raises Refused where the key to encrypt them with is none.
    """

    def __init__(self, folder: Path, most: float = math.inf) -> None:
        encryption.keys()  # now, not when a call has been answered
        self.folder, self.quota = folder, JournalQuota(folder, most)
        writer = os.environ.get("JOURNAL_WRITER", "")
        self._suffix = f".{writer}.jsonl" if writer else ".jsonl"
        self._files: dict[str, int] = {}
        self._unsynced: set[str] = set()
        self._closing = threading.Lock()  # sync runs in a thread and must not meet a closed file
        self._aside = folder / f"{ASIDE}{uuid.uuid4().hex}"
        self._alive: FileLock | None = None  # held while this process lives
        self._late = deque[Json]()  # lines kept aside that found no room when they were whole
        self.failing = ""  # why the last line was not written

    def put_aside(self, line: Json) -> None:
        """Write a line that `keep` is to write again, with more in it, before this process ends.

        Raises NotRecorded, also where the last line that was to be written could not be.
        """
        if self.failing:
            raise NotRecorded
        file = self._aside_of(line)
        try:
            if self._alive is None or not self._aside.is_dir():
                self._aside.mkdir(parents=True, mode=0o700, exist_ok=True)
                self._alive = FileLock(self._aside / "lock", thread_local=False)
                self._alive.acquire()
            kept = encryption.encrypted(msgspec.json.encode(self.quota.kept(line)))
            file.write_bytes(kept)
        except OSError as error:
            with suppress(OSError):
                file.unlink(missing_ok=True)  # the teacher answers, and that has a line of its own
            self._failed(error)
            raise NotRecorded from error

    def record(self, line: Json) -> None:
        """Write the line of a student's answer before it is given. Raises NotRecorded."""
        try:
            self.append(line)
        except OSError as error:
            self._failed(error)
            raise NotRecorded from error
        self._written()

    def recover(self) -> int:
        """Write the lines that killed gateways had put aside; return how many there were.

        Raises Refused where lines of this journal are encrypted with a key that is not here.
        """
        self.quota.measure()
        for file in self.folder.glob("*.jsonl*"):
            encryption.check_key(file)
        records = 0
        for folder in self.folder.glob(f"{ASIDE}*"):
            if folder == self._aside:
                continue
            try:
                with FileLock(folder / "lock").acquire(timeout=0):
                    records += sum(self._recovered(path) for path in folder.glob("*.json"))
                    shutil.rmtree(folder)
            except Timeout:
                continue  # another gateway on this home is alive
            except OSError as error:  # the next one to start may write them
                log.error("lines put aside in %s are not written: %s", folder, error)
        return records

    def _recovered(self, path: Path) -> bool:
        """Write a line that was put aside, unless its gateway died between that and removing it."""
        try:
            line: Json = msgspec.json.decode(b"".join(encryption.lines(path)))
        except msgspec.DecodeError:
            log.error("a line that was put aside is torn: %s", path.stem)
            return False
        written = self.folder.glob(f"{_day(line)}*.jsonl")
        if any(_holds(file, line["id"]) for file in written):
            return False
        self.append(line)
        return True

    def append(self, line: Json) -> None:
        """Write one call; `line["at"]` (seconds since the epoch) names the file."""
        day = _day(line)
        plain = msgspec.json.encode({"v": VERSION, **self.quota.kept(line)})
        data = memoryview(encryption.encrypted(plain) + b"\n")
        size = len(data)
        file = self._open(day)
        try:
            while data:  # a write is whole but for a full disk or a signal
                data = data[os.write(file, data) :]
        except OSError:
            self._drop(day)  # opened anew, what is torn is closed with a line break
            raise
        self._unsynced.add(day)
        self.quota.wrote(size)

    def keep(self, line: Json) -> bool:
        """Append a line whose call is over; return whether it is kept.

        On a full disk it is lost, unless it was put aside: then it is written later.
        """
        try:
            self.append(line)
        except OSError as error:
            self._failed(error)
            if not self._aside_of(line).exists():
                return False
            self._late.append(line)
            return True
        if self._alive is not None:
            self._aside_of(line).unlink(missing_ok=True)
        self._written()
        return True

    def _aside_of(self, line: Json) -> Path:
        return self._aside / f"{line['id']}.json"

    def _failed(self, error: OSError) -> None:
        """Remember that nothing can be written; it is said in the log, once."""
        if not self.failing:
            self.failing = error.strerror or str(error)
            log.error("%s", str(self))  # now: a log may be written later

    def _written(self) -> None:
        """A line was written: what had to wait for room is written, too."""
        if self.failing:
            self.failing = ""
            log.warning("calls are kept again in %s", self.folder)
        with suppress(OSError):
            while self._late:
                self.append(self._late[0])
                self._aside_of(self._late.popleft()).unlink(missing_ok=True)

    def __str__(self) -> str:
        """Say how it is, in a sentence."""
        if not self.failing:
            return str(self.quota)
        return (
            f"nothing can be written to {self.folder} ({self.failing}): until it can, the teacher "
            "answers all calls, and they are not kept"
        )

    def _open(self, day: str) -> int:
        path = self.folder / f"{day}{self._suffix}"
        if day in self._files:
            if _is(path, self._files[day]):
                return self._files[day]
            log.error("%s was removed or moved while it was written: it is made again", path)
            self._drop(day)
        while len(self._files) >= OPEN_FILES:
            self._close(next(iter(self._files)))
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self._files[day] = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            size = os.fstat(file).st_size
            if size and os.pread(file, 1, size - 1) != b"\n":
                os.write(file, b"\n")
        except OSError:
            self._drop(day)
            raise
        return file

    def sync(self) -> None:
        """Bring everything written so far to the disk. May run in a thread of its own."""
        self.quota.measure()
        while self._unsynced:
            day = self._unsynced.pop()
            with self._closing:
                if day in self._files:
                    os.fsync(self._files[day])

    def _close(self, day: str) -> None:
        try:
            with self._closing:
                os.fsync(self._files[day])
        finally:
            self._drop(day)

    def _drop(self, day: str) -> None:
        with self._closing:
            os.close(self._files.pop(day))

    def close(self) -> None:
        """Sync and close the files; a later `append` opens them again."""
        for day in list(self._files):
            self._close(day)
        self._unsynced.clear()
        if self._alive is not None and not any(self._aside.glob("*.json")):
            self._alive.release()
            shutil.rmtree(self._aside, ignore_errors=True)
            self._alive = None


def _is(path: Path, file: int) -> bool:
    """Return whether a path still leads to an open file."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file))
    except FileNotFoundError:
        return False


def _holds(file: Path, call: str) -> bool:
    """Return whether a file has a call's line, and not a torn piece of it."""
    for line in encryption.lines(file):
        if call.encode() in line:
            with suppress(msgspec.DecodeError):
                msgspec.json.decode(line)
                return True
    return False


def _day(line: Json) -> str:
    """The UTC day of a call, which names its file."""
    return datetime.fromtimestamp(line["at"], UTC).date().isoformat()
