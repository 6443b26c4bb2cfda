"""Objects as Node.js prints them with `console.dir`: what OpenTelemetry's console exporter writes.

Keys are bare, texts stand in any of three quotes, and what is too long or too deep is left out.
"""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|`(?:[^`\\]|\\.)*`)"
    r"|(?P<cut>\.\.\. [\d,]+ more (?:items?|characters?)|\[(?:Object|Array|Circular \*\d+)\])"
    r"|(?P<mark>[{}\[\],:+])|(?P<word>[^\s{}\[\],:'\"`]+))",
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|.)", re.DOTALL)
_LETTERS = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "0": "\0"}
_WORDS = {"true": True, "false": False, "null": None, "undefined": None, "NaN": None}


def raw_decode(text: str, at: int) -> tuple[object, int]:
    """The value that begins here, and where it ends. Raises ValueError."""
    reader = _PrintedObject(text, at)
    return reader.value(), reader.at


class _PrintedObject:
    """Reads one printed value."""

    def __init__(self, text: str, at: int) -> None:
        self.text, self.at = text, at

    def _next(self) -> tuple[str, str]:
        match = _TOKEN.match(self.text, self.at)
        if match is None or match.lastgroup is None:
            raise ValueError("the printed object has no end")
        self.at = match.end()
        return match.lastgroup, match[match.lastgroup]

    def _peek(self) -> str:
        match = _TOKEN.match(self.text, self.at)
        return match[0].strip() if match else ""

    def value(self) -> object:
        """The value that comes next. Raises ValueError where a part of it was left out."""
        kind, found = self._next()
        if kind == "text":
            return self._joined(_unquoted(found))
        if kind == "cut":
            raise ValueError("Node.js left a part of the object out")
        if found == "{":
            return self._object()
        if found == "[":
            return self._array()
        return _WORDS[found] if found in _WORDS else _number(found)

    def _joined(self, text: str) -> str:
        """Long texts are printed in pieces: 'a' + 'b'."""
        while self._peek() == "+":
            self._next()
            text += _unquoted(self._next()[1])
        if self._peek().startswith("..."):
            raise ValueError("Node.js left a part of a text out")
        return text

    def _object(self) -> dict[str, object]:
        result: dict[str, object] = {}
        while self._peek() != "}":
            kind, name = self._next()
            if kind == "cut" or self._next()[1] != ":":
                raise ValueError("no printed object")
            result[_unquoted(name) if kind == "text" else name] = self.value()
            if self._peek() == ",":
                self._next()
        self._next()
        return result

    def _array(self) -> list[object]:
        result: list[object] = []
        while self._peek() != "]":
            result.append(self.value())
            if self._peek() == ",":
                self._next()
        self._next()
        return result


def _unquoted(text: str) -> str:
    return _ESCAPE.sub(_unescaped, text[1:-1])


def _unescaped(match: re.Match[str]) -> str:
    code = match[1]
    if len(code) > 1:
        return chr(int(code[1:], 16))
    return _LETTERS.get(code, code)


def _number(word: str) -> object:
    plain = word.removesuffix("n")
    try:
        return int(plain) if plain.lstrip("-").isdecimal() else float(plain)
    except ValueError:
        raise ValueError(f"no value: {word[:20]}") from None
