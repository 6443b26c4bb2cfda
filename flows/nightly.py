"""The whole loop on one page: last night's calls become small models that answer tomorrow's.

    journal ─► ingest ─► validate ─► deidentify ─► cluster ─► dataset
                                                                 │  for each task: the cheapest
       promote ◄─ register ◄─ judge ◄─ calibrate ◄─ evaluate ◄─ train      student that is enough

Run it with `flywheel nightly`, or let the deployment `nightly` do so at 02:00.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from prefect import State, flow, runtime
from prefect.states import Completed, Failed

from flows import artifacts, console, steps
from flows.night import leak_guard
from flows.night.champions import champion
from flows.night.folders import alone, found, open_night
from flows.night.hops import warnings
from flows.night.ladder import aside, close, rungs
from flows.night.outcome import Outcome
from flows.night.savings import trainable
from flows.promote import promote
from registry.choice import JudgedStudent
from tasks.core.stage import Refused


def yesterday() -> str:
    """The UTC day that ended last."""
    return (datetime.now(UTC) - timedelta(days=1)).date().isoformat()


@flow(name="student", flow_run_name="{task} · {day}")
def student(task: str, day: str, home: str) -> Outcome:
    """Train, prove and judge one task's student; register it when it won."""
    night = open_night(home, day)
    serving, judged, refused = champion(night, task), list[JudgedStudent](), list[Refused]()
    for rung in rungs(night, task, serving, judged):
        with aside(refused, judged):
            steps.train(night, task, rung, serving)
            scorecard = steps.evaluate(night, task, rung, serving)
            certificate = steps.calibrate(night, task, rung, serving)
            verdict = steps.judge(night, task, rung, scorecard, certificate, serving)
            judged.append(JudgedStudent(rung, scorecard, certificate, verdict))
    if refused and not judged:
        raise refused[-1]
    outcome = steps.register(night, task, judged, serving)
    artifacts.student(outcome)
    console.outcome(outcome)
    return outcome


@flow(name="nightly", flow_run_name="night of {day}")
def nightly(
    day: str = "", home: str = ".flywheel/live", source: list[str] | None = None
) -> State[None]:
    """Learn from the calls of `day` (default: yesterday), or from `source`; raises Refused."""
    night = open_night(home, day or yesterday())
    with alone(night, wait=bool(runtime.deployment.id)):
        steps.forget(night)
        console.hop(steps.ingest(night, source or []))
        console.hop(steps.validate(night), warnings(night))
        console.hop(steps.deidentify(night))
        console.hop(steps.cluster(night))
        console.hop(steps.dataset(night), leak_guard.left_out(night))
        artifacts.hops(night)
        runs = [student(task, night.day, home, return_state=True) for task in trainable(night)]
        results = [run.result(raise_on_failure=False) for run in runs]
        outcomes = [result for result in results if isinstance(result, Outcome)]
        broken = [str(result) for result in results if isinstance(result, Exception)]
        artifacts.students(night, close(night, outcomes))
        promote(home)
        leak_guard.logs(night)
        summary = console.night(len(found(night)), outcomes, broken)
        console.say(f"  {summary}")
        return Failed(message=summary) if broken else Completed(message=summary)
