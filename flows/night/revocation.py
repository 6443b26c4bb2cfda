"""The certificates are kept: what the audits of all gateways say about each champion.

A breached one is taken out of service: an earlier version that stands on the same audits takes its
place, else the teacher. It goes back into shadow, where calls may prove it anew, and its task is
trained again; where no earlier version does better, without answers from before the change.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
from filelock import FileLock

from flows.night import alerts, champions, teacher_change
from flows.night.folders import Night, open_night, registry_of
from flows.night.shadow_plan import PLAN, REVOKED
from registry import bundle, ledger, rulings
from registry.ledger import Breach, Entry
from registry.store import Store, Version
from serving import audit_history
from serving.escalate import decide
from serving.evidence import EvidenceKey, JournalLine, Observation, RiskTest
from tasks.calibrate.shadow_proof import ShadowPlan
from tasks.core import stage
from tasks.core.certificate import Certificate, Refusal, load_certificate
from tasks.core.contract import agree, answer
from tasks.core.sequential_tests import ChangeDetector
from tasks.core.task import load_one
from tasks.evaluate.significance import binomial_tail
from tasks.students.adapters import open_student

log = logging.getLogger("flywheel")

AUDITS = 300  # newest audited calls that an earlier version is asked
AGAINST = 0.1  # chance, at the accepted risk, of as many wrong audits; below it they speak against
DONE = "revoked"  # the folder of what was done about each breach


def watch(home: str | Path) -> list[str]:
    """Look at the evidence about all champions: a sentence about each that was taken out.

    One at a time, promotions included; what a killed watch had begun is brought to its end. Raises
    Refused where the registry cannot be reached.
    """
    home = Path(home).resolve()
    home.mkdir(parents=True, exist_ok=True)
    night = open_night(home, _newest(home))
    store = registry_of(home)
    threshold = audit_history.alarm(home, night.params.watch.audits_per_false_alarm)
    with FileLock(home / ".promote.lock"):
        store.reach()
        ledger.observe(home, store.serving, time.time())
        observations = audit_history.gather(home)
        tests = audit_history.tests(home, threshold, observations)
        for test in tests:
            if test.alarm is not None:
                _revoke(night, store, test, tests)
        entries = ledger.entries(home)
        done = [said for entry in entries if (said := _settled(night, store, entry))]
        for version in store.shadows():
            if store.champion(version.name) == version.number:  # a person has put it back
                store.set_shadow(version.name, None)
        for task, number in {(e.task, e.before) for e in entries if e.breach and e.before}:
            back = rulings.overruled(entries, task, number) and store.champion(task) == number
            if back:
                store.reinstate(store.version(task, number))
        return [*done, *_changed(night, tests, observations)]


def _changed(
    night: Night, tests: Sequence[RiskTest], observations: Sequence[Observation]
) -> list[str]:
    """Return what is to be said of the teacher, and how much is audited because of it."""
    told = teacher_change.events(night, observations)
    for sentence in told:
        log.warning("%s", sentence)
        alerts.send(night.params.watch.alerts, "the flywheel's teacher has changed", sentence)
    if teacher_change.raise_audits(night, tests, observations):
        doubted = audit_history.raised(night.home)
        what = f"until proven anew, {night.params.watch.raised:.0%} of the answers are audited of"
        told.append(f"{what} {', '.join(doubted)}" if doubted else "all champions are proven anew")
    return told


def _newest(home: Path) -> str:
    """The day of the last night; empty where there was none."""
    return max((path.name for path in (home / "nights").glob("????-??-??")), default="")


def _revoke(night: Night, store: Store, test: RiskTest, tests: Sequence[RiskTest]) -> None:
    """Take a champion out of service, unless somebody has moved the alias since."""
    route = test.route
    task, number = route.task.id, route.version
    if rulings.overruled(ledger.entries(night.home), task, number) != route.since:
        return  # a person has put it back, and the gateway does not know yet
    if store.champion(task) != number:
        return
    audits = audit_history.audited(night.home, EvidenceKey.of(route))
    former = _former(night, store, test, tests)
    earlier = former or _earlier(night, store, test, audits)
    instead = f"version {earlier.number} " + (
        "goes on serving" if former else "stands on the same audits"
    ) if earlier else (
        "no earlier version does better, so the teacher answers; it is trained again on what the "
        "teacher says since then"
    )  # fmt: skip
    what = "Revoked" if test.share >= 1 else "Revoked in its roll-out"
    began = time.strftime("%Y-%m-%d %H:%M", time.gmtime(test.changed))
    ledger.promote(
        night.home,
        store,
        task,
        earlier.number if earlier else None,
        expected=number,
        reason=f"{what}: {test}, since about {began} UTC; {instead}.",
        now=time.time(),
        who=ledger.WATCH,
        breach=Breach(
            audits=test.n,
            wrong=test.wrong,
            alpha=route.certificate.alpha,
            e=round(math.exp(min(test.detector.log, 700.0)), 1),
            changed=test.changed,
            teacher=earlier is None,
        ),
    )


def _former(
    night: Night, store: Store, test: RiskTest, tests: Sequence[RiskTest]
) -> Version | None:
    """The version that a new one takes over from, where its own audits do not speak against it."""
    former = test.route.former
    if former is None or test.share >= 1:
        return None
    version = store.version(former.task.id, former.version)
    alarmed = any(t.alarm is not None for t in tests if t.route == former)
    folder = night.home / "adapters" / version.bundle
    return version if not alarmed and champions.usable(night, version, folder) else None


def _earlier(
    night: Night, store: Store, test: RiskTest, audits: Sequence[JournalLine]
) -> Version | None:
    """The newest earlier version that the same audits do not speak against."""
    task, number = test.route.task.id, test.route.version
    entries = ledger.entries(night.home)
    versions = store.versions(task)
    out = {v.adapter_digest for v in versions if v.number == number}
    for version in reversed([v for v in versions if v.number < number and v.passed]):
        folder = night.home / "adapters" / version.bundle
        if version.adapter_digest in out or rulings.rolled_back(entries, task, version.number):
            continue
        if champions.usable(night, version, folder) and _stands(night, folder, test, audits):
            return version
    return None


def _stands(night: Night, folder: Path, test: RiskTest, audits: Sequence[JournalLine]) -> bool:
    """Return whether a version answers some of these audited calls, and not too many wrongly.

    They are what the revoked one was asked since its answers became worse.
    """
    proven, task = load_certificate(folder / "certificate.json"), load_one(folder)
    assert isinstance(proven, Certificate)  # else it would not be usable
    asked = [
        (line, line.request, task.template.prompt(payload))
        for line in audits[-AUDITS:]
        if line.request and (payload := task.template.payload(line.request)) is not None
    ]
    tokens, how = night.params.serve.answer_tokens, night.params.evaluate
    student = open_student(folder / "adapter")
    answers = student.answer([prompt for *_, prompt in asked], max_tokens=tokens, batch=how.batch)
    detector, since = ChangeDetector(proven.alpha), list[bool]()
    for (line, request, _), given in zip(asked, answers, strict=True):
        if line.audit is None or not decide(task, proven.threshold, request, given).serve:
            continue
        expected = answer(line.audit.reply or {}, task.contract)
        wrong = not agree(expected, given.text, task.contract)
        detector.see(wrong)
        since += [wrong] if line.at >= test.changed else []
    alarm = detector.alarm(night.params.watch.audits_per_false_alarm)
    # Few audits, of another's answers: one wrong of five says little about this version.
    chance = 1 - binomial_tail(sum(since) - 1, len(since), proven.alpha)
    return bool(since) and not alarm and chance >= AGAINST


def _settled(night: Night, store: Store, entry: Entry) -> str:
    """Do what follows a breach, once: shadow, registry, alert. What was done, or nothing."""
    done = (
        night.home
        / audit_history.FOLDER
        / DONE
        / f"{entry.task}-v{entry.before}-{entry.at:.3f}.json"
    )
    if entry.breach is None or entry.before is None or done.exists():
        return ""
    version = store.version(entry.task, entry.before)
    store.revoke(version, entry.reason)
    _shadow(night, store, version, entry.breach)
    sentence = f"{version.bundle}: {entry.reason}"
    alerts.send(night.params.watch.alerts, f"flywheel revoked {version.bundle}", entry.reason)
    stage.write_atomic(done, msgspec.json.encode({"said": sentence}))
    return sentence


def _shadow(night: Night, store: Store, version: Version, breach: Breach) -> None:
    """Put a revoked version into shadow: an attempt of its task's, on calls since the change."""
    if not night.params.serve.shadow or store.shadow(version.name) is not None:
        return
    folder = store.fetch(version, night.home / "adapters" / version.bundle)
    proven = load_certificate(folder / "certificate.json")
    assert isinstance(proven, Certificate)  # it has served
    plan = ShadowPlan(
        task=version.name,
        adapter_digest=version.adapter_digest,
        alpha=proven.alpha,
        delta=proven.delta,
        attempt=champions.attempts(night, version.name) + 1,
        thresholds=(proven.threshold,),
        loaded=breach.changed,
        risk=proven.risk,
        learned=tuple((bundle.read(folder, "shadow") or {}).get("learned", ())),
    )
    attempt = night.out("calibrate", version.name, REVOKED.format(version.number))
    refusal = Refusal(
        refused="It was revoked, and is asked in the background.", attempt=plan.attempt
    )
    stage.write_atomic(attempt / PLAN, msgspec.json.encode(plan))
    stage.write_atomic(attempt / "certificate.json", msgspec.json.encode(refusal))
    store.set_shadow(version.name, version.number)
