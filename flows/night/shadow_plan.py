"""Students that only lack proof: what one has to prove is written down before it is loaded.

A night registers such a student under the alias `shadow`; `promote` loads it, and the gateway asks
it about calls that the teacher answers anyway.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from dataclasses import replace
from pathlib import Path

import msgspec

from flows.night import champions, domains, leak_guard
from flows.night.champions import Champion
from flows.night.folders import Night, ended
from registry import bundle, gate
from registry.choice import JudgedStudent, Rung
from registry.store import Version
from serving.escalate import decide
from serving.shadow import seen
from tasks.calibrate import shadow_proof
from tasks.calibrate.calibrate import confidence, score
from tasks.calibrate.shadow_proof import ShadowAnswer, ShadowPlan, Standing
from tasks.core import stage
from tasks.core.certificate import Certificate, Refusal
from tasks.core.contract import agree, answer
from tasks.core.records import Call, read
from tasks.core.rows import rows
from tasks.core.task import Task, load_one
from tasks.evaluate.answers import answered, read_answers
from tasks.evaluate.significance import LARGEST
from tasks.students.adapters import adapter_digest, open_student
from tasks.students.encoder import EncoderStudent
from tasks.train.folds import out_of_fold, proving, raw, unlearned

RUNG = "shadow"  # the folder of its plan, beside those of the rungs' certificates
REVOKED = "revoked-v{}"  # the same, of a version that was taken out of service
PLAN = "shadow.json"
SOON = 7  # nights' calls within which a proof has to be likely, or no attempt is spent on it
RECENT, DAY = 3, 86_400.0  # days that say how many calls a task has; seconds
BETTER = 0.02  # more of the test calls that a new student has to agree on to replace a shadow


def waiting(night: Night, judged: Sequence[JudgedStudent]) -> JudgedStudent | None:
    """The student that only lacks proof: of those without one, the best on the test calls.

    Calibration rows, which are part of the proof, have no say in the choice.
    """
    if not night.params.serve.shadow or night.params.calibrate.correct:
        return None
    unproven = [one for one in judged if not isinstance(one.certificate, Certificate)]
    best = max(unproven, key=lambda o: (o.scorecard.agreement, o.rung == "refit"), default=None)
    if best is None:
        return None
    task, rung = best.scorecard.task, best.rung
    folders = domains.trained(night, task, rung), night.out("evaluate", task, rung)
    return None if leak_guard.count(night, folders) else best


def plan(
    night: Night, task: str, one: JudgedStudent, serving: Champion | None
) -> ShadowPlan | None:
    """Return what a student has to prove.

    None when no threshold is worth a try, or one is on its way.

    Written down once a night: it is an attempt of the task's, whatever comes of it.
    """
    out = night.out("calibrate", task, RUNG)
    if not out.exists():
        drafted = _plan(night, task, one, serving)
        if drafted is None:
            return None
        with stage.fresh(out) as folder:
            refused = "It only lacks proof, and is asked in the background."
            body = Refusal(refused=refused, attempt=drafted.attempt)
            stage.write_atomic(folder / "certificate.json", msgspec.json.encode(body))
            stage.write_atomic(folder / PLAN, msgspec.json.encode(drafted))
    return msgspec.json.decode((out / PLAN).read_bytes(), type=ShadowPlan)


def calls_left(night: Night, task: str, one: JudgedStudent, serving: Champion | None) -> float:
    """Return about how many more of a task's calls prove a student; infinity for no hope.

    0 where an earlier shadow is on its way.
    """
    if _on_its_way(night, task, one):
        return 0.0
    drafted = _drafted(night, task, one, serving)
    if drafted is None:
        return math.inf
    whole = shadow_proof.standing(replace(drafted, before=()), ()).lacking
    needed = shadow_proof.calls_needed(drafted, _guide(night, task, one.rung))
    return needed * shadow_proof.standing(drafted, ()).lacking / whole


def _plan(
    night: Night, task: str, one: JudgedStudent, serving: Champion | None
) -> ShadowPlan | None:
    if _on_its_way(night, task, one):
        return None
    plan = _drafted(night, task, one, serving)
    if plan is None:
        return None
    a_night = load_one(night.out("dataset", task)).size / len(night.clean())
    needed = shadow_proof.calls_needed(plan, _guide(night, task, one.rung))
    if needed <= len(plan.before) + SOON * a_night:
        return plan
    shared = night.params.calibrate.scope == "all" and serving is None
    return replace(plan, attempt=0) if shared else None


def _drafted(
    night: Night, task: str, one: JudgedStudent, serving: Champion | None
) -> ShadowPlan | None:
    """Return what a student would have to prove; None when no threshold is worth a try."""
    asked = night.params.calibrate
    alpha = asked.accepted(task, load_one(night.out("dataset", task)).family)
    now = champions.standing(night, serving) if serving else None
    beaten = gate.to_beat(serving.certificate if serving else None, now, alpha, asked.risk)
    guide = _guide(night, task, one.rung)
    least = max(night.params.judge.min_coverage, beaten)
    chosen = shadow_proof.thresholds(
        [sure for sure, _ in guide], [ok for _, ok in guide], alpha, least
    )
    if not chosen:
        return None
    served = [ok for sure, ok in guide if sure >= chosen[0]]
    before = tuple(_before(night, task, one.rung))
    sizes = _conversations(night, task, one.rung)
    learned = sizes.keys() - {one_before.conversation for one_before in before}
    return ShadowPlan(
        task=task,
        adapter_digest=adapter_digest(domains.trained(night, task, one.rung) / "adapter"),
        alpha=alpha,
        delta=asked.delta,
        attempt=champions.attempts(night, task) + 1,
        thresholds=chosen,
        loaded=_later(night, domains.dataset(night, task, one.rung)),
        risk=asked.risk,
        learned=tuple(sorted(learned)),
        before=before,
        largest=min(LARGEST, max(sizes.values(), default=1)),
        guides=len(served),
        slips=served.count(False),
        share=len(served) / len(guide),
        nightly=_nightly(night, task),
    )


def _nightly(night: Night, task: str) -> float:
    """A task's calls a day in the newest days of them: one that is new has no more of them."""
    data = night.out("dataset", task)
    splits = [rows(data / f"{split}.parquet") for split in ("validation", "test")]
    times = [row.at for some in (raw(data), *splits) for row in some]
    newest = max(times, default=0.0)
    days = min(RECENT, 1 + int((newest - min(times, default=0.0)) / DAY))
    return sum(at > newest - days * DAY for at in times) / days


