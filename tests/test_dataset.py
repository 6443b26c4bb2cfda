"""Datasets: only good replies, no leaks, the test set frozen, the traffic's weights kept."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.cluster.cluster import cluster
from tasks.core.params import Cluster, Dataset
from tasks.core.records import CleanCall, Counts, read_rejected
from tasks.core.rows import UNCURATED, Row, rows
from tasks.core.stage import Refused, manifest
from tasks.core.task import load_one
from tasks.dataset.dataset import dataset
from tasks.dataset.splits import LEARNED, SPLITS, Groups, Split, leaks, share_out
from tests.traffic import LABELS, WORDS, orders, tickets, write

PARAMS = Dataset(min_rows=60)


def night(
    folder: Path, calls: list[CleanCall], previous: Path | None = None
) -> tuple[Path, Counts]:
    """Cluster and dataset of one night; returns the dataset folder and its counts."""
    out, groups = folder / "dataset", folder / "cluster"
    for path in (out, groups):
        path.mkdir(parents=True)
    clean = [write(folder / "calls.parquet", calls)]
    last = previous.parent / "cluster" if previous else None
    cluster(clean, groups, Cluster(min_calls=30), previous=last)
    return out, dataset(clean, groups, out, PARAMS, previous=previous)


def one(out: Path) -> Path:
    """The only task's folder."""
    (folder,) = (path.parent for path in out.glob("*/task.json"))
    return folder


def parts(folder: Path) -> dict[str, list[Row]]:
    return {split: rows(folder / f"{split}.parquet") for split in SPLITS}


def test_every_call_is_in_one_split_or_dropped_with_the_reason(tmp_path: Path) -> None:
    """Read == kept + Σ dropped, and the quarantine holds the dropped ones by name."""
    calls = [*tickets(200), *orders(100)]
    out, counts = night(tmp_path, calls)
    assert counts.read == 300 == counts.kept + sum(counts.dropped.values())
    paths = (path for path in out.glob("*/*.parquet") if path.name != UNCURATED)
    named = [row.id for path in paths for row in rows(path)]
    aside = [r.id for r in read_rejected(out / "quarantine.parquet")]
    assert sorted(named + aside) == sorted(c.id for c in calls)


def test_what_people_thought_of_an_answer_stays_with_it(tmp_path: Path) -> None:
    """Feedback is on the rows of the test set, too; nights before it was kept are still read."""
    calls = [
        dataclasses.replace(c, feedback=1.0 if i % 2 else None) for i, c in enumerate(tickets(200))
    ]
    out, _ = night(tmp_path, calls)
    liked = {call.id for call in calls if call.feedback}
    test = parts(one(out))["test"]
    assert {row.id for row in test if row.feedback} == liked & {row.id for row in test} != set()
    file = one(out) / "test.parquet"
    pq.write_table(pq.read_table(file).drop_columns(["feedback"]), file)
    assert rows(file) == [dataclasses.replace(row, feedback=None) for row in test]


def test_splits_are_disjoint_and_near_their_shares(tmp_path: Path) -> None:
    """No prompt and no group stands in two splits; calibration gets its share."""
    out, _ = night(tmp_path, list(tickets(400)))
    found = parts(one(out))
    total = sum(map(len, found.values()))
    assert 0.3 <= len(found["calibration"]) / total <= 0.4
    assert 0.1 <= len(found["test"]) / total <= 0.2
    for what in ("id", "prompt", "group"):
        assert not leaks({split: {getattr(r, what) for r in found[split]} for split in SPLITS})


def test_students_read_payloads(tmp_path: Path) -> None:
    """Neither the constant prompt nor the request header is in a row."""
    out, _ = night(tmp_path, list(tickets(120)))
    assert all("queue of the message" not in r.prompt for r in rows(one(out) / "train.parquet"))
    assert all("request" not in r.prompt for r in rows(one(out) / "train.parquet"))
    assert load_one(one(out)).contract.labels == tuple(sorted(LABELS))


def test_what_the_teacher_did_not_answer_is_set_aside(tmp_path: Path) -> None:
    """Errors, cut and filtered replies and students' answers are in no split."""
    bad = {
        "error": {"error": "timeout"},
        "truncated": {"finish_reason": "length"},
        "refusal": {"finish_reason": "content_filter"},
        "not the teacher's": {"answered_by": "router-v1-aaaa"},
    }
    slips = [
        dataclasses.replace(c, **change)
        for c, change in zip(tickets(4, seed=9, start=500), bad.values(), strict=True)
    ]
    _, counts = night(tmp_path, [*tickets(150), *slips])
    assert {reason: counts.dropped[reason] for reason in bad} == dict.fromkeys(bad, 1)


