"""Lists in answers, of any length: of what stands in the prompt, or of a few values.

In the first, an item is a text of the prompt, in its order, or an object that holds one beside
values from a small set. Its *kind* is the item with a slot in place of the text. A student tags the
words of the prompt (Ramshaw and Marcus 1995, cmp-lg/9505040), and every tagged piece is an item.
The others are picked from a *menu*: each of its values is there or not, in the menu's order.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Container, Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import accumulate, combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.core.records import Json
from tasks.students.minilm import reach, tokenizer
from tasks.students.slots import MOSTLY, SLOT, Field, Path, named, places

if TYPE_CHECKING:
    import torch
    from tokenizers import Encoding

KINDS, MENU = 100, 60  # of a list's items; values of a menu
CHECKED = 1_000  # answers, about, whose lists are tried
SOME = 0.01  # share of the answers with a list longer than one; forms do the others as well
REST = -100  # no tag: what the loss leaves out
Item = tuple[str, str]  # its kind as JSON, and the text in it
Span = tuple[int, int]


def listed(rows: Sequence[tuple[str, Any]]) -> dict[Path, Field]:
    """The lists in these answers (each with its prompt) that tags can make, all at once."""
    columns = _columns(rows)
    fields = {path: _field(path, [v for _, v in column]) for path, column in columns.items()}
    some = rows[:: max(1, len(rows) // CHECKED)]
    reads = tokenizer().encode_batch([prompt for prompt, _ in some]) if any(fields.values()) else []
    kept: dict[Path, Field] = {}
    for path in sorted(fields, key=lambda path: -sum(bool(value) for _, value in columns[path])):
        field = fields[path]
        if field and _made(some, reads, wider := kept | {path: field}):
            kept = wider
    return kept if _long(rows, kept) else {}


def _made(
    rows: Sequence[tuple[str, object]], reads: Sequence[Encoding], fields: Mapping[Path, Field]
) -> bool:
    """Return whether tags make most of these lists, where they are not empty."""
    starts = accumulate((len(field.values) for field in fields.values()), initial=0)
    numbers = dict(zip(fields, starts, strict=False))
    good = told = 0
    for (prompt, answer), read in zip(rows, reads, strict=True):
        own = {path: value for path, value in _lists(answer, ()) if path in fields}
        if any(own.values()):
            asked = [(fields[path], numbers[path], value) for path, value in own.items()]
            told, good = told + 1, good + (tags(prompt, read, asked) is not None)
    return good >= MOSTLY * told


def menus(rows: Sequence[tuple[str, object]]) -> dict[Path, tuple[str, ...]]:
    """The menus of the lists in these answers that are picked from one."""
    options = {path: _menu([value for _, value in c]) for path, c in _columns(rows).items()}
    return {path: menu for path, menu in options.items() if menu and _long(rows, {path})}


def _columns(rows: Sequence[tuple[str, object]]) -> dict[Path, list[tuple[str, list[object]]]]:
    columns: dict[Path, list[tuple[str, list[object]]]] = defaultdict(list)
    for prompt, answer in rows:
        for path, value in _lists(answer, ()):
            columns[path].append((prompt, value))
    return columns


def _long(rows: Sequence[tuple[str, object]], paths: Container[Path]) -> bool:
    """Return whether some answers have a list longer than one there."""
    lengths = [[len(value) for path, value in _lists(a, ()) if path in paths] for _, a in rows]
    return sum(max(each, default=0) > 1 for each in lengths) >= max(3, SOME * len(rows))


def _menu(values: Sequence[list[Any]]) -> tuple[str, ...] | None:
    """The few values that the lists hold, in the order that they keep."""
    if len({len(value) for value in values}) < 2:
        return None
    told = [value for value in values if all(isinstance(item, str) for item in value)]
    counts = Counter(item for value in told for item in value)
    usual = dict.fromkeys(item for item, count in counts.items() if count > 1)
    if not 1 < len(usual) <= MENU:
        return None
    items = ([item for item in value if item in usual] for value in told)
    before = Counter(pair for value in items for pair in combinations(value, 2))
    order = TopologicalSorter[str](dict.fromkeys(usual, ()))
    for (first, second), count in before.items():
        if count > before[second, first]:
            order.add(second, first)
    try:
        menu = tuple(order.static_order())
    except CycleError:
        return None
    fit = sum(list(value) == [item for item in menu if item in value] for value in told)
    return menu if fit >= MOSTLY * len(values) else None


def _lists(value: object, path: Path) -> Iterator[tuple[Path, list[object]]]:
    if isinstance(value, list):
        yield path, value
    inner = (
        value.items() if isinstance(value, dict)
        else enumerate(value) if isinstance(value, list) else ()
    )  # fmt: skip
    for name, item in inner:
        yield from _lists(item, (*path, name))


def _field(path: Path, values: Sequence[list[object]]) -> Field | None:
    """The field of a list, if its items are of few kinds and their number differs."""
    if len(set(map(len, values))) < 2:
        return None
    key = _key([item for value in values for item in value])
    read = [[_item(item, key) for item in value] for value in values if value]
    kinds = Counter(item[0] for items in read for item in items if item)
    usual = tuple(kind for kind, count in kinds.most_common(KINDS) if count > 1)
    good = sum(all(item and item[0] in usual for item in items) for items in read)
    if not usual or good < MOSTLY * len(read):
        return None
    once = sum(len(set(items)) == len(items) for items in read) >= MOSTLY * len(read)
    return Field(name=named(path), how="listed", values=usual, once=once)


def _key(values: Sequence[object]) -> str:
    """Return which value of the items, where they are objects, is the text.

    The one that differs most.
    """
    seen: dict[str, set[str]] = defaultdict(set)
    for value in values:
        for key, inner in value.items() if isinstance(value, dict) else ():
            if isinstance(inner, str):
                seen[key].add(inner)
    return max(seen, key=lambda key: len(seen[key]), default="")


def _item(value: Any, key: str) -> Item | None:
    """An item's kind and text, or None when it is none."""
    if isinstance(value, str):
        return json.dumps(SLOT), value
    flat = isinstance(value, dict) and not any(isinstance(v, dict | list) for v in value.values())
    if not flat or not isinstance(value.get(key), str):
        return None
    return json.dumps({**value, key: SLOT}), value[key]


