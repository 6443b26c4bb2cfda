"""Commands of a person: candidates, promote, roll back, verify the ledger, a call's lineage."""

from __future__ import annotations

import getpass
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from flows import console
from flows.cli.status import waiting
from flows.night.folders import registry_of
from registry import bundle, ledger
from registry.ledger import Entry
from registry.store import Store
from serving.reconcile import checked
from tasks.core import encryption
from tasks.core.params import load
from tasks.core.records import Json
from tasks.core.stage import Refused


def candidates(home: Path) -> None:
    """Print the candidates that wait for a person."""
    store = registry_of(home)
    waits = waiting(store.aliases())
    for task, (number, serving) in waits.items():
        now = f"v{serving} serves" if serving else "the teacher answers"
        console.say(f"{task}  v{number}  ({now}; `flywheel promote {task}`)")
    if not waits:
        console.say("no candidate waits")


def promote(home: Path, task: str, number: int | None) -> None:
    """Make a version of a task its champion; by default the candidate. Raises Refused.

    The alias stays where the version could not serve; the ledger has that, too.
    """
    store = registry_of(home)
    of = store.aliases().get(task)
    if of is None:
        raise Refused(f"no task of the registry is called {task!r}; `flywheel status` lists them")
    chosen = of.get("candidate") if number is None else number
    if chosen is None:
        raise Refused(f"{task} has no candidate; name a version")
    if why := _refusal(home, store, task, chosen):
        current = store.champion(task)
        said = f"v{chosen} cannot serve: {why}"
        refused = Entry(
            at=time.time(),
            task=task,
            before=current,
            after=current,
            who=_who(),
            reason=said,
            moved=False,
        )
        ledger.note(home, refused)
        raise Refused(f"{task}: {said}; " + (f"v{current} stays" if current else "nobody serves"))
    _move(home, store, task, chosen, "promoted by command")


def _refusal(home: Path, store: Store, task: str, number: int) -> str:
    """Return why the pool would not load a version; empty where it would. Raises Refused."""
    version = store.version(task, number)
    try:
        checked(store, home, version, load().train.base)
    except Refused as error:
        return str(error)
    return ""


def _who() -> str:
    return f"{getpass.getuser()}, by command"


def rollback(home: Path, task: str) -> None:
    """Give a task back to the version that served before, else to the teacher. Raises Refused.

    It is the teacher's, too, where that version could not serve: who is rolled back stops.
    """
    store = registry_of(home)
    ledger.observe(home, store.serving, time.time())
    current = store.champion(task)
    if current is None:
        raise Refused(f"{task} has no champion to roll back")
    before, reason = _before(ledger.entries(home), task, current), "rolled back by command"
    if before and (why := _refusal(home, store, task, before)):
        reason += f"; v{before} cannot serve: {why}"
        console.say(f"{task}: v{before} cannot serve: {why}")
        before = None
    _move(home, store, task, before, reason)


def _before(entries: list[Entry], task: str, current: int) -> int | None:
    moves = (e for e in reversed(entries) if e.task == task and e.moved and e.after == current)
    entry = next(moves, None)
    return entry.before if entry else None


def _move(home: Path, store: Store, task: str, number: int | None, reason: str) -> None:
    entry = ledger.promote(
        home,
        store,
        task,
        number,
        expected=store.champion(task),
        reason=reason,
        now=time.time(),
        who=_who(),
    )
    if not entry.moved:
        raise Refused(f"{task}: {entry.reason}")
    console.say(f"{task}: " + (f"v{number} serves" if number else "the teacher answers"))


def verify(home: Path) -> None:
    """Say whether the ledger is as it was written. Raises Refused where it is not."""
    count, last = ledger.verify(home)
    console.say(f"{count} lines, each as it was written; keep this hash to see later cuts: {last}")


def lineage(home: Path, call: str) -> None:
    """Print where one answer came from, from its header to the source lines. Raises Refused."""
    line = _line(home, call)
    console.say(f"call {call} at {time.strftime('%F %T', time.gmtime(line['at']))} UTC")
    console.say(f"  answered by  {line['answered_by']} ({line['reason']})")
    student = line.get("student") or {}
    if audit := line.get("audit"):
        console.say(f"  audited      the teacher {'agrees' if audit['agrees'] else 'disagrees'}")
    if student:
        for name, value in _origin(home, line["task"], student["version"]):
            console.say(f"  {name:<12} {value}")


def _line(home: Path, call: str) -> Json:
    """The line of a call in the journal. Raises Refused."""
    wanted = f'"id":"{call}"'.encode()
    for file in sorted((home / "journal").glob("*.jsonl"), reverse=True):
        for raw in encryption.lines(file):
            if wanted in raw and (line := msgspec.json.decode(raw))["id"] == call:
                return dict(line)
    raise Refused(f"no call {call} is in the journal of {home}")


def _origin(home: Path, task: str, number: int) -> Iterator[tuple[str, str]]:
    """Yield what is known of a version: registry, run, night, data, base, promotions."""
    store = registry_of(home)
    version = store.version(task, number)
    yield "task", task
    yield "version", f"v{number}, adapter {version.adapter_digest}"
    yield "MLflow run", version.run
    yield "dataset", f"{version.dataset} (DVC; `flywheel data get {task}/{number}`)"
    folder = home / "adapters" / version.bundle
    for name in ("night", "base", "base_digest", "seed"):
        if value := (bundle.read(folder, "lineage") or {}).get(name):
            yield name.replace("_", " "), str(value)
    for entry in ledger.entries(home):
        if entry.task == task and number in (entry.before, entry.after):
            move = f"v{entry.before or '–'} → v{entry.after or '–'}"
            yield "ledger", f"{time.strftime('%F %T', time.gmtime(entry.at))} {move} {entry.who}"
    night = (bundle.read(folder, "lineage") or {}).get("night", "")
    yield from _sources(home, night, task)


def _sources(home: Path, night: str, task: str) -> Iterator[tuple[str, str]]:
    """Yield a few of the log lines that a night's rows of a task come from."""
    import pyarrow.parquet as pq

    file = home / "nights" / night / "dataset" / task / "train.parquet"
    clean = home / "nights" / night / "deidentify" / "calls.parquet"
    if not file.exists() or not clean.exists():
        return
    ids = pq.read_table(file, columns=["id"])["id"].to_pylist()
    table = pq.read_table(clean, columns=["id", "source"], filters=[("id", "in", ids)])
    sources = table["source"].to_pylist()
    yield "learned from", f"{len(ids):,} rows; of that night, {', '.join(sources[:5])}, …"
