"""`flywheel keys`: who may call the gateway, how often, and at what cost."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from flows import console
from serving import client_keys
from serving.client_keys import ClientKey

app = typer.Typer(no_args_is_help=True, help="The keys of the gateway's clients.")
Home = Annotated[Path, typer.Option(help="Folder of the gateway whose keys these are.")]
LIVE = Path(".flywheel/live")
Limit = Annotated[int | None, typer.Option(min=1, help="A minute; default: no limit.")]


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="The client: a team, an agent.")],
    requests: Limit = None,
    tokens: Limit = None,
    dollars: Annotated[float | None, typer.Option(min=0.0, help="A day (UTC).")] = None,
    task: Annotated[
        list[str] | None, typer.Option(help="Tasks whose students may answer ('refund-*').")
    ] = None,
    home: Home = LIVE,
) -> None:
    """Make a key and show it, this once; from the first one on, every call needs a key."""
    limits = {"requests": requests, "tokens": tokens, "dollars": dollars, "tasks": task}
    given = {what: limit for what, limit in limits.items() if limit is not None}
    secret = client_keys.add(home.resolve(), name, time.time(), **given)
    console.say(secret)
    console.say(f"{name} sends it in place of the API's key; it is not shown again.")


@app.command()
def revoke(name: str, home: Home = LIVE) -> None:
    """End a client's key: its next call is refused."""
    client_keys.revoke(home.resolve(), name, time.time())
    console.say(f"{name} is refused from now on")


@app.command("list")
def list_(home: Home = LIVE) -> None:
    """Show the clients and their limits, never a key."""
    table = Table("client", "made", "requests/min", "tokens/min", "$/day", "tasks", "state")
    for key in client_keys.read(home.resolve()):
        table.add_row(*_row(key))
    console.console.print(table)


def _row(key: ClientKey) -> tuple[str, ...]:
    limits = (key.requests, key.tokens, key.dollars)
    shown = ("–" if limit is None else f"{limit:,}" for limit in limits)
    state = "in force" if key.revoked is None else f"revoked {_day(key.revoked)}"
    return key.name, _day(key.made), *shown, ", ".join(key.tasks or ("all",)), state


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).date().isoformat()
