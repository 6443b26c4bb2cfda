"""Model cards: the MLflow UI's page of a task's model and of each of its versions, in Markdown."""

from __future__ import annotations

import json
from textwrap import wrap

from registry.bundle import Lineage
from registry.gate import Verdict
from tasks.calibrate.joint_proof import JointStanding
from tasks.calibrate.shadow_proof import Standing
from tasks.core.certificate import Certificate, Risk
from tasks.core.scorecard import Scorecard
from tasks.core.task import Task
from tasks.core.template import Pattern
from tasks.report.nights import sentence

NOTED = "\n\n---\n\n"
AHEAD = "ahead of the champion by"
LONG = 1_200  # characters of a contract or a prompt that are shown
WIDE = 84  # characters in a line of a prompt; the UI does not wrap it

HOW = """### How to change who answers
The version with the alias **champion** answers at the gateway when it is sure enough; every other \
call goes to the large model. **candidate** marks the newest version that passed the gate.

To promote, or to roll back, give the alias `champion` to another version: the pencil under \
*Aliases* in the list below (the button *Promote model* does something else). The gateway follows \
at the next *promote* run, within minutes; at once with `flywheel promote`. Taking the alias away \
gives the whole task back to the large model. What a person chooses stands: the nightly run never \
brings back a version that a person has taken out.
"""


def model(task: Task) -> str:
    """The description of a task's registered model."""
    parts = (
        f"**{task.name}** ({task.category}, program *{task.family}*)",
        task.description,
        f"{task.size:,} calls in the window, {task.share:.1%} of the traffic.",
        f"### What comes in\n{_quote(prompt_shape(task))}",
        f"### What goes out\n{contract(task)}",
        HOW,
    )
    return "\n\n".join(part for part in parts if part).replace(
        "\0", "\ufffd"
    )  # Postgres has no NUL


def prompt_shape(task: Task) -> str:
    """The task's prompt with `{slots}` where it varies; slots that no answer depends on say so."""
    lines = []
    for head in task.template.heads:
        lines += [f"{head.shape.get('role', '')}: {_filled(p)}" for p in head.patterns]
    return "\n".join([*lines, *(f"user: {_filled(p)}" for p in task.template.first)])


def _filled(pattern: Pattern) -> str:
    return pattern.fill(
        [f"{{{slot.name}{', ignored' if slot.noise else ''}}}" for slot in pattern.slots]
    )


def contract(task: Task) -> str:
    """Return what the task's answers must look like, for a person."""
    kind, rule = task.contract.kind, task.contract
    if kind == "labels":
        return "One of: " + ", ".join(f"`{label}`" for label in rule.labels)
    if kind == "text":
        return "Free text."
    what = "JSON" if kind == "json" else "Tool calls, as JSON"
    schema = _cut(json.dumps(rule.schema, indent=1, ensure_ascii=False))
    return f"{what} by this schema:\n```json\n{schema}\n```"


def _cut(text: str) -> str:
    return text if len(text) <= LONG else f"{text[:LONG]}\n… ({len(text):,} characters in all)"


def _quote(text: str) -> str:
    lines = [part for line in _cut(text).splitlines() for part in wrap(line, WIDE) or [""]]
    return "\n".join(["```text", *lines, "```"])


def version(
    task: Task,
    scorecard: Scorecard,
    certificate: Certificate | None,
    verdict: Verdict,
    lineage: Lineage,
) -> str:
    """The description of one version: the verdict, the proof, the figures, where it comes from."""
    proof = sentence(certificate) if certificate else "There is none."
    return "\n\n".join(
        (
            f"{'Passed' if verdict.passed else 'Refused'}. {verdict.reason}",
            f"### Certificate\n{proof}",
            f"### Scorecard\n{scores(scorecard)}",
            f"### Where it comes from\n{origin(task, scorecard, lineage)}",
        )
    )


def shadow(evidence: Standing, risk: Risk) -> str:
    """Return what live calls say about a student that is not proven yet."""
    asked = f"{evidence.n:,} calls that its training never saw, {evidence.live:,} of them live"
    of = f"would have answered {evidence.accepted:,} of them by itself, {evidence.wrong:,} wrongly"
    if evidence.proven:
        return f"Asked in the background about {asked}, it {of}: proven."
    told = f"Asked in the background about {asked}, it {of}. " * bool(evidence.n)
    if not evidence.alone:
        return f"{told}Its calls are too few to prove it by themselves."
    what = "calls" if risk == "marginal" else "confident answers"
    return f"{told}At least {evidence.lacking:,} more {what}, all of them right, prove it."