def _later(night: Night, data: Path) -> float:
    """Return from when on calls are later than all that shape or prove a student.

    Logs that a person names may go on after the night's day; a date that is still to come is wrong.
    """
    learned = [*raw(data), *rows(data / "validation.parquet")]
    last = max((row.at for row in learned), default=0.0)
    return max(ended(night.day), min(math.nextafter(last, math.inf), time.time()))


def _guide(night: Night, task: str, rung: Rung) -> list[tuple[float, bool]]:
    """Return what chooses a student's thresholds: how sure it is of answers, and which agree.

    Of test and validation rows, and of the training rows out of fold where that is known.
    """
    data, trained = domains.dataset(night, task, rung), domains.trained(night, task, rung)
    answers = list(read_answers(night.out("evaluate", task, rung) / "answers.parquet").rows)
    if checked := rows(data / "validation.parquet"):
        how, cache, contract = (
            night.params.evaluate,
            night.home / "answers",
            load_one(data).contract,
        )
        answers += answered(checked, contract, trained / "adapter", how, cache=cache).rows
    return [*((score(row), row.agrees) for row in answers), *out_of_fold(trained)]


def _on_its_way(night: Night, task: str, one: JudgedStudent) -> bool:
    """Return whether an earlier shadow of the task, about as good, is still to be proven."""
    number = night.store.shadow(task)
    if number is None:
        return False
    version = night.store.version(task, number)
    if anew(night.home, version):
        return False  # it was right once, and need not be again
    folder = night.store.fetch(version, night.home / "adapters" / version.bundle)
    try:
        begun = plan_of(folder)
    except stage.Refused:  # a person gave the alias to a version that was proven at night
        return False
    if not begun.attempt and night.params.calibrate.scope != "all":
        return False  # nobody could prove it
    now = standing(night.home, version, begun)
    if now.proven:  # it serves, and is only asked on for looser thresholds
        return False
    hopeless = now.lacking > 2 * shadow_proof.standing(begun, ()).lacking
    return not hopeless and one.scorecard.agreement < bundle.scorecard(folder).agreement + BETTER


