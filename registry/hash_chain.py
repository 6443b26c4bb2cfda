"""A file of JSON lines each of which ends with the hash of itself and of all before it.

Who changes a line has to change every later hash; who keeps the last one sees that.
"""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path

from tasks.core.stage import Refused

_HASH = b',"hash":"%s"}'
_HASHED = re.compile(rb',"hash":"([0-9a-f]{64})"}\n?$')


def append(path: Path, body: bytes) -> None:
    """Add a line, a JSON object. What a crash tore at the end of the file is cut off."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        file.seek(0)
        whole = _whole(file.read())
        file.truncate(len(whole))
        file.write(body[:-1] + _HASH % _next(_last(whole), body) + b"\n")


def verify(path: Path) -> tuple[int, str]:
    """Return how many lines there are, and the last hash. Raises Refused where one was changed.

    Lines of an early release have no hash; the first that has one vouches for them. That lines are
    missing at the end is seen only by who has kept a later hash.
    """
    whole = _whole(path.read_bytes()) if path.exists() else b""
    lines, done, before = whole.split(b"\n")[:-1], 0, b""
    for number, line in enumerate(lines, 1):
        match = _HASHED.search(line)
        if match is None and before:
            raise Refused(f"{path}: line {number} has no hash: it was not written by flywheel")
        if match:
            body = line[: match.start()] + b"}"
            if _next(before or _sum(whole[:done]), body) != match[1]:
                raise Refused(f"{path}: line {number}, or one before it, was changed")
            before = match[1]
        done += len(line) + 1
    return len(lines), before.decode()


def _whole(content: bytes) -> bytes:
    """The content up to its last line break."""
    return content[: content.rfind(b"\n") + 1]


def _sum(content: bytes) -> bytes:
    return sha256(content).hexdigest().encode()


def _next(before: bytes, body: bytes) -> bytes:
    return _sum(before + b"\n" + body)


def _last(whole: bytes) -> bytes:
    """The hash that the next line begins with: the last line's, or that of lines without one."""
    match = _HASHED.search(whole[whole[:-1].rfind(b"\n") + 1 :])
    return match[1] if match else _sum(whole)
