"""`flywheel status`: one screen that says who answers, how well, what waits, and what is wrong."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import httpx
import msgspec
from rich.table import Table

from flows import console
from flows.cli import up
from flows.cli.credentials import prefect_auth
from flows.night.folders import registry_of
from registry import ledger
from registry.ledger import Entry
from registry.store import CANDIDATE, CHAMPION, SHADOW, Store
from serving import audit_history
from serving.evidence import RiskTest, files
from tasks.core import encryption
from tasks.core.params import load
from tasks.core.records import Json
from tasks.core.sequential_tests import interval
from tasks.core.stage import Refused

SECONDS = 3.0  # that a service may take to answer
DAYS = 10  # of the chart
ROOM = 500e6  # free bytes below which a disk is nearly full
WIDE = 40
RECENT = 7 * 86_400  # seconds in which a revocation is news
SHOWN = 20  # tasks of a table
Aliases = Mapping[str, Mapping[str, int]]


def show(home: Path) -> None:
    """Print the screen. What cannot be reached is said, and the rest is shown."""
    wrong: list[str] = []
    aliases = _aliases(home, wrong)
    tests = {test.route.task.id: test for test in reversed(_tests(home))}
    wrong += [*_room(home), *_services(), *_revoked(ledger.entries(home)), *_unlike(home)]
    console.say(f"[bold]{home}[/bold]  {_runs()}")
    _wrong(wrong)
    _champions(aliases, tests)
    _shadows(home, aliases)
    _candidates(aliases)
    _night(home)
    _chart(home)
    for line in _planned():
        console.say(line)


def _aliases(home: Path, wrong: list[str]) -> Aliases:
    """Return which version of each task has which alias; empty where there is no registry yet."""
    if not os.environ.get("MLFLOW_TRACKING_URI") and not (home / "mlflow.db").exists():
        return {}
    try:
        store: Store = registry_of(home)
        store.reach()
        return store.aliases()
    except Refused as error:
        wrong.append(str(error))
        return {}


def _tests(home: Path) -> list[RiskTest]:
    threshold = audit_history.alarm(home, load().watch.audits_per_false_alarm)
    return audit_history.tests(home, threshold, audit_history.look(home))


def _runs() -> str:
    return "running" if os.environ.get("FLYWHEEL_PID") else "not running here (`flywheel up`)"


def _wrong(sentences: list[str]) -> None:
    for sentence in sentences:
        console.console.print(f"  ! {sentence}", style="red", markup=False)
    if not sentences:
        console.say("  nothing is wrong")


def _room(home: Path) -> Iterator[str]:
    """Yield how little room is left, before the disk is full."""
    if (free := shutil.disk_usage(home).free) < ROOM:
        yield (
            f"only {free / 1e6:,.0f} MB are free at {home}: without room no call is kept, no "
            "student answers and no night runs"
        )


def _services() -> Iterator[str]:
    """Yield what does not answer, of the services of a running stack."""
    urls = {"PREFECT_API_URL": "/health", "POOL_URL": "/health"}
    for name, path in urls.items():
        if not (url := os.environ.get(name)):
            continue
        try:
            httpx.get(f"{url}{path}", timeout=SECONDS).raise_for_status()
        except httpx.HTTPError as error:
            yield f"{url} ({name}) does not answer: {type(error).__name__}"


def _revoked(entries: list[Entry]) -> Iterator[str]:
    """The revocations and events of the last days."""
    now = datetime.now(UTC).timestamp()
    for entry in entries:
        if now - entry.at < RECENT and (entry.breach or entry.changed):
            day = datetime.fromtimestamp(entry.at, UTC)
            about = f"{entry.task} v{entry.before}: " if entry.breach else ""
            yield f"{day:%Y-%m-%d %H:%M} {about}{entry.reason}"


def _unlike(home: Path) -> Iterator[str]:
    """Yield what is wrong with the ledger, and which routes broke their promise."""
    try:
        ledger.verify(home)
    except Refused as error:
        yield str(error)


def _table(title: str, *head: str) -> Table:
    return Table(*head, title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 2))


def _champions(aliases: Aliases, tests: Mapping[str, RiskTest]) -> None:
    table = _table("\nChampions", "task", "version", "agrees live", "risk", "accepted")
    named = {task: of[CHAMPION] for task, of in aliases.items() if CHAMPION in of}
    for task, number in list(named.items())[:SHOWN]:
        test = tests.get(task)
        if test is None or test.route.version != number:
            table.add_row(task, f"v{number}", "not served yet", "", "")
            continue
        low, high = interval(test.wrong, test.n)
        agrees = f"{1 - test.wrong / test.n:.1%} (n={test.n:,})" if test.n else "no audit yet"
        state = "revoked" if test.alarm is not None else f"{low:.1%} – {high:.1%}"
        alpha, version = f"{test.route.certificate.alpha:.1%}", f"v{number}"
        if test.share < 1:
            version += f", of {test.share:.0%} of the conversations"
        table.add_row(task, version, agrees, state, alpha)
    _print(table, len(named))


def _print(table: Table, count: int) -> None:
    if count:
        console.console.print(table)
    else:
        console.say(f"{table.title}: none")
    if count > SHOWN:
        console.say(f"… and {count - SHOWN:,} more")


def _shadows(home: Path, aliases: Aliases) -> None:
    told: dict[str, str] = {}
    with suppress(FileNotFoundError, msgspec.DecodeError):
        told = msgspec.json.decode((home / "shadows.json").read_bytes(), type=dict[str, str])
    named = {task: of[SHADOW] for task, of in aliases.items() if SHADOW in of}
    table = _table("\nIn shadow", "task", "version", "how far its proof is")
    for task, number in list(named.items())[:SHOWN]:
        table.add_row(task, f"v{number}", told.get(task, "not looked at yet"))
    _print(table, len(named))


def waiting(aliases: Aliases) -> dict[str, tuple[int, int | None]]:
    """The candidates that wait for a person: their version, and the one that serves now."""
    pairs = {t: (of[CANDIDATE], of.get(CHAMPION)) for t, of in aliases.items() if CANDIDATE in of}
    return {task: pair for task, pair in pairs.items() if pair[0] > (pair[1] or 0)}


def _candidates(aliases: Aliases) -> None:
    table = _table("\nCandidates", "task", "version", "serves now")
    candidates = waiting(aliases)
    for task, (number, serving) in list(candidates.items())[:SHOWN]:
        table.add_row(task, f"v{number}", f"v{serving}" if serving else "the teacher")
    _print(table, len(candidates))


def _night(home: Path) -> None:
    nights = sorted(path.parent for path in (home / "nights").glob("*/judge.json"))
    if not nights:
        return console.say("\nLast night: none has ended yet")
    outcomes: list[Json] = msgspec.json.decode((nights[-1] / "judge.json").read_bytes())
    passed = sum(one["passed"] for one in outcomes)
    console.say(f"\nLast night: {nights[-1].name}, {passed} of {len(outcomes)} students passed")


def _chart(home: Path) -> None:
    """The share that the teacher answered, of the newest days."""
    counts: dict[str, list[int]] = {}
    for file in files(home / "journal"):
        counts.setdefault(file.name[:10], [0, 0])
    for day in sorted(counts)[-DAYS:]:
        for file in sorted((home / "journal").glob(f"{day}*.jsonl")):
            for line in encryption.lines(file):
                counts[day][0] += 1
                counts[day][1] += b'"answered_by":"teacher"' in line
    if counts:
        console.say("\nCalls that the teacher answered")
    for day in sorted(counts)[-DAYS:]:
        calls, escalated = counts[day]
        share = escalated / calls if calls else 0.0
        console.say(f"  {day}  {'█' * round(WIDE * share):<{WIDE}} {share:>4.0%} of {calls:,}")


def _planned() -> Iterator[str]:
    """Yield when what runs next."""
    if not (api := os.environ.get("PREFECT_API_URL")):
        return
    asking = httpx.Client(base_url=api, auth=prefect_auth(), timeout=SECONDS)
    with suppress(httpx.HTTPError), asking as client:
        answer = client.post("/deployments/filter", json={}).raise_for_status()
        deployments = msgspec.json.decode(answer.content, type=list[up.Deployment])
        planned = {
            one.name: None if one.paused else up.next_run(client, one) for one in deployments
        }
        times = {n: f"{at:%Y-%m-%d %H:%M} UTC" if at else "paused" for n, at in planned.items()}
        yield "\nNext: " + ", ".join(f"{name} {at}" for name, at in sorted(times.items()))
