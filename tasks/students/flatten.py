"""An answer as the values in it, by where they stand, and the answer again."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tasks.students.slots import Field, Path

Flat = dict[Path, Any]
IN = "\x00in"  # below it stand the values of a menu that a list has, by their place in the menu


@dataclass(frozen=True, slots=True)
class Lists:
    """The lists that are no places in a row: those that tags make, and those of a menu."""

    listed: Mapping[Path, Field] = field(default_factory=dict)
    menus: Mapping[Path, tuple[str, ...]] = field(default_factory=dict)


def flatten(answer: str, lists: Lists) -> Flat | None:
    """The values of an answer in JSON; None when it is none, or holds half of a character."""
    try:
        value = json.loads(answer)
        json.dumps(value, ensure_ascii=False).encode()
        return dict(_leaves(value, (), lists))
    except (ValueError, RecursionError):
        return None


def _leaves(value: object, path: Path, lists: Lists) -> Iterator[tuple[Path, object]]:
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list) and path not in lists.listed:
        inner = list(enumerate(value))
        menu = lists.menus.get(path)
        if menu is not None and value == [item for item in menu if item in value]:
            yield (*path, IN), []
            yield from (((*path, IN, menu.index(item)), item) for item in value)
            return
    else:
        inner = []
    for name, item in inner:
        yield from _leaves(item, (*path, name), lists)
    if not inner:
        yield path, value


def built(flat: Flat) -> object:
    """The JSON value of these leaves."""
    if () in flat:
        return flat[()]
    if flat and all(path[0] == IN for path in flat):
        return [flat[path] for path in sorted(flat, key=lambda path: path[1:]) if len(path) > 1]
    inner: dict[str | int, Flat] = defaultdict(dict)
    for path, value in flat.items():
        inner[path[0]][path[1:]] = value
    if inner and all(isinstance(name, int) for name in inner):
        return [built(inner[name]) for name in sorted(inner, key=int)]
    return {name: built(leaves) for name, leaves in inner.items()}


def places_of(flat: Flat) -> dict[Path, int]:
    """Return how far each list goes whose values are places in a row."""
    ends = (path for path in flat if path and isinstance(path[-1], int) and path[-2:-1] != (IN,))
    return {path[:-1]: int(path[-1]) for path in ends}
