"""The report: figures from journal lines, the table and the page."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from datetime import UTC, datetime
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from flows.cli.demo import summary
from tasks.core.certificate import Refusal
from tasks.core.params import Economics
from tasks.core.records import Counts
from tasks.core.stage import finish
from tasks.report import chart, page, report
from tasks.report.days import days, percentile
from tasks.report.nights import NightSummary, TaskSummary, nights, sentence

PRICES = Economics(teacher_input=2.0, teacher_output=8.0, student_input=0.02, student_output=0.08)
NOW = datetime(2026, 3, 17, 8, 0, tzinfo=UTC)
REQUEST = {"messages": [{"role": "user", "content": "x" * 100}]}
TASK = "route-intent-3f2a9c"


def line(**changes: Any) -> dict[str, Any]:
    """A journal line of a call that the teacher answered."""
    fields = {
        "v": 1,
        "id": "c1",
        "request": REQUEST,
        "reply": {"role": "assistant", "content": "billing"},
        "usage": {"prompt_tokens": 1_000, "completion_tokens": 100},
        "latency_s": 0.8,
        "answered_by": "teacher",
        "reason": "no route",
        "student": None,
        "audit": None,
        "task": TASK,
        "error": None,
    }
    return {**fields, **changes}


def served(agrees: bool | None = None, **changes: Any) -> dict[str, Any]:
    """A journal line of a call that a student answered, audited unless `agrees` is None."""
    usage = {"prompt_tokens": 1_000, "completion_tokens": 100}
    audit = None if agrees is None else {"agrees": agrees, "usage": usage}
    student = {"answer": "billing", "confidence": -0.1}
    own = {"prompt_tokens": 50, "completion_tokens": 5}
    mine = {"answered_by": f"{TASK}-v1-1a2b3c4d", "reason": "served", "latency_s": 0.03}
    return line(**mine, student=student, audit=audit, usage=own, **changes)


def journal(folder: Path, day: str, lines: Iterable[dict[str, Any]], tail: str = "") -> Path:
    """Write one day of a journal."""
    folder.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(entry) + "\n" for entry in lines)
    (folder / f"{day}.jsonl").write_text(text + tail)
    return folder


def test_an_audit_stands_for_what_it_was_drawn_from(tmp_path: Path) -> None:
    """Of a new student more is audited, and each audit counts for less."""
    new, old = (served(agrees, audit_rate=rate) for agrees, rate in ((False, 0.5), (True, 0.1)))
    (day,) = days(journal(tmp_path, "2026-03-14", [new, old]), PRICES)
    assert day.agreement == pytest.approx(10 / 12)
    assert day.effective == pytest.approx(144 / 104)


def test_a_day_counts_who_answered_and_why(tmp_path: Path) -> None:
    """Escalations, their reasons, audits and agreement come from the lines alone."""
    lines = [line(), line(reason="not confident"), served(), served(True), served(False)]
    (day,) = days(journal(tmp_path, "2026-03-14", lines), PRICES)
    assert (day.calls, day.escalated, day.audited, day.agreed) == (5, 2, 2, 1)
    assert day.escalation == 0.4
    assert day.agreement == 0.5
    assert day.reasons == {"no route": 1, "not confident": 1}
    assert (day.asked, day.served) == ({TASK: 5}, {TASK: 3})


def test_costs_include_students_and_audits(tmp_path: Path) -> None:
    """A served call costs its student, an audited one the teacher too, a tried one both."""
    teacher, student = (1_000 * 2 + 100 * 8) / 1e6, (50 * 0.02 + 5 * 0.08) / 1e6

    def cost(entry: dict[str, Any], name: str) -> float:
        (day,) = days(journal(tmp_path / name, "2026-03-14", [entry]), PRICES)
        return day.cost

    assert cost(line(), "a") == pytest.approx(1_000 * teacher)
    assert cost(served(), "b") == pytest.approx(1_000 * student)
    assert cost(served(True), "c") == pytest.approx(1_000 * (teacher + student))
    tried = cost(line(student={"answer": "billing"}), "d")
    assert 1_000 * teacher < tried < 1_000 * teacher * 1.02


def test_what_the_teacher_alone_would_cost_is_learnt_from_its_own_calls(tmp_path: Path) -> None:
    """Served calls count as much as calls of the same length that the teacher answered."""
    (day,) = days(journal(tmp_path, "2026-03-14", [line(), served(), served()]), PRICES)
    assert day.unaided == pytest.approx(1_000 * (1_000 * 2 + 100 * 8) / 1e6)
    assert day.cost < day.unaided / 2.9


def test_latencies_are_nearest_ranks(tmp_path: Path) -> None:
    """p50 and p95 are latencies that really occurred."""
    lines = [line(latency_s=i / 100) for i in range(1, 101)]
    (day,) = days(journal(tmp_path, "2026-03-14", lines), PRICES)
    assert (day.p50, day.p95) == (0.5, 0.95)
    assert math.isnan(percentile([], 0.5))


def test_days_come_in_order_and_a_torn_line_is_left_out(tmp_path: Path) -> None:
    """A journal that is being written can be reported on at any moment."""
    journal(tmp_path, "2026-03-15", [line(error="teacher: 500")], tail='{"v": 1, "requ')
    journal(tmp_path, "2026-03-14", [line(), line()])
    (tmp_path / "2026-03-15.b.jsonl").write_bytes(b"")  # another gateway's, of a day that is there
    found = days(tmp_path, PRICES)
    assert [(day.day, day.calls, day.failed) for day in found] == [
        ("2026-03-14", 2, 0),
        ("2026-03-15", 1, 1),
    ]


def test_an_empty_day_has_no_figures(tmp_path: Path) -> None:
    """No calls: no escalation, no agreement, and the interval says that nothing is known."""
    (day,) = days(journal(tmp_path, "2026-03-14", []), PRICES)
    assert (day.escalation, day.agreement, day.interval) == (0.0, None, (0.0, 1.0))


@given(st.lists(st.sampled_from(["teacher", "served", "right", "wrong"]), max_size=60))
def test_every_call_is_counted_once(kinds: list[str]) -> None:
    """Whatever the mix: calls = escalated + served, and audited ≤ served."""
    made = {"teacher": line(), "served": served(), "right": served(True), "wrong": served(False)}
    with TemporaryDirectory() as folder:
        lines = [made[kind] for kind in kinds]
        (day,) = days(journal(Path(folder), "2026-03-14", lines), PRICES)
    assert day.calls == len(kinds) == day.escalated + sum(day.served.values())
    assert day.agreed <= day.audited <= sum(day.served.values())
    assert 0 <= day.interval[0] <= day.interval[1] <= 1


def home(folder: Path, learnt: bool = True) -> Path:
    """A home with three days, and two nights unless `learnt` is False."""
    mixes = ([line()] * 40, [line()] * 20 + [served(True)] * 20, [line()] * 8 + [served()] * 32)
    for number, lines in enumerate(mixes):
        journal(folder / "journal", f"2026-03-{14 + number}", lines)
    for day in ("2026-03-14", "2026-03-15") if learnt else ():
        night(folder / "nights" / day)
    return folder


def night(folder: Path) -> None:
    """One night: the hops' manifests, a task that passed and one that did not."""
    for hop, dropped in (("ingest", {}), ("validate", {"no reply": 3}), ("cluster", {})):
        (folder / hop).mkdir(parents=True)
        finish(folder / hop, Counts(hop, 40, 40 - sum(dropped.values()), dropped))
    tasks = [
        {"id": TASK, "name": "Route <a> message", "category": "classification", "size": 30},
        {"id": "complaint-d0", "name": "Complaint", "category": "open-ended", "size": 10},
    ]
    (folder / "cluster" / "tasks.json").write_text(json.dumps(tasks))
    (folder / "calibrate" / TASK / "encoder").mkdir(parents=True)
    proof = {"n": 100, "accepted": 80, "wrong": 1, "coverage": 0.8, "alpha": 0.05, "delta": 0.1}
    proof |= {"task": TASK, "adapter_digest": "d", "threshold": -1.0, "floor": 0.0, "p": 0.04}
    (folder / "calibrate" / TASK / "encoder" / "certificate.json").write_text(json.dumps(proof))
    outcomes = [
        {
            "task": TASK,
            "version": 2,
            "passed": True,
            "agreement": 0.97,
            "coverage": 0.8,
            "rung": "encoder",
        },
        {"task": "complaint-d0", "passed": False, "reason": "No proof.", "agreement": 0.02},
    ]
    (folder / "judge.json").write_text(json.dumps(outcomes))