@pytest.mark.parametrize(
    ("reason", "slip"),
    [
        ("negative feedback", lambda number: {"feedback": -1.0}),
        ("off contract", lambda number: {"reply": {"content": f"Let me see, {number} is"}}),
    ],
)
def test_slips_are_measured_with_and_never_learned(
    tmp_path: Path, reason: str, slip: Callable[[int], dict[str, object]]
) -> None:
    """A reply off contract or disliked is a calibration or test row, as live calls get such too.

    Those that would train are kept as they came, for students that are proven before they learn.
    """
    calls = tickets(8, seed=9, start=500)
    made = [dataclasses.replace(c, **slip(number)) for number, c in enumerate(calls)]
    out, counts = night(tmp_path, [*tickets(200), *made])
    ids = {call.id for call in made}
    found = {split: sum(row.id in ids for row in kept) for split, kept in parts(one(out)).items()}
    assert found["train"] == found["validation"] == 0
    assert found["calibration"] + found["test"] > 0
    assert sum(found.values()) + counts.dropped[reason] == 8
    came = {row.id for row in rows(one(out) / UNCURATED)}
    assert 0 < len(came & ids) <= counts.dropped[reason]
    assert {row.id for row in rows(one(out) / "train.parquet")} < came


def test_the_test_set_only_grows(tmp_path: Path) -> None:
    """Test rows of the first night are test rows of the second; nothing learned becomes test."""
    first, _ = night(tmp_path / "1", list(tickets(200)))
    more = [*tickets(200), *tickets(150, seed=8, start=3000)]
    second, _ = night(tmp_path / "2", more, previous=first)
    before, after = parts(one(first)), parts(one(second))
    assert {r.id for r in before["test"]} < {r.id for r in after["test"]}
    for split in LEARNED:
        assert not {r.id for r in before[split]} & {r.id for r in after["test"]}


def test_test_rows_outlive_their_calls(tmp_path: Path) -> None:
    """A test row stays when the window no longer holds its call."""
    first, _ = night(tmp_path / "1", list(tickets(200)))
    second, _ = night(tmp_path / "2", list(tickets(200, seed=8, start=3000)), previous=first)
    before, after = rows(one(first) / "test.parquet"), rows(one(second) / "test.parquet")
    assert set(before) < set(after)


def test_a_repeat_of_a_carried_test_prompt_goes_to_test(tmp_path: Path) -> None:
    """Tomorrow's call with the words of an old test row cannot be learned."""
    first, _ = night(tmp_path / "1", list(tickets(200)))
    old = rows(one(first) / "test.parquet")[0]
    fresh = list(tickets(200, seed=8, start=3000))
    user = {"role": "user", "content": old.prompt}
    fresh[0] = dataclasses.replace(
        fresh[0], request={"messages": [fresh[0].messages[0], user]}, reply={"content": old.answer}
    )
    second, _ = night(tmp_path / "2", fresh, previous=first)
    assert fresh[0].id in {row.id for row in rows(one(second) / "test.parquet")}


@pytest.mark.parametrize("form", ['{"queue": "QUEUE"}', "q-QUEUE"])
def test_nothing_from_before_the_teacher_changed_is_kept(tmp_path: Path, form: str) -> None:
    """Rows and the contract are of the new answers: another schema, or other names of labels."""
    first, _ = night(tmp_path / "1", list(tickets(200)))
    late = [
        dataclasses.replace(call, reply={"content": form.replace("QUEUE", call.reply["content"])})
        for call in tickets(150, seed=8, start=3000)
    ]
    (tmp_path / "2").mkdir()
    clean = [write(tmp_path / "2" / "calls.parquet", [*tickets(200), *late])]
    groups, out = tmp_path / "2" / "cluster", tmp_path / "2" / "dataset"
    for folder in (groups, out):
        folder.mkdir()
    cluster(clean, groups, Cluster(min_calls=30), previous=first.parent / "cluster")
    name = one(first).name
    counts = dataset(clean, groups, out, PARAMS, previous=first, since={name: late[0].at})
    kept = [row for found in parts(out / name).values() for row in found]
    assert min(row.at for row in kept) >= late[0].at
    assert counts.dropped["before the teacher changed"] == 200
    assert {row.answer for row in kept} == {form.replace("QUEUE", label) for label in LABELS}
    kind = "json" if "{" in form else "labels"
    assert load_one(out / name).contract.kind == kind


def test_a_task_that_pauses_keeps_its_test_set(tmp_path: Path) -> None:
    """A night without a dataset for a task does not thaw what was frozen."""
    first, _ = night(tmp_path / "1", list(tickets(200)))
    second, _ = night(tmp_path / "2", list(orders(200)), previous=first)
    third, _ = night(tmp_path / "3", list(tickets(200, seed=8, start=3000)), previous=second)
    assert set(rows(one(first) / "test.parquet")) < set(rows(one(third) / "test.parquet"))


