"""What de-identification replaced is looked for in all that leaves; a night reads on."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
import students
import tiny

from flows.night import champions, folders, hops, leak_guard, savings
from flows.night.champions import Champion, origin
from flows.night.folders import Night
from flows.night.ladder import aside, enough
from flows.night.savings import trainable
from registry.choice import JudgedStudent
from registry.store import Version
from tasks.core import stage
from tasks.core.params import load
from tasks.core.records import Counts
from tasks.core.stage import Refused
from tasks.core.task import save
from tasks.deidentify.deidentify import load_key
from tasks.deidentify.leak_check import Originals
from tasks.students.adapters import stale
from tasks.students.minilm import DIGEST, NAME

MAIL = "mia.li@gmail.com"


@pytest.fixture
def night(tmp_path: Path) -> Night:
    """A night that replaced an e-mail address, and two tasks; one dataset gives it away."""
    night = Night(tmp_path, "2026-03-02", load())
    originals = Originals(load_key(tmp_path))
    originals.add("EMAIL_ADDRESS", MAIL)
    night.out("deidentify").mkdir(parents=True)
    originals.save(night.out("deidentify"))
    for name, text in (("a-1", "write to ann@shop.example"), ("b-2", f"write to {MAIL}")):
        tiny.dataset(night.out("dataset", name), tiny.colour_contract(),
                     {"train": [(text, "red")] * 2}, name=name)  # fmt: skip
    night.out("cluster").mkdir()
    save(night.out("cluster", "tasks.json"), [students.task("a-1"), students.task("b-2")])
    ready(night, {"a-1": 80.0, "b-2": 80.0})
    return night


def ready(night: Night, scores: dict[str, float]) -> None:
    """Write how ready the tasks' data is."""
    tasks = {name: {"readiness": {"score": score}} for name, score in scores.items()}
    stage.finish(night.out("dataset"), Counts("dataset", 4, 4, {}), {"tasks": tasks})


def test_a_dataset_that_gives_away_an_original_trains_nothing(night: Night) -> None:
    """It is named with a count, never with the value; the other task goes on."""
    assert leak_guard.datasets(night) == {"b-2": 2}
    assert [task.id for task in leak_guard.clean(night)] == ["a-1"]
    assert MAIL not in night.out("leaks.json").read_text()


def test_what_a_task_lacks_is_said(night: Night) -> None:
    """How many rows it has of those it needs, or why nothing may learn from it."""
    tasks = {
        "a-1": {"readiness": {"score": 80.0}},
        "c-3": {"refused": "collecting", "rows": 17},
        "d-4": {"refused": "not ready"},
    }
    stage.finish(night.out("dataset"), Counts("dataset", 4, 4, {}), {"tasks": tasks})
    assert leak_guard.left_out(night) == [
        f"c-3: collecting, 17 of {night.params.dataset.min_rows} rows",
        "d-4: not ready",
        "b-2: 2 replaced values stand in its dataset",
    ]


def test_what_a_minute_may_take_over_is_trained_first(tmp_path: Path) -> None:
    """Calls that a student may answer count, by the minutes that it trains."""
    night = Night(tmp_path, "2026-03-02", load())
    sizes = {"many": (900, 90_000), "long": (300, 900_000), "poor": (300, 950_000)}
    night.out("deidentify").mkdir(parents=True)
    Originals(load_key(tmp_path)).save(night.out("deidentify"))
    for name in sizes:
        tiny.dataset(night.out("dataset", name), tiny.colour_contract(),
                     {"train": [("a", "red")] * 2}, name=name)  # fmt: skip
    night.out("cluster").mkdir()
    found = [students.task(name, size=n, tokens=used) for name, (n, used) in sizes.items()]
    save(night.out("cluster", "tasks.json"), found)
    ready(night, {"many": 90.0, "long": 80.0, "poor": 41.0})
    assert trainable(night) == ["many", "long", "poor"]
    assert savings.calls(night, found[1], 0.6) == pytest.approx(300 * 0.2)
    assert savings.calls(night, found[1], 0.9) == 0
    (slow := night.home / "nights/2026-03-01/train/many/encoder").mkdir(parents=True)
    took = students.training("d", seconds=600.0)
    stage.write_atomic(slow / "training.json", msgspec.json.encode(took))
    assert savings.minutes(night, found[0]) == 10
    assert trainable(night) == ["long", "poor", "many"]
    cost = (900_000 * 2.5 + 300 * 0.75 * 7.5) / 1e6
    seconds = 3600 * cost * 0.5 * 14 / 0.1  # that cost what half of the calls do
    assert savings.pays(night, found[1], 0.5, 0.9 * seconds)
    assert not savings.pays(night, found[1], 0.5, 1.1 * seconds)
    (earlier := night.home / "nights" / "2026-03-01" / "deidentify").mkdir(parents=True)
    stage.finish(earlier, Counts("deidentify", 0, 0))
    assert savings.calls(night, found[1], 0.0) == pytest.approx(300 * 0.8 / 2)  # two nights' calls


