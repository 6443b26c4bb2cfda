"""Evidence at the gateway: a student whose audits break its certificate is asked no more."""

from __future__ import annotations

import gzip
import logging
import shutil
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import served
from served import client, gateway, large, requests, student, write_routes

from serving import audit_history
from serving.evidence import Evidence, JournalLine, Observation, RiskTest, drawn, observed
from serving.gateway import Gateway
from serving.journal import Journal
from serving.route import Promise, RouteFile

pytestmark = pytest.mark.anyio
ROUTE = served.route("route")
ASKED = requests("route", 40)


def right(request: httpx.Request) -> httpx.Response:
    """A pool whose student says what the teacher says."""
    asked = msgspec.json.decode(request.content)
    text = asked["messages"][-1]["content"]
    whole = next(one for one in ASKED if text in one["messages"][-1]["content"])
    reply = large(httpx.Request("POST", "http://t", json=whole)).json()
    said = reply["choices"][0]["message"]["content"]
    return student(said if said in ROUTE.task.contract.labels else "other")(request)


def contrary(request: httpx.Request) -> httpx.Response:
    """A pool whose student says another label than the teacher."""
    said = right(request).json()["choices"][0]["message"]["content"]
    labels = ROUTE.task.contract.labels
    return student(labels[labels.index(said) - 1])(request)


async def reasons(built: Gateway, asked: list[Any]) -> list[str]:
    """Why each call was answered as it was; one at a time, each with its audit."""
    found = []
    async with client(built) as agent:
        for one in asked:
            reply = await agent.post("/v1/chat/completions", json=one)
            assert reply.status_code == 200
            found.append(reply.headers["x-flywheel-reason"])
            await built.audits.finish(10)
    return found


