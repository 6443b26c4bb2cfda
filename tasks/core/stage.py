"""Stages: how a hop's output gets onto disk, and how `python -m tasks.<hop>` runs under DVC.

A hop writes into a folder of its own; the folder appears under its final name only when it is
complete, with a `manifest.json` beside the data. A hop whose complete output is there is skipped.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from tasks.core.records import Counts
from tasks.core.refused import Refused as Refused  # part of what a hop may raise

HOPS = (
    *("ingest", "validate", "deidentify", "cluster", "dataset"),
    *("train", "evaluate", "calibrate"),
)
MANIFEST = "manifest.json"
LEAST = 20e6  # free bytes without which no service is started
FULL = (errno.ENOSPC, errno.EDQUOT)
FULL_SAID = ("No space left on device", "Disk quota exceeded", "database or disk is full")


def manifest(out: Path) -> dict[str, Any] | None:
    """The manifest of a complete output folder, or None when the hop has not finished there."""
    path = out / MANIFEST
    return msgspec.json.decode(path.read_bytes()) if path.exists() else None


def counts(out: Path) -> Counts | None:
    """The counts of a complete output folder, or None."""
    written = manifest(out)
    return msgspec.convert(written["counts"], Counts) if written else None


def finish(out: Path, result: Counts, extra: Mapping[str, object] | None = None) -> None:
    """Write the manifest: the last thing that a hop does."""
    body = msgspec.json.encode({"counts": result, **(extra or {})})
    write_atomic(out / MANIFEST, msgspec.json.format(body, indent=2))


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file under a temporary name, then rename it: readers see the old or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def write_secret(path: Path, data: bytes) -> None:
    """Write a new file that only its owner may read; nothing is left where it finds no room."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
    except OSError:
        path.unlink(missing_ok=True)
        raise


def private(folder: Path) -> Path:
    """Make a folder that only its owner may look into: it holds texts as personal as calls are.

    Raises Refused where this process may not write into it.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.stat()
    if found.st_mode & 0o077:
        with suppress(PermissionError):  # another user's, as a mounted volume may be
            folder.chmod(0o700)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise Refused(f"{folder} belongs to uid {found.st_uid}; uid {os.geteuid()} may not write")
    return folder


def no_room(error: BaseException | None) -> bool:
    """Return whether an error, or what led to it, is a full disk.

    SQLite and libraries in Rust or C++ say so in words of their own.
    """
    while error is not None:
        if getattr(error, "errno", None) in FULL or any(said in str(error) for said in FULL_SAID):
            return True
        error = error.__cause__ or error.__context__
    return False


@contextmanager
def room(folder: Path) -> Iterator[None]:
    """Say that a disk is full in one sentence with the place that takes most of it.

    Raises Refused.
    """
    try:
        yield
    except Exception as error:
        if not no_room(error):
            raise
        raise Refused(_full(folder)) from error


def check_room(folder: Path) -> None:
    """Raise Refused where a disk is all but full, before anything is begun that needs room."""
    if shutil.disk_usage(folder).free < LEAST:
        raise Refused(_full(folder))


def _full(folder: Path) -> str:
    return (
        f"the disk that holds {folder} is full{_largest(folder)}: make room there and run this "
        "again; nothing is half written"
    )


def _largest(folder: Path) -> str:
    """The part of a folder that takes most room, as the end of a sentence; empty where none is."""
    sizes = {part: _size(part) for part in (folder.iterdir() if folder.is_dir() else ())}
    most = max(sizes, key=lambda part: sizes[part], default=None)
    return f", most of it by {most} ({sizes[most] / 1e6:,.0f} MB)" if most else ""


def _size(part: Path) -> int:
    """The bytes of a file, or of all files below a folder; what goes meanwhile has none."""
    total = 0
    for path in (part, *part.rglob("*")):
        with suppress(OSError):
            total += 0 if path.is_symlink() or path.is_dir() else path.stat().st_size
    return total


@contextmanager
def fresh(out: Path) -> Iterator[Path]:
    """Give a temporary folder beside `out`; rename it to `out` when the body succeeds.

    A leftover of an interrupted run is removed. On an error `out` is left as it was, and what was
    written stays to be looked at, unless it is what filled the disk.
    """
    temporary = out.with_name(f".{out.name}.partial")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
    except Exception as error:
        if no_room(error):
            shutil.rmtree(temporary, ignore_errors=True)
        raise
    shutil.rmtree(out, ignore_errors=True)
    temporary.rename(out)


def hop(name: str, out: Path, work: Callable[[Path], Counts]) -> Counts:
    """Run `work(folder)` unless `out` is already complete; return the counts either way.

    `work` fills the folder and calls `finish` (directly or through its module's function).
    """
    done = counts(out)
    if done is not None:
        return done
    with fresh(out) as folder:
        result = work(folder)
        if manifest(folder) is None:
            finish(folder, result)
    if result.hop != name:
        raise ValueError(f"hop {name} returned the counts of {result.hop}")
    return result


def own_cores() -> int:
    """Cores that this process may have: by its affinity and, in a container, by its quota."""
    from joblib import cpu_count

    return int(cpu_count(only_physical_cores=True))


SPINS = "10000"  # of a thread that waits for the others of a product, before it sleeps


def limit_threads() -> None:
    """Keep libraries from a thread for each core of a machine of which a container has few.

    The threads of one product wait for one another: with more of them than cores a night takes many
    times as long. They wait by spinning, thirty times as long as here unless told: where other jobs
    have a core, that takes it from the very thread they wait for. What the environment says stands;
    torch and numpy read it when they are imported.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(own_cores()))
    os.environ.setdefault("GOMP_SPINCOUNT", SPINS)


def main(run: Callable[[], Counts]) -> None:
    """Entry point of `python -m tasks.<hop>`: print the counts, or one sentence and exit 2."""
    warnings.filterwarnings("ignore", category=FutureWarning)  # libraries to one another
    limit_threads()
    try:
        with room(Path.cwd()):
            result = run()
    except Refused as error:
        print(f"flywheel: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    dropped = ", ".join(f"{reason} {n}" for reason, n in result.dropped.items()) or "none"
    print(f"{result.hop}: {result.read:,} in, {result.kept:,} kept, dropped: {dropped}")
