"""Signatures: what clustering sees of a call, and how similar two of them are.

Template evidence is what many prompts share: 4-token shingles of the system prompt and of the
first user message, digits and days masked, that stand in long runs. A signature is that evidence,
the declared tools, the response format and the shape of the reply. Equal signatures are counted,
not kept, so the work after this grows with the number of distinct ones.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tasks.core.contract import answer_of, structure
from tasks.core.records import CleanCall, Json, digest, text_of
from tasks.core.template import form_of

SHINGLE = 4
RUN = {"system": 6, "user": 12}  # tokens that a shared run must have to be template evidence
MIN_COUNT, MIN_SHARE = 8, 0.0015
WEIGHTS = {"text": 0.55, "tools": 0.25, "format": 0.03, "shape": 0.17}
COVERED = 0.25  # share of a text that its runs must cover: less is chance in long texts
CHARACTERS = 20_000  # of a text that are looked at

_DAY = (
    r"(?:mon|tues|wednes|thurs|fri|satur|sun)day|january|february|march|april|june|july|august"
    r"|september|october|november|december|(?:jan|feb|mar|apr|jun|jul|aug|sep|oct|nov|dec)\b"
)
_MASKED = re.compile(rf"\b(?:[^\W\d]*\d\w*|(?:{_DAY})\b)")  # \b first: one try for each word
_TOKEN = re.compile(r"\w+|[^\w\s]")
_SQL = re.compile(
    r"\s*(select|with|insert|update|delete|create)\b.*\b(from|into|set|table|as)\b", re.I | re.S
)


@dataclass(frozen=True, slots=True)
class Signature:
    """A call as the clustering sees it. Calls of equal signature are one point."""

    text: frozenset[int]
    tools: frozenset[str]
    format: str
    shape: frozenset[str]
    system: frozenset[int] = frozenset()  # the part of the text that the system prompt holds

    @property
    def key(self) -> str:
        """A stable name: the order of equal counts."""
        parts = [sorted(self.text), sorted(self.tools), self.format, sorted(self.shape)]
        return digest(repr(parts))


def similarity(a: Signature, b: Signature) -> float:
    """Weighted Jaccard over the channels that either has."""
    score = total = 0.0
    for channel, weight in WEIGHTS.items():
        if channel == "format":
            if a.format or b.format:
                total += weight
                score += weight * (a.format == b.format)
            continue
        mine, other = getattr(a, channel), getattr(b, channel)
        if mine or other:
            total += weight
            share = len(mine & other) / len(mine | other)
            # One key more or less is another kind of answer; one line more is the same prompt.
            score += weight * (share**2 if channel == "shape" else share)
    return score / total if total else 1.0


def signatures(calls: Sequence[CleanCall]) -> list[Signature]:
    """The signature of each call, given the others."""
    prompts = [(_masked(system_text(c.request)), _masked(user_text(c.request))) for c in calls]
    runs = _Runs(prompts)
    tools = _recurring_tools(calls)
    return [
        Signature(
            runs.of(system, "system") | runs.of(user, "user"),
            frozenset(tool_names(call.request)) & tools,
            form_of(call.request),
            shape(call),
            runs.of(system, "system"),
        )
        for call, (system, user) in zip(calls, prompts, strict=True)
    ]


def system_text(request: Json) -> str:
    """The instructions that open a prompt."""
    messages = request["messages"]
    told = (m for m in messages if m.get("role") in ("system", "developer"))
    return "\n".join(text_of(m.get("content")) for m in told)[:CHARACTERS]


def user_text(request: Json) -> str:
    """The first thing that the user says."""
    turns = [m for m in request["messages"] if m.get("role") == "user"]
    return text_of(turns[0].get("content"))[:CHARACTERS] if turns else ""


def tool_names(request: Json) -> list[str]:
    """The names of the declared tools."""
    tools = request.get("tools") or request.get("functions") or ()
    return [str((t.get("function") or t).get("name") or "") for t in tools]


def shape(call: CleanCall) -> frozenset[str]:
    """Return what kind of answer a call gets, in a few words: comparable, never the answer itself.

    Whether an agent's turn calls a tool or talks is one kind of work.
    """
    if call.tools:
        return frozenset({"tools"})
    answer = answer_of(call.reply)
    value = structure(answer)
    if isinstance(value, dict):
        return frozenset(f"key:{key}" for key in value) or frozenset({"json"})
    if isinstance(value, list):
        return frozenset({"list"})
    if _SQL.match(answer):
        return frozenset({"sql"})
    short = len(answer) <= 40 and "\n" not in answer and len(answer.split()) <= 5
    return frozenset({"label" if short else "prose"})


def _masked(text: str) -> str:
    return _MASKED.sub("0", text.lower())


def _recurring_tools(calls: Sequence[CleanCall]) -> set[str]:
    counts = Counter(name for call in calls for name in set(tool_names(call.request)))
    floor = max(MIN_COUNT, MIN_SHARE * len(calls))
    return {name for name, n in counts.items() if n >= floor}


class _Runs:
    """The shingles of each text that stand in long runs of frequent ones."""

    def __init__(self, prompts: Sequence[tuple[str, str]]) -> None:
        # A conversation repeats its opening on every turn: each opening counts once.
        self._ids: dict[tuple[str, ...], int] = {}
        self._of: dict[tuple[str, str], list[int]] = {}
        self._kept: dict[tuple[str, str], frozenset[int]] = {}
        openings = sorted(set(prompts))
        floor = max(MIN_COUNT, MIN_SHARE * len(openings))
        self._often = {
            "system": self._frequent([s for s, _ in openings], "system", floor),
            "user": self._frequent(sorted({u for _, u in openings}), "user", floor),
        }

    def of(self, text: str, role: str) -> frozenset[int]:
        """The evidence in one text."""
        if (role, text) not in self._kept:
            self._kept[role, text] = frozenset(self._in_runs(text, role))
        return self._kept[role, text]

    def _shingles(self, text: str, role: str) -> list[int]:
        if (role, text) not in self._of:
            tokens = _TOKEN.findall(text)
            grams = zip(*(tokens[i:] for i in range(SHINGLE)), strict=False)
            ids = self._ids
            self._of[role, text] = [ids.setdefault((role, *g), len(ids)) for g in grams]
        return self._of[role, text]

    def _frequent(self, texts: Iterable[str], role: str, floor: float) -> set[int]:
        counts: defaultdict[int, int] = defaultdict(int)
        for text, times in Counter(texts).items():
            for shingle in set(self._shingles(text, role)):
                counts[shingle] += times
        return {shingle for shingle, n in counts.items() if n >= floor}

    def _in_runs(self, text: str, role: str) -> list[int]:
        often, need = self._often[role], RUN[role] - SHINGLE + 1
        result: list[int] = []
        run: list[int] = []
        for shingle in [*self._shingles(text, role), -1]:
            if shingle in often:
                run.append(shingle)
                continue
            if len(run) >= need:
                result += run
            run = []
        return result if len(result) >= COVERED * len(self._shingles(text, role)) else []
