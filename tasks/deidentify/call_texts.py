"""The leaves of a call: every stretch of text that a person may have written, and how to change it.

A string is prose, or JSON, or prose with JSON in it, or JSON whose strings hold JSON. Keys,
numbers, white space and everything else that is not a string value keep their bytes; a changed
value is written back in the same encoding, so that JSON stays JSON with the same keys.
Used by `tasks.deidentify`; nothing to run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tasks.core.records import Json
from tasks.deidentify.wordlists import fold, is_name

Change = Callable[[str, str], str]  # (key path, text) -> text

SCHEMAS = frozenset({"tools", "functions", "response_format", "tool_choice"})
NAMES = frozenset({"id", "tool_call_id", "role", "type", "object"})
TEXTS = frozenset({"content", "text", "arguments", "refusal", "reasoning_content", "answer"})
TOLD = frozenset({"description", "enum", "const", "default", "examples", "example", "title"})
_SAYING = re.compile(r"@|%40|\s|\d{7}|\d[ .-]\d")
_MODEL = re.compile(r"[\w.:/+-]{1,120}")
_DATED = re.compile(r"20\d{6}")
_LONG_NUMBER = re.compile(r"\d{7}|\d[.-]\d{3}[.-]\d")
_MAKERS = frozenset({"ada", "aya", "claude", "gemma", "meta", "nova", "olmo"})  # models, not people
_NAME_PART = re.compile(r"[^\W\d_]{2,}")
MAX_DEPTH = 6
MAX_FAILURES = 100  # openings that are no JSON; keeps the search linear

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{},]|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?')
_OPENING = re.compile(r'\{\s*"|\[\s*["{\[]')
_COLON = re.compile(r"\s*:")
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a string: prose or one JSON document."""

    start: int
    end: int
    is_json: bool


def pieces(text: str) -> Iterator[Piece]:
    """Split a string into prose and the JSON documents in it, without gaps."""
    at = search = failures = 0
    while failures < MAX_FAILURES and (match := _OPENING.search(text, search)) is not None:
        end = _document_end(text, match.start())
        if end is None:
            search, failures = match.start() + 1, failures + 1
            continue
        if match.start() > at:
            yield Piece(at, match.start(), False)
        yield Piece(match.start(), end, True)
        at = search = end
    if at < len(text) or not text:
        yield Piece(at, len(text), False)


def _document_end(text: str, start: int) -> int | None:
    try:
        return _DECODER.raw_decode(text, start)[1]
    except (json.JSONDecodeError, RecursionError):
        return None


def rewrite(text: str, change: Change, path: str = "", depth: int = 0) -> str:
    """Pass each leaf of a string through `change`; everything else keeps its bytes."""
    if depth > MAX_DEPTH:
        return change(path, text)
    parts = list(pieces(text))
    if len(parts) == 1 and not parts[0].is_json:
        return change(path, text)
    return "".join(
        _rewrite_json(text[p.start : p.end], change, path, depth)
        if p.is_json
        else change(path, text[p.start : p.end])
        for p in parts
    )


def _rewrite_json(document: str, change: Change, path: str, depth: int) -> str:
    out: list[str] = []
    stack: list[str] = [path]
    key, at, escaped = "", 0, "\\u" in document
    for match in _TOKEN.finditer(document):
        token = match.group()
        if token in "{[":
            stack.append(_join(stack[-1], key))
            key = ""
        elif token in "}]":
            stack.pop()
            key = ""
        elif token[0] == '"' and _COLON.match(document, match.end()):
            key = json.loads(token)
            if telling(key):
                out.append(document[at : match.start()])
                out.append(_rewrite_value(token, change, "", depth, escaped))
                at = match.end()
        elif token != ",":
            out.append(document[at : match.start()])
            out.append(_rewrite_value(token, change, _join(stack[-1], key), depth, escaped))
            at = match.end()
    out.append(document[at:])
    return "".join(out)


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path and key else path or key


def _rewrite_value(token: str, change: Change, path: str, depth: int, escaped: bool) -> str:
    if token[0] != '"':
        return _same_number(token, change(path, token))
    text = json.loads(token)
    changed = rewrite(text, change, path, depth + 1)
    if changed == text:
        return token  # keeps escapes as they were written
    return json.dumps(changed, ensure_ascii=escaped)


def _same_number(before: str, after: str) -> str:
    """A number stays a number: of the same number of digits, without a leading zero."""
    return after if after.isdigit() and before.isdigit() and after[0] != "0" else before


def each_message(message: Json, each: Change) -> Json:
    """A message with each of its strings passed through `each`; structure and tool names kept."""
    skip = {"name"} if message.get("role") in {"tool", "function"} else set()
    return {
        name: value if name in skip else _each(name, value, each) for name, value in message.items()
    }


def each_request(request: Json, each: Change, schema: Change) -> Json:
    """A request's other fields changed, its schemas by `schema`; its messages kept."""
    return {name: _field(name, value, each, schema) for name, value in request.items()}


def _field(name: str, value: object, each: Change, schema: Change) -> object:
    if name == "messages" or (name in SCHEMAS and isinstance(value, str)):
        return value
    if name == "model" and isinstance(value, str):
        return each("", value) if saying(value) else value
    return _schema("", value, schema) if name in SCHEMAS else _each(name, value, each)


def _schema(key: str, value: object, each: Change) -> object:
    """A schema with its descriptions, choices and examples changed; names and types kept."""
    if isinstance(value, str):
        return each("", value) if key in TOLD else value
    if isinstance(value, list):
        return [_schema(key, item, each) for item in value]
    if isinstance(value, dict):
        return {
            each("", name) if telling(name) else name: _schema(name, item, each)
            for name, item in value.items()
        }
    return value


def telling(name: str) -> bool:
    """Return whether a key or an id may say something of a person.

    A mail, a number, words, a name.
    """
    if _SAYING.search(name):
        return True
    parts = _NAME_PART.findall(name) if not name.islower() or "-" in name or "." in name else ()
    return any(is_name(fold(part)) for part in parts)


def saying(model: str) -> bool:
    """Return whether the name of a model is more than one: words, an address, somebody's name."""
    if not _MODEL.fullmatch(model) or _LONG_NUMBER.search(_DATED.sub("", model)):
        return True
    return any(is_name(fold(part)) and part not in _MAKERS for part in _NAME_PART.findall(model))


def _each(name: str, value: object, each: Change) -> object:
    if isinstance(value, str):
        if value.startswith("data:"):
            return "data:,"  # an image or a sound: never read, never kept
        if name in NAMES and not telling(value):
            return value
        return each("" if name in TEXTS or name in NAMES else name, value)
    if isinstance(value, list):
        return [_each(name, item, each) for item in value]
    if isinstance(value, dict):
        return {
            each("", key) if telling(key) else key: item
            if (name, key) == ("function", "name")
            else _each(key, item, each)
            for key, item in value.items()
        }
    return value
