"""Values that a reply copied from its prompt: they are written as the prompt has them now.

A detector may see less in a value alone than in the sentence that it comes from.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from tasks.deidentify.findings import Finding
from tasks.deidentify.scanner import leaves
from tasks.deidentify.surrogates import Surrogates

Replaced = list[tuple[Finding, Surrogates]]
SHORT = 3  # characters of a value that may stand anywhere by chance


def copied(
    value: str,
    prompt: Iterable[tuple[int, str, str]],
    every: Callable[[int, int, str], Replaced],
) -> Replaced | None:
    """Return what is replaced in a value where it stands in the prompt; None when it does not.

    `prompt` are its strings with a number and a path, `every` gives all that is replaced in a leaf:
    by the string's number, the leaf's, and its text. Of several places, the one with most.
    """
    if sum(map(str.isalnum, value)) <= SHORT:
        return None
    places: list[Replaced] = []
    whole = re.compile(rf"(?<!\w){re.escape(value)}(?!\w)")
    for index, path, text in prompt:
        if value not in text:
            continue
        for here, leaf in enumerate(leaves(text, path)):
            spans = [match.span() for match in whole.finditer(leaf.text)]
            findings = every(index, here, leaf.text) if spans else []
            places += [part for span in spans if (part := _within(findings, *span)) is not None]
    return max(places, key=len, default=None)


def _within(
    findings: Sequence[tuple[Finding, Surrogates]], start: int, end: int
) -> Replaced | None:
    """The findings in a stretch of a text, counted from its start; None if one reaches beyond."""
    inside = [(f, people) for f, people in findings if f.start < end and start < f.end]
    if any(f.start < start or end < f.end for f, _ in inside):
        return None
    return [(replace(f, start=f.start - start, end=f.end - start), p) for f, p in inside]