def test_the_same_input_makes_the_same_bytes(tmp_path: Path) -> None:
    calls = list(tickets(150))
    one_, two = (one(night(tmp_path / name, calls)[0]) for name in "ab")
    for split in SPLITS:
        name = f"{split}.parquet"
        assert (one_ / name).read_bytes() == (two / name).read_bytes()


def test_repeats_are_learned_once_with_their_weight(tmp_path: Path) -> None:
    """Training keeps one of many equal rows, and how often it came; other splits keep them all."""
    rng = random.Random(4)
    calls = [
        dataclasses.replace(c, request={"messages": [c.messages[0], rng.choice(same)]})
        for c in tickets(200)
        for same in [
            [{"role": "user", "content": f"{c.reply['content']} {WORDS[n]}"} for n in range(9)]
        ]
    ]
    out, _ = night(tmp_path, calls)
    found = parts(one(out))
    assert len({r.prompt for r in found["train"]}) == len(found["train"])
    assert sum(r.weight for split in SPLITS for r in found[split]) == 200
    rest = [r for split in SPLITS[1:] for r in found[split]]
    assert all(r.weight == 1 for r in rest)
    assert len({r.prompt for r in rest}) < len(rest)


def test_conversations_are_not_torn_apart(tmp_path: Path) -> None:
    """All calls of one conversation are in one split."""
    calls = [
        dataclasses.replace(c, conversation=f"talk {n // 5}") for n, c in enumerate(tickets(250))
    ]
    out, _ = night(tmp_path, calls)
    talk = {c.id: c.conversation for c in calls}
    found = parts(one(out))
    assert not leaks({split: {talk[r.id] for r in found[split]} for split in SPLITS})


def test_a_task_without_enough_rows_is_collecting(tmp_path: Path) -> None:
    """Below the floor nothing trains, and the manifest says how many rows there are."""
    out, counts = night(tmp_path, list(tickets(50)))
    assert not list(out.glob("*/task.json"))
    assert counts.dropped["collecting"] == 50
    report = (manifest(out) or {})["tasks"]
    assert [task["refused"] for task in report.values()] == ["collecting"]
    assert [task["rows"] for task in report.values()] == [50]


def test_nothing_clustered_is_refused(tmp_path: Path) -> None:
    clean = [write(tmp_path / "calls.parquet", [])]
    with pytest.raises(Refused, match="no tasks at"):
        dataset(clean, tmp_path, tmp_path, PARAMS)


@given(
    st.dictionaries(st.text("abc", min_size=1, max_size=4), st.integers(1, 5), min_size=1),
    st.integers(0, 3),
)
def test_groups_are_shared_out_whole(sizes: dict[str, int], seed: int) -> None:
    """Every row has a split, groups stay whole, and a second night moves none of them."""
    groups, place = {}, 0
    for key, size in sizes.items():
        groups[key] = list(range(place, place + size))
        place += size
    params = Dataset(seed=seed)
    found = share_out(groups, dict.fromkeys(groups, ""), {}, params)
    assert found.keys() == set(range(place))
    assert all(len({found[row] for row in some}) == 1 for some in groups.values())
    more = groups | {"new": [place]}
    assert share_out(more, dict.fromkeys(more, ""), found, params).items() >= found.items()


def test_what_a_student_may_have_learned_does_not_become_test() -> None:
    """When a training group and a test group turn out to be one, the training rows are left out."""
    past: dict[int, Split] = {0: "test", 1: "train", 2: "calibration"}
    found = share_out({"both": [0, 1, 2, 3]}, {"both": ""}, past, PARAMS)
    assert found == {0: "test", 2: "test", 3: "test"}


def test_labels_are_spread_over_the_splits() -> None:
    """Forty groups of a rare answer reach calibration and test as their shares say."""
    strata = {f"k{n}": "rare" if n < 40 else "usual" for n in range(1000)}
    groups = {key: [n] for n, key in enumerate(strata)}
    found = share_out(groups, strata, {}, PARAMS)
    rare = Counter(found[n] for n in range(40))
    wanted = (40 * PARAMS.train, 40 * PARAMS.calibration)
    assert (rare["train"], rare["calibration"]) == pytest.approx(wanted, abs=2)


def test_groups_join_what_is_equal() -> None:
    groups = Groups(5)
    groups.join_equal(["a", "", "b", "a", ""])
    assert [groups.find(n) for n in range(5)] == [0, 1, 2, 0, 4]