def _raw(night: Night, only: Set[str]) -> Iterator[Call]:
    """Calls as they came in, of the nights whose clean calls are in the window."""
    for clean in night.clean():
        file = clean.parents[1] / "validate" / "calls.parquet"
        if file.exists():
            yield from read(file, only)


def _conversations(night: Night, task: str, rung: Rung) -> Counter[str]:
    """The conversations of all calls in a task's dataset, and how many calls each has."""
    data = domains.dataset(night, task, rung)
    learned, held = load_one(data), ("validation", "test")
    every = [*raw(data), *(row for split in held for row in rows(data / f"{split}.parquet"))]
    calls = _raw(night, {row.id for row in every})
    named = ((call.id, _conversation(call, learned)) for call in calls)
    return Counter(name for own, name in named if name != own)


def _conversation(call: Call, task: Task) -> str:
    return shadow_proof.conversation_of(call.id, call.conversation, call.request, task)


def _before(night: Night, task: str, rung: Rung) -> Iterator[ShadowAnswer]:
    """Yield what the student says to the calls of the rows that prove it, as they came in.

    Of a mixture each is answered by the head that had not learned it.
    """
    data, trained = domains.dataset(night, task, rung), domains.trained(night, task, rung)
    own_task = load_one(data)
    calls = list(_raw(night, {row.id for row in proving(data, trained)}))
    payloads = [(call, own_task.template.payload(call.request)) for call in calls]
    asked = [(call, own_task.template.prompt(load)) for call, load in payloads if load is not None]
    if not asked:
        return
    student, heads = open_student(trained / "adapter"), unlearned(trained)
    prompts, tokens = [prompt for _, prompt in asked], night.params.serve.answer_tokens
    if heads and isinstance(student, EncoderStudent):
        own = [heads.get(call.id, 0) for call, _ in asked]
        answers = student.answer(prompts, max_tokens=tokens, heads=own)
    else:
        batch = night.params.evaluate.batch
        answers = student.answer(prompts, max_tokens=tokens, batch=batch)
    for (call, _), given in zip(asked, answers, strict=True):
        servable = decide(own_task, float("-inf"), call.request, given).serve
        right = agree(answer(call.reply, own_task.contract), given.text, own_task.contract)
        yield ShadowAnswer(
            call=call.id,
            at=call.at,
            conversation=_conversation(call, own_task),
            score=confidence(given.logprobs) if servable else None,
            agrees=right,
            share=min(1.0, call.rate * call.weight),
        )


def plan_of(folder: Path) -> ShadowPlan:
    """Return what the shadow in a bundle has to prove.

    Raises Refused where that is not written down.
    """
    file = folder / PLAN
    if not file.exists():
        raise stage.Refused(f"{folder.name} has nothing to prove: it is no shadow of a night's")
    return msgspec.json.decode(file.read_bytes(), type=ShadowPlan)


def anew(home: Path, version: Version) -> ShadowPlan | None:
    """Return what a version has to prove to serve again; None where it was not revoked."""
    attempts = home.glob(f"nights/*/calibrate/{version.name}/{REVOKED.format(version.number)}")
    file = max(attempts, default=home) / PLAN
    return msgspec.json.decode(file.read_bytes(), type=ShadowPlan) if file.exists() else None


def seen_of(home: Path, version: Version, proven: Certificate) -> Standing:
    """Return what live calls say about a candidate that waits for a person: nothing is tested."""
    plan = ShadowPlan(
        task=version.name,
        adapter_digest=version.adapter_digest,
        alpha=proven.alpha,
        delta=proven.delta,
        attempt=proven.attempt,
        thresholds=(proven.threshold,),
        loaded=version.at,
    )
    return standing(home, version, plan)


def standing(home: Path, version: Version, plan: ShadowPlan) -> Standing:
    """Return how far the proof of a shadow is."""
    return shadow_proof.standing(plan, seen(home, version.name, version.number))
