"""One adapter learns several tasks: tags tell them apart, from training to the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import fsum
from pathlib import Path
from statistics import fmean
from typing import Any

import httpx
import msgspec
import pytest
import served
import students
import tiny

from tasks.calibrate.calibrate import calibrate_all
from tasks.core.contract import Contract
from tasks.core.params import Dataset, Evaluate, Params, Train
from tasks.core.rows import Row, retagged, rows, write_rows
from tasks.core.scorecard import Scorecard
from tasks.core.stage import Refused
from tasks.core.task import load_one
from tasks.evaluate.answers import Answers, answered
from tasks.evaluate.evaluate import evaluate, evaluate_all
from tasks.students.adapters import open_student
from tasks.train.domain import budget, gather, group, tag
from tasks.train.train import load_training, train, train_all

COLOURS = {"apple": "red", "grass": "green", "sea": "blue"}
MOODS = {"apple": "glad", "grass": "calm", "sea": "sad"}
LABELS = Contract(kind="labels", labels=(*COLOURS.values(), *MOODS.values()))
NAME = "domain-desk"


def pairs(answers: Mapping[str, str], start: int, count: int) -> list[tuple[str, str]]:
    return [
        (f"item {i}: the {thing}", answers[thing])
        for i in range(start, start + count)
        for thing in [list(answers)[i % len(answers)]]
    ]


def write(home: Path, name: str, answers: Mapping[str, str], start: int) -> None:
    """A task's dataset; the numbers of its items begin at `start`."""
    sizes = {"train": 60, "validation": 9, "calibration": 30, "test": 30}
    parts = {}
    for part, count in sizes.items():
        parts[part] = pairs(answers, start, count)
        start += count
    tiny.dataset(home / name, LABELS, parts, name=name)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tasks of one program, gathered, and the domain's student."""
    folder = tmp_path_factory.mktemp("home")
    write(folder / "data", "colour-1", COLOURS, 1000)
    write(folder / "data", "mood-2", MOODS, 5000)
    gather(folder / "data", NAME, ["colour-1", "mood-2"], folder / "rows", Dataset(), 9)
    base = str(tiny.base(folder / "base"))
    params = Train(base=base, rank=8, learning_rate=1e-2, epochs=8, marks=4)
    train(folder / "rows", folder / "out", params)
    return folder


def test_a_domain_is_named_or_a_program() -> None:
    """Tasks of one family, or those whose ids a person names; one task alone is no domain."""
    found = [
        students.task(id, family=family)
        for id, family in (("b-1", "x"), ("a-2", "x"), ("c-3", "x"), ("d-4", "y"), ("e-5", "z"))
    ]
    assert group(found, {}) == {"domain-x": ["a-2", "b-1", "c-3"]}
    named = {"desk": ["c-*", "d-*"], "none": ["q-*"]}
    assert group(found, named) == {"domain-x": ["a-2", "b-1"], "domain-desk": ["c-3", "d-4"]}
    same = {"x": ["c-*", "d-*"]}  # which is not the program of that name
    assert group(found, same) == {"domain-x-others": ["a-2", "b-1"], "domain-x": ["c-3", "d-4"]}
    with pytest.raises(Refused, match="'shop/mail' has other characters"):
        group(found, {"shop/mail": ["*"]})


def test_rows_and_template_carry_the_tag(home: Path) -> None:
    """Every split of each task, and the template that is served; the shared dataset does not."""
    source, mine = home / "data" / "mood-2", home / "rows" / "mood-2"
    for split in ("train", "validation", "calibration", "test"):
        plain, tagged = (rows(folder / f"{split}.parquet") for folder in (source, mine))
        assert [row.prompt for row in tagged] == [f"[mood-2] {row.prompt}" for row in plain]
    assert load_one(mine).template.tag == tag("mood-2") == "[mood-2] "
    assert load_one(source).template.tag == ""
    learned = rows(home / "rows" / "train.parquet")
    assert len(learned) == 120
    gather(home / "data", NAME, ["colour-1", "mood-2"], home / "few", Dataset(), 4)
    checked = [row.prompt.split()[0] for row in rows(home / "few" / "validation.parquet")]
    assert sorted(checked) == ["[colour-1]"] * 4 + ["[mood-2]"] * 4
    assert budget(Train(), 3).tokens == 3 * Train().tokens


def test_what_another_task_holds_out_is_not_learned(tmp_path: Path) -> None:
    """A training prompt that stands in another task's test rows, or its conversation, is no row."""
    write(tmp_path / "data", "a-1", COLOURS, 1000)
    write(tmp_path / "data", "b-2", MOODS, 1100)  # its first 29 training rows are held out by a-1
    gather(tmp_path / "data", NAME, ["a-1", "b-2"], tmp_path / "out", Dataset(), 9)
    assert len(rows(tmp_path / "out" / "train.parquet")) == 60 + 60 - 29
    one = tmp_path / "data" / "a-1" / "train.parquet"
    other = tmp_path / "data" / "b-2" / "test.parquet"
    for path in (one, other):  # the first row of each is of one conversation
        first, *rest = rows(path)
        write_rows(path, [replace(first, opening="talk"), *rest])
    gather(tmp_path / "data", NAME, ["a-1", "b-2"], tmp_path / "more", Dataset(), 9)
    assert len(rows(tmp_path / "more" / "train.parquet")) == 60 + 60 - 29 - 1


