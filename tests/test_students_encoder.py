"""Students made of the encoder: trained on the real one, loaded, and asked."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import msgspec
import pytest
import tiny

from tasks.core.contract import Contract, agree, violation
from tasks.core.params import Train
from tasks.core.rows import Row
from tasks.core.stage import Refused
from tasks.core.training import Training
from tasks.students.adapters import FILES, adapter_digest, kind_of, open_student
from tasks.students.answer_templates import learn
from tasks.students.encoder import EncoderStudent
from tasks.students.heads import FORM, with_heads
from tasks.students.minilm import DIGEST, LENGTH, shared
from tasks.train import encoder, head_init
from tasks.train.train import ladder, train

CONTRACT = Contract(
    kind="json",
    schema={
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "goods": {"type": "array", "items": {"type": "string"}},
            "wish": {"enum": ["refund", "repair"]},
        },
        "required": ["name", "goods", "wish"],
    },
)
NAMES = ("Ann", "Bob", "Carla", "Dimitri", "Eve", "Farid", "Greta", "Hugo", "Ivy", "Jon")
WISHES = {
    "refund": ("I want my money back", "please refund me", "give me back what I paid"),
    "repair": ("can you fix it", "please repair it", "it has to be mended"),
}
PARAMS = Train(epochs=6, tokens=40_000, batch=24, marks=2)


GOODS = ("the kettle", "the lamp", "the oak table", "the rug", "the clock", "the chair")


def row(rng: random.Random) -> tuple[str, str]:
    name = f"{rng.choice(NAMES)} {rng.choice('ABCDEFGHKLMNPRST')}{rng.choice(NAMES)[1:]}"
    wish = rng.choice(list(WISHES))
    goods = [f"{thing} {rng.randint(2, 99)}" for thing in rng.sample(GOODS, rng.randint(0, 3))]
    bought = f"I bought {' and '.join(goods)}." if goods else "It broke."
    parts = [f"My name is {name}.", bought, f"{rng.choice(WISHES[wish])}."]
    rng.shuffle(parts)
    return " ".join(parts), json.dumps({"name": name, "goods": goods, "wish": wish})


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = random.Random(0)
    parts = {name: [row(rng) for _ in range(n)] for name, n in (("train", 90), ("validation", 12))}
    folder = tmp_path_factory.mktemp("data") / "wish-0"
    return tiny.dataset(folder, CONTRACT, parts, name="wish-0")


@pytest.fixture(scope="module")
def trained(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Training, Path]:
    out = tmp_path_factory.mktemp("trained")
    return train(dataset, out, PARAMS, rung="encoder"), out / "adapter"


def test_a_hundred_examples_are_enough(trained: tuple[Training, Path]) -> None:
    """Names never seen are copied, all goods are listed, and the closed field is chosen."""
    rng = random.Random(1)
    asked = [row(rng) for _ in range(60)]
    answers = open_student(trained[1]).answer([prompt for prompt, _ in asked])
    right = [agree(a.text, expected) for a, (_, expected) in zip(answers, asked, strict=True)]
    assert sum(right) >= 54
    assert not any(violation(answer.text, CONTRACT) for answer in answers)
    sure = [math.fsum(a.logprobs) for a, ok in zip(answers, right, strict=True) if ok]
    assert all(-5 < value <= 0 for value in sure)


def test_case_counts_where_anything_is_copied(trained: tuple[Training, Path]) -> None:
    """The encoder reads lower case; what its students copy is known by its capitals, too."""
    student = EncoderStudent.load(trained[1])
    assert student.model["case"].weight.abs().max() > 0.01
    told = "My name is Rose Hill. It broke."
    plain, shouted = student.answer([told.lower(), told])
    assert plain.logprobs != shouted.logprobs
    closed = learn(["yes please", "not now"] * 9, ["yes", "no"] * 9, Contract(kind="text"))
    assert not isinstance(closed, str)
    assert "case" not in with_heads(shared(), closed[0])


def test_some_rows_are_learned_in_another_case() -> None:
    """So that a client that shouts is still understood; the words and the answers are the same."""
    rows = [Row(str(i), 0.0, "", f"I am Ann {i}", json.dumps({"n": f"Ann {i}"}), 1.0)
            for i in range(32)]  # fmt: skip
    found = learn([r.prompt for r in rows], [r.answer for r in rows], CONTRACT)
    assert not isinstance(found, str), found
    plain, recased = (encoder.filled(rows, *found, LENGTH, recased=on) for on in (False, True))
    changed = [i for i, (a, b) in enumerate(zip(plain, recased, strict=True)) if a != b]
    assert changed == list(range(0, 32, 4))
    assert all(a.ids == b.ids and a.copied == b.copied for a, b in zip(plain, recased, strict=True))


def test_the_adapter_says_what_it_is(trained: tuple[Training, Path]) -> None:
    """Safetensors, the forms, and a configuration that names the encoder by its digest."""
    training, folder = trained
    assert kind_of(folder) == training.kind == "encoder"
    assert sorted(file.name for file in folder.iterdir()) == sorted(FILES["encoder"])
    assert training.base_digest == DIGEST
    assert training.adapter_digest == adapter_digest(folder)


def test_an_answer_does_not_depend_on_its_batch(trained: tuple[Training, Path]) -> None:
    """Alone or among others: the same text, and the same confidence but for bfloat16's rounding."""
    student = open_student(trained[1])
    prompts = [row(random.Random(i))[0] * (1 + i % 3) for i in range(9)]
    together = student.answer(prompts)
    for prompt, answer in zip(prompts, together, strict=True):
        alone = student.answer([prompt])[0]
        assert alone.text == answer.text
        assert math.fsum(alone.logprobs) == pytest.approx(math.fsum(answer.logprobs), abs=0.02)


