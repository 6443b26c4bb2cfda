"""The ledger: who moved champion and when; and the DVC snapshots of the nights' data."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from registry import ledger
from tasks.core.stage import Refused

TASK = "route-intent-3f2a9c"


@dataclass
class Aliases:
    """The aliases of a registry, in a dictionary."""

    champions: dict[str, int] = field(default_factory=dict)

    def champion(self, name: str) -> int | None:
        """The version that serves now."""
        return self.champions.get(name)

    def set_champion(self, name: str, number: int | None) -> None:
        """Move or take away the alias."""
        if number is None:
            self.champions.pop(name, None)
        else:
            self.champions[name] = number


def promote(
    home: Path, store: Aliases, version: int | None, expected: int | None, who: str = ledger.POLICY
) -> ledger.Entry:
    return ledger.promote(
        home, store, TASK, version, expected=expected, reason="it won", now=1.0, who=who
    )


def test_a_promotion_moves_the_alias_and_is_written_down(tmp_path: Path) -> None:
    """Each promotion is one line: when, which task, from, to, who and why."""
    store = Aliases()
    promote(tmp_path, store, 1, None)
    entry = promote(tmp_path, store, 2, 1)
    assert store.champions == {TASK: 2}
    assert ledger.entries(tmp_path)[1] == entry
    assert (entry.before, entry.after, entry.who, entry.reason) == (1, 2, "policy", "it won")


def test_promoting_what_serves_already_adds_no_line(tmp_path: Path) -> None:
    """A night that is run twice is promoted once."""
    store = Aliases()
    promote(tmp_path, store, 1, None)
    assert promote(tmp_path, store, 1, 1).moved
    assert len(ledger.entries(tmp_path)) == 1


def test_a_change_made_meanwhile_stands(tmp_path: Path) -> None:
    """When somebody moved champion after the judge had looked, the promotion does not happen."""
    store = Aliases({TASK: 7})
    entry = promote(tmp_path, store, 3, expected=2)
    assert not entry.moved
    assert entry.reason == "somebody moved champion from 2 to 7 meanwhile"
    assert store.champions == {TASK: 7}


def test_what_a_person_does_in_the_ui_is_written_down(tmp_path: Path) -> None:
    """`observe` finds aliases that were moved, given or taken away since the last line, once."""
    store = Aliases()
    promote(tmp_path, store, 1, None)
    promote(tmp_path, store, 2, 1)
    seen = ledger.observe(tmp_path, lambda: {TASK: 1, "other": 4}, now=2.0)
    assert [(e.task, e.before, e.after) for e in seen] == [("other", None, 4), (TASK, 2, 1)]
    assert all(e.who == ledger.PERSON for e in seen)
    assert ledger.observe(tmp_path, lambda: {TASK: 1, "other": 4}, now=3.0) == []
    assert [e.after for e in ledger.observe(tmp_path, lambda: {TASK: 1}, now=4.0)] == [None]


def test_the_policy_does_not_bring_back_what_a_person_took_out(tmp_path: Path) -> None:
    """After a roll-back by a person the same version is not promoted again, a newer one is."""
    store = Aliases()
    promote(tmp_path, store, 1, None)
    promote(tmp_path, store, 2, 1)
    store.set_champion(TASK, 1)
    ledger.observe(tmp_path, lambda: store.champions, now=2.0)
    refused = promote(tmp_path, store, 2, 1)
    assert not refused.moved
    assert refused.reason == "a person took version 2 out; the policy leaves it out"
    assert promote(tmp_path, store, 3, 1).moved


def test_a_move_that_nobody_saw_yet_counts(tmp_path: Path) -> None:
    """A person rolled back and no round of promoting came between: the policy respects it."""
    store = Aliases()
    promote(tmp_path, store, 1, None)
    promote(tmp_path, store, 2, 1)
    store.set_champion(TASK, 1)
    assert not promote(tmp_path, store, 2, 1).moved
    assert [e.who for e in ledger.entries(tmp_path)][-2:] == [ledger.PERSON, ledger.POLICY]


def test_a_person_may_bring_a_version_back(tmp_path: Path) -> None:
    """A person's later choice of a version outweighs the earlier one against it."""
    store = Aliases({TASK: 2})
    promote(tmp_path, store, 1, 2, who="ada")
    promote(tmp_path, store, 2, 1, who="ada")
    promote(tmp_path, store, 3, 2)
    assert promote(tmp_path, store, 2, 3).moved


