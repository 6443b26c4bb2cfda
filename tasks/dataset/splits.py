"""Splits of the rows into train, validation, calibration and test: by group, and once and for all.

A group (a conversation, equal or near-equal prompts) is never torn apart. Groups are shared out
night by night, stratified by their answers, and keep their place: so each split holds its share of
every night, the newest too. A cut by time alone would calibrate on evenings only, and a student's
certificate has to speak for the whole traffic.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, get_args

from tasks.core.params import Dataset
from tasks.core.records import digest

Split = Literal["train", "validation", "calibration", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
LEARNED: tuple[Split, ...] = ("train", "validation")  # those that shape a student
_GOLDEN = 0.6180339887498949


class Groups:
    """Rows that belong together: a union-find over their places."""

    def __init__(self, size: int) -> None:
        self._up = list(range(size))

    def find(self, place: int) -> int:
        """The place that stands for the group: its first one."""
        while self._up[place] != place:
            self._up[place] = self._up[self._up[place]]
            place = self._up[place]
        return place

    def join(self, a: int, b: int) -> None:
        """Make two groups one."""
        first, second = sorted((self.find(a), self.find(b)))
        self._up[second] = first

    def join_equal(self, keys: Iterable[str]) -> None:
        """Join the rows with equal keys; an empty key is nobody's."""
        first: dict[str, int] = {}
        for place, key in enumerate(keys):
            if key:
                self.join(first.setdefault(key, place), place)


def share_out(
    groups: Mapping[str, Sequence[int]],
    strata: Mapping[str, str],
    before: Mapping[int, Split],
    params: Dataset,
) -> dict[int, Split]:
    """The split of each row; rows of `before` keep theirs, and so does the rest of their group.

    A row that was learned and whose group has come to hold test rows gets no split. One that was a
    calibration row becomes a test row: were it left out, a certificate would miss what is repeated.
    """
    result: dict[int, Split] = {}
    fresh: list[str] = []
    for key, places in groups.items():
        earlier = [before[place] for place in places if place in before]
        if not earlier:
            fresh.append(key)
            continue
        home: Split = "test" if "test" in earlier else earlier[0]
        for place in places:
            if home != "test" or before.get(place, home) not in LEARNED:
                result[place] = home
    for key, split in _fresh(fresh, strata, params).items():
        result.update((place, split) for place in groups[key])
    return result


def _fresh(keys: Sequence[str], strata: Mapping[str, str], params: Dataset) -> dict[str, Split]:
    """Groups of one stratum follow each other, and each step lands far from the one before.

    So a stratum of any size, a single group too, spreads over the splits as the shares say.
    """
    salt = str(params.seed)
    ordered = sorted(keys, key=lambda key: (digest(salt, strata[key]), digest(salt, key)))
    limits = _limits(params)
    result: dict[str, Split] = {}
    for place, key in enumerate(ordered):
        point = (0.5 + place * _GOLDEN) % 1.0
        result[key] = next(split for split, limit in limits if point < limit)
    return result


def _limits(params: Dataset) -> list[tuple[Split, float]]:
    shares = [getattr(params, split) for split in SPLITS]
    total, reached = sum(shares), 0.0
    limits: list[tuple[Split, float]] = []
    for split, share in zip(SPLITS, shares, strict=True):
        reached += share / total
        limits.append((split, reached))
    return [*limits[:-1], (limits[-1][0], 1.0)]


def leaks(keys: Mapping[Split, Iterable[str]]) -> set[str]:
    """The keys (groups, prompts) that stand in more than one split."""
    seen: defaultdict[str, set[Split]] = defaultdict(set)
    for split, some in keys.items():
        for key in some:
            seen[key].add(split)
    return {key for key, splits in seen.items() if len(splits) > 1}