def test_a_night_is_read_from_its_folders(tmp_path: Path) -> None:
    """Counts of each hop and what became of each task, the largest first."""
    newest = nights(home(tmp_path))[-1]
    assert [counts.hop for counts in newest.hops] == ["ingest", "validate", "cluster"]
    first, second = newest.tasks
    assert (first.name, first.version, first.passed) == ("Route <a> message", 2, True)
    assert "80 of 100 calls on the task's template (80%), 1 of them" in first.certificate
    assert (second.passed, second.reason) == (False, "No proof.")


def test_a_refused_certificate_is_a_sentence() -> None:
    """Both a proof and the lack of one can be said in words."""
    assert sentence(Refusal(refused="too few rows")) == "No certificate: too few rows."


def test_the_table_fits_a_terminal(tmp_path: Path) -> None:
    """80 columns show every figure whole."""
    found = days(home(tmp_path) / "journal", PRICES)
    output = StringIO()
    Console(width=80, file=output).print(report.table(found))
    text = output.getvalue()
    assert "…" not in text
    for cell in ("2026-03-15", "50.0%", "100.0% (83.9–100.0, n=20)", "800 / 800"):
        assert cell in text


class Outside(HTMLParser):
    """Collects tags, and every attribute that would load something."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the tag and what it loads."""
        self.open.append(tag)
        self.loads += [name for name, _ in attrs if name in ("src", "href")]


