"""A new champion takes over in steps: at the gateway, and in what `promote` writes for it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import served
from served import client, gateway, large, requests, write_routes
from test_serving_evidence import contrary, line, right

from registry import ledger
from serving import audit_history
from serving.evidence import RiskTest
from serving.gateway import Gateway
from serving.route import Promise, Route
from serving.taking_over import Rollouts, rollouts

pytestmark = pytest.mark.anyio
STEPS = ((0.25, 10), (0.5, 20))
ASKED = requests("route", 40)
FORMER = served.route("route", adapter="route-abc123-v2-00000000", version=2)
NEW = served.route("route", rollout=STEPS, share=0.25)


def pool(request: httpx.Request) -> httpx.Response:
    """A pool whose former champion is right and whose new one is not."""
    name = msgspec.json.decode(request.content)["model"]
    return (right if name == FORMER.adapter else contrary)(request)


async def answered(built: Gateway, numbers: range) -> list[tuple[str, str]]:
    """The version that each conversation was given to, and why; one at a time, with its audit."""
    found = []
    async with client(built) as agent:
        for number in numbers:
            body = ASKED[number % len(ASKED)] | {"seed": number}
            headers = {"x-conversation-id": f"c{number}", "x-flywheel-at": f"{1e9 + 700 * number}"}
            reply = await agent.post("/v1/chat/completions", json=body, headers=headers)
            assert reply.status_code == 200
            told = reply.headers
            found.append((told["x-flywheel-version"], told["x-flywheel-reason"]))
            await built.audits.finish(10)
    return found


async def test_a_new_champion_answers_a_share(tmp_path: Path) -> None:
    """The former one answers the rest; a conversation that it has begun stays with it."""
    write_routes(tmp_path, replace(NEW, former=FORMER))
    built = gateway(tmp_path, right)
    found = await answered(built, range(40))
    assert {reason for _, reason in found} == {"served"}
    versions = [version for version, _ in found]
    assert 4 <= versions.count("3") <= 18
    assert versions[:20] == [version for version, _ in await answered(built, range(20))]


async def test_the_teacher_answers_the_rest_of_a_first_champion(tmp_path: Path) -> None:
    """Nobody was there before; the reason says so."""
    write_routes(tmp_path, NEW)
    found = await answered(gateway(tmp_path, right), range(40))
    assert {reason for _, reason in found} == {"served", "roll-out"}
    assert 20 <= [reason for _, reason in found].count("roll-out") <= 37


async def test_it_goes_on_with_what_was_audited(tmp_path: Path) -> None:
    """Step by step up to all; a gateway that starts knows how far it was."""
    write_routes(tmp_path, replace(NEW, former=FORMER))
    built = gateway(tmp_path, right, audit=1.0)
    evidence, shares = built.students.evidence, set()
    for number in range(0, 120, 2):
        await answered(built, range(number, number + 2))
        shares.add((evidence.share(NEW), evidence.of(NEW).n >= 10, evidence.of(NEW).n >= 30))
    assert {(0.25, False, False), (0.5, True, False), (1.0, True, True)} <= shares
    assert {share for share, *_ in shares} == {0.25, 0.5, 1.0}
    built.journal.close()
    again = gateway(tmp_path, right)
    again.students.evidence.recall(audit_history.look(tmp_path))
    assert again.students.evidence.share(NEW) == 1.0


async def test_a_bad_one_is_taken_back(tmp_path: Path) -> None:
    """After two wrong answers, the former champion answers all calls again."""
    write_routes(tmp_path, replace(NEW, former=FORMER))
    built = gateway(tmp_path, pool, audit=1.0)
    found = await answered(built, range(40))
    assert [version for version, _ in found].count("3") == 2
    assert found[-1] == ("2", "served")
    assert built.students.evidence.of(NEW).alarm == 2
    assert built.students.evidence.of(FORMER).alarm is None


async def test_a_bad_one_without_a_former_is_revoked(tmp_path: Path) -> None:
    """The teacher answers, and the reason is the one that people look for."""
    write_routes(tmp_path, NEW)
    found = await answered(gateway(tmp_path, contrary, audit=1.0), range(40))
    assert [reason for _, reason in found].count("served") == 2
    assert found[-1] == ("3", "revoked")


async def test_nothing_is_gone_on_from_without_audits(tmp_path: Path) -> None:
    """A task whose answers nobody checks waits at its first step."""
    write_routes(tmp_path, NEW)
    built = gateway(tmp_path, right)
    await answered(built, range(60))
    assert built.students.evidence.share(NEW) == 0.25


async def test_more_is_audited_while_it_is_new(tmp_path: Path) -> None:
    """The journal says at which rate each call was drawn; at last it is the base rate."""
    write_routes(tmp_path, replace(NEW, share=1.0))
    built = gateway(tmp_path, right, audit=0.1)
    built.students.evidence.new = 0.5
    await answered(built, range(80))
    rates = [line["audit_rate"] for line in served.journal(tmp_path)]
    assert rates[:30] == [1.0] * 30
    assert 0.1 < rates[-1] < 0.5
    seen = built.students.evidence.of(NEW)
    assert rates[-1] == pytest.approx(0.5 * 30 / seen.n, rel=0.1)


async def test_all_is_audited_while_it_waits(tmp_path: Path) -> None:
    """One with many audits, too many of them wrong to go on, is new still."""
    write_routes(tmp_path, NEW)
    evidence = gateway(tmp_path, right).students.evidence
    evidence.new = 0.5
    evidence.recall(one for n in range(40) if (one := line(n, n not in (5, 25, 35))))
    assert (evidence.of(NEW).n, evidence.breached(NEW), evidence.share(NEW)) == (40, False, 0.5)
    assert evidence.audit_rate(NEW) == 1.0


async def test_few_answers_wait_for_their_audits(tmp_path: Path) -> None:
    """A bad one gives no more than a step's before the first audit ends, however many calls."""

    def slow(request: httpx.Request) -> httpx.Response:
        time.sleep(0.2)
        return large(request)

    route = replace(NEW, rollout=((1.0, 5), (1.0, 15)), share=1.0)
    write_routes(tmp_path, route)
    built = gateway(tmp_path, contrary, slow)
    async with client(built) as agent:
        calls = [agent.post("/v1/chat/completions", json=one) for one in ASKED]
        told = [reply.headers["x-flywheel-reason"] for reply in await asyncio.gather(*calls)]
        await built.audits.finish(10)
    assert told.count("served") <= 5
    assert built.students.evidence.breached(route)
    assert not built.students.evidence.full(replace(route, version=2, done=2), asked=1_000)


