"""The body of a request: read for the student and the journal, never changed but for its model."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator

import msgspec

from tasks.core.records import Json

LARGEST = 64 << 20  # bytes of an unpacked body; more is left packed
OBJECT = 64  # bytes of a small object and its place
BLOCK = 4 << 10  # bytes that are unpacked at a time, to at most a thousand times as many
ENCODINGS = 4  # of one body, one around the other
TOO_LARGE = "larger than may be unpacked"

_BOM = b"\xef\xbb\xbf"
# A text without end is one token, too: else each of its quotes would be tried as a beginning.
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|[{}\[\],:]', re.DOTALL)


class NotPlain(Exception):  # noqa: N818 - it reads as what the body is
    """A body that no student can be asked about: why, and `request`, what could be read of it."""

    def __init__(self, why: str, request: Json | None = None) -> None:
        super().__init__(why)
        self.request = request


def read(body: bytes) -> Json:
    """The JSON object that a body is. Raises NotPlain for any other body.

    U+FFFD stands for half of a surrogate pair: text that was cut inside an emoji is no Unicode.
    """
    body = body.removeprefix(_BOM)
    try:
        return msgspec.json.decode(body, type=Json)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        document = _whole(json.loads(body))
        plain = True
    except UnicodeDecodeError:
        document, plain = _loose(body), False
    except json.JSONDecodeError:
        raise NotPlain("no JSON") from None
    except ValueError:  # Python's limit of an integer's digits
        raise NotPlain("a number has too many digits") from None
    except RecursionError:
        raise NotPlain("nested too deeply") from None
    if not isinstance(document, dict):
        raise NotPlain("no JSON object")
    if not plain:
        raise NotPlain("not in UTF-8", document)
    if _odd_numbers(document):
        raise NotPlain("a number that JSON does not have", document)
    return document


def _loose(body: bytes) -> object:
    """JSON with bytes that are no UTF-8: U+FFFD stands for them; None if it is no JSON even so."""
    try:
        return _whole(json.loads(body.decode("utf-8", "replace")))
    except (ValueError, RecursionError):
        return None


def _whole(value: object) -> object:
    """The value with U+FFFD for each half of a surrogate pair."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_whole(item) for item in value]
    if isinstance(value, dict):
        return {_whole(key): _whole(item) for key, item in value.items()}
    return value


def _odd_numbers(value: object) -> bool:
    """Return whether a NaN or an infinity is in it, which JSON does not have."""
    if isinstance(value, float):
        return value != value or value in (float("inf"), float("-inf"))
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(map(_odd_numbers, items))


def memory(body: bytes) -> int:
    """Return how many bytes the objects of a JSON text may take, at most roughly so many."""
    wide = 4 if b"\\u" in body or not body.isascii() else 1  # one emoji makes a whole text wide
    items = body.count(b",") + body.count(b"[") + 4 * body.count(b"{")
    return wide * len(body) + OBJECT * items


def unpacked(body: bytes, encoding: str) -> bytes:
    """A body without its `content-encoding`. Raises ValueError when that is unknown or untrue."""
    names = [part.strip().lower() for part in encoding.split(",")]
    if len(names) > ENCODINGS:
        raise ValueError("packed too often")
    for name in reversed(names):
        body = _unpacked(body, name)
    return body


def _unpacked(body: bytes, name: str) -> bytes:
    if name in ("", "identity"):
        return body
    try:
        if name in ("gzip", "x-gzip"):
            return _inflated(body, 31)
        if name == "deflate":  # with the wrapper that the standard asks for, or as some send it
            return _inflated(body, 15 if body[:1] == b"\x78" else -15)
        if name == "br":
            import brotli  # type: ignore[import-untyped]

            return _bounded(brotli.Decompressor().process(body, output_buffer_limit=LARGEST))
        if name == "zstd":
            import zstandard

            reader = zstandard.ZstdDecompressor().stream_reader(body, read_across_frames=True)
            return _bounded(reader.read(LARGEST))
    except Exception as error:  # each library has its own
        raise ValueError(f"not {name}") from error
    raise ValueError(f"unknown encoding {name[:40]}")


def _bounded(out: bytes) -> bytes:
    if len(out) >= LARGEST:
        raise ValueError(TOO_LARGE)
    return out


def _inflated(body: bytes, window: int) -> bytes:
    """All members of a gzip file, or a zlib stream; what was cut off is left out."""
    out, at, member = bytearray(), 0, zlib.decompressobj(window)
    while at < len(body):
        block = body[at : at + BLOCK]
        out += member.decompress(block)
        if len(out) >= LARGEST:
            raise ValueError(TOO_LARGE)
        at += len(block) - len(member.unused_data)
        if member.eof:
            member = zlib.decompressobj(window)
    return bytes(out)


def with_model(body: bytes, model: str) -> bytes:
    """The body with another top-level `model`, every other byte as it was."""
    name = json.dumps(model).encode()
    parts, at = list[bytes](), 0
    for start, end in _values(body, "model"):
        parts += [body[at:start], name]
        at = end
    if parts:
        return b"".join([*parts, body[at:]])
    if not (brace := re.match(rb"(?:\xef\xbb\xbf)?\s*\{\s*", body)):
        return body
    comma = b"" if body[brace.end() : brace.end() + 1] == b"}" else b", "
    return body[: brace.end()] + b'"model": ' + name + comma + body[brace.end() :]


def _values(body: bytes, name: str) -> Iterator[tuple[int, int]]:
    """Yield where the values of a top-level key begin and end.

    A key that is there twice has two.
    """
    depth, key, start = 0, b"", -1
    for token in _TOKEN.finditer(body):
        sign = body[token.start()]
        if depth == 1 and sign in b",}" and start >= 0:
            end = token.start()
            yield start, end - len(body[start:end]) + len(body[start:end].rstrip())
            start = -1
        if sign in b"{[":
            depth += 1
        elif sign in b"}]":
            depth -= 1
        elif depth == 1 and sign == ord('"'):
            key = token[0]
        elif depth == 1 and sign == ord(":") and _is(key, name):
            start = token.end()
            while body[start : start + 1].isspace():
                start += 1


def _is(key: bytes, name: str) -> bool:
    return key == b'"%s"' % name.encode() or (b"\\" in key and _spelled(key) == name)


def _spelled(key: bytes) -> object:
    try:
        return json.loads(key)
    except ValueError:
        return None
