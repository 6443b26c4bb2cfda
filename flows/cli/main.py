"""The `flywheel` command. `flywheel --help` lists what it does; the Makefile calls it."""

from __future__ import annotations

import logging
import os
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer

from flows import console
from flows.cli import keys
from flows.cli.credentials import join
from flows.cli.joined import Gone, joined
from registry.server import reach
from tasks.core.stage import Refused, no_room, room

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
data = typer.Typer(no_args_is_help=True, help="The datasets behind registered students.")
app.add_typer(data, name="data")
audit = typer.Typer(no_args_is_help=True, help="What the ledger and the journal prove.")
app.add_typer(audit, name="audit")
app.add_typer(keys.app, name="keys")
LIVE = Path(".flywheel/live")
DEMO = Path(".flywheel/demo")
Home = Annotated[
    Path, typer.Option(help="Folder that holds the journal, the nights and the registry.")
]
Port = Annotated[int, typer.Option(help="0 picks a free one.", min=0, max=65_535)]


@app.command()
def run(
    home: Home = DEMO,
    calls: Annotated[int, typer.Option(help="Calls a day.", min=100)] = 3000,
    days: Annotated[int, typer.Option(help="Days of traffic.", min=2, max=30)] = 3,
    seed: Annotated[int, typer.Option(help="Seed of the traffic.")] = 7,
    shift: Annotated[
        bool, typer.Option("--shift", help="The teacher changes on day 3; take 5 days.")
    ] = False,
) -> None:
    """Watch the loop turn: days of sample traffic with a night between, then a report."""
    from flows.cli import demo

    with room(home.resolve()):
        demo.run(home.resolve(), calls, days, seed, shift)


@app.command()
def up(
    home: Home = LIVE,
    gateway_port: Port = 8080,
    mlflow_port: Port = 5000,
    prefect_port: Port = 4200,
) -> None:
    """Keep gateway, pool, MLflow, Prefect and the schedule running until Ctrl-C or `down`."""
    from flows.cli import up as live

    with room(home.resolve()):
        live.up(home.resolve(), gateway_port, mlflow_port, prefect_port)


@app.command()
def down(home: Home = LIVE) -> None:
    """Stop what `up` started on this home."""
    from flows.cli import up as live

    live.down(home.resolve())


@app.command()
def ui(home: Home = LIVE) -> None:
    """Say where MLflow's and Prefect's UIs are, and the user and password that they ask for."""
    from flows.cli import up as live

    live.uis(home.resolve())


@app.command()
def nightly(
    home: Home = LIVE,
    source: Annotated[
        list[str] | None, typer.Option(help="Log files instead of the journal.")
    ] = None,
    day: Annotated[str, typer.Option(help="YYYY-MM-DD; default: yesterday.")] = "",
) -> None:
    """Run one night now: on the journal, or on logs that you already have."""
    home = home.resolve()
    with joined(home):
        from flows.nightly import nightly as flow

        for name in ("prefect.flow_runs", "prefect.task_runs"):
            logging.getLogger(name).addFilter(_is_no_refusal)
        state = flow(day=day, home=str(home), source=source, return_state=True)
        error = state.result(raise_on_failure=False)
        if isinstance(error, Exception) and (isinstance(error, Refused) or no_room(error)):
            raise error
        console.say(state.message or str(state.type))
    raise typer.Exit(0 if state.is_completed() else 1)


