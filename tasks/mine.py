"""Find a task's template in its requests: what stands in nearly all of them, word for word.

`mine(requests)` looks at the messages that open every prompt and at the user's messages; runs of
tokens that nearly all texts share become constants, what is between them slots. Dates are one
token, and today's date is a slot even when all the texts are of one day.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from tasks.noise import quiet, volatile
from tasks.records import Json
from tasks.template import Head, Pattern, Slot, Template, _blank, _texts, form_of, toolset

NEARLY_ALL = 0.97
SAMPLE = 200  # texts read closely; all are used to check the result
RUN = 3  # tokens in a shingle
FEW = 8  # texts under which a shared run may be chance

_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_WEEKDAY = r"(?:mon|tues|wednes|thurs|fri|satur|sun)day"
_DATE = (
    rf"(?:{_WEEKDAY},?\s+)?(?:\d{{1,2}}(?:st|nd|rd|th)?\s+{_MONTH}\.?,?\s+\d{{4}}"
    rf"|{_MONTH}\.?\s+\d{{1,2}}(?:st|nd|rd|th)?,?\s+\d{{4}})"
    r"|\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?"
    r"|\d{1,2}[/.]\d{1,2}[/.]\d{4}"
    rf"|\b{_WEEKDAY}\b"
)
_TOKEN = re.compile(rf"(?i:{_DATE})|\w+|\s+|[^\w\s]")
_START, _END = "\x02", "\x03"
_GLUE = "-_/@#"


def mine(
    requests: Sequence[Json], answers: Sequence[str] = (), at: Sequence[float] = ()
) -> Template:
    """The template of a task's requests.

    `answers` (canonical, one for each request) decide which slots are noise; `at`, the times of
    the requests, which dates are today's.
    """
    every = [list(request["messages"]) for request in requests]
    days = sorted({int(moment // 86_400) for moment in at})
    count = _head_count(every)
    turns = sum(len(m) > count + 1 for m in every) > (1 - NEARLY_ALL) * len(every)
    firsts = [next((t for t in m[count:] if t.get("role") == "user"), {}) for m in every]
    later = [t for m in every for t in _users(m[count:])[1:]]
    return Template(
        heads=tuple(_head([m[i] for m in every if len(m) > i], answers, days) for i in range(count)),
        first=_patterns([t for f in firsts if (t := _texts(f))], days, user=True),
        later=_patterns([t for f in later if (t := _texts(f))], days, user=True) or (Pattern(),),
        turns=turns,
        tools=_often(map(toolset, requests)),
        formats=_often(map(form_of, requests)),
    )


def constants_of(texts: Sequence[str], days: Sequence[int] = (), *, user: bool) -> list[str]:
    """What stands in nearly all texts, in order: as many constants as slots, and one more."""
    counts = Counter(texts)
    if len(counts) == 1 and (not user or sum(counts.values()) >= FEW):
        parts = _split_dates([_whole(texts[0])], days)
        return parts
    distinct = sorted(counts, key=lambda t: (-counts[t], t))
    if len(distinct) < FEW and user:
        return ["", ""]
    sample = _spread(distinct)
    shared = _shared(sample, _weights(sample, counts))
    parts = max((_runs(text, shared) for text in _references(sample, counts)), key=_solid)
    parts = _split_dates([_Text(p) for p in parts], days)
    return _fit([p for p in _widened(parts, user)], distinct, counts)


class _Text(str):
    """A constant; the first and the last of a pattern may be empty."""


def _whole(text: str) -> _Text:
    return _Text(text)


def _spread(texts: Sequence[str]) -> list[str]:
    step = max(1, len(texts) // SAMPLE)
    return list(texts[::step][:SAMPLE])
