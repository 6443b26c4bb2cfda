"""Label names: what the values of closed choices are called, and what the prompt says of each."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tasks.students.heads import Layout
from tasks.students.slots import ABSENT

_SPLIT = re.compile(r"[\W_]+|(?<=[a-z])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Name:
    """The `value` of a closed `field`, as a text that describes it.

    It is `told` where the prompt speaks of it, so that it is known before it ever came.
    """

    text: str
    field: str
    value: int
    told: bool


def named(layout: Layout, told: str) -> list[Name]:
    """Return what the values of closed fields are called and described as."""
    names = []
    for field in layout.forms.fields:
        for value, name in enumerate(field.values if field.chosen else ()):
            if isinstance(name, str) and sum(map(str.isalpha, name)) > 2 and name != ABSENT:
                stands = name.lower() in told.lower()
                names.append(Name(described(name, told), field.name, value, stands))
    return names


def described(name: str, told: str) -> str:
    """A label in words, with what the prompt says about it: `- refund: money back` does."""
    words = " ".join(part for part in _SPLIT.split(name) if part)
    line = re.compile(
        rf"^[^\w\n]*{re.escape(name)}[\"'`*)\]]*\s*(?::|=|--?|[\u2013\u2014]|->)\s*(\S.{{5,300}})$",
        re.IGNORECASE | re.MULTILINE,
    )
    match = line.search(told)
    return f"{words}: {match[1].strip()}" if match else words