def test_a_log_that_gives_away_an_original_is_named(night: Night) -> None:
    """The night says which file it is, without the value."""
    leak_guard.logs(night)
    (night.home / "logs").mkdir()
    (night.home / "logs" / "gateway.log").write_text(f"asked by {MAIL}\n")
    with pytest.raises(Refused, match=r"logs/gateway.log \(1\)") as refused:
        leak_guard.logs(night)
    assert MAIL not in str(refused.value)


def test_a_champion_is_gone_on_from_when_tonight_is_new_to_it(tmp_path: Path) -> None:
    """Not by the encoder, not without its night's rows, not when it learned what is held out."""
    folder, _, _ = students.bundle(tmp_path / "made", subject=students.task("a-1"))
    version = Version(
        name="a-1", number=1, adapter_digest="", dataset="", run="", passed=True, at=0
    )
    serving = Champion(version, folder)
    night = Night(tmp_path, "2026-03-15", load())
    then = Night(tmp_path, "2026-03-14", load()).out("dataset", "a-1")
    tonight = tiny.colours(night.out("dataset", "a-1"))
    assert origin(night, "a-1", "causal", serving) is None
    tiny.colours(then)
    assert origin(night, "a-1", "causal", serving) == folder / "adapter"
    assert origin(night, "a-1", "encoder", serving) is None
    assert origin(night, "a-1", "causal", None) is None
    shutil.copy(tonight / "calibration.parquet", then / "train.parquet")
    assert origin(night, "a-1", "causal", serving) is None


def test_a_champion_of_a_base_that_has_changed_serves_nothing(tmp_path: Path) -> None:
    """The pool refuses it: its task is trained anew, and nothing has to beat it."""
    base, (folder, _, _) = tiny.base(tmp_path / "base"), students.bundle(tmp_path / "made")
    students.lora(base, tmp_path / "adapter")
    assert not stale(tmp_path / "adapter", str(base))
    text = (base / "config.json").read_text()
    (base / "config.json").write_text(f"{text}\n")
    assert stale(tmp_path / "adapter", str(base))
    for revision in (DIGEST, "another"):
        config = {"base_model_name_or_path": NAME, "revision": revision}
        (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps(config))
        assert stale(tmp_path / "adapter", str(base)) == (revision != DIGEST)
    version = Version(
        name="a-1", number=1, adapter_digest="", dataset="", run="", passed=True, at=0
    )
    night = Night(tmp_path, "2026-03-15", load())
    fresh, old = (Champion(version, folder, stale=known) for known in (False, True))
    assert (fresh.rival, old.rival) == (folder, None)
    assert fresh.certificate
    assert not old.certificate
    assert not champions.enough(night, old)


class Fetched:
    """A registry whose only champion has its bundle in the home already."""

    def __init__(self, version: Version) -> None:
        self.found = version

    def champion(self, _: str) -> int:
        """The number of the champion."""
        return self.found.number

    def version(self, *_: object) -> Version:
        """The champion."""
        return self.found

    def fetch(self, _: Version, to: Path) -> Path:
        """Leave it as it is."""
        return to


