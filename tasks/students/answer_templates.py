"""Answer templates: what a task's answers have in common, and the slots in which they differ.

An answer is taken apart into a *form* (how many items its lists have, the functions it calls, the
sentences it repeats) and *fields*: values that stand in the prompt, or come from a small set. A
student that chooses a form and fills in its fields needs far fewer examples than one that writes.

    forms, reader = learn(prompts, answers, contract)
    form, values = reader.read(prompt, answer)
    forms.write(form, values)                        # the answer again
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from tasks.core.contract import Contract, structure
from tasks.core.records import Json
from tasks.students.flatten import Flat, Lists, built, flatten, places_of
from tasks.students.list_slots import listed, menus
from tasks.students.phrases import MOST, Phrase, phrases
from tasks.students.sentences import literal_words, slots
from tasks.students.slots import ABSENT, SLOT, Field, Pair, Path, field_of, named, slot_of

Read = tuple[str, Flat, Json]  # a prompt, an answer, and the values in it

FORMED = 0.3  # share of the answers that must have a form in common with others
RARE = 0.002  # share of a form's answers under which a path is none of it


class Fixed(msgspec.Struct, frozen=True, kw_only=True):
    """A value that is always the same, or a sentence with slots, one for each name in `slots`."""

    value: Any
    slots: tuple[str, ...] = msgspec.field(default=(), name="gaps")  # as in adapters on disk


class Form(msgspec.Struct, frozen=True, kw_only=True):
    """The places of values in an answer; each is the field of a name, or fixed."""

    paths: tuple[Path, ...]
    parts: tuple[str | Fixed, ...]

    @property
    def names(self) -> list[str]:
        """The fields that it needs."""
        parts = ([p] if isinstance(p, str) else list(p.slots) for p in self.parts)
        return list(dict.fromkeys(name for names in parts for name in names))


class Forms(msgspec.Struct, frozen=True, kw_only=True):
    """All forms of a task's answers, the most frequent first, and their fields."""

    forms: tuple[Form, ...]
    fields: tuple[Field, ...]
    plain: bool = False  # answers are bare texts, not JSON

    def write(self, form: int, values: Mapping[str, Any]) -> str:
        """The answer that a form stands for once its fields are filled in.

        Raises ValueError when a sentence, or all of the answer, is without its value.
        """
        flat: Flat = {}
        for path, part in zip(self.forms[form].paths, self.forms[form].parts, strict=True):
            value = values.get(part, ABSENT) if isinstance(part, str) else _spoken(part, values)
            if value != ABSENT:
                flat[path] = value
        if self.plain and () not in flat:
            raise ValueError("no answer without its value")
        return str(flat[()]) if self.plain else json.dumps(built(flat), ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Reader:
    """Takes answers apart. `literal` are the words of each path's sentences that are not copied.

    Form by form, `paths` are those that it has, and `twins` slots that always hold the same as
    another one.
    """

    keys: Mapping[str, int]
    fields: Mapping[Path, Field]
    literal: Mapping[Path, frozenset[str]]
    plain: bool
    lists: Lists
    phrases: Mapping[Path, Mapping[tuple[str, ...], Phrase]]
    paths: Sequence[frozenset[Path]] = ()
    twins: Sequence[Mapping[str, str]] = ()

    def read(self, prompt: str, answer: str) -> tuple[int, Json]:
        """The form of an answer, `len(forms)` when it has none, and the values of its fields."""
        flat = self.flat(answer)
        if flat is None:
            return len(self.keys), {}
        key, values = self.split(prompt, flat)
        form = self.keys.get(key, len(self.keys))
        if form < len(self.keys) and not self._fits(form, flat, values):
            form = len(self.keys)
        return form, values

    def flat(self, answer: str) -> Flat | None:
        """The values of an answer; None when it cannot be read."""
        return {(): answer} if self.plain else flatten(answer, self.lists)

    def _fits(self, form: int, flat: Flat, values: Mapping[str, object]) -> bool:
        same = all(values[name] == values[other] for name, other in self.twins[form].items())
        return same and flat.keys() <= self.paths[form]

    def split(self, prompt: str, flat: Flat) -> tuple[str, Json]:
        """An answer's text without the values of its fields, and the values."""
        kept: list[Any] = sorted(places_of(flat).items(), key=str)
        values: Json = {}
        for path, value in flat.items():
            field = self.fields.get(path)
            if field is not None and field.how == "listed" and isinstance(value, list):
                kept.append([path, field.how])  # to have no list is another form
                values[field.name] = value
            elif field is not None and field.how != "listed":
                values[field.name] = value
            elif isinstance(value, str) and path in self.literal:
                sentence, fillings = slots(value, prompt, self.literal[path], named(path))
                phrase = self.phrases.get(path, {}).get(tuple(fillings))
                parts = phrase.read(sentence) if phrase else None
                if phrase and parts is not None:
                    kept.append([path, phrase.text, list(phrase.names)])
                else:
                    kept.append([path, sentence, list(fillings)])
                values |= fillings | (parts or {})
            else:
                kept.append([path, value, []])
        return json.dumps(kept), values


def learn(
    prompts: Sequence[str], answers: Sequence[str], contract: Contract, told: str = ""
) -> tuple[Forms, Reader] | str:
    """The forms of a task's answers and how to read them, or why there are none, in a sentence.

    `told` is what all prompts say, such as a list of the labels.
    """
    plain = contract.kind in ("labels", "text")
    lists = Lists() if plain else _lists(prompts, answers)
    flats = map(Reader({}, {}, {}, plain, lists, {}).flat, answers)
    rows = [(p, flat) for p, flat in zip(prompts, flats, strict=True) if flat is not None]
    fields, literal = _columns(rows, lists, told, called=contract.kind == "tools")
    spoken = _phrases(rows, literal)
    reader = Reader({}, fields, literal, plain, lists, spoken)
    readings: dict[str, list[Read]] = defaultdict(list)
    for prompt, flat in rows:
        key, values = reader.split(prompt, flat)
        readings[key].append((prompt, flat, values))
    least = max(3, len(rows) // 500)
    keys = sorted(
        (k for k in readings if len(readings[k]) >= least), key=lambda k: (-len(readings[k]), k)
    )
    share = sum(len(readings[k]) for k in keys) / max(1, len(answers))
    if share < FORMED:
        return f"only {share:.0%} of the answers have a form in common with others"
    groups = [readings[key] for key in keys]
    fields = _optional(fields, [[flat for _, flat, _ in group] for group in groups])
    twins = [_twins(key, group) for key, group in zip(keys, groups, strict=True)]
    reader = replace(reader, fields=fields)
    forms = tuple(
        _form(key, [flat for _, flat, _ in group], reader, same)
        for key, group, same in zip(keys, groups, twins, strict=True)
    )
    known = [*fields.values(), *_parts(spoken)]
    needed = _needed(forms, known, [row for group in groups for row in group])
    numbers = {key: number for number, key in enumerate(keys)}
    paths = [frozenset(form.paths) for form in forms]
    reader = replace(reader, keys=numbers, paths=paths, twins=twins)
    return Forms(forms=forms, fields=needed, plain=plain), reader


def _lists(prompts: Sequence[str], answers: Sequence[str]) -> Lists:
    rows = list(zip(prompts, map(structure, answers), strict=True))
    tagged = listed(rows)
    picked = {path: menu for path, menu in menus(rows).items() if path not in tagged}
    return Lists(tagged, picked)


def _phrases(
    rows: Sequence[tuple[str, Flat]], literal: Mapping[Path, frozenset[str]]
) -> dict[Path, dict[tuple[str, ...], Phrase]]:
    """The phrases of each path's sentences."""
    found: dict[Path, dict[tuple[str, ...], Phrase]] = {}
    for path, words in literal.items():
        said = (
            slots(flat[path], prompt, words, named(path))
            for prompt, flat in rows[:MOST]
            if isinstance(flat.get(path), str)
        )
        found[path] = phrases(((text, tuple(fillings)) for text, fillings in said), named(path))
    return found


def _parts(spoken: Mapping[Path, Mapping[tuple[str, ...], Phrase]]) -> Iterator[Field]:
    """The parts of phrases, as fields."""
    for some in spoken.values():
        for phrase in some.values():
            for name, values in phrase.parts.items():
                yield Field(name=name, how="closed", values=values)


def _needed(
    forms: Sequence[Form], fields: Iterable[Field], rows: Sequence[Read]
) -> tuple[Field, ...]:
    """The fields that the forms name; those of slots are learned from what stood in them."""
    by_name = {field.name: field for field in fields}
    stood: dict[str, list[Pair]] = defaultdict(list)
    for prompt, _, values in rows:
        for name, value in values.items():
            stood[name].append((prompt, value))
    names = dict.fromkeys(name for form in forms for name in form.names)
    return tuple(by_name.get(name) or slot_of(name, stood[name]) for name in names)


def _twins(key: str, group: Sequence[Read]) -> dict[str, str]:
    """Slots of a form that hold the same in all of its answers, and the first of each."""
    names = [name for row in json.loads(key) if len(row) == 3 for name in row[2]]
    columns = {name: tuple(str(values[name]) for _, _, values in group) for name in names}
    first: dict[tuple[str, ...], str] = {}
    for name, column in columns.items():
        first.setdefault(column, name)
    return {name: first[column] for name, column in columns.items() if first[column] != name}


def _optional(fields: Mapping[Path, Field], groups: Sequence[Sequence[Flat]]) -> dict[Path, Field]:
    """Closed fields that are not always there have one value more."""
    result = dict(fields)
    for path, field in fields.items():
        counts = [(sum(path in flat for flat in flats), len(flats)) for flats in groups]
        if field.how == "closed" and any(0 < seen < n for seen, n in counts):
            values = (*field.values, ABSENT)
            result[path] = Field(name=field.name, how="closed", values=values)
    return result


def _columns(
    rows: Sequence[tuple[str, Flat]], lists: Lists, told: str, *, called: bool
) -> tuple[dict[Path, Field], dict[Path, frozenset[str]]]:
    """Return what each path is.

    A field, or else sentences with the words that are not copied in them.
    """
    columns: dict[Path, list[Pair]] = defaultdict(list)
    for prompt, flat in rows:
        for path, value in flat.items():
            columns[path].append((prompt, value))
    fields = dict(lists.listed)
    literal: dict[Path, frozenset[str]] = {}
    for path, pairs in columns.items():
        if path in fields:
            continue
        function = called and len(path) == 3 and path[2] == "name"
        field = None if function else field_of(named(path), pairs, told)
        if field is not None:
            fields[path] = field
        elif not function:
            literal[path] = literal_words([(p, v) for p, v in pairs if isinstance(v, str)])
    return fields, literal


def _spoken(part: Fixed, values: Mapping[str, Any]) -> object:
    if not part.slots:
        return part.value
    if any(values[name] == ABSENT for name in part.slots):
        raise ValueError(f"a slot without its value: {part.value}")
    pieces = part.value.split(SLOT)
    filled = [piece + str(values[name]) for piece, name in zip(pieces, part.slots, strict=False)]
    return "".join(filled) + pieces[-1]


def _form(key: str, flats: Sequence[Flat], reader: Reader, twins: Mapping[str, str]) -> Form:
    """The form of answers with the same key; a path that few of them have is left out."""
    counts = Counter(path for flat in flats for path in flat)
    kept = [path for path, count in counts.items() if count >= max(2, RARE * len(flats))]
    fixed = {
        tuple(path): Fixed(value=value, slots=tuple(twins.get(name, name) for name in slots))
        for path, value, slots in (row for row in json.loads(key) if len(row) == 3)
    }
    parts = tuple(fixed[path] if path in fixed else reader.fields[path].name for path in kept)
    return Form(paths=tuple(kept), parts=parts)
