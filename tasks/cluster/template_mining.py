"""Find a task's template in its requests: what stands in nearly all of them, word for word.

`mine(requests)` looks at the messages that open every prompt and at the user's messages. Runs of
tokens that nearly all texts share become constants, and what is between them slots. A date is one
token, and today's date is a slot even when all the texts are of one day.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import msgspec

from tasks.cluster.template_slots import DATE, date_spans, form, is_today, mark_noise, name
from tasks.core.records import Json
from tasks.core.template import Head, Pattern, Slot, Template, blank, form_of, texts_of, toolset

NEARLY_ALL = 0.97
SAMPLE = 160  # distinct texts read closely; the result is checked on more of them
CHECKED = 2_000
RUN = 3  # tokens in a shingle
FEW = 8  # texts under which a shared run may be chance

_TOKEN = re.compile(rf"{DATE}|\w+|\s+|[^\w\s]")
_EDGE = "\x00"  # stands before the first token and after the last one
_GLUED_TAIL = re.compile(r"[\w@#/.-]*[@#/_-]$|[\w@#/-]+\.$")
_GLUED_HEAD = re.compile(r"^[@#/_-][\w@#/.-]*")


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
    heads = [
        _head([m[i] if len(m) > i else {} for m in every], answers, days) for i in range(count)
    ]
    spoken = [[t for t in m[count:] if _spoken(t)] for m in every]
    return Template(
        heads=tuple(heads),
        first=_user_patterns([m[0] for m in spoken if m], days),
        later=_user_patterns([t for m in spoken for t in m[1:]], days),
        turns=_share(len(m) > count + 1 for m in every) > 1 - NEARLY_ALL,
        tools=_often(map(toolset, requests)),
        formats=_often(map(form_of, requests)),
    )


def _spoken(message: Json) -> bool:
    return message.get("role") == "user" and message.get("content") is not None


def _share(tests: Iterable[bool]) -> float:
    results = list(tests)
    return sum(results) / len(results) if results else 0.0


def _often(digests: Iterable[str]) -> tuple[str, ...]:
    """Those seen in at least 1 % of the requests, and twice where there are enough."""
    counts = Counter(digests)
    floor = max(2.0 if counts.total() >= 20 else 1.0, 0.01 * counts.total())
    return tuple(sorted(d for d, n in counts.items() if n >= floor))


def _head_count(every: Sequence[Sequence[Json]]) -> int:
    """Return how many messages open nearly every prompt: instructions, then fixed examples."""
    count = 0
    while _share(len(m) > count + 1 for m in every) >= NEARLY_ALL:
        contents = [m[count] for m in every if len(m) > count + 1]
        told = _share(t.get("role") in ("system", "developer") for t in contents) >= NEARLY_ALL
        same = Counter(msgspec.json.encode(t) for t in contents).most_common(1)[0][1]
        if not told and (same < NEARLY_ALL * len(contents) or len(contents) < FEW):
            break
        count += 1
    return count


def _head(messages: Sequence[Json], answers: Sequence[str], days: Sequence[int]) -> Head:
    shapes = Counter(msgspec.json.encode(blank(m)) for m in messages)
    shape = msgspec.json.decode(shapes.most_common(1)[0][0])
    usual = [i for i, m in enumerate(messages) if blank(m) == shape]
    columns = list(zip(*(texts_of(messages[i]) or [] for i in usual), strict=True))
    some_answers = [answers[i] for i in usual] if answers else []
    return Head(
        shape, tuple(pattern_of(c, days, answers=some_answers, user=False) for c in columns)
    )


def _user_patterns(messages: Sequence[Json], days: Sequence[int]) -> tuple[Pattern, ...]:
    """A pattern for each text of a user message; one free text when there is nothing to see."""
    texts = [t for m in messages if (t := texts_of(m)) is not None]
    if not texts:
        return (Pattern(),)
    usual = Counter(map(len, texts)).most_common(1)[0][0]
    columns = zip(*(t for t in texts if len(t) == usual), strict=True)
    return tuple(pattern_of(column, days, user=True) for column in columns)


def pattern_of(
    texts: Sequence[str], days: Sequence[int] = (), *, answers: Sequence[str] = (), user: bool
) -> Pattern:
    """The pattern of many texts. A user's text must share more than a prompt before it counts."""
    constants = constants_of(texts, days, user=user)
    bare = Pattern(tuple(constants), tuple(Slot(name="") for _ in constants[1:]))
    matches = [(i, v) for i, text in enumerate(texts) if (v := bare.match(text)) is not None]
    columns = [[values[slot] for _, values in matches] for slot in range(len(bare.slots))]
    slots: list[Slot] = []
    for before, column in zip(constants, columns, strict=False):
        label = name(before, column, [slot.name for slot in slots])
        slots.append(Slot(name=label, form="" if user else form(column)))
    if answers and not user:
        slots = list(mark_noise(slots, columns, [answers[i] for i, _ in matches]))
    return Pattern(tuple(constants), tuple(slots))