def test_a_damaged_champion_costs_its_own_task_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its task is learned anew, and what wins takes its place; the night goes on."""
    night = Night(tmp_path, "2026-03-15", load())
    version = Version(name="a", number=3, adapter_digest="", dataset="", run="", passed=True, at=0)
    bundle = students.bundle(tmp_path / "made")[0]
    (tmp_path / "adapters").mkdir()
    bundle.rename(tmp_path / "adapters" / version.bundle)
    monkeypatch.setattr(folders, "registry_of", lambda _: Fetched(version))
    found = champions.champion(night, "a")
    assert found
    assert found.rival
    for content in ('"too few rows"', "null", "{}", "{", '{"refused": "too few"}', None):
        file = found.bundle / "certificate.json"
        file.unlink() if content is None else file.write_text(content)
        damaged = champions.champion(night, "a")
        assert damaged
        assert (damaged.version.number, damaged.stale, damaged.rival) == (3, True, None)
        assert champions.to_beat(night, damaged) == 0.0
        assert origin(night, "a", "causal", damaged) is None


def _line(name: str, day: str) -> bytes:
    at = datetime.fromisoformat(f"{day}T12:00:00").replace(tzinfo=UTC).timestamp()
    reply = {"role": "assistant", "content": f"hello {name}"}
    call = {
        "timestamp": at,
        "request": {"model": "m", "messages": [{"role": "user", "content": f"hi {name}"}]},
        "response": {"id": name, "choices": [{"message": reply, "finish_reason": "stop"}]},
    }
    return json.dumps(call).encode() + b"\n"


def test_a_night_that_is_begun_anew_climbs_as_far(tmp_path: Path) -> None:
    """A costlier student that was trained before the night died is judged, however late it is."""
    night = Night(tmp_path, "2026-03-02", load())
    last = JudgedStudent("encoder", students.scorecard(task="a-1"), "no proof", students.PASSED)
    made = night.out("train", "a-1", "causal")
    made.mkdir(parents=True)
    assert not enough(night, last)
    last = replace(last, rung="causal")
    for rung in ("encoder", "causal"):
        spent = students.training("d", seconds=3600.0)
        stage.write_atomic(
            night.out("train", "a-1", rung, "training.json"), msgspec.json.encode(spent)
        )
    tiny.dataset(night.out("dataset", "a-1"), tiny.colour_contract(), {"train": []}, name="a-1")
    assert enough(night, last)


def test_a_costlier_student_that_breaks_costs_a_cheaper_one_nothing() -> None:
    """What is refused is kept with its reason; a crash ends the climb only where nothing stands."""
    kept, refused = (
        JudgedStudent("linear", students.scorecard(), "none", students.PASSED),
        list[Refused](),
    )
    with aside(refused, []):
        raise Refused("no rows")
    with aside(refused, [kept]):
        raise AttributeError("vocab_size")
    assert [str(error) for error in refused] == ["no rows"]
    with pytest.raises(AttributeError), aside(refused, []):
        raise AttributeError("vocab_size")


def test_a_night_reads_on_from_the_last(tmp_path: Path) -> None:
    """The logs of the params are read like the journal: each call once, a late one too."""
    log = tmp_path / "calls.jsonl"
    params = load()
    ingest = msgspec.structs.replace(params.ingest, source=[str(log)])
    params = msgspec.structs.replace(params, ingest=ingest)
    log.write_bytes(_line("a", "2026-03-01") + _line("b", "2026-03-02"))
    first = hops.ingest(Night(tmp_path, "2026-03-01", params))
    assert first == Counts("ingest", 2, 1, {"outside window": 1})
    stage.finish(tmp_path / "nights/2026-03-01/deidentify", Counts("deidentify", 1, 1))
    with log.open("ab") as file:
        file.write(_line("late", "2026-03-01") + _line("old", "2026-01-01"))
    second = hops.ingest(Night(tmp_path, "2026-03-02", params))
    assert second == Counts("ingest", 4, 2, {"duplicate": 1, "outside window": 1})
    third = hops.ingest(Night(tmp_path, "2026-03-03", params))  # the second one died
    assert third == Counts("ingest", 4, 2, {"duplicate": 1, "outside window": 1})
    with pytest.raises(stage.Refused, match="no calls"):
        hops.ingest(Night(tmp_path, "2026-03-02", load()))


def test_given_logs_do_not_move_the_mark(tmp_path: Path) -> None:
    """A first night on old logs leaves the days that were logged meanwhile to the next."""
    (log := tmp_path / "calls.jsonl").write_bytes(
        b"".join(_line(f"c{day}", f"2026-03-0{day}") for day in range(1, 7))
    )
    (old := tmp_path / "old.jsonl").write_bytes(_line("old", "2026-02-01"))
    ingest = msgspec.structs.replace(load().ingest, source=[str(log)])
    params = msgspec.structs.replace(load(), ingest=ingest)
    assert hops.ingest(Night(tmp_path, "2026-03-05", params), [str(old)]).kept == 1
    stage.finish(tmp_path / "nights/2026-03-05/deidentify", Counts("deidentify", 1, 1))
    assert hops.ingest(Night(tmp_path, "2026-03-06", params)).kept == 6


def test_a_night_learns_from_the_logs_that_are_named(tmp_path: Path) -> None:
    """Others than those of a night that was stopped are read; one that learned is not repeated."""
    a, b = (str(tmp_path / f"{name}.jsonl") for name in "ab")
    Path(a).write_bytes(_line("a", "2026-03-01"))
    Path(b).write_bytes(_line("b", "2026-03-01"))
    night = Night(tmp_path, "2026-03-01", load())
    assert hops.ingest(night, [a]).kept == 1
    assert hops.ingest(night, [a, b]).kept == 2
    stage.finish(night.out("deidentify"), Counts("deidentify", 2, 2))
    assert hops.ingest(night, [b, a]).kept == 2
    with pytest.raises(stage.Refused, match="2026-03-01 has learned from other logs"):
        hops.ingest(night, [b])


def test_nights_of_a_home_come_one_at_a_time(tmp_path: Path) -> None:
    night = Night(tmp_path / "home", "2026-03-01", load())
    with folders.alone(night), pytest.raises(stage.Refused, match="another night"):  # noqa: SIM117
        with folders.alone(night):
            pass
    with folders.alone(night):
        pass
