"""The end of an answer and its cost: finish reasons and token counts of all providers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.ingest.wire.shape import first, loads, whole

INCOMPLETE = "incomplete"  # our finish reason of a stream that broke off
PAUSED = "paused"  # the model was interrupted in the middle of its turn
FAILED = "failed"  # the provider says that what came back is no answer

# In lower case, `-` for `_`. What is not here comes through as it is, and validation refuses it.
_FINISH = {
    **dict.fromkeys(
        ("stop", "end-turn", "eos", "eos-token", "stop-sequence", "stop-string", "complete"), "stop"
    ),
    **dict.fromkeys(
        ("completed", "finish", "finished", "done", "end", "success", "succeeded", "ok"), "stop"
    ),
    **dict.fromkeys(
        ("length", "max-tokens", "max-output-tokens", "max-new-tokens", "max-completion-tokens"),
        "length",
    ),
    **dict.fromkeys(
        ("max-length", "model-length", "token-limit", "error-limit", "context-length-exceeded"),
        "length",
    ),
    **dict.fromkeys(
        ("model-context-window-exceeded", "context-window-exceeded", "max-context-length"),
        "length",
    ),
    **dict.fromkeys(("truncated", "repetition-truncation", "max-tokens-reached"), "length"),
    **dict.fromkeys(
        ("tool-calls", "tool-use", "tool-call", "function-call", "function-calls"), "tool_calls"
    ),
    **dict.fromkeys(
        ("content-filter", "content-filtered", "safety", "guardrail-intervened", "refusal"),
        "content_filter",
    ),
    **dict.fromkeys(
        ("recitation", "blocklist", "prohibited-content", "spii", "image-safety", "language"),
        "content_filter",
    ),
    **dict.fromkeys(
        ("image-prohibited-content", "image-recitation", "model-armor", "error-toxic", "blocked"),
        "content_filter",
    ),
    **dict.fromkeys(("sensitive", "safety-filter", "moderation", "moderated"), "content_filter"),
    **dict.fromkeys(("pause-turn", "paused", "requires-action"), PAUSED),
    **dict.fromkeys(
        ("error", "failed", "failure", "other", "cancelled", "canceled", "aborted", "abort"), FAILED
    ),
    **dict.fromkeys(
        ("malformed-function-call", "unexpected-tool-call", "too-many-tool-calls", "timeout"),
        FAILED,
    ),
    **dict.fromkeys(
        ("malformed-response", "malformed-model-output", "malformed-tool-use", "network-error"),
        FAILED,
    ),
    **dict.fromkeys(
        ("insufficient-system-resource", "user-cancel", "interrupted", "missing-thought-signature"),
        FAILED,
    ),
    **dict.fromkeys(("incomplete", "in-progress", "queued"), INCOMPLETE),
}
_OWN = ("stop", "tool_calls", "length")
_UNSTATED = frozenset({"", "none", "null", "unknown", "unspecified"})
_TAKEN = (
    *("prompt_tokens", "input_tokens", "input", "promptTokens", "inputTokens", "prompt_eval_count"),
    *("prompt_token_count", "promptTokenCount", "inputTokenCount", "tokens_in", "n_prompt_tokens"),
    "prompt",
)
_GIVEN = (
    *("completion_tokens", "output_tokens", "output", "completionTokens", "outputTokens"),
    *("candidates_token_count", "candidatesTokenCount", "outputTokenCount", "tokens_out"),
    *("eval_count", "generated_tokens", "generation_token_count", "completion"),
)
# Tokens that these providers count beside the prompt or the answer, not within them.
_CACHED = (
    *("cache_read_input_tokens", "cache_creation_input_tokens", "input_cached_tokens"),
    *("cacheReadInputTokens", "cacheWriteInputTokens", "input_cache_read", "input_cache_creation"),
    *("cacheReadInputTokenCount", "cacheWriteInputTokenCount", "toolUsePromptTokenCount"),
)
_THOUGHT = (
    *("thoughtsTokenCount", "thoughts_token_count", "output_reasoning_tokens", "output_reasoning"),
)


def finish(value: Any) -> str | None:
    """A finish reason in OpenAI's words; a reason that nobody knows stays as it is."""
    if value in _OWN:
        return value  # type: ignore[no-any-return]  # nearly every reason: nothing to do
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, dict):
        value = first(value, "unified", "type", "reason")
    if not isinstance(value, str):
        return None
    plain = value.strip().lower().replace("_", "-")
    plain = plain.removeprefix("finish-reason-").removeprefix("finishreason.")
    return None if plain in _UNSTATED else _FINISH.get(plain, plain)


def usage(raw: object) -> tuple[int | None, int | None]:
    """(prompt tokens, completion tokens), each None when not stated.

    A prompt's cached tokens and an answer's thoughts count, also where they are stated apart.
    """
    counts = loads(raw)
    if not isinstance(counts, dict):
        return None, None
    if isinstance(inner := counts.get("tokens") or counts.get("billed_units"), dict):
        counts = inner  # Cohere
    taken, given = whole(first(counts, *_TAKEN)), whole(first(counts, *_GIVEN))
    if taken is not None and "prompt_tokens" not in counts:
        taken += _more(counts, _CACHED)
    if given is not None and "completion_tokens" not in counts:
        given += _more(counts, _THOUGHT)
    return taken, given


def _more(counts: Mapping[str, object], names: tuple[str, ...]) -> int:
    return sum(whole(counts.get(name)) or 0 for name in names)
