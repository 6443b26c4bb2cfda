"""Slots: the values in which a task's answers differ, and how each is had from the prompt."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import msgspec

How = Literal["closed", "text", "upper", "lower", "title", "number", "listed"]
Path = tuple[str | int, ...]  # where a value stands in an answer
Pair = tuple[str, Any]  # a prompt and a value of its answer

CLOSED = 200  # values of a closed field
FEW = 12  # values up to which a field is closed even when they also stand in the prompts
SCARCE = 10  # rows for each value under which rare values are to be expected
REPEATED = 0.5  # share of a field's values that must have come twice where prompts hold none
MOSTLY = 0.85  # share of a field's values that must fit; the rest are slips and rare values
NEARLY = 0.95  # share of a few values that must stand in their prompts to be copied
OTHERWISE = 0.02  # share of a copied field's values that come again and stand in no prompt
RARELY = 0.2  # share of the prompts that may hold another of those few values
ABSENT = "\x00absent"
CASED = ("upper", "lower", "title")
# Thai, kana, Chinese characters and Hangul, to whose words others are joined without a space.
_JOINED = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3\uf900-\ufaff]")
# The letters that are capitals in a title: "Bank of Nova Scotia".
_SMALL = r"(?:a|an|and|at|by|de|for|in|la|of|on|or|the|to|with)\b"
_FIRST = re.compile(rf"^\w|(?<=[\s-])(?!{_SMALL})\w")
# What parts the items of a list in a prompt, and what may surround one: "- [refund]: money back".
_APART = re.compile(
    r"""((?:[,;|\n\t"`*\[\]{}<>()]|:\s|\s[-\u2013\u2014]\s|\s(?:or|and)\s|->)[-\s\u2022\d.)"'`*\[\](<,]*)"""
)
SLOT = "\x00"  # what stands in a sentence or an item in place of what differs


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """A value that differs: how it is had from the prompt, or the values it may have.

    With both, it is one of the values where nothing is copied, and that it is none may be the first
    of them. `empty` is what it means when nothing is copied and there are no values. The values of
    a listed field are the kinds of its items, which have each text but `once`.
    """

    name: str
    how: How
    values: tuple[Any, ...] = ()
    empty: Literal["null", "absent"] = "absent"
    once: bool = False

    def copy(self, text: str) -> Any:
        """The value that a piece of the prompt stands for. Raises ValueError."""
        if self.how == "number":
            return json.loads(text)
        return recased(text, self.how)

    @property
    def nothing(self) -> object:
        """The value when nothing is copied."""
        return None if self.empty == "null" else ABSENT

    @property
    def chosen(self) -> bool:
        """Return whether it is, or may be, one of its values."""
        return self.how == "closed" or (self.how != "listed" and bool(self.values))

    @property
    def copied(self) -> bool:
        """Return whether it is a piece of the prompt."""
        return self.how not in ("closed", "listed")


def recased(text: str, how: How) -> str:
    """A piece of a prompt as a field has it; titles get capitals where it has none at all."""
    if how == "title" and text == text.lower():
        return _FIRST.sub(lambda letter: letter.group().upper(), text)
    return {"upper": text.upper(), "lower": text.lower()}.get(how, text)


def named(path: Path) -> str:
    """The name of the field at a place."""
    return ".".join(map(str, path)) or "answer"


def field_of(name: str, pairs: Sequence[Pair], told: str = "") -> Field | None:
    """A field whose values are few or stand in the prompts; None when neither is so.

    `told` is what all prompts say: values that it lists are few, however seldom each comes.
    """
    counts = Counter(json.dumps(value) for _, value in pairs)
    usual = [text for text, count in counts.most_common(CLOSED) if count > 1]
    again = sum(counts[text] for text in usual)
    if len(pairs) < SCARCE * len(usual):  # then one that came once is no slip
        usual = [text for text, _ in counts.most_common(CLOSED)]
    menu = _told([value for _, value in pairs], told)
    usual += [text for text in map(json.dumps, menu) if text not in usual]
    closed = Field(name=name, how="closed", values=tuple(json.loads(text) for text in usual))
    filled = [(prompt, value) for prompt, value in pairs if value is not None]
    if again >= MOSTLY * len(pairs) and len(counts) <= FEW and not _quoted(filled):
        return closed
    nulls = len(filled) < len(pairs)
    if how := _way(filled):
        field = Field(name=name, how=how, empty="null" if nulls else "absent")
        said = _said_otherwise(filled, how)
        return msgspec.structs.replace(field, values=(field.nothing, *said)) if said else field
    few = menu or again >= REPEATED * len(pairs)
    return _filled_in(name, pairs) or (closed if few else None)


def _told(values: Sequence[object], told: str) -> list[str]:
    """The items of the list in a prompt that these values are from, those that never came as well.

    Empty where they are from none. Answers may write all of them in small letters.
    """
    if values and all(isinstance(value, str) and value == value.lower() for value in values):
        told = told.lower()
    items = list(_items(told))
    known = {text for _, text, _ in items} & {value for value in values if isinstance(value, str)}
    fit = sum(isinstance(value, str) and value in known for value in values)
    if len(known) < 2 or fit < NEARLY * len(values):
        return []
    befores = {before for before, text, _ in items if text in known}
    afters = {after for _, text, after in items if text in known}
    longest = max(len(text.split()) for text in known)
    menu = dict.fromkeys(text for _, text, _ in items if text in known)
    for place, (before, text, after) in enumerate(items):
        first = after in afters and items[(place + 1) % len(items)][1] in known
        last = before in befores and items[place - 1][1] in menu
        alike = first or last or (before in befores and after in afters)
        if alike and 0 < len(text.split()) <= longest:
            menu[text] = None
    return list(menu) if len(menu) <= CLOSED else [text for text in menu if text in known]


def _items(told: str) -> Iterator[tuple[str, str, str]]:
    """The pieces of a text between marks that part items, with the marks around them."""
    parts = _APART.split(f"\n{told}\n")
    for place in range(2, len(parts) - 1, 2):
        before, text, after = parts[place - 1 : place + 2]
        yield _plain(before), text.strip(" .'"), _plain(after)


def _plain(mark: str) -> str:
    """A mark without numbers, and with one space for several."""
    return re.sub(r"[\d\s]+", " ", mark)


def _way(pairs: Sequence[Pair]) -> How | None:
    """Return how most values are had from their prompts.

    The plainest of equal ways, None without one.
    """
    ways: tuple[How, ...] = ("text", "upper", "lower", "title", "number")
    best, most = ways[0], 0
    for how in ways:
        fit = sum(_fits(prompt, value, how) for prompt, value in pairs)
        best, most = (how, fit) if fit > most else (best, most)
        if most == len(pairs):
            break
    return best if pairs and most >= MOSTLY * len(pairs) else None


def _said_otherwise(pairs: Sequence[Pair], how: How) -> list[Any]:
    """The values that are not in their prompts, if they are more than slips: `ten` means 10."""
    others = Counter(json.dumps(value) for prompt, value in pairs if not _fits(prompt, value, how))
    usual = [text for text, count in others.most_common(CLOSED) if count > 1]
    enough = sum(others[text] for text in usual) >= OTHERWISE * len(pairs)
    return [json.loads(text) for text in usual] if enough else []


def _filled_in(name: str, pairs: Sequence[Pair]) -> Field | None:
    """A copied field in which one value ("", "N/A") stands for nothing."""
    counts = Counter(value for _, value in pairs if isinstance(value, str))
    for value, count in counts.most_common(1):
        copied = sum(bool(places(prompt, value, "text")) for prompt, own in pairs if own == value)
        how = _way([pair for pair in pairs if pair[1] != value])
        if how and copied <= RARELY * count:
            return Field(name=name, how=how, values=(value,))
    return None


def slot_of(name: str, pairs: Sequence[Pair]) -> Field:
    """The field of a slot in a sentence: copied where it stands in the prompt, else closed."""
    ways: tuple[How, ...] = ("text", "upper", "lower", "title")
    fit = {how: [_fits(prompt, value, how) for prompt, value in pairs] for how in ways}
    how = max(ways, key=lambda way: sum(fit[way]) * (1 if way == "text" else NEARLY))
    others = Counter(value for (_, value), fits in zip(pairs, fit[how], strict=True) if not fits)
    usual = tuple(value for value, count in others.most_common(CLOSED) if count > 1)
    closed = usual and not any(fit[how])
    return Field(name=name, how="closed" if closed else how, values=usual)


def _quoted(pairs: Sequence[Pair]) -> bool:
    """Return whether each value of a few stands in its prompt, and the others seldom do."""
    values = {value for _, value in pairs if isinstance(value, str)}
    if not pairs or not all(isinstance(value, str) for _, value in pairs):
        return False
    own = sum(bool(places(prompt, value, "text")) for prompt, value in pairs)
    other = sum(any(places(p, v, "text") for v in values - {value}) for p, value in pairs)
    return len(values) > 1 and own >= NEARLY * len(pairs) and other <= RARELY * len(pairs)


def _fits(prompt: str, value: object, how: How) -> bool:
    if isinstance(value, str) == (how == "number"):
        return False
    return bool(places(prompt, value, how))


def places(prompt: str, value: object, how: How) -> list[tuple[int, int]]:
    """Return where a value stands in a prompt, as whole words where its script has spaces."""
    text = value if isinstance(value, str) else json.dumps(value)
    if isinstance(value, bool | None) or not text.strip() or how == "closed":
        return []
    if how in ("text", "number") and text not in prompt:
        return []  # soon known, and most often so
    if how in CASED and (recased(text, how) != text or text.lower() not in prompt.lower()):
        return []
    flags = re.IGNORECASE if how in CASED else 0
    before = "" if _JOINED.match(text[0]) else r"(?<!\w)"
    after = "" if _JOINED.match(text[-1]) else r"(?!\w)"
    pattern = re.compile(f"{before}{re.escape(text)}{after}", flags)
    spans = (match.span() for match in pattern.finditer(prompt))
    return [(a, b) for a, b in spans if how not in CASED or recased(prompt[a:b], how) == text]