def test_the_page_stands_alone(tmp_path: Path) -> None:
    """One file with its style and charts inside; nothing is loaded; texts are escaped."""
    found = days(home(tmp_path) / "journal", PRICES)
    text = report.write(tmp_path, found, now=NOW).read_text()
    seen = Outside()
    seen.feed(text)
    assert seen.loads == []
    assert "url(" not in text
    assert "script" not in seen.open
    assert seen.open.count("svg") == 2
    assert "Route &lt;a&gt; message" in text
    assert "Calls that need the large model fell from 100% to 20% in 3 days" in text
    assert "student v2" in text
    assert "no reply 3" in text


def test_the_page_counts_down_to_a_proof(tmp_path: Path) -> None:
    """What is asked in the background, by its task's name, and how many calls it lacks at least."""
    found = days(home(tmp_path, learnt=True) / "journal", PRICES)
    said = {TASK: "At least 38 more confident answers, all of them right, prove it."}
    (tmp_path / "shadows.json").write_text(json.dumps(said))
    text = report.write(tmp_path, found, now=NOW).read_text()
    assert "<h2>Asked in the background</h2>" in text
    assert said[TASK] in text
    assert TASK not in text.partition("Asked in the background")[2].partition("</table>")[0]


def test_the_page_says_what_was_revoked(tmp_path: Path) -> None:
    """What the watch wrote into the ledger, newest first; promotions are no events.

    The curve has a mark on the day whose answers became worse, by the calls' own clock.
    """
    found = days(home(tmp_path, learnt=True) / "journal", PRICES)
    fields = {"at": 1.8e9, "task": TASK, "before": 3, "after": None}
    grounds = {"changed": datetime.fromisoformat(f"{found[-1].day}T06:10+00:00").timestamp()}
    lines = [
        fields | {"who": "policy", "reason": "It won."},
        fields | {"who": "watch", "reason": "Revoked: 5 of 9 <audited>.", "breach": grounds},
        fields | {"who": "watch", "task": "", "reason": "Calls are answered by larger."},
    ]
    (tmp_path / "promotions.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n{torn")
    text = report.write(tmp_path, found, now=NOW).read_text()
    part = text.partition("Taken out of service")[2].partition("</table>")[0]
    assert "It won." not in part
    assert f"{TASK} v3" in part
    assert "5 of 9 &lt;audited&gt;" in part
    assert ", 06:10 UTC" in part
    assert part.index("The teacher changed") < part.index("Revoked")
    assert text.count("1 taken out</text>") == 1