async def test_who_is_replaced_in_its_roll_out_is_audited_on(tmp_path: Path) -> None:
    """It answers the rest of the conversations, and each of its answers is audited as before."""
    later = replace(NEW, adapter="route-abc123-v4-00000000", version=4)
    write_routes(tmp_path, replace(later, former=replace(NEW, share=1.0, done=1)))
    await answered(gateway(tmp_path, right, audit=0.1), range(20))
    rates = {line["answered_by"]: line["audit_rate"] for line in served.journal(tmp_path)}
    assert rates == {later.adapter: 1.0, NEW.adapter: 1.0}


def test_only_answers_that_were_given_count_for_a_step() -> None:
    """Where the risk is about all calls, those that the teacher answered move no roll-out."""
    test = RiskTest(replace(NEW, certificate=Promise(risk="marginal")), 200)
    unserved = (line(n, True, answered_by="teacher", audit=None) for n in range(60))
    assert all(test.see(one) for one in unserved if one)
    assert (test.n, test.steps) == (60, 0)
    for n in range(100, 110):
        test.see(line(n, True))
    assert test.steps == 1


def test_a_roll_out_that_is_done_stays_done() -> None:
    """Its first audits are forgotten one day; those that are read then are no roll-out's."""
    for done, alarm in ((0, 2), (2, None)):
        test = RiskTest(replace(NEW, done=done), 3_000)
        for n in range(2):
            test.see(line(n, False))
        assert (test.steps, test.alarm) == (done, alarm)