def test_a_prompt_that_is_too_long_is_not_answered(trained: tuple[Training, Path]) -> None:
    """Cut off, so that the gateway escalates."""
    student = EncoderStudent.load(trained[1])
    answer, other = student.answer(["word " * (LENGTH + 1), "My name is Bo. refund me"])
    assert (answer.finish_reason, answer.text) == ("length", "")
    assert other.finish_reason == "stop"


@pytest.mark.flow
def test_the_same_seed_gives_the_same_student(dataset: Path, tmp_path: Path) -> None:
    """Killed after a checkpoint and started again, it ends with the bytes of a whole run."""
    params = Train(epochs=2, tokens=3_000, batch=24, marks=2)

    def killed(step: int, steps: int, loss: float) -> None:
        if step == steps // 2 + 1:
            raise KeyboardInterrupt

    whole = train(dataset, tmp_path / "a", params, rung="encoder")
    with pytest.raises(KeyboardInterrupt):
        train(dataset, tmp_path / "b", params, rung="encoder", progress=killed,
              checkpoint=tmp_path / "state")  # fmt: skip
    again = train(dataset, tmp_path / "b", params, rung="encoder", checkpoint=tmp_path / "state")
    assert again.adapter_digest == whole.adapter_digest
    assert again.losses == whole.losses


def test_linear_heads_are_the_first_rung_of_closed_answers(tmp_path: Path) -> None:
    """Trained without a step, right about words it never saw, on an encoder that all share."""
    rng = random.Random(0)
    kinds = {"refund": "give me my money back", "repair": "can you mend the screen"}
    told = [(f"{rng.choice(NAMES)}: {text}", kind) for kind, text in kinds.items()] * 20
    contract = Contract(kind="labels", labels=tuple(kinds))
    folder = tiny.dataset(tmp_path / "d-0", contract, {"train": told, "validation": told[:4]})
    assert ladder(folder, Train())[0] == ["linear", "encoder", "causal"]
    training = train(folder, tmp_path / "out", Train(), rung="linear")
    assert (training.kind, training.steps, kind_of(tmp_path / "out/adapter")) == (
        "linear", 0, "encoder",
    )  # fmt: skip
    student = EncoderStudent.load(tmp_path / "out/adapter")
    assert student.model["encoder"] is shared()
    answers = student.answer(["I want a refund of what I paid", "please fix the broken glass"])
    assert [answer.text for answer in answers] == ["refund", "repair"]


