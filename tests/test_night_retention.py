"""Raw calls leave the home after some days; what a person or a proof still needs stays."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from flows.night import retention
from flows.night.folders import Night
from tasks.core import params, stage
from tasks.core.records import Counts
from tasks.core.stage import Refused
from tasks.report.days import days
from tasks.report.nights import nights

TEXT = "Mia Li, 12 Mill Ave"
FIRST = date(2026, 3, 1)
RAW_FILES = (
    *("ingest/calls/0.parquet", "ingest/quarantine.parquet", "ingest/seen.parquet"),
    *("validate/calls.parquet", "validate/data_docs/index.html"),
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Forty days of a home: journal, nights, answers of a shadow."""
    for back in range(40):
        day = FIRST + timedelta(days=back)
        at = datetime.combine(day, datetime.min.time(), UTC).timestamp()
        line = {"id": f"c{back}", "at": at, "answered_by": "teacher", "request": {"text": TEXT},
                "reply": {}, "reason": "no task", "latency_s": 1.0, "student": None}  # fmt: skip
        write(tmp_path / "journal" / f"{day}.jsonl", json.dumps(line))
        night = tmp_path / "nights" / f"{day}"
        for file in RAW_FILES:
            write(night / file, TEXT)
        write(night / "deidentify/calls.parquet", "clean")
        for hop in ("ingest", "validate", "deidentify"):
            stage.finish(night / hop, Counts(hop, 1, 1, {}))
        said = {"call": f"c{back}", "at": at, "answer": TEXT, "agrees": True, "score": -0.1}
        write(tmp_path / "shadow" / "a-1-v1" / f"{day}.jsonl", json.dumps(said))
    return tmp_path


def write(path: Path, text: str) -> None:
    """Write a file and its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")


def night(home: Path, keep: int) -> Night:
    """The last of the forty nights, with so many days of raw calls to keep."""
    settings = msgspec.structs.replace(params.load(), retention=params.Retention(days=keep))
    return Night(home, str(FIRST + timedelta(days=39)), settings)


def test_raw_calls_are_nowhere_after_the_days_they_may_stay(home: Path) -> None:
    """Every file is searched: the text stands in those of the last days alone, but for one name."""
    gone = retention.forget(night(home, 20))
    assert gone
    assert gone.before == "2026-03-20"
    holds = [p for p in home.rglob("*") if p.is_file() and TEXT.encode() in p.read_bytes()]
    old = [p for p in holds if any(f"2026-03-{n:02}" in str(p) for n in range(1, 20))]
    assert {p.name for p in old} == {"seen.parquet"}  # fingerprints, in a real one
    assert len([p for p in holds if p.suffix == ".jsonl" and p not in old]) == 2 * 21


def test_counts_curve_and_evidence_stay(home: Path) -> None:
    """The report has all forty days and nights, and says what went; a shadow's proof goes on."""
    before = days(home / "journal", params.Economics())
    gone = retention.forget(night(home, 20))
    assert gone
    assert retention.forget(night(home, 20)) != gone  # nothing is left to remove
    assert days(home / "journal", params.Economics()) == before
    assert all(
        [c.hop for c in n.hops] == ["ingest", "validate", "deidentify"] for n in nights(home)
    )
    told = msgspec.json.decode((home / "shadow/a-1-v1/2026-03-01.jsonl").read_bytes())
    assert (told["answer"], told["agrees"], told["score"]) == ("", True, -0.1)


def test_the_report_says_what_was_removed(home: Path) -> None:
    """Its newest night has the sentence, with the day and the size."""
    retention.forget(night(home, 20))
    assert nights(home)[-1].forgotten.startswith("Raw calls from before 2026-03-20 were removed: 9")


def test_a_night_that_never_cleaned_its_calls_leaves_nothing_behind(home: Path) -> None:
    """It would begin anew: a manifest without its calls would stop it."""
    (home / "nights/2026-03-02/deidentify/manifest.json").unlink()
    retention.forget(night(home, 20))
    assert not [p for p in (home / "nights/2026-03-02/ingest").rglob("*") if p.is_file()]


def test_zero_keeps_raw_calls_for_ever(home: Path) -> None:
    """Nothing is removed."""
    files = sorted(home.rglob("*"))
    assert retention.forget(night(home, 0)) is None
    assert sorted(home.rglob("*")) == files


def test_calls_that_students_learn_from_are_kept(tmp_path: Path) -> None:
    """A retention within the window of nights is refused, with both figures."""
    text = (Path(__file__).parents[1] / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text.replace("  days: 30 ", "  days: 7 "))
    with pytest.raises(Refused, match=r"retention.days is 7; .* cluster.window_nights, 14"):
        params.load(tmp_path / "params.yaml")
