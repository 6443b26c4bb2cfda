"""Calls that a client steered: with options that their task does not use otherwise.

A teacher that was told what to say, or how wildly, or another model than the task's, says nothing
about the task: nothing is learned from such a call, and no student answers one. What is usual is a
task's own: a team that forces words, or uses two models, does so in a good part of its calls. Logs
without options steer nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from tasks.core.records import Json
from tasks.core.rows import Candidate

OPTIONS, MODEL = "unexpected options", "unexpected model"
ANY_MODEL = "model *"  # among what is usual: no model is the task's own
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


def usual(candidates: Sequence[Candidate]) -> frozenset[str]:
    """Return the settings that a task's calls have by design.

    Each counts for the calls that it stands for, as a student leaves few of the usual ones over.
    None without calls.
    """
    counts: defaultdict[str, float] = defaultdict(float)
    for candidate in candidates:
        for one in candidate.settings:
            counts[one] += candidate.row.weight
    calls = sum(candidate.row.weight for candidate in candidates)
    models = {one: count for one, count in counts.items() if _is_model(one)}
    named = sum(models.values())
    found = {one for one, count in models.items() if count >= SOME * named}
    if calls and (not models or max(models.values()) < MOST * named):
        found.add(ANY_MODEL)  # as where the gateway sets the teacher's, or where logs name none
    for one in counts.keys() - models.keys():
        if counts[one] >= (MOST if one in _FORCING else SOME) * calls:
            found.add(one)
    return frozenset(found)


def unusual(asked: Iterable[str], known: Collection[str] | None) -> str:
    """Return why a call with these settings is not as its task's are; empty where it is.

    Where nobody knows what is usual (None), only what forces words is unusual.
    """
    odd = [one for one in asked if not _is_usual(one, known)]
    return "" if not odd else MODEL if all(map(_is_model, odd)) else OPTIONS


def _is_model(setting: str) -> bool:
    return setting.startswith("model ")


def _is_usual(setting: str, known: Collection[str] | None) -> bool:
    if known is None:
        return setting not in _FORCING
    return setting in known or (_is_model(setting) and ANY_MODEL in known)
