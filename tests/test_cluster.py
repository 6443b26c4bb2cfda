"""Tasks are found in calls that nobody tagged, and keep their ids from night to night."""

from __future__ import annotations

import dataclasses
import random
import re
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest

from tasks.cluster.cluster import cluster
from tasks.cluster.discover import Group, TemplateRouter, discover, mark_routable
from tasks.core.params import Cluster
from tasks.core.records import CleanCall, Counts, read_rejected
from tasks.core.stage import manifest
from tasks.core.task import Task, load
from tests.traffic import LABELS, WORDS, call, orders, sample_agent, tickets, write

PARAMS = Cluster(min_calls=30)


def night(
    folder: Path, calls: list[CleanCall], previous: Path | None = None, params: Cluster = PARAMS
) -> tuple[Path, Counts]:
    """One run of the hop; returns its folder and its counts."""
    out = folder / "cluster"
    out.mkdir(parents=True)
    clean = write(folder / "calls.parquet", calls)
    return out, cluster([clean], out, params, previous=previous)


def assigned(out: Path) -> dict[str, str]:
    table = pq.read_table(out / "assignment.parquet")
    return dict(zip(table["call_id"].to_pylist(), table["task_id"].to_pylist(), strict=True))


def events(out: Path) -> list[str]:
    found = manifest(out)
    assert found is not None
    return list(found["events"])


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[CleanCall]]:
    """The sample agent's day, clustered."""
    calls = sample_agent()
    out, _ = night(tmp_path_factory.mktemp("desk"), calls, params=Cluster())
    return out, calls


def kind(body: CleanCall) -> str:
    """What one of the sample agent's calls is for: its prompt without the header."""
    return re.sub(r"^\[request [^]]*\]\s*", "", body.messages[0]["content"])


def test_the_sample_agents_nine_tasks_are_found(desk: tuple[Path, list[CleanCall]]) -> None:
    """Nine kinds of calls are nine tasks, tool conversations one of them, and none is mixed."""
    out, calls = desk
    task_of = assigned(out)
    pairs = {(kind(c), task_of[c.id]) for c in calls}
    assert len(pairs) == len({k for k, _ in pairs}) == len(load(out)) == 9


def test_tasks_have_names_and_kinds_that_people_understand(
    desk: tuple[Path, list[CleanCall]],
) -> None:
    """Names say what is done to what; categories and contracts fit."""
    found = {task.name: task for task in load(desk[0])}
    assert {"Triage support tickets", "Fill order form", "Chat window assistant"} <= found.keys()
    assert found["Chat window assistant"].contract.kind == "tools"
    assert found["Fill order form"].category == "extraction"
    assert found["Routing support desk"].contract.kind == "labels"
    assert [t.category for t in found.values()].count("open-ended") == 1
    assert all(re.fullmatch(r"[a-z0-9-]+-[0-9a-f]{6}", task.id) for task in found.values())


def test_every_task_can_be_routed_by_its_template(desk: tuple[Path, list[CleanCall]]) -> None:
    """The templates alone give at least 95 % of the calls their task, and never a wrong one."""
    out, calls = desk
    tasks = load(out)
    groups = [
        Group(0, t.template, t.contract, [], fingerprint=None)  # type: ignore[arg-type]
        for t in tasks
    ]
    routes, task_of = TemplateRouter(groups), assigned(out)
    places = [(c, routes.find(c.request)) for c in calls[::5]]
    routed = [(c, tasks[place].id) for c, place in places if place is not None]
    assert len(routed) >= 0.95 * len(places)
    assert all(task_of[c.id] == task for c, task in routed)


def test_the_same_calls_make_the_same_bytes(tmp_path: Path) -> None:
    """Input and seed decide names, ids, templates and files; the order of reading does not vary."""
    calls = [*tickets(60), *orders(60)]
    one, _ = night(tmp_path / "a", calls)
    two, _ = night(tmp_path / "b", calls)
    for name in ("tasks.json", "assignment.parquet", "marks.json", "manifest.json"):
        assert (one / name).read_bytes() == (two / name).read_bytes()


def test_ids_stay_when_the_window_moves_on(tmp_path: Path) -> None:
    """A second night with other calls of the same agents has the same ids, and growth."""
    first, _ = night(tmp_path / "1", [*tickets(60), *orders(60)])
    later = [*tickets(120, seed=5, start=2000), *orders(60, seed=6, start=70_000)]
    second, _ = night(tmp_path / "2", later, previous=first)
    before, after = ({t.id: t for t in load(out)} for out in (first, second))
    assert before.keys() == after.keys()
    assert events(second) == []
    grown = {task.name: task.growth for task in after.values()}
    assert sorted(value > 0 for value in grown.values() if value is not None) == [False, True]