@pytest.mark.parametrize("moved", [True, False])
def test_who_is_killed_while_moving_is_no_person(tmp_path: Path, moved: bool) -> None:
    """A move that was made is in the ledger under its own name; one that was not is nowhere."""

    class Killed(Aliases):
        def set_champion(self, name: str, number: int | None) -> None:
            if moved:
                super().set_champion(name, number)
            raise KeyboardInterrupt

    store = Killed({TASK: 1})
    ledger.observe(tmp_path, lambda: store.champions, now=0.5)
    with pytest.raises(KeyboardInterrupt):
        promote(tmp_path, store, None, 1, who=ledger.WATCH)
    seen = ledger.observe(tmp_path, lambda: store.champions, now=2.0)
    assert seen == []
    assert [e.who for e in ledger.entries(tmp_path)[1:]] == ["watch"] * moved
    assert ledger.observe(tmp_path, lambda: store.champions, now=3.0) == []


def test_taking_the_alias_away_gives_the_task_to_the_teacher(tmp_path: Path) -> None:
    """Version None means no champion."""
    store = Aliases({TASK: 2})
    assert promote(tmp_path, store, None, 2).moved
    assert store.champions == {}


def test_a_torn_last_line_costs_only_itself(tmp_path: Path) -> None:
    """A crash in the middle of writing leaves the earlier lines readable and later ones whole."""
    store = Aliases()
    promote(tmp_path, store, 1, None)
    path = tmp_path / ledger.LEDGER
    path.write_bytes(path.read_bytes() + b'{"at": 2.0, "ta')
    assert [e.after for e in ledger.entries(tmp_path)] == [1]
    promote(tmp_path, store, 2, 1)
    assert [e.after for e in ledger.entries(tmp_path)] == [1, 2]


def test_only_one_of_many_promotions_at_once_wins(tmp_path: Path) -> None:
    """Promotions that all expect the same champion do not overwrite each other."""
    store = Aliases()
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda v: promote(tmp_path, store, v, None), range(1, 9)))
    winners = [entry.after for entry in done if entry.moved]
    assert winners == [store.champions[TASK]]
    assert len(ledger.entries(tmp_path)) == 8


def night(home: Path, day: str, text: str) -> Path:
    folder = home / "nights" / day / "dataset"
    (folder / TASK).mkdir(parents=True)
    (folder / TASK / "train.parquet").write_text(text)
    (folder / "manifest.json").write_text("{}")
    return folder


def test_a_snapshot_names_the_data(tmp_path: Path) -> None:
    """Same data, same hash, on any night; other data, another hash; nothing is lost."""
    one, two = night(tmp_path, "2026-03-14", "rows"), night(tmp_path, "2026-03-15", "rows")
    three = night(tmp_path, "2026-03-16", "other rows")
    first = ledger.snapshot(tmp_path, one)
    assert first.endswith(".dir")
    assert ledger.snapshot(tmp_path, one) == first
    assert ledger.snapshot(tmp_path, two) == first
    assert ledger.snapshot(tmp_path, three) != first


def test_snapshots_may_be_taken_at_the_same_time(tmp_path: Path) -> None:
    """Sub-flows that snapshot at once wait for each other."""
    folders = [night(tmp_path, f"2026-03-{day}", f"rows {day}") for day in range(14, 20)]
    with ThreadPoolExecutor(6) as pool:
        hashes = list(pool.map(lambda folder: ledger.snapshot(tmp_path, folder), folders))
    assert len(set(hashes)) == len(folders)


