"""A scorecard measures the student beside the champion and what costs nothing, once."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st

from tasks.calibrate.calibrate import calibrate
from tasks.core import economics
from tasks.core.certificate import Certificate, load_certificate
from tasks.core.contract import Contract
from tasks.core.params import Calibrate, Economics, Evaluate, Params, Train
from tasks.core.rows import Row, rows
from tasks.core.scorecard import Scorecard
from tasks.core.stage import Refused
from tasks.dataset.splits import SPLITS
from tasks.evaluate import significance
from tasks.evaluate.answers import (
    Answered,
    Answers,
    answered,
    read_answers,
    unadapted,
    write_answers,
)
from tasks.evaluate.evaluate import evaluate, evaluate_all, newest
from tasks.evaluate.table import baselines, slices
from tasks.students.causal import adapter_base, base_digest
from tasks.train.train import train

SHORT = Evaluate(max_tokens=12)  # a base without its adapter never ends an answer


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A dataset folder and a student trained on it."""
    folder = tmp_path_factory.mktemp("home")
    base = tiny.base(folder / "base")
    dataset = tiny.colours(folder / "colour-0", rows=60)
    params = Train(base=str(base), rank=8, learning_rate=1e-2, epochs=12)
    train(dataset, folder / "trained", params)
    shutil.copy(dataset / "task.json", folder / "trained")
    return dataset, folder / "trained"


def test_a_scorecard_is_complete(place: tuple[Path, Path], tmp_path: Path) -> None:
    """The student first, then the champion and the baselines, on the same test rows."""
    dataset, trained = place
    card = evaluate(dataset, trained, tmp_path, SHORT, champion=trained)
    names = ["student", "champion", "majority answer", "TF-IDF + logistic regression"]
    assert [line.name for line in card.table] == [*names, "base model without adapter"]
    bare = unadapted(rows(dataset / "test.parquet"), tiny.colour_contract(),
                     adapter_base(trained / "adapter"), SHORT, None)  # fmt: skip
    assert card.table[-1].agreement == bare.agreement[0]
    assert card.n == len(rows(dataset / "test.parquet")) == 20
    assert card.low <= card.agreement <= card.high
    assert {"field_f1", "macro_f1"} <= card.metrics.keys()
    assert card.champion is not None
    assert (card.champion.agreement, card.better, card.worse, card.p) == (card.agreement, 0, 0, 1)
    assert card.ahead.keys() == card.metrics.keys() == card.table[0].intervals.keys()
    assert {(one.value, one.low, one.high) for one in card.ahead.values()} == {(0, 0, 0)}
    assert 0 < card.student_cost < card.teacher_cost
    assert card.latency_ms > 0
    stored = msgspec.json.decode((tmp_path / "scorecard.json").read_bytes(), type=Scorecard)
    assert stored == card
    answers = read_answers(tmp_path / "answers.parquet")
    assert sum(row.agrees for row in answers.rows) / 20 == pytest.approx(card.agreement)
    assert sum(row.valid for row in answers.rows) / 20 == pytest.approx(card.valid)


def test_the_teacher_is_referee_where_it_is_asked_to(
    place: tuple[Path, Path], tmp_path: Path
) -> None:
    """Free text is compared on the newest rows; nothing is asked by default, nor of other kinds."""
    dataset, trained = place
    parts = {
        n: [(r.prompt, f"{r.answer}!") for r in rows(dataset / f"{n}.parquet")] for n in SPLITS
    }
    text = tiny.dataset(tmp_path / "text", Contract(kind="text"), parts)
    asked: list[str] = []

    def ask(messages: list[dict[str, str]]) -> str:
        asked.append(messages[1]["content"])
        return '{"better": "tie"}'

    assert "referee_ties" not in evaluate(text, trained, tmp_path, SHORT, ask=ask).metrics
    some = msgspec.structs.replace(SHORT, referee=6)
    assert "referee_ties" not in evaluate(dataset, trained, tmp_path, some, ask=ask).metrics
    assert asked == []
    card = evaluate(text, trained, tmp_path, some, ask=ask, cache=tmp_path / "cache")
    assert (card.metrics["referee_ties"], len(asked)) == (6, 12)
    assert "referee_ties" not in card.table[1].metrics


