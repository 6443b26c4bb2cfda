"""What must stay together stays together, from night to night and whatever curation drops."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from pathlib import Path

from tasks.core.rows import rows
from tasks.dataset.dataset import near_duplicates
from tasks.dataset.splits import SPLITS
from tests.test_dataset import night
from tests.traffic import DAY, WORDS, tickets


def split_of(out: Path) -> dict[str, str]:
    return {row.id: split for split in SPLITS for path in out.glob(f"*/{split}.parquet")
            for row in rows(path)}  # fmt: skip


def test_most_near_duplicates_are_found() -> None:
    """A sketch that proposes only what it holds for alike would miss half of these."""
    rng, prompts = random.Random(0), list[str]()
    for number in range(200):
        words = [f"{rng.choice(WORDS)}{rng.randint(0, 99)}" for _ in range(60)]
        prompts += [" ".join(words), " ".join([*words[:-1], f"other{number}"])]
    found = {(a, b) for a, b in near_duplicates(prompts, 0.9, seed=0)}
    assert found <= {(n, n + 1) for n in range(0, 400, 2)}
    assert len(found) > 180


def test_a_conversation_that_outlives_the_window_is_not_torn_apart(tmp_path: Path) -> None:
    """Its first turn is a carried test row, so its later turns are none of the training's."""
    calls = [dataclasses.replace(c, conversation=f"k{i}") for i, c in enumerate(tickets(200))]
    first, _ = night(tmp_path / "one", calls)
    test = {row.id for row in rows(next(first.glob("*/test.parquet")))}
    later = [
        dataclasses.replace(c, conversation=f"k{i}", id=f"later-{i}", at=c.at + DAY / 1e6)
        for i, c in enumerate(tickets(200, seed=5))
    ]
    second = split_of(night(tmp_path / "two", later, first)[0])
    held = {f"later-{i}" for i, call in enumerate(calls) if call.id in test}
    assert {second.get(name, "test") for name in held} == {"test"}


def test_what_curation_drops_keeps_its_place(tmp_path: Path) -> None:
    """Conflicting rows left the training set one night and drifted into calibration the next."""
    calls = list(tickets(240))
    odd = [
        dataclasses.replace(c, id=f"odd-{i}", reply={"role": "assistant", "content": "other"})
        for i, c in enumerate(calls[:60])
    ]
    shares, out = list[Counter[str]](), None
    for name in ("one", "two", "three"):
        out, _ = night(tmp_path / name, [*calls, *odd], out)
        shares.append(Counter(s for row, s in split_of(out).items() if row.startswith("odd-")))
    assert shares[0] == shares[1] == shares[2]
