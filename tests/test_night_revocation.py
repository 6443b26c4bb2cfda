"""The certificates are kept: real students, pool, gateway and registry, and an alert received."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import httpx
import msgspec
import pytest
import served
import students as made
import test_night_shadow_plan as desk
import yaml
from sqlalchemy import Engine, event
from test_night_shadow_plan import TASK, question

from flows import console
from flows.cli import decisions, processes, stack, status
from flows.night import ladder, pool_update, revocation, shadow_plan, shadow_promotion
from flows.night.champions import attempts, champion, enough
from flows.night.folders import Night, ended
from registry import bundle, ledger, plots, rulings
from registry.store import Version
from serving import audit_history
from serving.gateway import Gateway
from serving.pool import Pool
from serving.reconcile import routes
from tasks.core.certificate import Certificate
from tasks.core.rows import rows, write_rows
from tasks.core.stage import Refused, write_atomic
from tasks.core.task import load_one

pytestmark = pytest.mark.flow  # trainings, a pool and a registry
ROOT = Path(__file__).parents[1]
DAY = "2026-03-02"
NEXT = {"blue": "red", "red": "green", "green": "blue"}


class Receiver(BaseHTTPRequestHandler):
    """Where alerts arrive."""

    heard: ClassVar[list[dict[str, Any]]] = []

    def do_POST(self) -> None:
        """Keep what is sent."""
        body = self.rfile.read(int(self.headers["content-length"]))
        self.heard.append(msgspec.json.decode(body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def receiver() -> Iterator[str]:
    """The address of a receiver of alerts."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"json://127.0.0.1:{server.server_port}/alerts"
    server.shutdown()


def night_of(home: Path, rename: bool) -> Night:
    """A night with a trained linear student; of renamed colours where asked."""
    night = Night(home, DAY, desk.params())
    desk.prepare(night)
    if rename:
        for file in night.out("dataset", TASK).glob("*.parquet"):
            found = rows(file)
            write_rows(file, [replace(row, answer=NEXT[row.answer]) for row in found])
    ladder.train(night, TASK, "linear", None)
    ladder.evaluate(night, TASK, "linear", None)
    return night


def registered(night: Night, source: Night) -> Version:
    """Register a night's student with a certificate, whatever it is worth."""
    trained = source.out("train", TASK, "linear")
    scorecard = ladder.evaluate(source, TASK, "linear", None)
    proof = made.certificate(scorecard.adapter_digest, task=TASK, threshold=-2.0)
    write_atomic(source.home / "proof" / "certificate.json", msgspec.json.encode(proof))
    lineage = bundle.Lineage(night=DAY, dataset="none")
    folder = bundle.pack(
        source.home / "packed",
        dataset=source.out("dataset", TASK),
        trained=trained,
        evaluated=source.out("evaluate", TASK, "linear"),
        calibrated=source.home / "proof",
        lineage=lineage,
    )
    return night.store.register(load_one(folder), folder, scorecard, proof, made.PASSED, lineage)


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory, receiver: str) -> Iterator[Night]:
    """A home with a running pool and two versions: a good one, and one of renamed colours."""
    event.listen(Engine, "connect", lambda database, _: database.execute("PRAGMA synchronous=OFF"))
    home = tmp_path_factory.mktemp("home")
    found = yaml.safe_load((ROOT / "params.yaml").read_text())
    found["watch"]["alerts"] = [receiver]
    found["serve"]["rollout"] = []  # who takes over takes all over
    (home / "params.yaml").write_text(yaml.safe_dump(found))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "plots", lambda *_: {})
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("FLYWHEEL_PARAMS", str(home / "params.yaml"))
        good = night_of(home, rename=False)
        registered(good, good)
        registered(good, night_of(tmp_path_factory.mktemp("other"), rename=True))
        service = stack.pool_server(home, stack.free_port(), "bundled")
        with processes.running([service], home):
            patch.setenv("POOL_URL", service.url)
            patch.setenv("POOL_TOKEN", service.env["POOL_TOKEN"])
            yield good


def renamed(request: httpx.Request) -> httpx.Response:
    """The teacher, whose colours have other names now."""
    reply = desk.teacher(request).json()
    message = reply["choices"][0]["message"]
    message["content"] = NEXT[message["content"]]
    return httpx.Response(200, json=reply)


Teacher = Callable[[httpx.Request], httpx.Response]


def gateway(night: Night, large: Teacher) -> Gateway:
    """A gateway that starts now, and audits each answer."""
    built = served.gateway(night.home, None, large, audit=1.0, shadow=1.0)
    pools = {
        "encoder": Pool(os.environ["POOL_URL"], built.teacher.client, os.environ["POOL_TOKEN"])
    }
    built.students.pools = built.shadows.pools = pools
    built.students.evidence.recall(audit_history.look(night.home))
    return built