def constants_of(texts: Sequence[str], days: Sequence[int] = (), *, user: bool) -> list[str]:
    """Return what stands in nearly all texts, in order: one constant more than there are slots."""
    counts = Counter(texts)
    if counts.most_common(1)[0][1] >= NEARLY_ALL * len(texts):
        whole = counts.most_common(1)[0][0]
        return ["", ""] if user and len(texts) < FEW else _cut_dates([whole], days)
    if len(counts) < FEW and user:
        return ["", ""]
    distinct = sorted(counts, key=lambda text: (-counts[text], text))[:CHECKED]
    sample = distinct[:: max(1, len(distinct) // SAMPLE)]
    shared = _shared(sample, counts)
    by_length = sorted(sample, key=lambda text: (len(text), text))
    # A run may stand twice in one text by chance: several texts are tried as the model.
    models = {by_length[int(q * (len(by_length) - 1))] for q in (0, 0.1, 0.3, 0.5, 0.7)}
    tries = [
        _fitted(_runs(model, shared), distinct, counts, days, user) for model in sorted(models)
    ]
    return max(tries, key=lambda constants: (sum(map(len, constants)), constants))


def _fitted(
    constants: list[str],
    texts: Sequence[str],
    counts: Counter[str],
    days: Sequence[int],
    user: bool,
) -> list[str]:
    constants = _solid(_widened(_cut_dates(constants, days)), user)
    while True:
        slots = tuple(Slot(name="") for _ in constants[1:])
        pattern = Pattern(tuple(constants), slots)
        missed = [text for text in texts if pattern.match(text) is None]
        total = sum(counts[text] for text in texts)
        if sum(counts[text] for text in missed) <= (1 - NEARLY_ALL) * total:
            return constants
        constants = _without_worst(constants, missed)


def _without_worst(constants: list[str], missed: Sequence[str]) -> list[str]:
    """The constants without the one that most of the missed texts lack (the shortest on ties).

    Its two ends stay where those texts have them: `Do this: A` and `Do this: B, A` have
    all runs of three tokens of the first in common, and yet not the whole of it.
    """
    last = len(constants) - 1
    has = [_stands(place == 0, place == last) for place in range(last + 1)]

    def lack(place: int) -> tuple[int, int]:
        constant = constants[place]
        return sum(not has[place](text, constant) for text in missed), -len(constant)

    worst = max((place for place in range(last + 1) if constants[place]), key=lack)
    lacking = [text for text in missed if not has[worst](text, constants[worst])]
    front, back = _ends(constants[worst], lacking, worst == 0, worst == last)
    kept = [end for end, edge in ((front, worst == 0), (back, worst == last)) if end or edge]
    return _widened([*constants[:worst], *kept, *constants[worst + 1 :]])


def _stands(first: bool, last: bool) -> Callable[[str, str], bool]:
    """Return how a text has a constant: as its beginning, its end, all of it, or anywhere."""
    if first and last:
        return str.__eq__
    return str.startswith if first else str.endswith if last else str.__contains__


def _ends(constant: str, texts: Sequence[str], first: bool, last: bool) -> tuple[str, str]:
    """The longest beginning and end of a constant that nearly all of some texts have.

    Both are empty where no text lacks it: then its place is wrong.
    """
    some = texts[:: max(1, len(texts) // SAMPLE)]
    if not some:
        return "", ""
    tokens = _TOKEN.findall(constant)
    front = _longest(lambda n: "".join(tokens[:n]), len(tokens), some, _stands(first, False))
    tokens = _TOKEN.findall(constant[len(front) :])
    return front, _longest(
        lambda n: "".join(tokens[len(tokens) - n :]), len(tokens), some, _stands(False, last)
    )


def _longest(
    part: Callable[[int], str], most: int, texts: Sequence[str], has: Callable[[str, str], bool]
) -> str:
    """The longest of ever longer parts that nearly all texts have; empty where it says little."""

    def lacked(length: int) -> bool:
        return sum(has(text, part(length)) for text in texts) < NEARLY_ALL * len(texts)

    found = part(bisect_left(range(1, most + 1), True, key=lacked))
    return found if _fixed(found) else ""


def _shingles(tokens: Sequence[str]) -> list[tuple[str, ...]]:
    return [tuple(tokens[i : i + RUN]) for i in range(len(tokens) - RUN + 1)]


def _tokens(text: str) -> list[str]:
    return [_EDGE, *(match.group() for match in _TOKEN.finditer(text)), _EDGE]


def _shared(texts: Sequence[str], counts: Counter[str]) -> set[tuple[str, ...]]:
    """The shingles of nearly all texts."""
    seen: Counter[tuple[str, ...]] = Counter()
    for text in texts:
        for shingle in set(_shingles(_tokens(text))):
            seen[shingle] += counts[text]
    total = sum(counts[text] for text in texts)
    return {shingle for shingle, n in seen.items() if n >= NEARLY_ALL * total}


def _runs(text: str, shared: set[tuple[str, ...]]) -> list[str]:
    """The shared runs of one text, as constants."""
    tokens = _tokens(text)
    held, linked = [False] * len(tokens), [False] * len(tokens)
    for start, shingle in enumerate(_shingles(tokens)):
        if shingle in shared:
            for i in range(start, start + RUN):
                held[i] = True
                linked[i] = linked[i] or i > start
    runs: list[list[str]] = [[]] if not held[0] else []
    for i, token in enumerate(tokens):
        if held[i]:
            if not (linked[i] and runs):
                runs.append([])
            runs[-1].append("" if token == _EDGE else token)
    if not held[-1] or len(runs) == 0:
        runs.append([])
    constants = ["".join(run) for run in runs]
    return constants if len(constants) > 1 or (held[0] and held[-1]) else [*constants, ""]


def _cut_dates(constants: Sequence[str], days: Sequence[int]) -> list[str]:
    """The constants, cut where today's date stands."""
    result: list[str] = []
    for constant in constants:
        start = 0
        for span in date_spans(constant):
            if is_today(constant, span, days):
                result.append(constant[start : span[0]])
                start = span[1]
        result.append(constant[start:])
    return result


def _widened(constants: Sequence[str]) -> list[str]:
    """Slots grow to whole words: in `en-AU` and `en-GB` all of the word is the slot."""
    last = len(constants) - 1
    result = []
    for place, constant in enumerate(constants):
        if place < last:
            constant = _GLUED_TAIL.sub("", constant)
        if place > 0:
            constant = _GLUED_HEAD.sub("", constant)
        result.append(constant)
    return result


def _solid(constants: Sequence[str], user: bool) -> list[str]:
    """The constants that are too long to be chance; the first and the last become empty instead."""
    last = len(constants) - 1
    result = []
    for place, constant in enumerate(constants):
        keep = _fixed(constant) if user else (place in (0, last) or _telling(constant))
        if keep or place in (0, last):
            result.append(constant if keep else "")
    return result


def _telling(constant: str) -> bool:
    return bool(re.search(r"[^\W\d_]{2}|\n|\S\s|\s\S", constant)) and len(constant) > 2


def _fixed(constant: str) -> bool:
    words = re.findall(r"[^\W\d_]{2,}", constant)
    return len(words) >= 4 or bool(re.search(r"[^\W\d_]{2,}[^\n]{0,40}[:\n\]>}=]", constant))
