"""The journal keeps every call whole, whatever happens to the process that writes it."""

from __future__ import annotations

import resource
import shutil
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.journal import Journal, NotRecorded

NOON = 1_772_452_800.0  # 2026-03-02 12:00 UTC
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


def lines(folder: Path) -> list[Any]:
    found = []
    for file in sorted(folder.glob("*.jsonl")):
        for line in file.read_bytes().split(b"\n"):
            try:
                found.append(msgspec.json.decode(line))
            except msgspec.DecodeError:
                found.append(line)
    return [line for line in found if line != b""]


@settings(max_examples=30, deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=5))
def test_what_is_appended_is_read_back_in_order(texts: list[str], tmp_path_factory: Any) -> None:
    """Lines come back as they went in, line breaks and control characters included."""
    folder = tmp_path_factory.mktemp("journal")
    journal = Journal(folder)
    for text in texts:
        journal.append({"at": NOON, "request": {"text": text}})
    assert [line["request"]["text"] for line in lines(folder)] == texts
    assert all(line["v"] == 1 for line in lines(folder))


@settings(max_examples=30, deadline=None)
@given(cut=st.integers(1, 60))
def test_a_torn_line_does_not_swallow_the_next(cut: int, tmp_path_factory: Any) -> None:
    """After a crash in the middle of a write the records before and after it are whole."""
    folder = tmp_path_factory.mktemp("journal")
    first = Journal(folder)
    first.append({"at": NOON, "id": "before"})
    first.append({"at": NOON, "id": "torn"})
    first.close()
    (path,) = folder.glob("*.jsonl")
    whole = path.read_bytes()
    path.write_bytes(whole[: -min(cut, len(whole.splitlines()[1]))])
    second = Journal(folder)
    second.append({"at": NOON, "id": "after"})
    second.close()
    found = [line["id"] for line in lines(folder) if isinstance(line, dict)]
    assert found[0] == "before"
    assert found[-1] == "after"


def test_a_call_lies_in_the_file_of_its_day(tmp_path: Path) -> None:
    """The UTC day of a call names its file, in whatever order calls come."""
    journal = Journal(tmp_path)
    for day in (0, 9, 3, 1, 7, 5, 0):
        journal.append({"at": NOON + 86_400 * day, "id": str(day)})
    journal.close()
    assert len(list(tmp_path.glob("*.jsonl"))) == 6
    first = (tmp_path / "2026-03-02.jsonl").read_bytes().splitlines()
    assert [msgspec.json.decode(line)["id"] for line in first] == ["0", "0"]


def test_only_the_owner_may_read_the_journal(tmp_path: Path) -> None:
    """The calls' texts are personal, so the files are closed to others."""
    journal = Journal(tmp_path)
    journal.append({"at": NOON})
    (path,) = tmp_path.glob("*.jsonl")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_it_goes_on_after_a_sync_and_after_a_close(tmp_path: Path) -> None:
    """Syncing and closing lose nothing, and a closed journal opens again."""
    journal = Journal(tmp_path)
    journal.append({"at": NOON, "id": "a"})
    journal.sync()
    journal.append({"at": NOON, "id": "b"})
    journal.close()
    journal.append({"at": NOON, "id": "c"})
    journal.close()
    assert [line["id"] for line in lines(tmp_path)] == ["a", "b", "c"]


def ids(folder: Path) -> list[str]:
    return [line["id"] for line in lines(folder)]


def test_lines_that_a_killed_gateway_had_put_aside_are_written(tmp_path: Path) -> None:
    """Once, without what was to come into them; a living gateway's are left to it."""
    killed, alive = Journal(tmp_path), Journal(tmp_path)
    for name in ("written", "audited"):
        killed.put_aside({"at": NOON, "id": name})
    killed.append({"at": NOON, "id": "written"})  # and died before it removed the other
    assert killed._alive
    killed._alive.release()
    alive.put_aside({"at": NOON, "id": "under way"})
    (tmp_path / ".aside-torn").mkdir()
    (tmp_path / ".aside-torn" / "torn.json").write_text('{"at": 1')
    assert Journal(tmp_path).recover() == 1
    assert ids(tmp_path) == ["written", "audited"]
    assert Journal(tmp_path).recover() == 0
    alive.keep({"at": NOON, "id": "under way", "audit": {}})
    alive.close()
    assert ids(tmp_path) == ["written", "audited", "under way"]
    assert not list(tmp_path.glob(".aside*"))


