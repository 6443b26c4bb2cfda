"""The keys that the teacher has accepted: who has none gets no student's answer either.

A key is accepted when the teacher answered a call with it; until then, and again an hour after the
last such call, calls go to the teacher. Only a digest with this process's own salt is kept.
"""

from __future__ import annotations

import hashlib
import re
import secrets

from cachetools import TTLCache

from serving.teacher import Incoming

HOURS = 1.0
MOST = 100_000
_KEY = re.compile(
    rb"auth|api-?key|subscription-key|secret|token|cookie|organization|project|credential"
)
_REFUSED = (401, 403)


class AcceptedKeys:
    """Callers' keys, as far as the teacher has accepted them.

    With `open`, the gateway has a key of its own, and callers need none.
    """

    def __init__(self, *, open: bool = False) -> None:
        self._open, self._salt = open, secrets.token_bytes(16)
        self._accepted: TTLCache[bytes, bool] = TTLCache(MOST, 3600 * HOURS)

    def accepted(self, incoming: Incoming, model: str) -> bool:
        """Return whether the teacher answered such a call lately: same key, address and model."""
        return self._open or self._digest(incoming, model) in self._accepted

    def learn(self, incoming: Incoming, model: str, status: int) -> None:
        """Note how the teacher answered a call."""
        if self._open:
            return
        if 200 <= status < 300:
            self._accepted[self._digest(incoming, model)] = True
        elif status in _REFUSED:
            self._accepted.pop(self._digest(incoming, model), None)

    def _digest(self, incoming: Incoming, model: str) -> bytes:
        sha = hashlib.blake2b(key=self._salt, digest_size=16)
        shown = sorted((k, v) for k, v in incoming.headers if _KEY.search(k))
        for part in (incoming.path, incoming.query, model.encode(errors="replace")):
            sha.update(len(part).to_bytes(4, "big") + part)
        for name, value in shown:
            sha.update(b"\0" + name + b"\0" + value)
        return sha.digest()
