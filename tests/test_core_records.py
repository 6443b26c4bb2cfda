"""The record that travels, its Parquet file, and the hop's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core import stage
from tasks.core.records import (
    CLEAN,
    Call,
    CleanCall,
    Counts,
    digest,
    read,
    read_clean,
    text_of,
    write,
)

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
message = st.fixed_dictionaries({"role": st.sampled_from(["system", "user"]), "content": text})
calls = st.builds(
    Call,
    id=text,
    at=st.floats(0, 4e9),
    source=text,
    request=st.fixed_dictionaries({"messages": st.lists(message, min_size=1, max_size=3)}),
    reply=st.fixed_dictionaries({"role": st.just("assistant"), "content": st.none() | text}),
    prompt_tokens=st.none() | st.integers(0, 2**40),
    student=st.none() | st.fixed_dictionaries({"answer": text}),
    weight=st.floats(1, 100),
)


@given(st.lists(calls, max_size=5))
def test_what_is_written_is_read_back(tmp_path_factory: Any, records: list[Call]) -> None:
    """Calls survive Parquet unchanged, none at all included."""
    path = tmp_path_factory.mktemp("records") / "calls.parquet"
    assert write(path, records) == len(records)
    assert list(read(path)) == records


def test_raw_calls_cannot_pass_for_clean_ones(tmp_path: Path) -> None:
    """Only a file with the stamp of de-identification gives CleanCalls."""
    call = Call(id="a", at=0.0, source="x:1", request={"messages": []}, reply={})
    write(tmp_path / "raw.parquet", [call])
    write(tmp_path / "clean.parquet", [call], CLEAN)
    with pytest.raises(ValueError, match="not clean calls"):
        list(read_clean(tmp_path / "raw.parquet"))
    assert isinstance(next(read_clean(tmp_path / "clean.parquet")), CleanCall)


def test_a_vanished_record_is_an_error() -> None:
    """What comes in is kept or dropped, or the counts cannot be made."""
    assert Counts("ingest", 3, 1, {"not JSON": 2}).kept == 1
    with pytest.raises(ValueError, match="3 in"):
        Counts("ingest", 3, 1, {"not JSON": 1})


def test_a_digest_separates_its_parts() -> None:
    """("ab", "c") and ("a", "bc") are different."""
    assert digest("ab", "c") != digest("a", "bc")
    assert digest("ab") == digest(b"ab")
    assert digest("lone \ud800 surrogate")


@pytest.mark.parametrize(
    ("content", "expected"),
    [(None, ""), ("a", "a"), ([{"type": "text", "text": "a"}, {"type": "image_url"}], "a\n")],
)
def test_content_has_a_text(content: Any, expected: str) -> None:
    """A string, nothing, or a list of parts."""
    assert text_of(content) == expected


def test_a_complete_hop_is_not_run_again(tmp_path: Path) -> None:
    """A hop that failed leaves nothing; one that finished is skipped."""
    runs = []

    def work(out: Path) -> Counts:
        runs.append(out)
        (out / "data").write_text("x")
        if len(runs) == 1:
            raise OSError("disk full")
        return Counts("ingest", 1, 1)

    with pytest.raises(OSError, match="disk full"):
        stage.hop("ingest", tmp_path / "ingest", work)
    assert not (tmp_path / "ingest").exists()
    assert stage.hop("ingest", tmp_path / "ingest", work) == Counts("ingest", 1, 1)
    assert stage.hop("ingest", tmp_path / "ingest", work) == Counts("ingest", 1, 1)
    assert len(runs) == 2