def test_one_adapter_learns_both_tasks(home: Path) -> None:
    """Prompts that look alike get each task's own answer by their tags, however numbers round.

    An answer is likelier under its own tag than under the other's, by a wide margin.
    """
    student = open_student(home / "out" / "adapter")

    def likelihood(asked: Sequence[Row]) -> float:
        """The mean log-likelihood of the rows' answers."""
        given = [Contract(kind="labels", labels=(row.answer,)) for row in asked]
        said = [student.answer([r.prompt], one)[0] for r, one in zip(asked, given, strict=True)]
        return fmean(fsum(one.logprobs) for one in said)

    for task, other in (("colour-1", "mood-2"), ("mood-2", "colour-1")):
        asked = rows(home / "rows" / task / "test.parquet")
        assert likelihood(asked) > likelihood(retagged(asked, tag(task), tag(other))) + 3


def test_the_same_seed_gives_the_same_domain_student(home: Path, tmp_path: Path) -> None:
    """Equal rows, params and seed: equal bytes."""
    short = Train(base=str(tiny.base(tmp_path / "tiny")), epochs=1)
    one, two = (train(home / "rows", tmp_path / name, short) for name in "ab")
    assert one.adapter_digest == two.adapter_digest
    assert (one.task, one.rows) == (NAME, 120)


@pytest.mark.flow
def test_the_offline_half_knows_domains(home: Path, tmp_path: Path) -> None:
    """`dvc repro` trains the domain's student beside the tasks' own, and asks it for each task."""
    own = Train(base=str(home / "base"), rungs=["causal"], scope="domain", rank=4, epochs=1)
    own = msgspec.structs.replace(own, domains={"desk": ["*"]})
    params = Params(train=own, evaluate=Evaluate(max_tokens=4, max_rows=6))
    data, trained = home / "data", tmp_path / "train"
    counts = train_all(data, trained, params)
    assert (counts.read, counts.kept) == (3, 3)
    assert rows(trained / NAME / "rows" / "train.parquet") == rows(home / "rows" / "train.parquet")
    evaluated = evaluate_all(data, trained, tmp_path / "evaluate", params)
    assert (evaluated.read, evaluated.kept) == (4, 4)
    digests = set()
    for task in ("colour-1", "mood-2"):
        card = tmp_path / "evaluate" / task / "domain" / "scorecard.json"
        digests.add(msgspec.json.decode(card.read_bytes(), type=Scorecard).adapter_digest)
    assert digests == {load_training(trained / NAME / "causal").adapter_digest}
    certified = calibrate_all(data, trained, tmp_path / "calibrate", params)
    assert certified.read == certified.kept + sum(certified.dropped.values()) == 4


def test_a_champion_is_asked_in_its_own_words(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever serves, domain's or own: its prompts have the tag that it was trained with."""
    task, short = home / "rows" / "mood-2", Evaluate(max_tokens=12, max_rows=6)
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "adapter").symlink_to(home / "out" / "adapter")
    (bundle / "task.json").write_bytes((task / "task.json").read_bytes())
    asked: list[list[str]] = []

    def heard(found: Sequence[Row], *rest: Any, **options: Any) -> Answers:
        asked.append([row.prompt for row in found])
        return answered(found, *rest, **options)

    monkeypatch.setattr("tasks.evaluate.evaluate.answered", heard)
    card = evaluate(home / "data" / "mood-2", home / "out", tmp_path, short, champion=bundle)
    plain, tagged = asked
    assert tagged == [f"[mood-2] {prompt}" for prompt in plain]
    again = evaluate(task, home / "out", tmp_path, short, champion=bundle)
    assert asked[2:] == [tagged, tagged]
    assert card.champion is not None
    assert (again.agreement, again.worse) == (card.champion.agreement, 0)


def test_the_gateway_asks_with_the_tag(tmp_path: Path) -> None:
    """A call through the public gateway reaches the pool with its task's tag before the payload."""
    seen: list[str] = []
    plain = served.route("route")
    template = replace(plain.task.template, tag=tag(plain.task.id))
    served.write_routes(tmp_path, replace(plain, task=replace(plain.task, template=template)))

    def pool(request: httpx.Request) -> httpx.Response:
        seen.append(msgspec.json.decode(request.content)["messages"][-1]["content"])
        return served.student("other")(request)

    async def post() -> httpx.Response:
        async with served.client(served.gateway(tmp_path, pool)) as client:
            body = served.requests("route", 1)[0]
            return await client.post("/v1/chat/completions", json=body)

    assert asyncio.run(post()).status_code == 200
    payload = plain.task.template.payload(served.requests("route", 1)[0])
    assert payload is not None
    assert seen == [f"[route-abc123] {plain.task.template.prompt(payload)}"]
