"""Lists in answers, of any length: of what stands in the prompt, or of a few values.

In the first, an item is a text of the prompt, in its order, or an object that holds one beside
values from a small set. Its *kind* is the item with a gap in place of the text. A student tags the
words of the prompt (Ramshaw and Marcus 1995, cmp-lg/9505040), and every tagged piece is an item.
The others are picked from a *menu*: each of its values is there or not, in the menu's order.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Container, Iterator, Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.students.fields import GAP, MOSTLY, Empty, Field, Path, named, places

if TYPE_CHECKING:
    import torch

KINDS, MENU = 100, 60  # of a list's items; values of a menu
SOME = 0.01  # share of the answers with a list longer than one; forms do the others as well
REST = -100  # no tag: what the loss leaves out
Item = tuple[str, str]  # its kind as JSON, and the text in it
Span = tuple[int, int]


def listed(rows: Sequence[tuple[str, Any]]) -> dict[Path, Field]:
    """The lists in these answers (each with its prompt) that tags can make."""
    found = {path: _field(path, column, len(rows)) for path, column in _columns(rows).items()}
    made = {path: field for path, field in found.items() if field}
    return made if _long(rows, made) else {}


def menus(rows: Sequence[tuple[str, Any]]) -> dict[Path, tuple[str, ...]]:
    """The menus of the lists in these answers that are picked from one."""
    found = {path: _menu([value for _, value in c]) for path, c in _columns(rows).items()}
    return {path: menu for path, menu in found.items() if menu and _long(rows, {path})}


def _columns(rows: Sequence[tuple[str, Any]]) -> dict[Path, list[tuple[str, list[Any]]]]:
    columns: dict[Path, list[tuple[str, list[Any]]]] = defaultdict(list)
    for prompt, answer in rows:
        for path, value in _lists(answer, ()):
            columns[path].append((prompt, value))
    return columns


def _long(rows: Sequence[tuple[str, Any]], paths: Container[Path]) -> bool:
    """Whether some answers have a list longer than one there."""
    lengths = [[len(value) for path, value in _lists(a, ()) if path in paths] for _, a in rows]
    return sum(max(found, default=0) > 1 for found in lengths) >= max(3, SOME * len(rows))


def _menu(values: Sequence[list[Any]]) -> tuple[str, ...] | None:
    """The few values that the lists hold, in the order that they keep."""
    if len({len(value) for value in values}) < 2:
        return None
    told = [value for value in values if all(isinstance(item, str) for item in value)]
    counts = Counter(item for value in told for item in value)
    usual = {item for item, count in counts.items() if count > 1}
    if not 1 < len(usual) <= MENU:
        return None
    before = Counter(pair for value in told for pair in combinations(value, 2))
    order = TopologicalSorter[str](dict.fromkeys(usual, ()))
    for (first, second), count in before.items():
        if {first, second} <= usual and count > before[second, first]:
            order.add(second, first)
    try:
        menu = tuple(order.static_order())
    except CycleError:
        return None
    fit = sum(list(value) == [item for item in menu if item in value] for value in told)
    return menu if fit >= MOSTLY * len(values) else None


def _lists(value: Any, path: Path) -> Iterator[tuple[Path, list[Any]]]:
    if isinstance(value, list):
        yield path, value
    inner = (
        value.items() if isinstance(value, dict)
        else enumerate(value) if isinstance(value, list) else ()
    )  # fmt: skip
    for name, item in inner:
        yield from _lists(item, (*path, name))


def _field(path: Path, column: Sequence[tuple[str, list[Any]]], rows: int) -> Field | None:
    """The field of a list, if its items are texts of the prompt, of few kinds and in order."""
    if len({len(found) for _, found in column}) < 2:
        return None
    key = _key([item for _, found in column for item in found])
    read = [(prompt, [_item(item, key) for item in found]) for prompt, found in column if found]
    once = all(len(set(items)) == len(items) for _, items in read)
    fits = [spans(prompt, items, once) for prompt, items in read]
    kinds = Counter(kind for found in fits if found for _, kind in found)
    usual = tuple(kind for kind, count in kinds.most_common(KINDS) if count > 1)
    good = sum(found is not None and {kind for _, kind in found} <= set(usual) for found in fits)
    if not usual or good < MOSTLY * len(fits):
        return None
    empty: Empty = "list" if len(column) > rows / 2 else "absent"
    return Field(name=named(path), how="listed", values=usual, empty=empty, once=once)


def _key(values: Sequence[Any]) -> str:
    """Which value of the items, where they are objects, is the text: the one that differs most."""
    seen: dict[str, set[str]] = defaultdict(set)
    for value in values:
        for key, inner in value.items() if isinstance(value, dict) else ():
            if isinstance(inner, str):
                seen[key].add(inner)
    return max(seen, key=lambda key: len(seen[key]), default="")


def _item(value: Any, key: str) -> Item | None:
    """An item's kind and text, or None when it is none."""
    if isinstance(value, str):
        return json.dumps(GAP), value
    flat = isinstance(value, dict) and not any(isinstance(v, dict | list) for v in value.values())
    if not flat or not isinstance(value.get(key), str):
        return None
    return json.dumps({**value, key: GAP}), value[key]


