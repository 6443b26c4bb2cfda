"""A log file's lines: decompressed a bounded block at a time, in UTF-8, no line without end."""

from __future__ import annotations

import codecs
import zlib
from collections.abc import Iterator
from functools import partial
from itertools import chain
from typing import IO

import msgspec

from tasks.core import encryption

BLOCK = 1 << 18
MAX_LINE = 64 << 20  # bytes; a longer line is no log record
MAX_ENCRYPTED = MAX_LINE // 3 * 4 + BLOCK  # the same in base64
ENCRYPTED = "encrypted"  # and its key is not here
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


class RawLine(msgspec.Struct, frozen=True):
    """One line, or what is there of it."""

    number: int
    data: bytes
    problem: str = ""  # "<reason>: <detail>" when the line is not all there


def lines_of(file: IO[bytes], magic: bytes) -> Iterator[RawLine]:
    """The lines of a file that begins with these four bytes, plain or compressed."""
    return _lines(_blocks(file, magic))


def _blocks(file: IO[bytes], magic: bytes) -> Iterator[bytes]:
    """The file's content as UTF-8. Raises EOFError or ValueError where compressed data breaks."""
    if magic[:2] == _GZIP:
        plain = _inflate(file)
    elif magic == _ZSTD:
        plain = _unzstd(file)
    else:
        plain = iter(partial(file.read, BLOCK), b"")
    return _utf8(plain)


def _inflate(file: IO[bytes]) -> Iterator[bytes]:
    """Decompress member after member, a bounded block at a time, up to where it breaks."""
    inflater, fed = zlib.decompressobj(wbits=31), False
    for block in iter(partial(file.read, BLOCK), b""):
        while block:
            try:
                yield inflater.decompress(block, 4 * BLOCK)
            except zlib.error as error:
                raise ValueError(f"compressed data is damaged: {error}") from None
            fed = not inflater.eof
            block = inflater.unconsumed_tail
            if inflater.eof:
                block = inflater.unused_data.lstrip(b"\0")
                inflater = zlib.decompressobj(wbits=31)
    if fed:
        raise EOFError("compressed data ends early")


def _unzstd(file: IO[bytes]) -> Iterator[bytes]:
    import zstandard

    inflater, fed = zstandard.ZstdDecompressor().decompressobj(), False
    for block in iter(partial(file.read, BLOCK // 128), b""):
        while block:
            try:
                yield inflater.decompress(block)
            except zstandard.ZstdError as error:
                raise ValueError(f"compressed data is damaged: {error}") from None
            fed = not inflater.eof
            block = inflater.unused_data.lstrip(b"\0") if inflater.eof else b""
            inflater = zstandard.ZstdDecompressor().decompressobj() if inflater.eof else inflater
    if fed:
        raise EOFError("compressed data ends early")


def _utf8(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The same text in UTF-8 without its byte order mark, out of UTF-8 or UTF-16."""
    head = next(blocks, b"")
    while len(head) < 4 and (more := next(blocks, b"")):
        head += more
    if not (head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) or b"\0" in head[:2]):
        yield head.removeprefix(codecs.BOM_UTF8)
        yield from blocks
        return
    marked = head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    name = "utf-16" if marked else "utf-16-be" if head[:1] == b"\0" else "utf-16-le"
    decoder = codecs.getincrementaldecoder(name)("replace")
    for block in chain([head], blocks):
        yield decoder.decode(block).encode("utf-8", "replace")
    yield decoder.decode(b"", True).encode("utf-8", "replace")


def _lines(blocks: Iterator[bytes]) -> Iterator[RawLine]:
    held: list[bytes] = []
    number, size = 1, 0
    try:
        for block in blocks:
            *ended, rest = block.split(b"\n")
            for piece in ended:
                yield _line(number, [*held, piece], size + len(piece))
                number, held, size = number + 1, [], 0
            size += len(rest)
            if size <= MAX_ENCRYPTED + BLOCK and rest:
                held.append(rest)
    except (EOFError, ValueError, OSError) as error:
        yield RawLine(number, b"".join(held), f"broken file: {error}")
        return
    if held:
        yield _line(number, held, size)


def _line(number: int, pieces: list[bytes], size: int) -> RawLine:
    data, problem = b"".join(pieces), ""
    if size <= MAX_ENCRYPTED:
        try:
            data = encryption.decrypted(data)
        except encryption.Locked as error:
            problem = f"{ENCRYPTED}: {error}"
        except ValueError as error:
            problem = f"broken file: {error}"
        size = min(size, MAX_LINE) if problem else len(data)
    if size > MAX_LINE:
        problem = f"too long: {size:,} bytes on one line"
    return RawLine(number, data, problem)


def text_of(data: bytes) -> str:
    """Bytes as text: UTF-8, else Windows' Latin-1 where nothing in it is UTF-8."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        text = data.decode("utf-8", "replace")
    if any(ord(letter) > 127 and letter != "\ufffd" for letter in text):
        return text
    return data.decode("cp1252", "replace")