def test_each_of_several_gateways_has_files_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a shared volume two processes that append to one file may write over each other."""
    for writer in ("gateway-a", "gateway-b"):
        monkeypatch.setenv("JOURNAL_WRITER", writer)
        Journal(tmp_path).append({"at": NOON, "by": writer})
    assert [file.name for file in sorted(tmp_path.iterdir())] == [
        "2026-03-02.gateway-a.jsonl", "2026-03-02.gateway-b.jsonl",
    ]  # fmt: skip
    assert [line["by"] for line in lines(tmp_path)] == ["gateway-a", "gateway-b"]


@contextmanager
def full_at(size: int) -> Iterator[None]:
    """No file grows beyond a size: a write stops in the middle, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_line_that_a_full_disk_tore_does_not_swallow_the_next(tmp_path: Path) -> None:
    """Whoever writes on when there is room again; no file stays open for each line that failed."""
    journal = Journal(tmp_path)
    journal.append({"at": NOON, "id": "before"})
    (path,) = tmp_path.glob("*.jsonl")
    with full_at(path.stat().st_size + 20):
        for _ in range(3):
            with pytest.raises(OSError, match="File too large"):
                journal.append({"at": NOON, "id": "lost"})
    journal.append({"at": NOON, "id": "after"})
    journal.close()
    found = [line["id"] for line in lines(tmp_path) if isinstance(line, dict)]
    assert found == ["before", "after"]
    assert not [one for one in psutil.Process().open_files() if one.path == str(path)]


def test_an_audited_line_that_finds_no_room_is_written_later(tmp_path: Path) -> None:
    """It was put aside before its answer was given; no other one is meanwhile."""
    journal = Journal(tmp_path)
    journal.put_aside({"at": NOON, "id": "served"})
    with full_at(10):
        assert journal.keep({"at": NOON, "id": "served", "audit": True})
        assert not journal.keep({"at": NOON, "id": "lost"})
        with pytest.raises(NotRecorded):
            journal.record({"at": NOON, "id": "refused"})
    with pytest.raises(NotRecorded):
        journal.put_aside({"at": NOON, "id": "refused, too"})
    assert "(File too large)" in str(journal)
    journal.keep({"at": NOON, "id": "after"})
    journal.put_aside({"at": NOON, "id": "under way"})
    found = [line for line in lines(tmp_path) if isinstance(line, dict)]
    assert [(line["id"], line.get("audit")) for line in found] == [
        ("after", None),
        ("served", True),
    ]
    assert [path.stem for path in tmp_path.glob(".aside-*/*.json")] == ["under way"]


def test_a_gateway_starts_on_a_full_disk(tmp_path: Path) -> None:
    """What a killed one had put aside stays there until there is room."""
    line = {"at": NOON, "id": "a" * 32, "text": "x" * 5_000}
    killed = Journal(tmp_path)
    killed.put_aside(line)
    assert killed._alive is not None
    killed._alive.release()
    with full_at(4_096):
        assert Journal(tmp_path).recover() == 0
    assert Journal(tmp_path).recover() == 1
    assert [one["id"] for one in lines(tmp_path) if isinstance(one, dict)] == ["a" * 32]


def test_gateways_that_share_a_file_tear_no_line(tmp_path: Path) -> None:
    """Two gateways on one home of one machine: each line is one write at the file's end."""

    def write(name: str) -> None:
        journal = Journal(tmp_path)
        for number in range(200):
            journal.append({"at": NOON, "id": f"{name}{number}", "text": "x" * 100 * number})
        journal.close()

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(write, "abc"))
    assert len({line["id"] for line in lines(tmp_path)}) == 600


@pytest.mark.parametrize("moved", [False, True])
def test_a_journal_that_was_removed_is_made_again(
    tmp_path: Path, moved: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Lines used to go on into a file that nobody finds: kept aside or not, the log says so."""
    folder = tmp_path / "journal"
    journal = Journal(folder)
    journal.put_aside({"at": NOON, "id": "gone"})
    journal.append({"at": NOON, "id": "gone"})
    if moved:
        folder.rename(tmp_path / "moved")
    else:
        shutil.rmtree(folder)
    journal.append({"at": NOON, "id": "a"})
    journal.put_aside({"at": NOON, "id": "b"})
    assert list(folder.glob(".aside-*/b.json"))
    journal.keep({"at": NOON, "id": "b"})
    journal.sync()
    journal.close()
    assert ids(folder) == ["a", "b"]
    assert [record.getMessage() for record in caplog.records] == [
        f"{folder}/2026-03-02.jsonl was removed or moved while it was written: it is made again"
    ]
