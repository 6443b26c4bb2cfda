"""The ladder of one task's night: train, evaluate, calibrate, judge, register. No Prefect here."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import msgspec

from flows import console
from flows.night import champions, day_drift, domains, joint_plan, leak_guard, refit, savings
from flows.night.champions import Champion, origin
from flows.night.folders import Night, found
from flows.night.hops import figures as night_figures
from flows.night.outcome import Outcome
from registry import bundle, gate, router
from registry.choice import JudgedStudent, Rung
from registry.gate import Verdict
from serving.referee_client import referee
from tasks.calibrate import calibrate as calibrate_hop
from tasks.calibrate.calibrate import held_out
from tasks.core import stage
from tasks.core.certificate import Certificate, Refusal, load_certificate
from tasks.core.params import Rung as Kind
from tasks.core.scorecard import Scorecard
from tasks.core.stage import Refused
from tasks.core.task import load_one
from tasks.evaluate import evaluate as evaluate_hop
from tasks.evaluate.answers import read_answers
from tasks.train import domain
from tasks.train import train as train_hop
from tasks.train.loop import Progress
from tasks.train.train import load_training

SECONDS = 120.0  # that the teacher may take for a verdict
KINDS: dict[Rung, Kind] = {"linear": "linear", "encoder": "encoder", "causal": "causal"}
KINDS |= {"domain": "causal", "refit": "encoder"}


def ladder(night: Night, task: str, serving: Champion | None) -> list[Rung]:
    """The students worth a try, the cheapest first; no own one beside a champion that is enough.

    The student of the task's domain is measured in any case, before and beside its own.
    """
    tried: list[Rung] = ["domain"] if domains.domain_of(night, task) else []
    if champions.enough(night, serving):
        return tried
    return [*tried, *train_hop.ladder(night.out("dataset", task), night.params.train)[0]]


def rungs(
    night: Night, task: str, serving: Champion | None, judged: Sequence[JudgedStudent]
) -> Iterator[Rung]:
    """The rungs to try, one after the other; `judged`, which grows meanwhile, says when to end."""
    for rung in ladder(night, task, serving):
        if rung == "encoder" and refit.instead(night, task):
            break
        yield rung
        if judged and enough(night, judged[-1]):
            break
    with aside([], judged):
        if not refit.worth(night, task, judged, serving):
            return
        refit.gather(night, task)
        yield "refit"


@contextmanager
def aside(refused: list[Refused], judged: Sequence[JudgedStudent]) -> Iterator[None]:
    """Keep what is refused inside: a costlier student that fails costs a cheaper one nothing.

    So does one that breaks: its own Prefect task shows how.
    """
    try:
        yield
    except Refused as error:
        console.say(str(error))
        refused.append(error)
    except Exception as error:  # a costlier base may break anywhere; the cheaper student stands
        if not judged:
            raise
        console.say(f"A costlier student failed: {type(error).__name__}: {error}")


def enough(night: Night, last: JudgedStudent) -> bool:
    """Return whether no costlier student is tried: this one serves enough, or none would pay.

    It does not pay when the night's time is spent, or when what is left to save is less than what
    the longest training of the night cost.
    """
    rungs = night.params.train.rungs
    if last.rung == "domain" or last.rung == "refit":
        return False
    costlier = rungs[rungs.index(last.rung) + 1 :]
    if any(night.out("train", last.scorecard.task, rung).exists() for rung in costlier):
        return False  # the night was begun before and came further: it ends the same
    if last.verdict.passed and last.coverage >= night.params.train.enough:
        return True
    done = night.out("train").glob("*/*/training.json")
    seconds = [load_training(file.parent).seconds for file in done]
    task = load_one(night.out("dataset", last.scorecard.task))
    if not savings.pays(night, task, last.coverage, max(seconds)):
        return True
    return last.rung != "linear" and sum(seconds) > 60 * night.params.train.budget


def train(
    night: Night,
    task: str,
    rung: Rung,
    serving: Champion | None,
    told: Progress | None = None,
) -> Path:
    """Train one student; a training that was killed resumes its checkpoint.

    A causal one resumes the champion where that wins; a domain's is trained for the first of
    its tasks. `told` hears of each step, its loss and how many there are at most.
    """
    out, params = domains.trained(night, task, rung), night.params.train
    source = domains.dataset(night, task, rung)
    if rung == "domain":
        source = source.parent
        params = domain.budget(params, len(domains.domains(night)[source.name]))
    if not out.exists():
        with console.bar(f"{task} · {rung}", 100) as advance, stage.fresh(out) as folder:

            def progress(step: int, steps: int, loss: float) -> None:
                advance(100 * step // max(steps, 1))
                if told:
                    told(step, steps, loss)

            train_hop.train(
                source,
                folder,
                params,
                rung=KINDS[rung],
                minutes=params.minutes,
                progress=progress,
                warm=origin(night, task, rung, serving),
                checkpoint=out.with_name(f".{out.name}.checkpoint"),
            )
            advance(100)  # early stopping ends before the last step
    return out


def evaluate(night: Night, task: str, rung: Rung, serving: Champion | None) -> Scorecard:
    """Measure the student, the champion and the trivial baselines on the frozen test set."""
    out, params = night.out("evaluate", task, rung), night.params.evaluate
    if not out.exists():
        with stage.fresh(out) as folder, httpx.Client(timeout=SECONDS) as client:
            evaluate_hop.evaluate(
                domains.dataset(night, task, rung),
                domains.trained(night, task, rung),
                folder,
                params,
                champion=serving.rival if serving else None,
                prices=night.params.economics,
                cache=night.home / "answers",
                ask=referee(os.environ, client) if params.referee else None,
            )
    return msgspec.json.decode((out / "scorecard.json").read_bytes(), type=Scorecard)


def calibrate(
    night: Night, task: str, rung: Rung, serving: Champion | None = None
) -> Certificate | str:
    """Certify a threshold at the chosen risk, or say why there is none.

    No attempt is spent on what would hardly serve more than the champion, nor on a costlier student
    that agrees on no more of the test calls than a cheaper one.
    """
    out, params = night.out("calibrate", task, rung), night.params
    if not out.exists():
        with stage.fresh(out) as folder:
            if worse := _no_better(night, task, rung):
                body = msgspec.json.encode(Refusal(refused=worse))
                stage.write_atomic(folder / "certificate.json", body)
                return worse
            calibrate_hop.calibrate(
                domains.dataset(night, task, rung),
                domains.trained(night, task, rung),
                folder,
                params.calibrate,
                attempt=champions.attempts(night, task) + 1,
                tests=len(leak_guard.clean(night)) if params.calibrate.correct else 1,
                least=max(params.judge.min_coverage, champions.to_beat(night, serving)),
                evaluation=params.evaluate,
                cache=night.home / "answers",
            )
    return load_certificate(out / "certificate.json")


def _no_better(night: Night, task: str, rung: Rung) -> str:
    """Return why a costlier student is not put to the proof; empty when it is."""
    if rung == "refit":
        return refit.LEARNED
    own, rungs = _agreement(night, task, rung), night.params.train.rungs
    for cheaper in rungs[: rungs.index(rung)] if rung in rungs else ():
        if night.out("evaluate", task, cheaper).exists():
            agreed = _agreement(night, task, cheaper)
            if own <= agreed:
                return (
                    f"it agrees on {own:.0%} of the test calls, the {cheaper} student on "
                    f"{agreed:.0%}: no attempt is spent on it"
                )
    return ""


def _agreement(night: Night, task: str, rung: Rung) -> float:
    card = (night.out("evaluate", task, rung) / "scorecard.json").read_bytes()
    return msgspec.json.decode(card, type=Scorecard).agreement


def judge(
    night: Night,
    task: str,
    rung: Rung,
    scorecard: Scorecard,
    certificate: Certificate | str,
    serving: Champion | None,
) -> Verdict:
    """Judge one student against the gate and against the champion."""
    held = None
    if isinstance(certificate, Certificate):
        answers = night.out("evaluate", task, rung) / "answers.parquet"
        held = held_out(certificate, read_answers(answers))
    folders = domains.trained(night, task, rung), night.out("evaluate", task, rung)
    return gate.judge(
        scorecard,
        certificate,
        bundle.scorecard(serving.rival) if serving and serving.rival else None,
        night.params.judge,
        held=held,
        serving=serving.certificate if serving else None,
        now=champions.standing(night, serving) if serving else None,
        leaked=leak_guard.count(night, folders),
    )


def close(night: Night, outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Write what became of each task, what is to be proven, and the figures; return it."""
    body = msgspec.json.encode(list(outcomes))
    stage.write_atomic(night.out("judge.json"), msgspec.json.format(body, indent=2))
    figures = {"tasks/found": len(found(night)), "tasks/passed": sum(o.passed for o in outcomes)}
    measured = {f"drift/{d.task}/{d.what}": d.distance for d in day_drift.measure(night).found}
    night.store.record(night.day, night_figures(night) | figures | measured)
    router.register(night.store, night.out("cluster", "tasks.json"), night.day)
    try:
        joint_plan.write(night)
    except Exception as error:  # who is proven alone is, all the same
        console.say(f"nothing is proven together tonight: {error}")
    return list(outcomes)