def asked(built: Gateway, numbers: range) -> list[tuple[str, str]]:
    """Why calls were answered as they were, and what was said; one at a time."""

    async def send() -> list[tuple[str, str]]:
        found = []
        async with served.client(built) as agent, asyncio.timeout(120):
            for number in numbers:
                user = {"role": "user", "content": question(number)[0]}
                body = {"messages": [desk.SYSTEM, user]}
                at = {"x-flywheel-at": str(ended(DAY) + number)}
                reply = await agent.post("/v1/chat/completions", json=body, headers=at)
                said = reply.json()["choices"][0]["message"]["content"]
                found.append((reply.headers["x-flywheel-reason"], said))
                await built.audits.finish(10)
        built.journal.close()
        return found

    return asyncio.run(send())


def slips(request: httpx.Request) -> httpx.Response:
    """The teacher, that says a third thing in answer to one of the questions."""
    reply = desk.teacher(request).json()
    if request.content.count(b" number 203"):
        message = reply["choices"][0]["message"]
        message["content"] = NEXT[NEXT[message["content"]]]
    return httpx.Response(200, json=reply)


def reasons(found: list[tuple[str, str]]) -> list[str]:
    return [reason for reason, _ in found]


def test_a_bad_champion_gives_way_to_the_one_before(night: Night) -> None:
    """Put in by alias, it is stopped within seven answers; the watch brings the first back.

    The teacher errs on one of the seven, as the first version's certificate allows.
    """
    home, store = night.home, night.store
    store.set_champion(TASK, 1)
    pool_update.promote(home)
    found = asked(gateway(night, desk.teacher), range(100, 140))
    assert reasons(found).count("served") > 30
    assert revocation.watch(home) == []

    store.set_champion(TASK, 2)
    pool_update.promote(home)
    found = asked(gateway(night, slips), range(200, 230))
    wrong = sum(said != question(n)[1] for n, (_, said) in zip(range(200, 230), found, strict=True))
    assert 3 <= wrong <= 7
    assert reasons(found)[-10:] == ["revoked"] * 10

    command = [sys.executable, "-m", "flows.cli", "watch", "--home", str(home)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "version 1 stands on the same audits" in done.stdout
    assert [route["version"] for route in routes(home)] == [1]
    entry = ledger.entries(home)[-1]
    assert (entry.who, entry.before, entry.after) == ("watch", 2, 1)
    assert entry.breach
    assert (entry.breach.wrong, entry.breach.audits) == (wrong, wrong)
    assert entry.breach.e > 1_000
    assert not entry.breach.teacher
    assert rulings.changes(ledger.entries(home)) == {}
    assert (store.champion(TASK), store.shadow(TASK)) == (1, 2)
    assert "revoked" in store.client.get_model_version(TASK, "2").tags
    assert Receiver.heard[-1]["title"].startswith("flywheel revoked")
    assert "of" in Receiver.heard[-1]["message"]
    assert revocation.watch(home) == []
    assert len(Receiver.heard) == 1

    found = asked(gateway(night, desk.teacher), range(300, 330))
    assert reasons(found).count("served") > 20


def test_the_policy_leaves_out_what_was_revoked(night: Night) -> None:
    """Only a person, or a proof on later calls, brings a revoked version back."""
    entry = ledger.promote(night.home, night.store, TASK, 2, expected=1, reason="it won", now=1.0)
    assert not entry.moved
    assert entry.reason == "the watch took version 2 out; the policy leaves it out"


def test_a_changed_teacher_takes_the_task_back(night: Night) -> None:
    """No version stands: the teacher answers, and nothing from before the change is learned."""
    home, store = night.home, night.store
    built = gateway(night, renamed)
    found = asked(built, range(400, 440))
    served_wrong = reasons(found).count("served")
    assert 3 <= served_wrong <= 12
    # a gateway that starts anew knows it from the journal
    assert set(reasons(asked(gateway(night, renamed), range(440, 445)))) == {"revoked"}
    store.set_shadow(TASK, None)
    tried = attempts(night, TASK)
    (said,) = revocation.watch(home)
    assert "no earlier version does better" in said
    assert store.champion(TASK) is None
    (entry,) = (e for e in ledger.entries(home) if e.breach and e.breach.teacher)
    assert entry.breach
    changed = rulings.changes(ledger.entries(home))[TASK]
    assert ended(DAY) + 400 - 5 <= changed <= ended(DAY) + 410
    assert store.shadow(TASK) == 1
    assert attempts(night, TASK) == tried + 1
    plan = shadow_plan.anew(home, store.version(TASK, 1))
    assert plan
    assert (plan.thresholds, plan.loaded) == ((-2.0,), changed)
    assert ledger.verify(home)[0] == len(ledger.entries(home))


def test_a_revoked_student_is_asked_in_the_background(night: Night) -> None:
    """Its proof begins anew, and its page says both; loading it leaves what it has to prove."""
    pool_update.promote(night.home)
    assert routes(night.home) == []
    built = gateway(night, renamed)

    async def shown() -> None:
        working = asyncio.create_task(built.shadows.run())
        async with asyncio.timeout(60):
            while built.shadows.waiting or not built.shadows.asked:
                await asyncio.sleep(0.02)
        working.cancel()

    async def both() -> None:
        async with served.client(built) as agent:
            for number in range(500, 505):
                user = {"role": "user", "content": question(number)[0]}
                body = {"messages": [desk.SYSTEM, user]}
                at = {"x-flywheel-at": str(ended(DAY) + number)}
                await agent.post("/v1/chat/completions", json=body, headers=at)
            await shown()

    asyncio.run(both())
    told = shadow_promotion.prove(night.home)[TASK]
    assert re.search(r"would have answered (\d) of them by itself, \1 wrongly", told)
    assert "all of them right, prove it" in told
    page = night.store.client.get_model_version(TASK, "1").description
    assert page.startswith("### Taken out of service\nRevoked: ")
    assert f"### In shadow\n{told}" in page


def test_a_person_may_overrule(night: Night) -> None:
    """The alias set again serves again, with evidence that begins anew, and is in the ledger."""
    home, store = night.home, night.store
    store.set_champion(TASK, 1)
    serving = champion(night, TASK)
    assert not enough(night, serving)
    pool_update.promote(home)
    (route,) = routes(home)
    assert route["since"] > 0
    assert ledger.entries(home)[-1].who == ledger.PERSON
    assert rulings.changes(ledger.entries(home)) == {}
    assert revocation.watch(home) == []
    page = store.client.get_model_version(TASK, "1")
    assert "revoked" not in page.tags
    assert "Taken out" not in page.description
    found = asked(gateway(night, desk.teacher), range(600, 620))
    assert reasons(found).count("served") > 15
    assert revocation.watch(home) == []
    assert isinstance(serving.certificate if serving else None, Certificate)


def test_another_model_raises_the_audit(night: Night) -> None:
    """Another name in the replies is an event; more is audited until the student is proven anew."""

    def larger(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=desk.teacher(request).json() | {"model": "larger"})

    asked(gateway(night, larger), range(700, 710))
    event, doubt = revocation.watch(night.home)
    assert event == "Calls are answered by larger, no longer by large"
    assert doubt == f"until proven anew, 50% of the answers are audited of {TASK}"
    entry = ledger.entries(night.home)[-1]
    assert (entry.who, entry.moved, entry.changed) == ("watch", False, ended(DAY) + 700)
    assert Receiver.heard[-1]["message"] == event
    pool_update.promote(night.home)
    assert [route["audit"] for route in routes(night.home)] == [0.5]
    asked(gateway(night, larger), range(1000, 1200))
    assert revocation.watch(night.home) == ["all champions are proven anew"]
    pool_update.promote(night.home)
    assert [route["audit"] for route in routes(night.home)] == [0.0]


def printed(show: Callable[[], None]) -> str:
    """What a command prints."""
    with console.console.capture() as shown:
        show()
    return shown.get()


def test_one_screen_says_it_all(night: Night) -> None:
    """Champions with their live agreement, shadows, candidates, the days, and what is wrong."""
    screen = printed(lambda: status.show(night.home))
    assert re.search(rf"{TASK} +v1 +\d+\.\d% \(n=\d+\) +\d\.\d% – \d", screen)
    assert "! " in screen
    assert "v2: Revoked: " in screen
    assert "are answered by larger" in screen
    assert re.search(r"2026-03-03 +█+ +\d+% of \d", screen)
    assert "Last night: none has ended yet" in screen


def test_a_person_promotes_and_rolls_back_by_command(night: Night) -> None:
    """Each move is in the ledger under the person's name; the ledger is as it was written."""
    home, store = night.home, night.store
    assert "no candidate waits" in printed(lambda: decisions.candidates(home))  # v2 was revoked
    with pytest.raises(Refused, match="has no candidate; name a version"):
        decisions.promote(home, TASK, None)
    assert "v2 serves" in printed(lambda: decisions.promote(home, TASK, 2))
    assert store.champion(TASK) == 2
    entry = ledger.entries(home)[-1]
    assert entry.who.endswith("by command")
    assert (entry.before, entry.after) == (1, 2)
    assert "v1 serves" in printed(lambda: decisions.rollback(home, TASK))
    assert store.champion(TASK) == 1
    with pytest.raises(Refused, match="no task of the registry is called 'nothing'"):
        decisions.promote(home, "nothing", None)
    with pytest.raises(Refused, match="has no version 9"):
        decisions.promote(home, TASK, 9)
    assert f"{len(ledger.entries(home))} lines" in printed(lambda: decisions.verify(home))


def test_an_answer_has_a_lineage(night: Night) -> None:
    """From the header of an answer to the version, its run and its data, and who promoted it."""
    line = next(line for line in served.journal(night.home) if line["reason"] == "served")
    told = printed(lambda: decisions.lineage(night.home, line["id"]))
    assert f"answered by  {line['answered_by']}" in told
    assert "version      v1" in told
    assert re.search(r"MLflow run +[0-9a-f]{32}", told)
    assert "ledger" in told
    with pytest.raises(Refused, match="no call nothing is in the journal"):
        decisions.lineage(night.home, "nothing")