def test_slices_show_where_a_student_is_weak() -> None:
    """Rare answers, long prompts and the newest day have lines of their own, with their counts."""
    labels = Contract(kind="labels", labels=("usual", "rare"))
    known = [Row(f"k{i}", 0, "", "x", "rare" if i % 50 == 0 else "usual", 1) for i in range(500)]
    test = [
        Row(f"t{i}", 86_400.0 * (i >= 30), "", "word " * (1 + i % 4), expected, 1, (i % 2) or None)
        for i, expected in enumerate(["usual"] * 32 + ["rare"] * 8)
    ]
    said = [
        Answered(id=r.id, expected=r.answer, answer="usual", agrees=r.answer == "usual", valid=True,
                 weight=1, at=r.at, logprobs=(), finish_reason="stop")
        for r in test
    ]  # fmt: skip
    answers = Answers(rows=said, adapter_digest="", rows_digest="", latency_ms=0,
                      prompt_tokens=0, completion_tokens=0)  # fmt: skip
    found = {one.name: (one.n, one.agreement) for one in slices(known, test, answers, labels)}
    liked = {"liked answers": (20, 0.8)}
    assert found == {"rare answers": (8, 0.0), **liked, "newest day": (10, 0.2)}


def test_a_champion_of_another_base_is_not_asked(place: tuple[Path, Path], tmp_path: Path) -> None:
    """Its weights would answer nonsense on a base that it was not trained on."""
    dataset, trained = place
    old = tmp_path / "old" / "adapter"
    shutil.copytree(trained / "adapter", old)
    config = old / "adapter_config.json"
    shutil.copy(dataset / "task.json", old.parent)
    digest = json.loads(config.read_text())["revision"]
    config.write_text(config.read_text().replace(digest, "0123456789abcdef"))
    card = evaluate(
        dataset, trained, tmp_path, msgspec.structs.replace(SHORT, max_rows=4), champion=old.parent
    )
    assert card.champion is None
    with pytest.raises(Refused, match="another base"):
        answered(rows(dataset / "test.parquet"), tiny.colour_contract(), old, SHORT)


def test_answers_are_asked_for_once(place: tuple[Path, Path], tmp_path: Path) -> None:
    """The same adapter and rows are read from the cache; other rows are not.

    Whether they agree is not: an older version may have had another rule.
    """
    dataset, trained = place
    found = rows(dataset / "test.parquet")
    contract = tiny.colour_contract()
    first = answered(found, contract, trained / "adapter", SHORT, cache=tmp_path)
    file = next(tmp_path.iterdir())
    stamp = file.stat().st_mtime_ns
    assert answered(found, contract, trained / "adapter", SHORT, cache=tmp_path) == first
    assert file.stat().st_mtime_ns == stamp
    write_answers(file, replace(first, rows=[replace(r, agrees=not r.agrees) for r in first.rows]))
    assert answered(found, contract, trained / "adapter", SHORT, cache=tmp_path) == first
    fewer = answered(found[:3], contract, trained / "adapter", SHORT, cache=tmp_path)
    assert len(fewer.rows) == 3
    assert len(list(tmp_path.iterdir())) == 2


def test_a_base_is_asked_once_for_all_its_students(
    place: tuple[Path, Path], tmp_path: Path
) -> None:
    """Its answers are kept by its own digest: another night's student finds them."""
    dataset, trained = place
    for night in ("one", "two"):
        evaluate(dataset, trained, tmp_path / night, SHORT, cache=tmp_path / "answers")
    digest = base_digest(adapter_base(trained / "adapter"))
    (file,) = (tmp_path / "answers").glob(f"{digest}-*")
    assert len(read_answers(file).rows) == 20
    assert len(list((tmp_path / "answers").iterdir())) == 2


def test_calibration_certifies_or_says_why_not(place: tuple[Path, Path], tmp_path: Path) -> None:
    """Twenty rows prove nothing at five per cent, and the file says so."""
    dataset, trained = place
    assert not isinstance(calibrate(dataset, trained, tmp_path, Calibrate()), Certificate)
    reason = load_certificate(tmp_path / "certificate.json")
    assert isinstance(reason, str)
    assert "at least 59" in reason
    with pytest.raises(Refused, match="no certificate"):
        load_certificate(tmp_path / "nothing.json")