def test_tasks_appear_vanish_and_return(tmp_path: Path) -> None:
    """Each change is an event of the night; a task that comes back has its old id."""
    first, _ = night(tmp_path / "1", [*tickets(60), *orders(60)])
    second, _ = night(tmp_path / "2", list(orders(60)), previous=first)
    third, _ = night(tmp_path / "3", [*tickets(50, seed=3), *orders(60)], previous=second)
    gone = ({t.id for t in load(first)} - {t.id for t in load(second)}).pop()
    assert events(second) == [f"{gone} vanished"]
    assert events(third) == [f"{gone} returned"]
    assert {t.id for t in load(third)} == {t.id for t in load(first)}


def test_few_calls_are_set_aside_with_the_reason(tmp_path: Path) -> None:
    """Nothing vanishes: what is too rare to be a task is in quarantine."""
    strange = [call(900 + n, "Sing a song of the sea.", f"verse {n}", f"la {n}") for n in range(5)]
    out, counts = night(tmp_path, [*tickets(60), *strange])
    assert counts.read == 65
    assert counts.kept == 60
    rejected = list(read_rejected(out / "quarantine.parquet"))
    assert {r.id for r in rejected} == {c.id for c in strange}
    assert all(r.reason for r in rejected)


def test_calls_without_a_users_words_end_no_night(tmp_path: Path) -> None:
    """Agents may say everything in the system message."""
    rng, calls = random.Random(0), list(tickets(120))
    for number in range(80):
        words = " ".join(rng.choices(WORDS, k=12))
        request = {"messages": [{"role": "system", "content": f"{words} {number}"}]}
        reply = {"role": "assistant", "content": rng.choice(LABELS)}
        calls.append(dataclasses.replace(calls[0], id=f"s{number}", request=request, reply=reply))
    _, counts = night(tmp_path, calls)
    assert counts.read == 200


def test_no_calls_are_no_tasks(tmp_path: Path) -> None:
    out, counts = night(tmp_path, [])
    assert (counts.read, counts.kept, load(out)) == (0, 0, [])


def test_calls_outside_the_sample_find_their_task(tmp_path: Path) -> None:
    """With a sample of a quarter the assignment is that of reading everything closely."""
    calls = [*tickets(400), *orders(400)]
    whole, _ = night(tmp_path / "a", calls)
    part, counts = night(tmp_path / "b", calls, params=Cluster(min_calls=30, sample=200))
    assert counts.kept == 800
    assert len(set(assigned(part).values())) == 2

    def sides(out: Path) -> set[frozenset[str]]:
        tasks: dict[str, set[str]] = {}
        for name, task in assigned(out).items():
            tasks.setdefault(task, set()).add(name)
        return {frozenset(names) for names in tasks.values()}

    assert sides(whole) == sides(part)


def test_a_call_read_twice_counts_once(tmp_path: Path) -> None:
    """The second copy is dropped and counted."""
    calls = list(tickets(60))
    _, counts = night(tmp_path, [*calls, *calls[:7]])
    assert (counts.read, counts.kept, sum(counts.dropped.values())) == (67, 60, 7)


def test_hints_are_noted_and_not_needed(tmp_path: Path) -> None:
    """A caller's own name for its calls is kept beside the one that was found."""
    calls = [dataclasses.replace(c, hint="router-v1") for c in tickets(60)]
    out, _ = night(tmp_path, calls)
    assert [task.hints for task in load(out)] == [("router-v1",)]


def test_tasks_without_a_template_are_found_but_not_routed(tmp_path: Path) -> None:
    """Bare questions fall apart by meaning; no template can tell such calls apart at serving."""
    rng = random.Random(0)
    sea = ["wave", "shore", "gull", "salt", "tide", "moon", "sing", "of", "the", "blue"]
    songs = [
        call(n, "", " ".join(rng.choices(sea, k=9)), " ".join(rng.choices(sea, k=20)))
        for n in range(60)
    ]
    sums = [
        call(
            90 + n, "", f"{rng.random()} + {n * 7}{'?' * (n % 2)}", f"{n} and {n * 7}: #### {n * 8}"
        )
        for n in range(60)
    ]
    bare = [dataclasses.replace(c, request={"messages": c.messages[1:]}) for c in [*songs, *sums]]
    out, _ = night(tmp_path, bare)
    tasks: list[Task] = load(out)
    assert len(tasks) == 2
    assert {task.fitness["routable"] for task in tasks} == {0.0}


def test_a_few_calls_of_the_same_look_keep_no_task_from_being_routed() -> None:
    """A template may match another group's calls, as long as those are few beside its own."""
    calls = list(tickets(120))
    (found,) = discover(calls, 40, 0)
    few = dataclasses.replace(found, ids=found.ids[:5])
    groups = [found, few]
    mark_routable(groups)
    assert [group.routable for group in groups] == [True, False]
    many = dataclasses.replace(found, ids=found.ids[:60])
    mark_routable([found, many])
    assert not found.routable


def test_tasks_are_readable_json(desk: tuple[Path, list[CleanCall]]) -> None:
    """tasks.json is what a person can open: one list, names first."""
    body = msgspec.json.decode((desk[0] / "tasks.json").read_bytes())
    assert [set(entry) >= {"id", "name", "description", "template"} for entry in body] == [True] * 9