def test_the_ladder_leaves_out_what_cannot_work(dataset: Path, tmp_path: Path) -> None:
    """No encoder for answers without a form, no student at all for open-ended work."""
    rungs, aside = ladder(dataset, PARAMS)
    assert rungs == ["encoder", "causal"]
    assert "copied" in aside["linear"]
    letters = [(f"note {i}", " ".join(random.Random(i).choices(NAMES, k=9))) for i in range(60)]
    parts = {"train": letters, "validation": letters[:5]}
    free = tiny.dataset(tmp_path / "letters-0", Contract(kind="text"), parts, name="letters-0")
    rungs, aside = ladder(free, PARAMS)
    assert rungs == ["causal"]
    assert "form in common" in aside["encoder"]
    short = msgspec.structs.replace(PARAMS, max_length=4)
    assert ladder(dataset, short)[0] == []
    aside = ladder(dataset, short)[1]
    assert all("within 4 tokens" in aside[rung] for rung in ("encoder", "causal"))
    with pytest.raises(Refused, match="form in common"):
        train(free, tmp_path / "out", PARAMS, rung="encoder")


def test_a_field_begins_as_empty_as_it_is() -> None:
    """Before the first step a field that is mostly empty is taken to be, and its loss is small.

    It falls by 1.4 to 1.7 nats with eight seeds; what else a student says by then is chance.
    """
    rows = [Row(id=str(i), at=0.0, group="", weight=1.0, prompt=f"note {i}: call Ann{i}",
                answer=json.dumps({"who": f"Ann{i}" if i % 10 == 0 else None, "n": i % 3}))
            for i in range(60)]  # fmt: skip
    found = learn([r.prompt for r in rows], [r.answer for r in rows], CONTRACT)
    assert not isinstance(found, str), found
    forms, reader = found
    model, learned = encoder.fresh(forms, PARAMS), encoder.filled(rows, forms, reader, LENGTH)
    measure = encoder.objective(forms, len(rows))
    before = float(measure(model, learned)[0].detach().mean())
    head_init.expect(model, forms, learned)
    assert float(measure(model, learned)[0].detach().mean()) < before - 1
    answers = EncoderStudent(model, forms).answer([row.prompt for row in rows[:10]])
    assert not [one.text for one in answers if "Ann" in one.text]


@pytest.mark.parametrize(
    "answers",
    [[{"n": True}, {"n": 1}, {"n": False}, {"n": 0}],
     [{"kind": "y"}, {"kind": "y", "name": None}, {"kind": "y", "name": "Ann"}]],
)  # fmt: skip
def test_what_is_whole_is_written_as_it_was(answers: list[dict[str, object]]) -> None:
    """True is not 1, and a key that is null is not one that is absent: nothing is exact by luck."""
    said = [json.dumps(answers[i % len(answers)]) for i in range(60)]
    rows = [Row(str(i), 0.0, "", f"note {i}: call Ann", text, 1.0) for i, text in enumerate(said)]
    found = learn([r.prompt for r in rows], said, Contract(kind="json", schema={}))
    assert not isinstance(found, str), found
    forms, reader = found
    fields = {field.name: field for field in forms.fields}
    for row, one in zip(rows, encoder.filled(rows, forms, reader, LENGTH), strict=True):
        form = forms.forms[one.closed[FORM]]
        values = {name: fields[name].values[place] for name, place in one.closed.items()
                  if name in fields}  # fmt: skip
        values |= {name: "Ann" if spans != [encoder.NOTHING] else fields[name].nothing
                   for name, spans in one.copied.items() if name not in values}  # fmt: skip
        if one.whole:
            written = forms.write(forms.forms.index(form), values)
            assert written == row.answer


def test_many_rows_give_the_choices_a_start() -> None:
    """Of many rows, choices begin as linear models; of a few, or where those fail, as nothing."""
    rng = random.Random(3)
    labels = Contract(kind="labels", labels=tuple(WISHES))
    pairs = [(f"{rng.choice(WISHES[wish])} {i}", wish) for i in range(500) for wish in WISHES]
    found = learn([prompt for prompt, _ in pairs], [wish for _, wish in pairs], labels)
    assert not isinstance(found, str), found
    forms, reader = found
    rows = [Row(str(i), 0.0, "", prompt, wish, 1.0) for i, (prompt, wish) in enumerate(pairs)]
    model, learned = encoder.fresh(forms, PARAMS), encoder.filled(rows, forms, reader, LENGTH)
    assert not head_init.lead(model, forms, learned[:500])
    assert head_init.lead(model, forms, learned)
    said = EncoderStudent(model, forms).answer([row.prompt for row in rows[:100]])
    assert sum(a.text == r.answer for a, r in zip(said, rows, strict=False)) >= 95