def joint(evidence: JointStanding) -> str:
    """Return what live calls say about some students that are proven together."""
    said = f"{evidence.accepted:,} answers, {evidence.wrong:,} of them wrong"
    told = f"{len(evidence.names):,} tasks are proven together: {said}. "
    if evidence.proven:
        return f"{told}Its own are too few yet, or too often wrong."
    return f"{told}At least {evidence.lacking:,} more, all of them right, prove it."


def proven(certificate: Certificate) -> str:
    """Return which calls proved a student that was asked in the background."""
    if shared := certificate.joint:
        answers = f"{shared.accepted:,} answers, {shared.wrong:,} of them wrong"
        return f"Proven together with {shared.tasks - 1:,} other tasks by {answers}."
    return f"Proven by {certificate.n:,} live calls."


def waiting(evidence: Standing) -> str:
    """Return what live calls say about a candidate that is proven and waits for a person."""
    return (
        f"Asked in the background about {evidence.live:,} live calls, it would have answered "
        f"{evidence.accepted:,} of them by itself, {evidence.wrong:,} wrongly. "
        "It waits for a person."
    )


def noted(page: str, note: str, revoked: str = "") -> str:
    """A version's page with what is said about it now on top, in place of what was said before.

    What live calls say where it is asked in the background, and why it was `revoked`.
    """
    rest = page.partition(NOTED)[2] or page
    said = {"Taken out of service": revoked, "In shadow": note}
    return "\n\n".join(f"### {head}\n{text}" for head, text in said.items() if text) + NOTED + rest


def scores(scorecard: Scorecard) -> str:
    """The student and all it was compared to, and what an answer costs."""
    every = [*scorecard.table, *scorecard.slices]
    wide = max(len(line.name) for line in every)
    rows = [
        f"{line.name:<{wide}}  {line.agreement:>7.1%}  {line.low:>7.1%} – {line.high:<7.1%}"
        f"  {line.valid:>11.1%}  {line.n or scorecard.n:>6,}"
        for line in every
    ]
    if scorecard.slices:
        rows.insert(len(scorecard.table), "\nthe student, by kind of call")
    head = f"{'':<{wide}}  {'agrees':>7}  {'95 % interval':^17}  on contract  {'calls':>6}"
    return (
        f"On {scorecard.n} test calls that it has never seen, against the large model's answers:\n"
        + "\n".join(["```text", head, *rows, *_quality(scorecard), "```"])
        + f"\nAn answer takes {scorecard.latency_ms:.0f} ms. 1,000 answers cost "
        f"${scorecard.student_cost:.4f}, the large model's ${scorecard.teacher_cost:.2f}."
    )


def _quality(scorecard: Scorecard) -> list[str]:
    """The student's metrics with their intervals, and how far it is ahead of the champion."""
    wide = max((len(name) for name in scorecard.metrics), default=0)
    lines = [
        f"\n{'':<{wide}}  {'value':>7}  {'95 % interval':^15}  {AHEAD * bool(scorecard.ahead)}"
    ]
    for name, value in scorecard.metrics.items():
        low, high = scorecard.table[0].intervals.get(name, (None, None))
        around = "" if low is None else f"{low:.3f} – {high:.3f}"
        ahead = scorecard.ahead.get(name)
        beside = f"{ahead.value:+.3f} ({ahead.low:+.3f} – {ahead.high:+.3f})" if ahead else ""
        lines.append(f"{name:<{wide}}  {value:>7.3f}  {around:^15}  {beside}".rstrip())
    return lines if scorecard.metrics else []


def origin(task: Task, scorecard: Scorecard, lineage: Lineage) -> str:
    """The lineage, as a list."""
    rows = ", ".join(f"{count:,} {part}" for part, count in lineage.rows.items())
    facts = {
        "night": lineage.night,
        "data": f"`{lineage.dataset}` (DVC){': ' if rows else ''}{rows}",
        "base model": f"{lineage.base} `{lineage.base_digest}`",
        "adapter": f"`{scorecard.adapter_digest}`",
        "test set": f"`{scorecard.test_digest}`",
    }
    if lineage.domain:
        facts["in common with"] = f"the other tasks of {lineage.domain}"
    return "\n".join(f"- {name}: {value}" for name, value in facts.items())
