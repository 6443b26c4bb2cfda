"""What goes into ingest comes out as a call or in quarantine, once, whatever the input."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from tasks.core import records, stage
from tasks.core.params import Ingest, Validate
from tasks.core.records import Call, Counts, Rejected
from tasks.core.stage import Refused
from tasks.ingest import ingest as module
from tasks.ingest import json_lines, shards
from tasks.ingest.encoding import RawLine
from tasks.ingest.ingest import ingest
from tasks.validate.validate import validate

DATA = Path(os.environ.get("FLYWHEEL_EVAL_DATA") or Path(__file__).parents[2] / "shared/data")
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"no evaluation data at {DATA}")
NOON = 1_760_000_000  # 2025-10-09


def pair(question: str = "hi", answer: str = "hello", **more: Any) -> dict[str, Any]:
    request = {"model": "big", "messages": [{"role": "user", "content": question}]}
    choice = {"message": {"role": "assistant", "content": answer}, "finish_reason": "stop"}
    return {"timestamp": NOON, "request": request, "response": {"choices": [choice]}, **more}


def write(path: Path, lines: Iterable[Any]) -> Path:
    rows = (line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines)
    path.write_bytes(b"\n".join(rows) + b"\n")
    return path


def run(out: Path, *sources: Path | str, **more: Any) -> tuple[Counts, list[Call], list[Rejected]]:
    out.mkdir(parents=True, exist_ok=True)
    params = more.pop("params", Ingest())
    counts = ingest([str(s) for s in sources], out, params, **more)
    calls = list(records.read(out / "calls"))
    rejected = list(records.read_rejected(out / "quarantine.parquet"))
    assert counts.read == counts.kept + sum(counts.dropped.values())
    assert (len(calls), len(rejected)) == (counts.kept, sum(counts.dropped.values()))
    return counts, calls, rejected


def test_a_pair_becomes_a_call(tmp_path: Path) -> None:
    """A pair keeps its request, its reply, its time and the line that it stood on."""
    log = write(tmp_path / "log.jsonl", [pair(), pair("and you?", "fine")])
    _, calls, _ = run(tmp_path / "out", log)
    assert [c.reply["content"] for c in calls] == ["hello", "fine"]
    assert (calls[1].source, calls[1].at, calls[1].model) == (f"{log}:2", NOON, "big")
    assert [p.name for p in (tmp_path / "out/calls").iterdir()] == ["2025-10-09.parquet"]


def test_a_line_that_is_not_json_is_kept_with_its_place(tmp_path: Path) -> None:
    """A broken line goes to quarantine with file, line and the text itself."""
    log = write(tmp_path / "log.jsonl", [pair(), b'{"half": ', pair("again")])
    counts, _, (rejected,) = run(tmp_path / "out", log)
    assert counts.dropped == {"not JSON": 1}
    assert (rejected.source, rejected.raw) == (f"{log}:2", '{"half": ')


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor().compress])
def test_a_truncated_archive_keeps_what_stands_before_the_break(tmp_path: Path, pack: Any) -> None:
    """Records before the break are calls; the break is one quarantined record."""
    lines = [json.dumps(pair(os.urandom(400).hex(), str(i))).encode() for i in range(3_000)]
    packed = pack(b"\n".join(lines))
    path = tmp_path / "log.jsonl.gz"
    path.write_bytes(packed[: len(packed) // 2])
    counts, calls, (rejected,) = run(tmp_path / "out", path)
    assert counts.dropped == {"broken file": 1}
    assert 1_000 < len(calls) < 2_000
    assert rejected.source == f"{path}:{len(calls) + 1}"
    assert "ends early" in rejected.detail


def test_members_of_a_concatenated_archive_are_all_read(tmp_path: Path) -> None:
    """Rotated logs that were appended to one gzip file are read to the end."""
    path = tmp_path / "log.jsonl.gz"
    rows = [json.dumps(pair(str(i))).encode() + b"\n" for i in range(3)]
    path.write_bytes(b"".join(gzip.compress(r) for r in rows))
    assert run(tmp_path / "out", path)[0].kept == 3


def test_bad_sources_are_refused_in_one_sentence(tmp_path: Path) -> None:
    """A missing source, an unknown dialect and a file without any call each say so."""
    out = tmp_path / "out"
    with pytest.raises(Refused, match=r"source .*gone\.jsonl does not exist"):
        run(out, tmp_path / "gone.jsonl")
    log = write(tmp_path / "log.jsonl", [pair()])
    with pytest.raises(Refused, match=r"ingest.dialect is 'klingon'; known dialects are auto, "):
        run(out, log, params=Ingest(dialect="klingon"))
    notes = write(tmp_path / "notes.txt", [b"dear diary", {"mood": "fine"}])
    with pytest.raises(Refused, match=r"none of its 2 records looks like a call .*notes.txt:1"):
        run(out, notes)
    with pytest.raises(Refused, match="names no source"):
        run(out)


def test_the_same_call_is_never_taken_twice(tmp_path: Path) -> None:
    """A repeated line is a duplicate, in one night and across nights; a reused id is not."""
    one = pair(id="a")
    log = write(tmp_path / "log.jsonl", [one, one, pair("other", id="a")])
    counts, calls, _ = run(tmp_path / "first", log)
    assert counts.dropped == {"duplicate": 1}
    assert calls[0].id == "a"
    assert calls[1].id.startswith("a-")
    write(log, [one, pair("new", id="b")])
    counts, calls, _ = run(tmp_path / "second", log, previous=[tmp_path / "first"])
    assert counts.dropped == {"duplicate": 1}
    assert [c.id for c in calls] == ["b"]


def test_late_records_are_picked_up_by_the_next_night(tmp_path: Path) -> None:
    """Windows may overlap: what an earlier night did not see is taken, what it kept is not."""
    early, late = pair("early", timestamp=NOON), pair("late", timestamp=NOON - 50)
    log = write(tmp_path / "log.jsonl", [early])
    assert run(tmp_path / "one", log, until=NOON + 10)[0].kept == 1
    write(log, [early, late, pair("future", timestamp=NOON + 99)])
    counts, calls, _ = run(
        tmp_path / "two", log, since=NOON - 100, until=NOON + 50, previous=[tmp_path / "one"]
    )
    assert counts.dropped == {"duplicate": 1, "outside window": 1}
    assert [c.messages[0]["content"] for c in calls] == ["late"]


def test_calls_without_a_time_are_kept_in_a_shard_of_their_own(tmp_path: Path) -> None:
    """No time is no reason to drop a call, whatever the window."""
    log = write(tmp_path / "log.jsonl", [pair(timestamp=None), pair(timestamp="yesterday-ish")])
    counts, _, _ = run(tmp_path / "out", log, since=NOON)
    assert (counts.kept, counts.dropped) == (1, {"duplicate": 1})
    assert (tmp_path / "out/calls/undated.parquet").exists()


def test_quarantine_can_be_taken_in_again(tmp_path: Path) -> None:
    """After a fix both hops' quarantine files are sources like any other, earlier nights or not."""
    log = write(tmp_path / "log.jsonl", [pair("a" * 900), pair("b"), {"request": 1, "response": 2}])
    run(tmp_path / "first", log, params=Ingest(dialect="openai"))
    checked = tmp_path / "checked"
    validate(tmp_path / "first/calls", checked, Validate(max_characters=500, max_rejected=1.0))
    counts, calls, _ = run(
        tmp_path / "second", checked / "quarantine.parquet", previous=[tmp_path / "first"]
    )
    assert (counts.kept, counts.read) == (1, 1)
    assert calls[0].messages[0]["content"] == "a" * 900
    assert calls[0].source == f"{log}:1"
    counts, _, _ = run(
        tmp_path / "third", tmp_path / "first/quarantine.parquet", params=Ingest(dialect="openai")
    )
    assert counts.dropped == {"unreadable": 1}