def spans(prompt: str, items: Sequence[Item | None], once: bool) -> list[tuple[Span, str]] | None:
    """Where items stand in a prompt, each with its kind; None when they cannot be told from it.

    With `once`, an item is said once and stands wherever its text does, but for longer items.
    """
    found: list[tuple[Span, str]] = []
    end = 0
    for item in items:
        everywhere = [] if item is None else places(prompt, item[1], "text")
        later = [place for place in everywhere if place[0] >= end]
        if item is None or not later:
            return None
        end = later[0][0] if once else later[0][1]
        found += [(place, item[0]) for place in (everywhere if once else later[:1])]
    inner = {
        (a, kind) for a, kind in found for b, _ in found
        if a != b and b[0] <= a[0] and a[1] <= b[1]
    }  # fmt: skip
    return [one for one in found if one not in inner]


def words(read: Any) -> list[tuple[int, int, int]]:
    """The words of a text as the tokenizer reads it: first token, begin and end in the text."""
    found: dict[int, tuple[int, int, int]] = {}
    for token, (word, (begin, end)) in enumerate(zip(read.word_ids, read.offsets, strict=True)):
        if word is not None:
            first, start, _ = found.get(word, (token, begin, end))
            found[word] = (first, start, end)
    return list(found.values())


def tags(prompt: str, read: Any, asked: Sequence[tuple[Field, int, Any]]) -> list[int] | None:
    """The tag of each token for the lists of an answer; None when tags cannot make them.

    Each list comes with the number of its first kind. Tag 0 is no item, 2k + 1 begins one of kind
    k, 2k + 2 goes on with it; tokens within a word have none.
    """
    result, known = [REST] * len(read.ids), words(read)
    for first, _, _ in known:
        result[first] = 0
    for field, number, value in asked:
        items = [_item(item, _text_key(field)) for item in value or ()]
        found = spans(prompt, items, field.once)
        if found is None:
            return None
        for (begin, end), kind in found:
            inside = [first for first, start, stop in known if start < end and begin < stop]
            if kind not in field.values or any(result[first] for first in inside):
                return None
            tag = 2 * (number + field.values.index(kind)) + 1
            for first in inside:
                result[first], tag = tag, tag + tag % 2
    return result


def _text_key(field: Field) -> str:
    kind = json.loads(field.values[0])
    return next((key for key, value in kind.items() if value == GAP), "") if kind != GAP else ""


def read_off(
    text: str, read: Any, logprobs: torch.Tensor, asked: Sequence[tuple[Field, int]]
) -> tuple[dict[str, Any], float]:
    """The lists that tags make, `logprobs` [tokens, tags], and the log-probability of the tags."""
    table, total, last = logprobs.cpu().numpy(), 0.0, 0
    pieces: list[list[int]] = []  # kind, begin, end
    allowed = np.arange(table.shape[1]) % 2 == 1
    allowed[0] = True
    for token, begin, end in words(read):
        on = last + last % 2
        going = allowed | (np.arange(len(allowed)) == on)
        last = int(np.where(going, table[token], -np.inf).argmax())
        total += float(table[token, last])
        if last % 2:
            pieces.append([last // 2, begin, end])
        elif last:
            pieces[-1][2] = end
    made: dict[str, Any] = {}
    for field, number in asked:
        own = [(kind - number, text[begin:end]) for kind, begin, end in pieces]
        said = [(field.values[k], piece) for k, piece in own if 0 <= k < len(field.values)]
        kept = dict.fromkeys(said) if field.once else said
        made[field.name] = [_filled(*item) for item in kept] or field.nothing
    return made, total


def _filled(kind: str, text: str) -> Any:
    item = json.loads(kind)
    return text if item == GAP else {k: text if v == GAP else v for k, v in item.items()}