def test_restoring_gives_the_same_bytes(tmp_path: Path) -> None:
    """The exact data of a hash comes back, even after the night's own folder has changed."""
    folder = night(tmp_path, "2026-03-14", "rows")
    kept = ledger.snapshot(tmp_path, folder)
    (folder / TASK / "train.parquet").write_text("changed")
    back = ledger.restore(tmp_path, kept, tmp_path / "back")
    assert (back / TASK / "train.parquet").read_text() == "rows"
    part = ledger.restore(tmp_path, kept, tmp_path / "part", TASK)
    assert [path.name for path in part.iterdir()] == ["train.parquet"]


@pytest.mark.parametrize("digest", ["0" * 32 + ".dir", "nonsense"])
def test_an_unknown_hash_is_refused(tmp_path: Path, digest: str) -> None:
    """Asking for data that is not kept is one clear sentence, and leaves nothing behind."""
    ledger.snapshot(tmp_path, night(tmp_path, "2026-03-14", "rows"))
    with pytest.raises(Refused, match=f"no dataset with hash {digest} is kept"):
        ledger.restore(tmp_path, digest, tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_a_home_without_nights_keeps_no_data(tmp_path: Path) -> None:
    """Restoring before any night has finished says so."""
    with pytest.raises(Refused, match="no night has finished there"):
        ledger.restore(tmp_path, "0" * 32 + ".dir", tmp_path / "back")


def shorter(path: Path) -> None:
    """What a full disk leaves."""
    path.write_bytes(path.read_bytes()[:2])


def flipped(path: Path) -> None:
    """What a bad disk leaves: as long as before, and older than DVC's notes."""
    path.write_bytes(path.read_bytes()[::-1])


def test_damaged_data_is_named_and_not_restored(tmp_path: Path) -> None:
    """Whatever is wrong with the cache, one sentence says so, and nothing is left behind."""
    folder = night(tmp_path, "2026-03-14", "rows")
    kept = ledger.snapshot(tmp_path, folder)
    cache = tmp_path / ".dvc" / "cache" / "files" / "md5"
    listed = cache / kept[:2] / kept[2:]
    (data,) = (p for p in cache.rglob("*") if p.is_file() and p.read_bytes() == b"rows")
    for path in (data, listed):
        whole = path.read_bytes()
        path.chmod(0o600)
        for damage in (shorter, flipped, Path.unlink):
            damage(path)
            with pytest.raises(Refused, match=f"{kept} is (damaged|kept)"):
                ledger.restore(tmp_path, kept, tmp_path / "back")
            assert not list(tmp_path.glob("*back*"))
            path.write_bytes(whole)
    assert ledger.restore(tmp_path, kept, tmp_path / "back").is_dir()


def test_a_torn_lock_of_dvc_stops_no_night(tmp_path: Path) -> None:
    """Nobody else uses the home's cache, so a list of readers that a crash tore is removed."""
    kept = ledger.snapshot(tmp_path, night(tmp_path, "2026-03-14", "rows"))
    (tmp_path / ".dvc" / "tmp" / "rwlock").write_text('{"/x": {"wri')
    assert ledger.snapshot(tmp_path, night(tmp_path, "2026-03-15", "rows")) == kept


def test_a_damaged_dvc_folder_is_a_sentence(tmp_path: Path) -> None:
    """It says what cannot be used and what to do."""
    ledger.snapshot(tmp_path, night(tmp_path, "2026-03-14", "rows"))
    (tmp_path / ".dvc" / "config").write_text("[core\nanalytics = ")
    with pytest.raises(Refused, match=r"cannot be kept in .*\.dvc .*move it away"):
        ledger.snapshot(tmp_path, night(tmp_path, "2026-03-15", "rows"))
