"""The sample agent: the support desk of an online shop, calling a model through the OpenAI client.

    python -m examples.agent --base-url http://127.0.0.1:9000/v1 --calls 600 --day 2026-03-02
    python -m examples.agent --log examples/calls.jsonl.gz --days 3 --calls 2000

What it asks, and how the traffic is shared among nine kinds of calls, is in `examples.desk`.
The second form asks the simulated teacher in-process and writes a log file.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from examples import desk, teacher

if TYPE_CHECKING:
    import openai

Json = dict[str, Any]

# Tool conversations make several calls: about this many calls per conversation in the mean.
CALLS_PER_CONVERSATION = 1.09
CLIENT = "support-desk"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One call's outcome.

    `served_by` ("student" or "teacher") and `reason` are the gateway's headers; empty without one.
    """

    kind: str
    seconds: float
    served_by: str = ""
    reason: str = ""
    error: str = ""


def conversations(calls: int, day: date, seed: int) -> list[desk.Case]:
    """The conversations of a day that make about `calls` calls."""
    return desk.cases(day, seed, max(1, round(calls / CALLS_PER_CONVERSATION)))


async def traffic(
    client: openai.AsyncOpenAI,
    model: str,
    cases: Iterable[desk.Case],
    calls: int,
    concurrency: int = 8,
    on_call: Callable[[Outcome], None] = lambda outcome: None,
) -> int:
    """Hold conversations, `concurrency` at a time, of `calls` calls at most; return how many.

    Every call says in `x-flywheel-at` when it would have happened (for `gateway --replay`).
    A conversation whose call fails ends there.
    """
    waiting = iter(cases)
    made = 0

    async def hold(case: desk.Case) -> None:
        nonlocal made
        talk, reply, step = case.open(), None, 0
        while made < calls and reply is not _OVER:
            request = _next(talk, reply)
            if request is None:
                return
            made += 1
            outcome, reply = await _call(client, model, case, request, step)
            on_call(outcome)
            step += 1

    async def work() -> None:
        for case in waiting:
            await hold(case)

    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(work())
    return made


_OVER: Json = {}


def _next(talk: desk.Conversation, reply: Json | None) -> Json | None:
    try:
        return next(talk) if reply is None else talk.send(reply)
    except StopIteration:
        return None


async def _call(
    client: openai.AsyncOpenAI, model: str, case: desk.Case, request: Json, step: int
) -> tuple[Outcome, Json]:
    import openai

    at = f"{case.at + 20 * step:.3f}"
    headers = {
        "x-flywheel-at": at,
        "x-sample-at": at,  # the gateway keeps its own headers from the teacher
        "x-conversation-id": case.seed.replace(" ", "-"),
        "x-client-id": CLIENT,
    }
    start = time.perf_counter()
    try:
        raw = await client.chat.completions.with_raw_response.create(
            model=model, extra_headers=headers, **request
        )
        reply = raw.parse().choices[0].message.model_dump(exclude_none=True)
    except openai.OpenAIError as error:
        failed = Outcome(case.kind, time.perf_counter() - start, error=type(error).__name__)
        return failed, _OVER
    served, reason = (raw.headers.get(f"x-flywheel-{name}", "") for name in ("served-by", "reason"))
    return Outcome(case.kind, time.perf_counter() - start, served, reason), reply


def records(calls: int, day: date, seed: int, latency: float = 0.35) -> Iterator[Json]:
    """A day's calls as log records (NVIDIA-blueprint shape), answered by the teacher in-process."""
    made = 0
    for case in conversations(calls, day, seed):
        talk, reply = case.open(), None
        at = case.at
        while made < calls and (request := _next(talk, reply)) is not None:
            made += 1
            completion = {**teacher.complete(request), "created": int(at)}
            reply = completion["choices"][0]["message"]
            yield {
                "timestamp": datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds"),
                "workload_id": None,
                "client_id": CLIENT,
                "request": {"model": teacher.MODEL, **request},
                "response": completion,
            }
            at += 20 + teacher.seconds(completion, latency)


def log(path: Path, calls: int, days: int, day: date, seed: int) -> int:
    """Write `calls` calls spread over `days` days to a gzipped JSONL file; return how many."""
    count = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    # mtime=0 and no name: the same arguments give the same bytes.
    with path.open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as out:
        for i in range(days):
            share = calls // days + (i < calls % days)
            today = sorted(
                records(share, day + timedelta(i), seed),
                key=lambda record: str(record["timestamp"]),
            )
            for record in today:
                out.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")
            count += len(today)
    return count


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base-url", default="http://127.0.0.1:9000/v1")
    parser.add_argument("--model", default=teacher.MODEL)
    parser.add_argument("--calls", type=int, default=600)
    parser.add_argument("--day", type=date.fromisoformat, default=date(2026, 3, 2))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--log", type=Path, help="write a log file instead of calling an endpoint")
    parser.add_argument("--days", type=int, default=1, help="with --log: spread over so many days")
    return parser.parse_args()


async def _send(chosen: argparse.Namespace) -> list[Outcome]:
    import openai

    outcomes: list[Outcome] = []
    key = os.environ.get("OPENAI_API_KEY", "unused")
    async with openai.AsyncOpenAI(base_url=chosen.base_url, api_key=key, max_retries=1) as client:
        await traffic(
            client,
            chosen.model,
            conversations(chosen.calls, chosen.day, chosen.seed),
            chosen.calls,
            chosen.concurrency,
            outcomes.append,
        )
    return outcomes


def main() -> None:
    """Send one day's calls, or write them to a log."""
    chosen = _arguments()
    if chosen.log:
        made = log(chosen.log, chosen.calls, chosen.days, chosen.day, chosen.seed)
        print(f"{made:,} calls written to {chosen.log}")
        return
    outcomes = asyncio.run(_send(chosen))
    failed = [o.error for o in outcomes if o.error]
    students = sum(o.served_by == "student" for o in outcomes)
    print(f"{len(outcomes):,} calls, {students:,} answered by students, {len(failed):,} failed")
    if failed:
        raise SystemExit(f"{chosen.base_url} failed first with {failed[0]}")


if __name__ == "__main__":
    main()