def test_folders_globs_json_csv_and_parquet_are_read(tmp_path: Path) -> None:
    """A folder's log files in all formats hold the same calls, each taken once."""
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "a.json").write_text(json.dumps([pair("1"), pair("2")], indent=2))
    rows = [{"request": json.dumps(pair(q)["request"]), "timestamp": NOON} for q in "34"]
    for row in rows:
        row["response"] = json.dumps(pair()["response"])
    pq.write_table(pa.Table.from_pylist(rows[:1]), logs / "b.parquet")
    with (logs / "c.csv").open("w", newline="") as file:
        import csv

        writer = csv.DictWriter(file, list(rows[1]))
        writer.writeheader()
        writer.writerow(rows[1])
    (logs / "README.md").write_text("not a log")
    _, calls, _ = run(tmp_path / "out", logs)
    assert [c.messages[0]["content"] for c in calls] == ["1", "2", "3", "4"]
    assert run(tmp_path / "globbed", logs / "*.json")[0].kept == 2


def test_an_explicit_dialect_is_not_guessed(tmp_path: Path) -> None:
    """With a dialect named, records of another are quarantined, not silently understood."""
    log = write(tmp_path / "log.jsonl", [pair(), {"messages": []}])
    counts, _, _ = run(tmp_path / "out", log, params=Ingest(dialect="openai"))
    assert (counts.kept, counts.dropped) == (1, {"unreadable": 1})


def test_the_same_bytes_in_give_the_same_bytes_out(tmp_path: Path) -> None:
    """Ingest is a function of its input."""
    log = write(
        tmp_path / "log.jsonl", [pair(str(i), timestamp=NOON + i * 9_000) for i in range(99)]
    )
    for out in ("one", "two"):
        run(tmp_path / out, log)
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*.*"))
    assert len(files) > 10
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_the_command_runs_as_a_dvc_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`python -m tasks.ingest` reads params.yaml, writes data/ingest and prints its counts."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "log.jsonl", [pair()])
    (tmp_path / "params.yaml").write_text("ingest: {source: [log.jsonl]}")
    monkeypatch.setenv("FLYWHEEL_PARAMS", str(tmp_path / "params.yaml"))
    stage.main(module.main)
    assert capsys.readouterr().out == "ingest: 1 in, 1 kept, dropped: none\n"
    assert stage.manifest(Path("data/ingest"))["dialects"] == {"openai": 1}  # type: ignore[index]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=8,
)


