"""The ledger of promotions: when, by whom and why; and the DVC snapshot of each night's datasets.

Aliases in MLflow have no compare-and-set. The ledger has: `promote` moves `champion` only when it
still points where the decision saw it. A person who moves the alias in the UI is written down by
`observe`, and what that person chose stands.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import msgspec
from filelock import FileLock

from registry import hash_chain
from tasks.core.stage import Refused, fresh, private, write_atomic

LEDGER, INTENT = "promotions.jsonl", ".promotion.json"
POLICY = "policy"
PERSON = "a person, in MLflow"
WATCH = "watch"
ROLLOUT = "roll-out"
OURS = (POLICY, WATCH, ROLLOUT)  # all others are people


class Aliases(Protocol):
    """The part of `registry.store.Store` that a promotion needs."""

    def champion(self, name: str) -> int | None:
        """The version that serves now."""

    def set_champion(self, name: str, number: int | None) -> None:
        """Make a version the one that serves; None leaves the task to the teacher."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """The watch's grounds for taking a version out: counts, evidence, and since when.

    `changed` is the time of the first call that went wrong, by the calls' own clock. `teacher` is
    true where no earlier version does better: the teacher's answers have changed.
    """

    audits: int
    wrong: int
    alpha: float
    e: float
    changed: float
    teacher: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the ledger. `moved` is False for a promotion that did not happen, and for events.

    `breach` is there where the watch took a version out, `changed` (by the calls' own clock) where
    the teacher became another.
    """

    at: float
    task: str
    before: int | None
    after: int | None
    who: str
    reason: str
    expected: int | None = None
    moved: bool = True
    breach: Breach | None = None
    changed: float | None = None


def entries(home: Path) -> list[Entry]:
    """Read the ledger, oldest first. A last line that was cut off by a crash is left out."""
    path = home / LEDGER
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]
    return [msgspec.json.decode(line, type=Entry) for line in lines if line]


def promote(
    home: Path,
    store: Aliases,
    task: str,
    version: int | None,
    *,
    expected: int | None,
    reason: str,
    now: float,
    who: str = POLICY,
    breach: Breach | None = None,
) -> Entry:
    """Move `champion` to `version` if it still is `expected`; write down what happened.

    The policy never brings back a version that a person has taken out. Promoting the version that
    already serves changes nothing and adds no line.
    """
    with _locked(home, LEDGER):
        _finish(home, store.champion)
        current = store.champion(task)
        _written(home, {task: current}, now)
        moved, why = True, reason
        if current != expected:
            moved, why = False, f"somebody moved champion from {expected} to {current} meanwhile"
        elif who == POLICY and _taken_out(entries(home), task, version):
            taker = _taker(entries(home), task, version)
            moved, why = False, f"{taker} took version {version} out; the policy leaves it out"
        entry = Entry(
            at=now,
            task=task,
            before=current,
            after=version if moved else current,
            who=who,
            reason=why,
            expected=expected,
            moved=moved,
            breach=breach if moved else None,
        )
        if moved and current == version:
            return entry
        if moved:
            write_atomic(home / INTENT, msgspec.json.encode(entry))
            store.set_champion(task, version)
        _append(home / LEDGER, entry)
        (home / INTENT).unlink(missing_ok=True)
        return entry


def observe(home: Path, champions: Callable[[], Mapping[str, int]], now: float) -> list[Entry]:
    """Write down every champion that differs from the ledger's last line: a person moved it.

    `champions` is asked while nobody else promotes.
    """
    with _locked(home, LEDGER):
        serving = champions()
        _finish(home, serving.get)
        none: dict[str, int | None] = {entry.task: None for entry in entries(home) if entry.moved}
        return _written(home, none | dict(serving), now)


def _written(home: Path, champions: Mapping[str, int | None], now: float) -> list[Entry]:
    """Write down what a person moved, of these tasks."""
    serving: dict[str, int | None] = {e.task: e.after for e in entries(home) if e.moved}
    seen = [
        Entry(
            at=now,
            task=task,
            before=serving.get(task),
            after=number,
            who=PERSON,
            reason="the alias champion was moved",
        )
        for task, number in sorted(champions.items())
        if serving.get(task) != number
    ]
    for entry in seen:
        _append(home / LEDGER, entry)
    return seen


def _taken_out(ledger: Sequence[Entry], task: str, version: int | None) -> bool:
    """Return whether a person, or the watch, took a version out, and no person put it back."""
    verdict = False
    for entry in ledger:
        if version is not None and entry.task == task and entry.moved and entry.who != POLICY:
            verdict = version == entry.before or (verdict and version != entry.after)
    return verdict