def test_a_task_without_test_rows_is_refused(place: tuple[Path, Path], tmp_path: Path) -> None:
    """Nothing is measured on nothing."""
    parts = {"train": [("a", "b")], "test": []}
    folder = tiny.dataset(tmp_path / "d", Contract(kind="text"), parts)
    with pytest.raises(Refused, match="no test rows"):
        evaluate(folder, place[1], tmp_path / "out", SHORT)


def row(at: float, prompt: str = "p", answer: str = "a") -> Row:
    return Row(id=f"{at}", at=at, group="", prompt=prompt, answer=answer, weight=1.0)


def test_the_newest_rows_are_measured() -> None:
    """Of too many rows the last asked are taken."""
    assert [r.at for r in newest([row(3), row(1), row(2)], 2)] == [2, 3]


def test_baselines_know_what_words_tell() -> None:
    """A linear classifier solves what single words decide; the majority answer does not."""
    labels = ("bill", "parcel")
    known = [row(i, f"where is my {labels[i % 2]} {i}", labels[i % 2]) for i in range(40)]
    contract = Contract(kind="labels", labels=labels)
    majority, linear = baselines(known, known[:10], contract)
    assert majority.agreement == 0.5
    assert linear.agreement == 1.0
    text = baselines(known, known[:10], Contract(kind="json"))
    assert len(text) == 2
    free = [row(i, "p", f"answer {i}") for i in range(40)]
    assert len(baselines(free, free[:5], Contract(kind="text"))) == 1


@given(st.integers(0, 60), st.integers(1, 60))
def test_wilson_holds_the_share(hits: int, n: int) -> None:
    """The interval holds what was seen, stays within 0 and 1, and narrows with more rows."""
    share = min(hits, n) / n
    low, high = significance.wilson(share, n)
    assert 0 <= low <= share + 1e-12
    assert share - 1e-12 <= high <= 1
    wide, narrow = high - low, significance.wilson(share, 4 * n)
    assert narrow[1] - narrow[0] < wide


def test_mcnemar_needs_differences() -> None:
    """Equal counts say nothing, ten to none says much."""
    assert significance.mcnemar(0, 0) == 1.0
    assert significance.mcnemar(4, 4) == 1.0
    assert significance.mcnemar(10, 0) == pytest.approx(2 / 1024)


def test_weights_shape_a_share() -> None:
    """A row that stands for nine calls counts nine times, at fewer effective rows."""
    share, effective = significance.weighted([True, False], [9.0, 1.0])
    assert share == 0.9
    assert effective == pytest.approx(100 / 82)
    assert significance.weighted([], []) == (0.0, 0.0)


def test_a_cascade_costs_what_is_escalated_and_audited() -> None:
    """The student is paid for every call, the teacher for the rest and the audit."""
    prices = Economics()
    usage = economics.Usage(prompt=1000, completion=100)
    teacher = economics.teacher_cost(usage, prices)
    student = economics.student_cost(usage, prices)
    assert teacher == pytest.approx((1000 * 2.5 + 100 * 10) / 1e6)
    assert economics.cascade_cost(teacher, student, 0.0, 0.1) == pytest.approx(teacher + student)
    saved = economics.saving(teacher, student, 0.8, 0.1)
    assert saved == pytest.approx(teacher * 0.72 - student)
    calls = economics.break_even(36, saved, prices)
    assert calls is not None
    assert calls * saved == pytest.approx(0.01 * prices.compute_hour)
    assert economics.break_even(36, -1e-9, prices) is None


def test_every_student_is_counted(place: tuple[Path, Path], tmp_path: Path) -> None:
    """Students that are refused for the same reason are not one: what comes in goes somewhere."""
    for rung in ("causal", "encoder"):
        shutil.copytree(place[1], tmp_path / "train" / "gone" / rung)
    counts = evaluate_all(tmp_path / "dataset", tmp_path / "train", tmp_path / "out", Params())
    assert (counts.read, counts.kept, sum(counts.dropped.values())) == (2, 0, 2)