@st.composite
def damaged_lines(draw: st.DrawFn) -> bytes:
    """A good line with a value replaced, cut, or bytes of no meaning at all."""
    document = pair(id=draw(st.text(max_size=3)))
    node: Any = document
    for _ in range(draw(st.integers(0, 5))):
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not keys:
            break
        key = draw(st.sampled_from(keys))
        if not isinstance(node[key], dict | list) or draw(st.booleans()):
            node[key] = draw(json_values)
            break
        node = node[key]
    line = json.dumps(document).encode()
    cut = draw(st.integers(0, 3))
    if cut == 0:
        return line[: draw(st.integers(0, len(line)))]
    return line if cut < 3 else draw(st.binary(max_size=40))


@given(st.lists(damaged_lines(), max_size=12))
def test_nothing_vanishes(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]) -> None:
    """Every line that is not blank is a kept call or a quarantined record with a reason."""
    folder = tmp_path_factory.mktemp("fuzz")
    lines = [json.dumps(pair("good")).encode(), *(x.replace(b"\n", b"") for x in lines)]
    log = write(folder / "log.jsonl", lines)
    counts, _, rejected = run(folder / "out", log)
    brackets = (b"", b"[", b"]", b",", b"],")  # of an array around the lines
    assert counts.read >= sum(1 for line in lines if line.strip() not in brackets)
    assert all(r.reason and r.source.startswith(str(log)) for r in rejected)


@pytest.mark.parametrize(
    "line",
    [
        b"[" * 100_000,
        b'{"request":' * 200 + b"1" + b"}" * 200,
        json.dumps(pair(extra=10**400)).encode(),
        json.dumps(pair()).encode().replace(b'"big"', b"9" * 60),
        json.dumps(pair()).encode().replace(b'"hi"', b'"\\ud800"'),
        json.dumps(pair()).encode().replace(b'"hi"', b'"\xff\xfe\x00"'),
        json.dumps(pair("x" * 3_000_000)).encode(),
    ],
    ids=["nesting", "depth", "huge number", "number as name", "surrogate", "bytes", "long"],
)
def test_hostile_lines_harm_nobody_else(tmp_path: Path, line: bytes) -> None:
    """A line made to break parsers is kept or quarantined, and its neighbours are calls."""
    log = write(tmp_path / "log.jsonl", [pair("a"), line, pair("b")])
    counts, _, _ = run(tmp_path / "out", log)
    assert counts.read == 3
    assert counts.kept >= 2


@needs_data
@pytest.mark.parametrize("name", ["mixes/visible.jsonl.gz", "news_events/records.jsonl.gz"])
def test_real_logs_are_read_without_loss(tmp_path: Path, name: str) -> None:
    """Every record of a production-like stream becomes a call with model, time and usage."""
    with gzip.open(DATA / name) as file:
        lines = sum(1 for _ in file)
    counts, calls, _ = run(tmp_path / "out", DATA / name)
    assert counts.kept == counts.read == lines
    assert all(c.at and c.model and c.prompt_tokens is not None for c in calls)


def test_a_log_is_read_line_by_line() -> None:
    """The first record comes out before the second line is read."""
    read: list[int] = []

    def lines() -> Iterator[RawLine]:
        for number in (1, 2, 3):
            read.append(number)
            yield RawLine(number, b'{"n": 1}')

    next(json_lines.documents("calls.jsonl", lines(), whole=False))
    assert read == [1]


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers()), max_size=60), st.integers(1, 8))
def test_what_was_seen_is_remembered(pairs: list[tuple[int, int]], most: int) -> None:
    """Like a dict, however often it is sorted in, and after a night on disk."""
    known, seen, earlier = {}, shards.TakenCalls(), shards.TakenCalls()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "RECENT", most)
        for key, content in pairs:
            if seen.get(key) is None:
                known[key] = content % 2**62
                seen.add(key, content % 2**62)
    earlier.update(seen.table())
    assert {key: seen.get(key) for key in range(-10, 11)} == {
        k: known.get(k) for k in range(-10, 11)
    }
    assert {key: earlier.get(key) for key in known} == known


def test_a_bucket_is_read_like_a_folder(tmp_path: Path) -> None:
    """A glob on a file system of fsspec; what is not there gets a sentence."""
    files = fsspec.filesystem("memory")
    line = {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]}
    files.pipe("/logs/a.jsonl.gz", gzip.compress(json.dumps(line).encode()))
    assert ingest(["memory://logs/*.gz"], tmp_path, Ingest()).kept == 1
    for entry, why in (("memory://none/*", "does not exist"), ("nofs://a/b", "cannot be opened")):
        with pytest.raises(Refused, match=why):
            ingest([entry], tmp_path, Ingest())
