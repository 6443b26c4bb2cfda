"""Calls that a client steered: with options that their task does not use otherwise.

A teacher that was told what to say, or how wildly, or another model than the task's, says nothing
about the task. What is usual is a task's own: a team that forces words, or uses two models, does so
in a good part of its calls. Logs without options steer nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tasks.core.records import Json
from tasks.core.rows import Candidate

OPTIONS, MODEL = "unexpected options", "unexpected model"
MOST, SOME = 0.5, 0.1  # shares of a task's calls that make an option usual
HOT = 1.0  # the highest temperature that is usual everywhere: what an API does if not asked

# Options that say nothing about what is answered, or that a task's template or contract knows.
_PLAIN = frozenset(
    (
        *("messages", "tools", "tool_choice", "functions", "function_call", "response_format"),
        *("parallel_tool_calls", "stream", "stream_options", "n", "user", "metadata", "store"),
        *("max_tokens", "max_completion_tokens", "top_p", "min_p", "top_k", "logprobs"),
        *("top_logprobs", "service_tier", "safety_identifier", "prompt_cache_key"),
        *("prompt_cache_retention", "reasoning_effort", "verbosity", "modalities"),
    )
)
# Options that force or forbid words: usual only where most calls have them.
_FORCING: Mapping[str, Callable[[Any], bool]] = {
    "logit_bias": bool,
    "temperature": lambda value: isinstance(value, int | float) and value > HOT,
    **dict.fromkeys(("presence_penalty", "frequency_penalty"), lambda value: value != 0),
    "repetition_penalty": lambda value: value != 1,
}


def settings(request: Json) -> tuple[str, ...]:
    """Return what a request asks of the teacher beside its text, a name each: `model m`."""
    found = [f"model {request['model']}"] if request.get("model") else []
    for name, value in request.items():
        if name in _FORCING:
            found += [name] if value is not None and _FORCING[name](value) else []
        elif name not in _PLAIN and name != "model" and value not in (None, "", [], {}, False):
            found.append(f"option {name}")
    return tuple(found)


def unexpected(candidates: Sequence[Candidate]) -> dict[str, str]:
    """Return why calls (by id) of one task are not learned from; the others are as usual."""
    counts = Counter(one for c in candidates for one in c.settings)
    models = sum(n for one, n in counts.items() if one.startswith("model "))

    def usual(one: str) -> bool:
        if one.startswith("model "):
            return counts[one] >= SOME * models or _none_is_usual(counts, models)
        return counts[one] >= (MOST if one in _FORCING else SOME) * len(candidates)

    reasons = {}
    for candidate in candidates:
        odd = [one for one in candidate.settings if not usual(one)]
        if odd:
            model = all(one.startswith("model ") for one in odd)
            reasons[candidate.row.id] = MODEL if model else OPTIONS
    return reasons


def _none_is_usual(counts: Counter[str], models: int) -> bool:
    """Return whether every call names another model, as where the gateway sets the teacher's."""
    return max(n for one, n in counts.items() if one.startswith("model ")) < MOST * models