def _spans(prompt: str, items: Sequence[Item], once: bool) -> list[tuple[Span, str]]:
    """Return where items may stand in a prompt, each with its kind.

    With `once`, an item is said once and stands wherever its text does, but for longer items; else
    each stands after the one before.
    """
    spans: list[tuple[Span, str]] = []
    end = 0
    for kind, text in items:
        everywhere = places(prompt, text, "text")
        later = [place for place in everywhere if place[0] >= end][:1]
        spans += [(place, kind) for place in (everywhere if once else later)]
        end = later[0][1] if later else end
    spans.sort(key=lambda one: one[0][0] - one[0][1])
    taken, kept = bytearray(len(prompt)), []
    for (begin, stop), kind in spans:
        if not any(taken[begin:stop]):
            taken[begin:stop] = b"x" * (stop - begin)
            kept.append(((begin, stop), kind))
    return kept


def words(text: str, read: Encoding) -> list[tuple[int, int, int]]:
    """The words of a text as the tokenizer reads it: first token, begin and end in the text."""
    tags: dict[int, tuple[int, int, int]] = {}
    for token, (word, (begin, end)) in enumerate(zip(read.word_ids, read.offsets, strict=True)):
        if word is not None:
            first, start, _ = tags.get(word, (token, begin, end))
            tags[word] = (first, start, reach(text, end))
    return list(tags.values())


def tags(prompt: str, read: Encoding, asked: Sequence[tuple[Field, int, Any]]) -> list[int] | None:
    """The tag of each token for the lists of an answer; None when tags cannot make them.

    Each list comes with the number of its first kind. Tag 0 is no item, 2k + 1 begins one of kind
    k, 2k + 2 goes on with it; tokens within a word have none.
    """
    result, places = [REST] * len(read.ids), words(prompt, read)
    for first, _, _ in places:
        result[first] = 0
    for field, number, value in asked:
        items = [_item(item, _text_key(field)) for item in value]
        for (begin, end), kind in _spans(prompt, [i for i in items if i], field.once):
            inside = [first for first, start, stop in places if start < end and begin < stop]
            if kind not in field.values or any(result[first] for first in inside):
                return None
            tag = 2 * (number + field.values.index(kind)) + 1
            for first in inside:
                result[first], tag = tag, tag + tag % 2
    pieces = _pieces(prompt, places, [result[first] for first, _, _ in places])
    right = all(_items(field, number, pieces) == value for field, number, value in asked)
    return result if right else None


def _text_key(field: Field) -> str:
    """Return which value of its items, where they are objects, is the text."""
    kinds = [json.loads(kind) for kind in field.values]
    items = (kind.items() for kind in kinds if isinstance(kind, dict))
    return next((key for pairs in items for key, value in pairs if value == SLOT), "")


def read_off(
    text: str, read: Encoding, logprobs: torch.Tensor, asked: Sequence[tuple[Field, int]]
) -> tuple[Json, float]:
    """The lists that tags make, `logprobs` [tokens, tags], and the log-probability of the tags."""
    table, places, last = logprobs.cpu().numpy(), words(text, read), 0
    begins = np.arange(table.shape[1]) % 2 == 1
    begins[0] = True
    chosen: list[int] = []
    for first, _, _ in places:
        allowed = begins | (np.arange(len(begins)) == last + last % 2)  # only an item goes on
        last = int(np.where(allowed, table[first], -np.inf).argmax())
        chosen.append(last)
    pieces = _pieces(text, places, chosen)
    total = sum(float(table[first, tag]) for (first, _, _), tag in zip(places, chosen, strict=True))
    return {field.name: _items(field, number, pieces) for field, number in asked}, total


def _pieces(
    text: str, places: Sequence[tuple[int, int, int]], chosen: Sequence[int]
) -> list[tuple[int, str]]:
    """The pieces of a text that the tags of its words mark, each with the number of its kind."""
    spans: list[tuple[int, int, int]] = []
    for tag, (_, begin, end) in zip(chosen, places, strict=True):
        if tag % 2:
            spans.append((tag // 2, begin, end))
        elif tag:
            spans[-1] = (*spans[-1][:2], end)
    return [(kind, text[begin:end]) for kind, begin, end in spans]


def _items(field: Field, number: int, pieces: Sequence[tuple[int, str]]) -> list[Any]:
    """The items of one list among the pieces."""
    kinds = dict(enumerate(field.values, start=number))
    own = [(kinds[kind], piece) for kind, piece in pieces if kind in kinds]
    return [_filled(*item) for item in (dict.fromkeys(own) if field.once else own)]


def _filled(kind: str, text: str) -> Any:
    item = json.loads(kind)
    return text if item == SLOT else {k: text if v == SLOT else v for k, v in item.items()}