async def test_a_wrong_student_stops_with_the_next_call(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A few wrong answers in a row are enough; the log has one line, the metrics a count."""
    write_routes(tmp_path, ROUTE)
    built = gateway(tmp_path, contrary, audit=1.0)
    with caplog.at_level(logging.WARNING, "flywheel.gateway"):
        found = await reasons(built, ASKED[:20])
    stopped = found.index("revoked")
    assert stopped <= 6
    assert found == ["served"] * stopped + ["revoked"] * (20 - stopped)
    (said,) = [r.getMessage() for r in caplog.records if "is revoked" in r.getMessage()]
    assert f"{stopped} of {stopped} audited answers wrong" in said
    assert f'flywheel_revocations_total{{adapter="{ROUTE.adapter}"}} 1.0' in built.metrics.text()
    assert (
        f'flywheel_escalations_total{{reason="revoked"}} {20 - stopped}.0' in built.metrics.text()
    )


async def test_a_right_student_goes_on(tmp_path: Path) -> None:
    """One that says what the teacher says is served, and its evidence is small."""
    write_routes(tmp_path, ROUTE)
    built = gateway(tmp_path, right, audit=1.0)
    assert set(await reasons(built, ASKED[:20])) == {"served"}
    found = built.students.evidence.of(ROUTE)
    assert (found.n, found.alarm) == (20, None)
    assert found.wrong <= 1


@pytest.mark.parametrize("rotation", ["none", "renamed", "packed"])
async def test_a_gateway_that_starts_knows_what_was_seen(tmp_path: Path, rotation: str) -> None:
    """The evidence is made anew from the journal, whatever became of its files."""
    write_routes(tmp_path, ROUTE)
    built = gateway(tmp_path, contrary, audit=1.0)
    await reasons(built, ASKED[:10])
    built.journal.close()
    (file,) = (tmp_path / "journal").glob("*.jsonl")
    if rotation == "packed":
        with file.open("rb") as plain, gzip.open(f"{file}.gz", "wb") as packed:
            shutil.copyfileobj(plain, packed)
        file.unlink()
    elif rotation == "renamed":
        file.rename(f"{file}.1")
    again = gateway(tmp_path, contrary, audit=1.0)
    again.students.evidence.recall(audit_history.look(tmp_path))
    assert str(again.students.evidence.of(ROUTE)) == str(built.students.evidence.of(ROUTE))
    assert await reasons(again, ASKED[10:12]) == ["revoked"] * 2


async def test_a_person_may_overrule(tmp_path: Path) -> None:
    """A route that a person put back serves again, with evidence of its own, now and later."""
    write_routes(tmp_path, ROUTE)
    built = gateway(tmp_path, contrary, audit=1.0)
    await reasons(built, ASKED[:10])
    write_routes(tmp_path, served.route("route", since=5.0))
    assert (await reasons(built, ASKED[10:12])) == ["served"] * 2
    again = Evidence(RouteFile(tmp_path / "routes.json"))
    again.recall(audit_history.look(tmp_path))
    assert again.of(served.route("route", since=5.0)).n == 2


def see(found: RiskTest, number: int, agrees: bool, **more: Any) -> bool:
    """Take in one call; return whether it counted."""
    one = line(number, agrees, **more)
    assert one
    return found.see(one)


def line(number: int, agrees: bool, **more: Any) -> Observation | None:
    """What the line of a served and audited call says."""
    given = {
        "id": f"c{number}",
        "at": float(number),
        "task": ROUTE.task.id,
        "request": ASKED[number % len(ASKED)] | {"seed": number},
        "answered_by": ROUTE.adapter,
        "student": {"adapter": ROUTE.adapter, "version": 3, "since": 0.0},
        "audit": {"agrees": agrees},
    }
    return observed(msgspec.convert(given | more, JournalLine))


def test_a_conversation_counts_once_in_ten_minutes() -> None:
    """Ten wrong answers of one conversation are one; the same prompt again is one as well."""
    found = RiskTest(ROUTE, 200)
    counted = [see(found, n, False, conversation="talk") for n in range(10)]
    assert counted == [True] + [False] * 9
    same = [see(found, n, False, request=ASKED[0]) for n in range(20, 30)]
    assert same == [True] + [False] * 9
    assert see(found, 700, False, conversation="talk")


def test_a_promise_about_all_calls_counts_all_calls() -> None:
    """Where the risk is marginal, calls that the teacher answered count, at the audit's rate."""
    both = [
        RiskTest(served.route("route", certificate=Promise(risk=r)), 200)
        for r in ("selective", "marginal")
    ]
    for found in both:
        for n in range(100):
            one = line(n, True, answered_by="teacher", audit=None, audit_rate=0.3)
            assert (one is not None) == drawn(f"c{n}", 0.3)
            if one:
                found.see(one)
    assert both[0].n == 0
    assert both[1].n == sum(drawn(f"c{n}", 0.3) for n in range(100)) > 0


def test_the_change_is_dated() -> None:
    """The evidence says since when the answers are worse."""
    found = RiskTest(ROUTE, 200)
    for n in range(300):
        see(found, n, n < 250 or n % 2 == 0)
    assert found.alarm
    assert found.changed == pytest.approx(250, abs=5)


def write(journal: Journal, numbers: range) -> None:
    """Served and audited calls, each of a conversation of its own."""
    for number in numbers:
        student = {"adapter": ROUTE.adapter, "version": 3, "since": 0.0}
        more = {"answered_by": ROUTE.adapter, "student": student, "task": ROUTE.task.id}
        asked = {"id": f"c{number:032}", "at": 1e9, "conversation": f"k{number}"}
        journal.append(asked | more | {"request": ASKED[0], "audit": {"agrees": True}})
    journal.sync()


def test_a_journal_that_was_removed_hides_nothing(tmp_path: Path) -> None:
    """Its day's file is made again, perhaps in the same place on the disk, and read from its start.

    What was read of the first one is kept.
    """
    journal = Journal(tmp_path / "journal")
    for numbers in (range(10), range(10, 30)):
        write(journal, numbers)
        assert len(audit_history.gather(tmp_path)) == numbers.stop
        (file,) = (tmp_path / "journal").glob("*.jsonl")
        file.unlink()
    journal.close()


async def test_a_full_journal_is_evidence_too(tmp_path: Path) -> None:
    """Its lines have no texts any more; they still say whose answers agree."""
    write_routes(tmp_path, ROUTE)
    journal = Journal(tmp_path / "journal", most=0)
    write(journal, range(10))
    journal.close()
    assert served.journal(tmp_path)[-1]["request"] is None
    assert len(audit_history.gather(tmp_path)) == 10
    built = gateway(tmp_path, right)
    built.remember()
    assert built.students.evidence.of(ROUTE).n == 10
