"""A kernel head: few rows, many labels; what a row gets without its own group, in closed form."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.calibrate.calibrate import calibrate
from tasks.core.certificate import Certificate, Refusal
from tasks.core.contract import Contract
from tasks.core.params import Calibrate, Evaluate, Train
from tasks.core.rows import UNCURATED, Row, rows, write_rows
from tasks.core.task import load_one
from tasks.evaluate.answers import answered
from tasks.students.adapters import adapter_digest, open_student
from tasks.students.encoder import EncoderStudent
from tasks.students.kernel_head import rarity, table, words_of
from tasks.train.folds import FILE, proving, raw, unlearned
from tasks.train.kernel_fit import blocks
from tasks.train.label_names import described
from tasks.train.ridge import solve
from tasks.train.train import ladder, load_training, train

SAID = {
    "refund": "my money back",
    "lost_parcel": "a box that never came",
    "opening hours": "when you close",
    "newPassword": "how to log in",
}
ASKED = ("about {} please", "i need {} now", "{}?", "tell me of {}", "{} and soon", "hi, {}")


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(6, 14), st.integers(1, 4))
def test_a_row_is_judged_without_its_group(seed: int, count: int, groups: int) -> None:
    """The closed form says what a head that never saw the group would say."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(count, 5)).astype(np.float32)
    kernel, goals = points @ points.T, rng.normal(size=(count, 3)).astype(np.float32)
    names, stiff = [str(i % (groups + 1)) for i in range(count)], np.full(count, 0.3)
    without = solve(kernel, goals, stiff, names).without
    for group in set(names):
        out = np.array([name == group for name in names])
        rest = np.linalg.inv(kernel[~out][:, ~out] + np.diag(stiff[~out])) @ goals[~out]
        assert np.allclose(kernel[out][:, ~out] @ rest, without[out], atol=1e-3)


def test_labels_speak_for_themselves() -> None:
    """A name in words, with what the prompt says about it."""
    told = "Choose one:\n- refund: money back for goods\n* `lost_parcel` - it never came\nrefunds"
    assert described("refund", told) == "refund: money back for goods"
    assert described("lost_parcel", told) == "lost parcel: it never came"
    assert described("newPassword", told) == "new Password"


def test_words_count_for_what_they_tell() -> None:
    """Order does not matter for single words, rare ones weigh more, other scripts have words."""
    found = [words_of(text) for text in ("the red kettle", "the blue kettle", "the lamp", "赤い傘")]
    tells = rarity(found)
    assert tells[words_of("the")[0]] < tells[words_of("lamp")[0]]
    alike = (table(found, tells) @ table(found, tells).T).toarray()
    assert alike[0, 1] > alike[0, 2] > alike[0, 3] == 0
    assert len(found[3]) == 5  # three characters, two pairs


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A linear student of two dozen rows."""
    pairs = [(asked.format(said), label) for label, said in SAID.items() for asked in ASKED]
    home = tmp_path_factory.mktemp("few")
    contract = Contract(kind="labels", labels=tuple(SAID))
    data = tiny.dataset(home / "a-0", contract, {"train": pairs, "validation": pairs[::6]})
    train(data, home / "out", Train(), rung="linear")
    return home


def test_what_training_rows_got_out_of_fold_is_kept(folder: Path) -> None:
    """A confidence and a verdict for each learned row, beside the adapter."""
    table_ = pq.read_table(folder / "out" / FILE).to_pydict()
    learned = rows(folder / "a-0/train.parquet")
    assert table_["id"] == [row.id for row in learned]
    assert all(value <= 0 and math.isfinite(value) for value in table_["confidence"])
    assert set(map(type, table_["agrees"])) == {bool}


def test_a_saved_head_answers_as_it_was_measured(folder: Path) -> None:
    """What it says to the validation rows is what training.json tells; its bytes have a name."""
    student = open_student(folder / "out/adapter")
    assert isinstance(student, EncoderStudent)
    assert student.kernel is not None
    held = rows(folder / "a-0/validation.parquet")
    said = student.answer([row.prompt for row in held])
    exact = sum(a.text == row.answer for a, row in zip(said, held, strict=True)) / len(held)
    told = load_training(folder / "out")
    assert told.validation[-1].exact == pytest.approx(exact)
    assert told.adapter_digest == adapter_digest(folder / "out/adapter")


def test_few_rows_for_many_labels_are_not_fine_tuned(tmp_path: Path) -> None:
    """Six rows of each label are worth a fine-tuned encoder, two are not."""
    contract = Contract(kind="labels", labels=tuple(SAID))
    for count, rungs in ((2, ["linear", "causal"]), (6, ["linear", "encoder", "causal"])):
        pairs = [(one.format(said), name) for name, said in SAID.items() for one in ASKED[:count]]
        data = tiny.dataset(tmp_path / f"a-{count}", contract, {"train": pairs})
        assert ladder(data, Train())[0] == rungs


WORDS = ("violin", "ladder", "kettle", "carpet", "bicycle", "tent", "lamp", "mirror", "guitar")


@pytest.fixture(scope="module")
def mixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A linear student of rows of which some groups have a label that no other row has."""
    told = [(asked.format(said), label) for label, said in SAID.items() for asked in ASKED]
    alone = [Row(w + a, 0.0, w, a.format(f"the {w}"), w, 1.0) for w in WORDS for a in ASKED]
    home = tmp_path_factory.mktemp("mixed")
    contract = Contract(kind="labels", labels=(*SAID, *WORDS))
    parts = {"train": told, "validation": told[::6], "calibration": told[::5]}
    data = tiny.dataset(home / "a-0", contract, parts)
    write_rows(data / UNCURATED, [*rows(data / "train.parquet"), REFUSED])
    write_rows(data / "calibration.parquet", [*rows(data / "calibration.parquet"), *alone])
    train(data, home / "out", Train(), rung="linear")
    return home


