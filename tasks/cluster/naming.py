"""Names of tasks, in words that a person understands, and their kind of work."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from tasks.cluster import wording
from tasks.cluster.signatures import tool_names, user_text
from tasks.core.contract import Contract, answer_of, structure
from tasks.core.records import CleanCall, strings
from tasks.core.schema import functions
from tasks.core.task import Category
from tasks.core.template import Template

_WRITES = re.compile(
    r"book|cancel|delete|remove|update|create|send|pay|transfer|refund|order|buy|reserve|issue"
    r"|schedule|set_|add_|submit|modify|close|open_",
    re.IGNORECASE,
)
_SUMMARY = re.compile(r"summar|tl;?dr|condense|recap|minutes of", re.IGNORECASE)
_CODE = re.compile(
    r"```|^\s*(def |class |import |#include|public |function |(?i:select)\b.+(?i:from)\b)",
    re.MULTILINE | re.DOTALL,
)
LINE = 150  # characters of a description


def constant_text(template: Template) -> str:
    """All that is constant in a template, as one text."""
    patterns = [p for head in template.heads for p in head.patterns] + list(template.first)
    return "\n".join(constant for p in patterns for constant in p.constants if constant.strip())


def name_of(template: Template, calls: Sequence[CleanCall], contract: Contract) -> str:
    """Two to four words: what is done to what, by whom, or with what."""
    text = constant_text(template)
    done, who = wording.action(text), wording.role(text)
    if contract.kind == "tools":  # a role says more than the first rule of its prompt
        words = who or done or [*_tool_words(calls)[:2], "agent"]
    else:
        words = done if len(done) > 2 or not who else who if len(who) > len(done) else done
    words = words or _keys(contract) or wording.plain(text) or _common(calls)
    name = " ".join(dict.fromkeys(words[:4])) or "calls"
    return name[:1].upper() + name[1:]


def apart(names: Sequence[str], about: Sequence[Sequence[str]]) -> list[str]:
    """The names, equal ones told apart by words (`about` each) that the others do not have."""
    result = list(names)
    for name, times in Counter(names).items():
        same = [place for place, other in enumerate(names) if other == name]
        for place in same if times > 1 else ():
            others = Counter(w for other in same if other != place for w in set(about[other]))
            own = [word for word in about[place] if others[word] < len(same) / 2]
            result[place] = f"{name}: {', '.join(own[:2])}" if own else name
    seen: Counter[str] = Counter()
    for place, name in enumerate(result):
        seen[name] += 1
        result[place] = f"{name} {seen[name]}" if seen[name] > 1 else name
    return result


def about(template: Template, calls: Sequence[CleanCall]) -> list[str]:
    """Words for what a task deals with, the most telling first."""
    return list(dict.fromkeys(_tool_words(calls) + wording.plain(constant_text(template))))


def describe(template: Template, calls: Sequence[CleanCall], contract: Contract) -> str:
    """One line: what the prompt asks for, and what comes back."""
    text = constant_text(template)
    words = wording.action(text) or wording.role(text)
    if contract.kind == "tools":
        words = wording.role(text) or words
    asked = wording.sentence(text, words) if text else user_text(calls[0].request)
    asked = " ".join(asked.split()).strip("-* ")
    if len(asked) > LINE:
        asked = asked[:LINE].rsplit(" ", 1)[0] + " …"
    return f"{asked} → {_output(contract)}"


def category_of(template: Template, calls: Sequence[CleanCall], contract: Contract) -> Category:
    """The kind of work, from the answers and how much of them stands in the question."""
    if contract.kind == "tools":
        return "tool calling"
    if contract.kind == "labels":
        return "classification"
    answers = [answer_of(call.reply) for call in calls]
    if contract.kind == "json":
        return _structured(calls, answers)
    if sum(bool(_CODE.search(answer)) for answer in answers) > len(answers) / 2:
        return "code"
    return "summarisation" if _SUMMARY.search(constant_text(template)) else "open-ended"


def fitness_of(
    template: Template, calls: Sequence[CleanCall], contract: Contract
) -> dict[str, float]:
    """Return how repetitive, how constrained and how risky a task is, 0 to 1 each."""
    lengths = [sum(len(str(m.get("content") or "")) for m in c.messages) for c in calls]
    answers = [answer_of(call.reply) for call in calls]
    closed = 1 - len(set(answers)) / max(1, len(answers))
    base = {"labels": 1.0, "json": 0.7, "tools": 0.6, "text": 0.1}[contract.kind]
    called = [name for answer in answers for name in _called(answer)]
    writes = sum(bool(_WRITES.search(name)) for name in called) / max(1, len(answers))
    risky = min(1.0, max(writes, 0.5 if contract.kind == "text" else 0.0))
    return {
        "repetitive": round(min(1.0, template.characters * len(calls) / max(1, sum(lengths))), 3),
        "constrained": round(max(base, closed), 3),
        "risky": round(risky, 3),
    }


def _called(answer: str) -> list[str]:
    value = structure(answer)
    calls = value.get("tool_calls", ()) if isinstance(value, dict) else ()
    return [str(call.get("name")) for call in calls]


def _structured(calls: Sequence[CleanCall], answers: Sequence[str]) -> Category:
    """Classification when nearly no string is new, extraction when most stand in the question."""
    pairs = [
        (value.lower(), user_text(call.request).lower())
        for call, answer in zip(calls, answers, strict=True)
        for value in strings(structure(answer))
        if value
    ]
    copied = sum(value in asked for value, asked in pairs)
    distinct = len({value for value, _ in pairs})
    short = sum(len(value) <= 60 for value, _ in pairs)
    # A handful of values in many calls is a closed set, whatever their number.
    if (
        distinct <= max(3, 0.3 * len(pairs))
        and short >= 0.9 * len(pairs)
        and copied < 0.8 * len(pairs)
    ):
        return "classification"
    return "extraction" if 2 * copied >= len(pairs) else "structured generation"


def _output(contract: Contract) -> str:
    if contract.kind == "labels":
        return f"one of {len(contract.labels)} labels ({_some(contract.labels, 4)})"
    if contract.kind == "tools":
        names = [form["properties"]["name"]["const"] for form in functions(contract.schema or {})]
        return f"calls of {len(names)} tools ({_some(names, 4)})"
    keys = list((contract.schema or {}).get("properties") or ())
    return f"JSON with {_some(keys, 6)}" if keys else contract.kind.replace("json", "JSON")


def _some(words: Sequence[str], count: int) -> str:
    return ", ".join(words[:count]) + (", …" if len(words) > count else "")


def _tool_words(calls: Sequence[CleanCall]) -> list[str]:
    return wording.of_tools(sorted({n for call in calls[:200] for n in tool_names(call.request)}))


def _keys(contract: Contract) -> list[str]:
    keys = (contract.schema or {}).get("properties") or ()
    return (
        [word for key in keys for word in wording.plain(str(key))]
        if contract.kind == "json"
        else []
    )


def _common(calls: Sequence[CleanCall]) -> list[str]:
    words = Counter(w for call in calls for w in wording.plain(user_text(call.request)[:1_000]))
    return [word for word, _ in sorted(words.items(), key=lambda p: (-p[1], p[0]))[:3]]
