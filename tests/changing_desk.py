"""A desk whose teacher changes: two kinds of calls by day, a gateway to ask, and the nights."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import served

from examples import prompts, teacher
from examples.desk import cases
from flows.night import hops, ladder, pool_update, registration
from flows.night.champions import champion
from flows.night.folders import Night, open_night
from registry import ledger, rulings
from registry.choice import JudgedStudent
from serving import audit_history
from serving.pool import Pool
from tasks.core.records import Json
from tasks.core.rows import Row, rows
from tasks.core.task import load_one
from tasks.dataset.splits import SPLITS

FIRST = date(2026, 3, 2)
AUDIT = 0.25
ROUTE = {"role": "system", "content": prompts.ROUTE}
TICKET = {
    "role": "system",
    "content": "You open tickets for Lindholm Home. Put the customer's message into one of the "
    "queues of the support desk. Return a JSON object with the key queue.",
}
FORM: dict[str, Json] = {"route": {}, "ticket": {"response_format": prompts.JSON_FORMAT}}


@dataclass(frozen=True, slots=True)
class Change:
    """From a moment on the teacher says something else to a kind of calls."""

    kind: str
    at: float
    renamed: Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Answered:
    """What an agent got: why it was answered as it was, and whether rightly."""

    kind: str
    reason: str
    right: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """A call, its kind and its time.

    Those of kind `ticket` are what another program asks about the same messages: JSON, no word.
    """

    kind: str
    at: float
    request: Json


@dataclass(slots=True)
class Desk:
    """A home, the teacher's changes so far, and the ids of its tasks by the kind of their calls."""

    home: Path
    changes: list[Change] = field(default_factory=list)
    tasks: dict[str, str] = field(default_factory=dict)

    def night(self, number: int) -> Night:
        """The night after a day."""
        return open_night(self.home, (FIRST + timedelta(days=number)).isoformat())

    def champion(self, kind: str) -> int | None:
        """The version that serves a kind of calls."""
        return self.night(0).store.champion(self.tasks[kind])

    def changed(self) -> dict[str, float]:
        """Since when the teacher answers which tasks otherwise, as the ledger has it."""
        return rulings.changes(ledger.entries(self.home))

    def says(self, request: Json, at: float) -> Json:
        """The teacher's reply."""
        system, *messages = request["messages"]
        kind = "ticket" if system == TICKET else "route"
        reply = teacher.complete({**request, "messages": [ROUTE, *messages]})
        message = reply["choices"][0]["message"]
        if kind == "ticket":
            message["content"] = json.dumps({"queue": message["content"]})
        for change in self.changes:
            if change.kind == kind and at >= change.at:
                message["content"] = change.renamed(message["content"])
        return reply


def calls(number: int, **counts: int) -> list[Asked]:
    """So many calls of each kind on a day, the oldest first."""
    day = cases(FIRST + timedelta(days=number), 3, 12 * sum(counts.values()))
    messages = ((case.at, next(case.open())) for case in day if case.kind == "route")
    found = []
    for kind, system in (("route", ROUTE), ("ticket", TICKET)):
        for at, request in itertools.islice(messages, counts.get(kind, 0)):
            asked = {**request, "messages": [system, *request["messages"][1:]]}
            found.append(Asked(kind, at, asked | FORM[kind]))
    return sorted(found, key=lambda call: call.at)


def send(desk: Desk, calls: Sequence[Asked]) -> list[Answered]:
    """Send calls through a gateway that starts now; what students say is audited."""

    def large(request: httpx.Request) -> httpx.Response:
        body = msgspec.json.decode(request.content)
        return httpx.Response(200, json=desk.says(body, float(request.headers["x-sample-at"])))

    async def each() -> list[Answered]:
        built = served.gateway(desk.home, None, large, audit=AUDIT)
        url, token = os.environ["POOL_URL"], os.environ["POOL_TOKEN"]
        built.students.pools = {"encoder": Pool(url, built.teacher.client, token)}
        built.students.evidence.recall(audit_history.look(desk.home))
        found = []
        async with served.client(built) as agent:
            for call in calls:
                at = f"{call.at:.3f}"
                headers = {"x-flywheel-at": at, "x-sample-at": at}
                reply = await agent.post("/v1/chat/completions", json=call.request, headers=headers)
                said, right = content(reply.json()), content(desk.says(call.request, call.at))
                found.append(Answered(call.kind, reply.headers["x-flywheel-reason"], said == right))
                await built.audits.finish(10)
        built.journal.close()
        return found

    return asyncio.run(each())


def content(reply: Json) -> Any:
    return reply["choices"][0]["message"]["content"]


def learn(desk: Desk, number: int) -> None:
    """The night after a day, and the promotion at its end."""
    night = desk.night(number)
    for hop in (hops.ingest, hops.validate, hops.deidentify, hops.cluster, hops.dataset):
        hop(night)
    outcomes = []
    for task in sorted(path.parent.name for path in night.out("dataset").glob("*/task.json")):
        serving = champion(night, task)
        judged = []
        for rung in ladder.ladder(night, task, serving):
            ladder.train(night, task, rung, serving)
            card = ladder.evaluate(night, task, rung, serving)
            proof = ladder.calibrate(night, task, rung, serving)
            verdict = ladder.judge(night, task, rung, card, proof, serving)
            judged.append(JudgedStudent(rung, card, proof, verdict))
        outcomes.append(registration.register(night, task, judged, serving))
        print(outcomes[-1])
    ladder.close(night, outcomes)
    pool_update.promote(desk.home)


def task_of(desk: Desk, kind: str) -> str:
    """The id of the task that calls of a kind are."""
    request = calls(0, **{kind: 1})[0].request
    folders = (path.parent for path in desk.night(0).out("dataset").glob("*/task.json"))
    return next(f.name for f in folders if load_one(f).template.payload(request) is not None)


def learned(desk: Desk, kind: str, number: int) -> list[Row]:
    """All rows that a kind's student is trained, proven and measured with after a day."""
    folder = desk.night(number).out("dataset", desk.tasks[kind])
    return [row for split in SPLITS for row in rows(folder / f"{split}.parquet")]
