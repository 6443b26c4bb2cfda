"""Answers in a format that a newer one has replaced: brought to the new one, or left out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from tasks.core.contract import Contract, structure
from tasks.core.labels import core
from tasks.core.records import Json
from tasks.core.rows import Candidate

USED = 0.02  # share of the rows from which a set of keys is a format of its own
KNOWN = 0.9  # share of an old key's values that a new key must know to be its successor

Keys = tuple[str, ...]


def replaced(candidates: Sequence[Candidate], contract: Contract) -> dict[int, str | None]:
    """The places of rows in a replaced format, with their answer in the newest one if it has one.

    A format is replaced when its last use is before the newest one's first. Formats that go on side
    by side are one task's optional keys, and stay; so do stragglers, which are slips of today.
    """
    if contract.kind != "json":
        return {}
    answers = [structure(candidate.row.answer) for candidate in candidates]
    values: list[Json] = [value if isinstance(value, dict) else {} for value in answers]
    keys = [tuple(sorted(value)) for value in values]
    times: dict[Keys, list[float]] = {}
    for form, candidate in zip(keys, candidates, strict=True):
        times.setdefault(form, []).append(candidate.row.at)
    large = [form for form, seen in times.items() if len(seen) >= USED * len(candidates)]
    if len(large) < 2:
        return {}
    newest = max(large, key=lambda form: (max(times[form]), form))
    start = float(np.quantile(times[newest], 0.05))
    old = {f for f in large if f != newest and float(np.quantile(times[f], 0.95)) < start}
    latest = [value for value, form in zip(values, keys, strict=True) if form == newest]
    result: dict[int, str | None] = {}
    for form in sorted(old):
        places = [place for place, found_form in enumerate(keys) if found_form == form]
        moves = _successors([values[place] for place in places], latest)
        past = (place for place in places if candidates[place].row.at < start)
        result.update((place, _moved(values[place], moves)) for place in past)
    return result


def _successors(old: Sequence[Json], new: Sequence[Json]) -> Mapping[str, tuple[str, Json]] | None:
    """For each new key the old one that it takes its values from, and how each is written now.

    None when a new key has no such old one: what it should hold is unknown.
    """
    moves: dict[str, tuple[str, Json]] = {}
    for key in new[0]:
        spelt: dict[str, Counter[str]] = {}
        for value in new:
            spelt.setdefault(_core(value[key]), Counter())[json.dumps(value[key])] += 1
        written = {c: json.loads(forms.most_common(1)[0][0]) for c, forms in spelt.items()}
        shares = {o: sum(_core(v[o]) in written for v in old) / len(old) for o in old[0]}
        best = max(sorted(shares), key=lambda o: (shares[o], o == key), default=None)
        if best is not None and shares[best] >= KNOWN:
            moves[key] = (best, written)
        elif key in shares:
            moves[key] = (key, {})  # open values, the same name: taken over as they are
        else:
            return None
    return moves


def _moved(value: Json, moves: Mapping[str, tuple[str, Json]] | None) -> str | None:
    if moves is None:
        return None
    result = {}
    for key, (old, written) in moves.items():
        if written and _core(value[old]) not in written:
            return None
        result[key] = written.get(_core(value[old]), value[old])
    return json.dumps(result, ensure_ascii=False)


def _core(value: object) -> str:
    return core(value) if isinstance(value, str) else json.dumps(value, sort_keys=True)
