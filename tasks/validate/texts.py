"""Texts that look whole and are not what was said: placeholders, cuts, files, calls as prose."""

from __future__ import annotations

import json
import re
from collections.abc import Collection

import msgspec

from tasks.ingest.wire.lenient_json import is_cut

SHORT = 160  # characters; a longer text is no placeholder
FILE = 512  # characters; a shorter text is no file
_BEGINS, _ENDS = frozenset("[<({_*rR \n"), frozenset("])>}…dDs\n")
_WINDOW = 128  # characters; a run of base64 fills several without a space
_PLACEHOLDER = re.compile(
    r"redacted[-_ ]by[-_ ]\w+|\*{3,}|REDACTED"
    r"|[\[<({_*]+\s*(?:\w+[-_ ])?"
    r"(?:redacted|masked|filtered|scrubbed|hidden|omitted|removed|elided)(?![a-z])[^\n]{0,60}?[\])>}_*]+"
    r"|[\[<({]+\s*(?:content|message|prompt|completion|input|output|data|text)[-_ ]"
    r"(?:not[-_ ])?(?:redacted|masked|filtered|hidden|omitted|removed|recorded|logged|captured)"
    r"[^\n]{0,40}[\])>}]+"
    r"|[\[<({]+\s*no (?:content|message|prompt|input|output|data|text)\b[^\n]{0,40}[\])>}]+"
    r"|\[This value has been dropped[^\]]*\]",
    re.IGNORECASE,
)
_CUT_BY_LOGGER = re.compile(
    r"(?:\[|\(|<|\.\.\.\s*|…\s*)(?:\w+ )?(?:truncated|truncation|cut off|clipped)\b"
    r"[^\n]{0,60}[\])>]?\s*\Z"
    r"|[\[(<…]\s*[\d,]+ (?:more )?(?:characters|chars|bytes|tokens) (?:truncated|omitted|more)"
    r"[^\n]{0,20}\Z"
    r"|(?:\.\.\.|…)\s*[\[(<]\+?\s*[\d,]+ (?:more )?(?:characters|chars|bytes|tokens)[\])>]\s*\Z",
    re.IGNORECASE,
)
_CUT_WORDS = ("truncat", "cut off", "clipped", "characters", "chars", "bytes", "tokens")
_CUT_INSIDE = re.compile(
    r"[\[(<]\s*(?:\.\.\.|…)?\s*[\d,]+ (?:more )?(?:characters|chars|bytes|tokens)"
    r" (?:truncated|omitted|removed)",
    re.IGNORECASE,
)
_LOGGERS = ("(litellm_truncated ", "litellm_truncated skipped")  # what only loggers write
_CALL = re.compile(
    r"\s*(?:<\|?/?(?:\w+:)?(?:tool_?calls?|function_calls?|start_function_call|tool_code|tool_use)\b"
    r"|<(?:\w+:)?(?:function|invoke|tool)(?:=| name=)|\[TOOL_CALLS?\]|<\|python_tag\|>"
    r"|<｜(?:DSML|tool)|<\|tool▁calls|<\|tool_calls?_section|<\|channel\|>commentary to="
    r"|<\|start\|>assistant to=|<\|action_start\|>|<\|START_ACTION\|>|```tool_(?:call|code))",
    re.IGNORECASE,
)
_MARKED = re.compile(
    r"<tool_call>\s*\{|</tool_call>|<function=\w|<(?:\w+:)?invoke name=|\[TOOL_CALLS\]"
    r"|<\|python_tag\|>"
    r"|<｜tool▁call|<\|tool_call|<function_calls>|<TOOLCALL>"
)
# A call of a declared tool: Functionary, Llama's Python, ReAct.
_NAMING = re.compile(
    r"\s*(?:>>>\s*(\w+)\n\s*\{|\[(\w+)\(|(?:.*\n)?Action:\s*(\w+)\s*\nAction Input:)", re.DOTALL
)
_CLASS = re.compile(r"\b([A-Z]\w*?)(Error|Exception)\b(?:\(.*)?", re.DOTALL)


def problem(text: str, role: str) -> tuple[str, str] | None:
    """(reason, detail) when a text is not what a message of this role said, or None."""
    size = len(text)
    if size <= SHORT and text[:1] in _BEGINS and is_placeholder(text):
        return "redacted", "is a logger's placeholder"
    if role != "tool" and text[-1:] in _ENDS and is_clipped(text):  # agents cut long results
        return "truncated", "was cut by a logger"
    if "litellm_truncated " in text and any(mark in text for mark in _LOGGERS):
        return "truncated", "was cut by a logger"
    if role == "assistant" and _CUT_INSIDE.search(text):
        return "truncated", "was cut by a logger"
    if size >= FILE and holds_file(text):
        return "not text", "holds a file in base64"
    return None


def is_placeholder(text: str) -> bool:
    """Return whether a logger put this in place of a message."""
    return _PLACEHOLDER.fullmatch(text.strip()) is not None


def is_clipped(text: str) -> bool:
    """Return whether a logger cut this text and said so at its end."""
    end = text[-100:]
    plain = end.casefold()
    return any(word in plain for word in _CUT_WORDS) and _CUT_BY_LOGGER.search(end) is not None


def holds_file(text: str) -> bool:
    """Return whether a text holds a picture or a file in base64."""
    if ";base64," in text:
        return True
    for i in range(0, len(text) - 2 * _WINDOW, 2 * _WINDOW):
        if " " not in text[i : i + _WINDOW] and _is_base64(text[i : i + 2 * _WINDOW]):
            return True
    return False


def _is_base64(piece: str) -> bool:
    """Return whether this is a run of base64: letters of both cases and digits, nothing else."""
    plain = piece.translate({43: 65, 47: 65, 45: 65, 95: 65, 61: 65, 10: 65, 13: 65})
    mixed = any(map(str.islower, plain)) and any(map(str.isupper, plain))
    return plain.isascii() and plain.isalnum() and mixed and len(set(plain)) > 24


def is_unfinished(text: str) -> bool:
    """Return whether an answer in JSON ends before its brackets close."""
    if text[:1] not in ("{", "["):
        return False
    try:
        msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return is_cut(text)
    return False


def holds_call(text: str, tools: Collection[str]) -> bool:
    """Return whether a reply writes a tool call into its text, in the markup of some model."""
    if _CALL.match(text) or _MARKED.search(text):
        return True
    if tools and (naming := _NAMING.match(text)):
        return next(filter(None, naming.groups())) in tools
    bare = text.strip().removeprefix("```json").strip("`\n ")
    if not tools or not bare.startswith(("{", "[")) or not any(t in bare for t in tools):
        return False
    try:
        value = json.loads(bare)
    except (ValueError, RecursionError):
        return False
    one = value[0] if isinstance(value, list) and value else value
    if isinstance(one, dict) and isinstance(one.get("function"), dict):
        one = one["function"]
    named = isinstance(one, dict) and (one.get("name") or one.get("function"))
    return (
        isinstance(named, str) and named in tools and bool(one.keys() & {"arguments", "parameters"})
    )


def plain_words(error: str) -> str:
    """An error's name as words: `RateLimitError('x')` is a rate limit error."""

    def words(match: re.Match[str]) -> str:
        return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", match[1] + match[2]).lower()

    return _CLASS.sub(words, error)