def _taker(ledger: Sequence[Entry], task: str, version: int | None) -> str:
    """Return who took a version out last, as it is said in a sentence."""
    out = (e for e in reversed(ledger) if e.task == task and e.moved and e.before == version)
    return "the watch" if next(out).who == WATCH else "a person"


def verify(home: Path) -> tuple[int, str]:
    """Return how many lines the ledger has, and its last hash. Raises Refused where one changed."""
    return hash_chain.verify(home / LEDGER)


def note(home: Path, entry: Entry) -> None:
    """Write down an event that moves nobody."""
    with _locked(home, LEDGER):
        _append(home / LEDGER, entry)


def _finish(home: Path, champion: Callable[[str], int | None]) -> None:
    """Write down a move that was made by who was killed before it was in the ledger."""
    file = home / INTENT
    if not file.exists():
        return
    entry = msgspec.json.decode(file.read_bytes(), type=Entry)
    if champion(entry.task) == entry.after and entry not in entries(home)[-1:]:
        _append(home / LEDGER, entry)
    file.unlink()


def _append(path: Path, entry: Entry) -> None:
    hash_chain.append(path, msgspec.json.encode(entry))


def _locked(home: Path, name: str) -> FileLock:
    """One writer at a time, across threads and processes."""
    private(home)
    return FileLock(home / f".{name}.lock")


def _mended(home: Path) -> None:
    """Remove DVC's list of who reads and writes where a crash tore it: nobody does, but we."""
    rwlock = home / ".dvc" / "tmp" / "rwlock"
    try:
        msgspec.json.decode(rwlock.read_bytes())
    except FileNotFoundError:
        return
    except msgspec.DecodeError:
        rwlock.unlink()


def snapshot(home: Path, folder: Path) -> str:
    """Keep a folder under `home` in the home's DVC cache; return its hash (`<md5>.dir`).

    Unchanged data has the same hash, and is stored once. Safe to call from several processes.
    Raises Refused where the cache cannot be used.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    logging.getLogger("dvc").setLevel(logging.WARNING)
    with _locked(home, "dvc"):
        _mended(home)
        try:
            if not (home / ".dvc" / "config").exists():
                repo = Repo.init(str(home), no_scm=True, force=True)
                with repo, repo.config.edit() as settings:
                    settings["core"]["analytics"] = False
            with Repo(str(home)) as repo:
                (stage,) = repo.add(str(folder))
                return str(stage.outs[0].hash_info.value)
        except DvcException as error:
            raise Refused(
                f"{folder} cannot be kept in {home / '.dvc'} ({error}); where that folder is "
                "damaged, move it away, and the next night makes a new one"
            ) from error


def restore(home: Path, digest: str, to: Path, part: str = "") -> Path:
    """Write the folder of a snapshot, or a folder in it, to `to`, byte for byte. Raises Refused.

    What is damaged in the cache is named, and nothing is written.
    """
    if not (home / ".dvc").is_dir():
        raise Refused(f"no datasets are kept under {home}: no night has finished there")
    temporary = to.with_name(f".{to.name}.partial")
    try:
        with fresh(to) as folder, TemporaryDirectory(dir=folder) as whole:
            _check_out(home, digest, Path(whole))
            if not Path(whole, part).is_dir():
                raise Refused(f"the dataset {digest} has no {part}")
            for path in list(Path(whole, part).iterdir()):
                path.rename(folder / path.name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return to


def _check_out(home: Path, digest: str, to: Path) -> None:
    """Write the folder of a snapshot to `to`. Raises Refused."""
    from dvc.repo import Repo
    from dvc_data.hashfile.hash import file_md5
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.tree import Tree
    from dvc_objects.fs.local import localfs

    damaged = f"the dataset {digest} is damaged in the cache under {home / '.dvc'}"
    with Repo(str(home)) as repo:
        cache = repo.cache.local
        if not digest.endswith(".dir") or not cache.exists(digest):
            raise Refused(f"no dataset with hash {digest} is kept under {home}")
        try:
            tree = Tree.load(cache, HashInfo("md5", digest))
            kept = list(tree.iteritems())  # type: ignore[no-untyped-call]  # it has no types
        except Exception as error:  # of dvc_data, dvc_objects, or of the disk
            raise Refused(f"{damaged}: its list of files cannot be read ({error})") from None
        for key, (_, expected) in kept:
            source, place = cache.oid_to_path(expected.value), to.joinpath(*key)
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                shutil.copyfile(source, place)
                actual = file_md5(str(place), localfs)
            except OSError as error:
                raise Refused(f"{damaged}: {'/'.join(key)} ({error.strerror})") from None
            if actual != expected.value:
                raise Refused(f"{damaged}: {'/'.join(key)} has other bytes than it had")
