"""The terminal's output while a flow runs: a line per hop and a bar per long stage."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tasks.core.records import Counts

if TYPE_CHECKING:
    from flows.night.outcome import Outcome
    from serving.reconcile import Changes

console = Console(highlight=False, soft_wrap=True)
Advance = Callable[[int], None]


@contextmanager
def bar(label: str, total: int) -> Iterator[Advance]:
    """Show a progress bar while the body runs; call the given function with the position."""
    columns = (
        TextColumn("  {task.description:<24}"),
        BarColumn(30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        row = progress.add_task(label, total=total)
        yield lambda position: progress.update(row, completed=position)


@contextmanager
def stage(label: str) -> Iterator[None]:
    """Show a spinner with a label while the body runs (nothing when the output is no terminal)."""
    with console.status(f"  {label} …"):
        yield


def hop(counts: Counts, notes: Sequence[str] = ()) -> None:
    """Print what a hop kept and dropped, with the reasons, and what is to know about it."""
    dropped = ", ".join(f"{reason} {n:,}" for reason, n in sorted(counts.dropped.items()))
    console.print(
        f"  {counts.hop:<12}{counts.read:>8,} in {counts.kept:>8,} kept"
        + (f"   dropped: {dropped}" if dropped else "")
    )
    for note in notes:
        console.print(f"    {note}", style="yellow")


def say(text: str) -> None:
    """Print one line."""
    console.print(text)


def outcome(result: Outcome) -> None:
    """Print what became of one student."""
    who = f"v{result.champion}" if result.champion else "teacher"
    console.print(f"  {result.task:<36} {who:<8} {result.reason}")


def shadows(told: Mapping[str, str]) -> None:
    """Print how far the proofs of the shadows are."""
    for task, sentence in told.items():
        say(f"  {task:<36} shadow   {sentence}")


def night(tasks: int, outcomes: Sequence[Outcome], broken: Sequence[str]) -> str:
    """Return what a night came to, in a sentence: how many students passed, or why there is none.

    `tasks` is how many were found; `broken` has the errors of those whose training failed.
    """
    passed, tried = sum(one.passed for one in outcomes), len(outcomes) + len(broken)
    errors = (
        f"{len(broken)} of {tried} failed: {'; '.join(dict.fromkeys(broken))}" if broken else ""
    )
    if passed:
        return "; ".join(filter(None, [f"{passed} of {tried} students passed", errors]))
    if not tasks:
        why = "no task was found, too few calls are alike (`cluster.min_calls` in params.yaml)"
    elif not tried:
        why = f"of {tasks} tasks found, none has data to learn from yet (see `dataset` above)"
    else:
        why = "; ".join(filter(None, [*(f"{o.task}: {o.reason}" for o in outcomes), errors]))
    return f"No student passed tonight: {why}"


def changes(result: Changes | None) -> None:
    """Print what the pool serves now."""
    if result is None:
        return say("  no pool is running; champions serve after `flywheel up`")
    say(f"  pool serves {len(result.serving)}, {len(result.loaded)} new")
    for adapter, problem in result.refused.items():
        say(f"  {adapter} was not switched on: {problem}")