def _is_no_refusal(record: logging.LogRecord) -> bool:
    """Leave to the command's own sentence what Prefect would tell with a traceback."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, Refused) and "exception Refused:" not in record.getMessage()


@app.command()
def promote(
    task: Annotated[str, typer.Argument(help="A task; default: none is moved.")] = "",
    version: Annotated[int | None, typer.Argument(help="Default: the candidate.")] = None,
    home: Home = LIVE,
) -> None:
    """Make a version champion, if a task is named; then make the pool match the registry."""
    _moved(
        home.resolve(), lambda decisions, at: decisions.promote(at, task, version) if task else None
    )


@app.command()
def rollback(
    task: Annotated[str, typer.Argument(help="Whose champion gives way.")], home: Home = LIVE
) -> None:
    """Give a task back to the version that served before, or to the teacher."""
    _moved(home.resolve(), lambda decisions, at: decisions.rollback(at, task))


def _moved(home: Path, move: Callable[[ModuleType, Path], None]) -> None:
    """Let a person move an alias, and the pool follow."""
    with joined(home):
        from flows.cli import decisions
        from flows.night.folders import registry_of
        from flows.promote import promote as flow

        registry_of(home).reach()
        move(decisions, home)
        flow(home=str(home))


@app.command()
def status(home: Home = LIVE) -> None:
    """One screen: who answers and how well, what waits, what ran and runs, what is wrong."""
    from flows.cli import status as screen

    screen.show(_known(home))


@app.command()
def candidates(home: Home = LIVE) -> None:
    """The students that passed the gate and wait for a person."""
    from flows.cli import decisions

    decisions.candidates(_known(home))


@audit.command("verify")
def audit_verify(home: Home = LIVE) -> None:
    """Say whether every line of the ledger is as it was written."""
    from flows.cli import decisions

    decisions.verify(_known(home))


@audit.command("show")
def audit_show(
    call: Annotated[str, typer.Argument(help="The header x-flywheel-call of an answer.")],
    home: Home = LIVE,
) -> None:
    """Show where one answer came from: header, adapter, version, run, data, source lines."""
    from flows.cli import decisions

    decisions.lineage(_known(home), call)


def _known(home: Path) -> Path:
    """A home, whose running services are used; none is started. Raises Refused."""
    from flows.cli import stack as local

    home = home.resolve()
    if not home.is_dir():
        raise Refused(f"there is no home at {home}; `flywheel up` makes one")
    join(home, local.stack(home))
    return home


@app.command()
def watch(home: Home = LIVE) -> None:
    """Take out of service what broke its certificate, now."""
    home = home.resolve()
    with joined(home):
        from flows.watch import watch as flow

        flow(home=str(home))


@app.command()
def ingest(
    path: Annotated[str, typer.Argument(help="A file, folder, glob or URL.")],
    dry_run: Annotated[bool, typer.Option(help="Only say what is there.")] = True,
) -> None:
    """Say what a log holds: dialect, calls, time span, models, tools, first problems."""
    from tasks.ingest.ingest import dry_run as look

    if not dry_run:
        raise Refused("`flywheel ingest` only looks; `flywheel nightly --source` learns")
    console.say(look([path]).table())


@app.command()
def pii(
    path: Annotated[str, typer.Argument(help="Logs; default: the calls of the last night.")] = "",
    home: Home = LIVE,
    sample: Annotated[int, typer.Option(help="How many texts to show.", min=1)] = 20,
) -> None:
    """Show texts before and after de-identification, on a terminal only."""
    from flows.cli.views import show_sample

    if not sys.stdout.isatty():
        raise Refused("this shows personal data; it writes to a terminal only")
    show_sample(home.resolve(), path, sample)


@data.command("get")
def data_get(
    version: Annotated[str, typer.Argument(help="A registered version: task/number.")],
    to: Annotated[Path | None, typer.Option(help="Folder to write; default: the name.")] = None,
    home: Home = LIVE,
) -> None:
    """Restore the exact dataset that a registered version was trained and tested on."""
    from flows.cli import stack as local

    local.prepare(home.resolve())
    reach(os.environ.get("MLFLOW_TRACKING_URI", ""))
    from flows.night.folders import registry_of
    from registry import ledger
    from registry.version import TASK

    name, _, number = version.rpartition("/")
    if not name or not number.isdecimal():
        raise Refused(f"{version!r} is not a registered version (expected task/number)")
    registered = registry_of(home.resolve()).version(name, int(number))
    place = to or Path(f"{name}-v{number}")
    if place.exists():
        raise Refused(f"{place} already exists")
    part = name if registered.scope == TASK else ""  # a domain's student learned from all its tasks
    console.say(str(ledger.restore(home.resolve(), registered.dataset, place, part)))


@app.command()
def report(home: Home = DEMO) -> None:
    """Print the days' figures and write the HTML report."""
    from flows.cli.demo import summary

    summary(home.resolve())


def _interrupt(*_: object) -> None:
    """End as Ctrl-C does, also where SIGINT is ignored, as in the background of a script."""
    raise KeyboardInterrupt


def main() -> None:
    """Entry point: one clear sentence and exit status 2 on bad input."""
    os.umask(0o077)  # what is written, here and by the services, is as personal as the calls are
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
            signal.signal(number, _interrupt)
    warnings.filterwarnings("ignore", category=FutureWarning)
    try:
        app()
    except Refused as error:
        console.console.print(f"flywheel: {error}", style="red")
        if isinstance(error, Gone):
            sys.stdout.flush()
            os._exit(2)  # Prefect's client would wait for its server for minutes
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