def test_a_champion_goes_on_when_the_new_student_fails(tmp_path: Path) -> None:
    """The page says who serves: not the teacher, and not the student that failed tonight."""
    found = days(home(tmp_path, learnt=True) / "journal", PRICES)
    judged = next((tmp_path / "nights").glob("*/judge.json"))
    outcome = {"task": TASK, "version": None, "passed": False, "reason": "Worse.", "champion": 1}
    judged.write_text(json.dumps([outcome]))
    text = report.write(tmp_path, found, now=NOW).read_text()
    assert "student v1" in text
    assert "Complaint" in report.advice(found, nights(tmp_path), 0.95)


def test_nothing_is_said_of_the_tasks_of_a_night_that_has_not_ended(tmp_path: Path) -> None:
    """It runs, or was broken off: what is next is what the night before left."""
    found = days(home(tmp_path, learnt=True) / "journal", PRICES)
    newest = next((tmp_path / "nights").glob("*")).with_name("2026-03-20")
    (newest / "ingest").mkdir(parents=True)
    assert "“Complaint”" in report.advice(found, nights(tmp_path), 0.95)
    assert "Night of 20 Mar: not ended" in report.write(tmp_path, found, now=NOW).read_text()
    assert "has not ended" in report.advice(found, nights(tmp_path)[-1:], 0.95)


@pytest.mark.parametrize("learnt", [True, False])
def test_the_page_says_what_to_do_next(tmp_path: Path, learnt: bool) -> None:
    """The largest task without a student is named; before the first night, the night is."""
    found = days(home(tmp_path, learnt) / "journal", PRICES)
    advice = report.advice(found, nights(tmp_path), 0.95)
    assert ("“Complaint” (10 calls). No proof." if learnt else "flywheel nightly") in advice


def test_bad_audits_come_first(tmp_path: Path) -> None:
    """When the audit proves that too many served answers are wrong, that is what to act on."""
    journal(tmp_path, "2026-03-14", [served(i % 3 > 0) for i in range(90)])
    found = days(tmp_path, PRICES)
    assert "below the 95% you asked for: take the champions" in report.advice(found, [], 0.95)
    taken = report.advice(found, [], 0.95, taken=2)
    assert "you asked for: 2 students were taken out of service for it" in taken


def test_a_home_without_calls_has_a_page_too(tmp_path: Path) -> None:
    """Nothing recorded yet is said, not divided by."""
    text = report.write(tmp_path, [], now=NOW).read_text()
    assert "No call has gone through the gateway yet" in text
    assert "point an agent" in text
    assert page.headline([]) in text


def test_nights_on_logs_alone_have_a_page(tmp_path: Path) -> None:
    """Without a journal: the tasks that were found, unfolded, and how to have them answered."""
    night(tmp_path / "nights" / "2026-03-14")
    summary(tmp_path)
    text = (tmp_path / "report.html").read_text()
    assert "Night of 14 Mar" in text
    assert "<b>Complaint</b>" in text
    assert "“flywheel up”" in text


def test_logs_alone_say_what_students_could_answer() -> None:
    """Before any traffic: the share that is certified, and how to have it answered."""
    proven = TaskSummary(
        id="a", name="A", category="", calls=30, champion=1, passed=True, coverage=0.8
    )
    rest = TaskSummary(id="b", name="B", category="", calls=10)
    last = NightSummary(day="2026-03-14", hops=(), tasks=(proven, rest))
    assert page.headline([], [last]) == (
        "Students could answer 60% of the calls of the tasks found"
    )
    assert "flywheel up" in report.advice([], [last], 0.95)


shares = st.none() | st.floats(0, 1)


@given(st.lists(shares, min_size=1, max_size=60), st.floats(0, 0.999))
def test_a_chart_is_well_formed_and_inside_its_box(
    values: list[float | None], floor: float
) -> None:
    """Whatever the figures, the SVG parses and the points above the floor lie on the canvas."""
    points = [
        chart.Point(f"{i} <Mar>", v, v or 0, v or 1, f"day {i}") for i, v in enumerate(values)
    ]
    svg = ElementTree.fromstring(chart.line(points, "agreement", floor=floor, target=0.95))
    dots = svg.findall("circle")
    assert len(dots) == sum(value is not None for value in values)
    for dot in dots:
        assert 0 <= float(dot.attrib["cx"]) <= chart.WIDTH
        assert float(dot.attrib["cy"]) >= 0