def json(route: Route, **more: Any) -> dict[str, Any]:
    """A route as routes.json has it."""
    return {**msgspec.json.decode(msgspec.json.encode(route)), **more}


LOADED = (FORMER.adapter, NEW.adapter)
PLAN = Rollouts(STEPS)


def test_promote_begins_a_roll_out() -> None:
    """The champion until now stays as the former one; a shadow's proof saves the first step."""
    new, former = json(replace(NEW, rollout=(), share=1.0)), json(FORMER)
    begun = PLAN.of(new, former, LOADED)
    assert (begun["rollout"], begun["share"]) == (STEPS, 0.25)
    assert begun["former"]["version"] == 2
    assert PLAN.of(new, None, LOADED)["former"] is None
    assert PLAN.of(new, former, (NEW.adapter,))["former"] is None
    proven = json(NEW, certificate={"alpha": 0.05, "method": "shadow"})
    assert PLAN.of(proven, former, LOADED)["rollout"] == STEPS[1:]
    assert PLAN.of(proven, former, LOADED)["share"] == 0.5
    assert Rollouts().of(new, former, LOADED)["share"] == 1.0
    whole = Rollouts(((0.5, 10), (1.0, 20))).of(proven, former, LOADED)
    assert (whole["share"], whole["former"]) == (1.0, None)  # nobody is left to answer the rest


def test_promote_goes_on_with_a_roll_out() -> None:
    """What all gateways' audits allow; at the end the former champion is let go."""
    known = json(replace(NEW, former=FORMER))
    assert PLAN.of(json(NEW), known, LOADED)["share"] == 0.25
    half = Rollouts(STEPS, {(NEW.task.id, 3): 1}).of(json(NEW), known, LOADED)
    assert (half["share"], half["done"], half["former"]["version"]) == (0.5, 1, 2)
    done = Rollouts(STEPS, {(NEW.task.id, 3): 2}).of(json(NEW), known, LOADED)
    assert (done["share"], done["done"], done["former"]) == (1.0, 2, None)


def test_going_back_is_at_once() -> None:
    """A roll-back ends a roll-out; so does a person who overrules the watch."""
    known = json(replace(NEW, former=FORMER))
    assert PLAN.of(json(FORMER), known, LOADED)["share"] == 1.0
    assert PLAN.of(json(replace(NEW, since=5.0)), None, LOADED)["share"] == 1.0


def test_who_is_promoted_during_a_roll_out_takes_over_from_the_proven_one() -> None:
    """Not from the one that was just begun."""
    known, next_one = json(replace(NEW, former=FORMER)), json(replace(NEW, version=4))
    assert PLAN.of(next_one, known, LOADED)["former"]["version"] == 2


def test_who_answers_all_in_its_roll_out_goes_on_with_it() -> None:
    """Beside the one that takes over from it, and when that one is taken back."""
    known, next_one = json(replace(NEW, share=1.0, done=1)), json(replace(NEW, version=4))
    begun = next_one | PLAN.of(next_one, known, LOADED)
    for found in (begun["former"], PLAN.of(json(NEW), begun, LOADED)):
        assert (found["rollout"], found["share"], found["done"]) == ([*map(list, STEPS)], 1.0, 1)


async def test_a_step_is_written_into_the_ledger_once(tmp_path: Path) -> None:
    """With the audits that allowed it."""
    write_routes(tmp_path, NEW)
    built = gateway(tmp_path, right, audit=1.0)
    number = 0
    while built.students.evidence.share(NEW) < 0.5:
        await answered(built, range(number, number := number + 5))
    built.journal.close()
    for _ in range(2):
        found = rollouts(tmp_path, STEPS, 3_000)
    assert found.done == {(NEW.task.id, 3): 1}
    (entry,) = ledger.entries(tmp_path)
    assert (entry.who, entry.before, entry.after, entry.moved) == ("roll-out", 3, 3, False)
    assert entry.reason.startswith("It answers 50% of the conversations now: ")