REFUSED = Row("refused", 0.0, "alone", "who is it", "I cannot say.", 1.0)  # off contract


def test_blocks_prove_heads_that_learn_them_later(mixture: Path) -> None:
    """Nobody knows the label of a row that proves it; the last head knows those before."""
    student = open_student(mixture / "out/adapter")
    assert isinstance(student, EncoderStudent)
    heads = unlearned(mixture / "out")
    assert sorted(set(heads.values())) == [0, 1, 2, 3]
    alone = [row for row in proving(mixture / "a-0", mixture / "out") if row.answer in WORDS]
    assert alone
    prompts, own = [row.prompt for row in alone], [heads[row.id] for row in alone]
    said = [one.text for one in student.answer(prompts, heads=own)]
    assert not any(text == row.answer for text, row in zip(said, alone, strict=True))
    last = [one.text for one in student.answer(prompts, heads=[3] * len(prompts))]
    known = [text == row.answer for text, row in zip(last, alone, strict=True)]
    assert known == [head < 3 for head in own]


def test_rows_that_train_prove_as_they_came(mixture: Path) -> None:
    """Also those that nobody may learn from, which would be disagreements when served."""
    every = {row.id: row for row in raw(mixture / "a-0")}
    heads = unlearned(mixture / "out")
    assert heads.keys() < every.keys()
    learned = pq.read_table(mixture / "out" / FILE).to_pydict()["id"]
    assert not heads.keys() & set(learned)
    assert {name for name in every if "train" in name} & heads.keys()
    assert heads.keys() | set(learned) >= every.keys() - {"refused"}


def test_more_of_few_rows_prove() -> None:
    """Three quarters of a hundred, under a half of a thousand; groups stay whole."""
    for count, least, most in ((100, 70, 80), (1_000, 430, 470)):
        made = blocks([Row(f"{n}", 0.0, f"{n // 2}", f"{n}", "a", 1.0) for n in range(count)])
        assert least <= sum(map(len, made[1:])) <= most
        homes = [{row.group for row in block} for block in made]
        assert sum(map(len, homes)) == len(set().union(*homes))


def test_a_prompt_draws_the_same_head_in_the_shares_of_the_proof(mixture: Path) -> None:
    """By a hash, so that an answer can be repeated; each head answers its quarter."""
    student = open_student(mixture / "out/adapter")
    assert isinstance(student, EncoderStudent)
    assert student.kernel is not None
    drawn = [student.kernel.drawn(f"prompt {n}") for n in range(2_000)]
    assert drawn[:50] == [student.kernel.drawn(f"prompt {n}") for n in range(50)]
    assert all(abs(drawn.count(head) / 2_000 - 0.25) < 0.05 for head in range(4))
    prompts = [f"about a gift {n}" for n in range(12)]
    each = [student.answer([p], heads=[student.kernel.drawn(p)])[0].logprobs for p in prompts]
    assert [one.logprobs for one in student.answer(prompts, batch=1)] == each


def test_a_mixture_is_proven_by_the_heads_that_had_not_learned_a_row(mixture: Path) -> None:
    """Certified are the answers of each block's own head, not of the ones that know the block."""
    made = calibrate(mixture / "a-0", mixture / "out", mixture / "proof", Calibrate(alpha=0.5))
    assert isinstance(made, Refusal | Certificate)
    data = mixture / "a-0"
    found, contract = proving(data, mixture / "out"), load_one(data).contract
    own = answered(
        found, contract, mixture / "out/adapter", Evaluate(), heads=unlearned(mixture / "out")
    )
    last = {row.id: 3 for row in found}
    seen = answered(found, contract, mixture / "out/adapter", Evaluate(), heads=last)
    assert own.agreement < seen.agreement
