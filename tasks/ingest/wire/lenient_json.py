"""Text that was meant as JSON: what loggers, cuts and languages make of it.

Strict JSON is decoded elsewhere, in compiled code; this is the way for what that refuses.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from tasks.ingest.wire import js_objects

_HALF = re.compile("[\ud800-\udfff]")
_BETWEEN = " \t\r\n,\x1e\ufeff\0"  # what stands between concatenated documents
_OPENS = re.compile(r"""\s*(?:\[\s*)*\{\s*["']|\s*\[\s*["'{\[]""")
_ENVELOPE = re.compile(
    r"""\s*(?:\[\s*)*\{\s*["'](?:role|parts|messages|content|contents|choices|candidates|id|object"""
    r"""|type|model|system|prompt|input|output|generations|message|lc|args|kwargs|usage)["']\s*:"""
)
_PRINT = re.compile(
    r"""\s*\[?\s*(?:[A-Z]\w*(?:Message|Completion|Response|Choice|Generation|LLMResult|ModelResponse)"""
    r"""\w*\((?:id|content|role|choices|generations|text|message)=|(?:role|content)=["'\[])"""
)
_BARE = re.compile(r"\{\s*[A-Za-z_$][\w$]*:\s")  # a key without quotes
_PLAIN = json.JSONDecoder(strict=False, parse_constant=lambda _: None)


def whole(text: str) -> str:
    """The text with the halves of an emoji joined; a half that is alone is replaced."""
    if _HALF.search(text) is None:
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _mended(value: object) -> object:
    if isinstance(value, str):
        return whole(value)
    if isinstance(value, list):
        return [_mended(v) for v in value]
    if isinstance(value, dict):
        return {whole(k): _mended(v) for k, v in value.items()}
    return value


def decode(text: str, *, halves: bool = False) -> object:
    """A JSON document with NaN, control characters or half emojis. Raises ValueError.

    `halves` keeps the half emojis, for texts that are joined to others afterwards.
    """
    try:
        return msgspec.json.decode(text)
    except ValueError:
        pass
    value, end = _PLAIN.raw_decode(text.strip(_BETWEEN))
    if end != len(text.strip(_BETWEEN)):
        raise ValueError(f"more text behind the document, from character {end}")
    return value if halves else _mended(value)


def documents(text: str) -> Iterator[tuple[int, int, object]]:
    """(start, end, value) of each document that stands in a text one behind the other.

    The brackets and commas of an array around them are passed over, also where it never ends.
    Text that is no document goes up to the next line that opens one, as value Ellipsis.
    """
    at, inside = _skip(text, 0), False
    if text[at : at + 1] == "[" and text[_skip(text, at + 1) :][:1] in ("{", "["):
        at, inside = _skip(text, at + 1), True
    while at < len(text):
        if inside and text[at] == "]":
            at = _skip(text, at + 1)
            continue
        try:
            value, end = _printed(text, at)
        except (ValueError, RecursionError):
            following = re.compile(r"\n[ \t]*(?=[\[{])").search(text, at + 1)
            end = following.end() if following else len(text)
            yield at, end, ...
        else:
            yield at, end, _mended(value)
        at = _skip(text, end)


def _printed(text: str, at: int) -> tuple[object, int]:
    """The document that begins here, in JSON or as Node.js prints objects. Raises ValueError."""
    try:
        return _PLAIN.raw_decode(text, at)
    except ValueError:
        if _BARE.match(text, at) is None:
            raise
    return js_objects.raw_decode(text, at)


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in _BETWEEN:
        at += 1
    return at


def is_cut(text: str) -> bool:
    """Return whether text is JSON (or Python's) that ends before its brackets close."""
    if _OPENS.match(text) is None:
        return False
    depth, quote, escaped = 0, "", False
    for letter in text:
        if escaped:
            escaped = False
        elif quote:
            if letter == "\\":
                escaped = True
            elif letter == quote:
                quote = ""
        elif letter == '"' or (letter == "'" and '"' not in text[:3]):
            quote = letter
        elif letter in "{[":
            depth += 1
        elif letter in "}]":
            depth -= 1
            if depth <= 0:
                return False
    return True


def is_envelope(text: str) -> bool:
    """Return whether text begins as a message or a body does that somebody wrote as text."""
    return _ENVELOPE.match(text) is not None


def is_print(text: str) -> bool:
    """Return whether text is what Python prints of a library's message or response object."""
    return _PRINT.match(text) is not None


def literal(value: object) -> Any:
    """JSON text, or the text that Python prints for such a value; anything else as it is."""
    if not isinstance(value, str) or value.lstrip()[:1] not in ("{", "[", '"'):
        return value
    decoded = _literal(value)
    again = isinstance(decoded, str) and decoded != value and is_envelope(decoded)
    return literal(decoded) if again else decoded  # encoded twice, by two loggers


def _literal(value: str) -> object:
    try:
        return decode(value)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(value.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return value
