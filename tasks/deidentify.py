"""Third hop: surrogates in place of everything personal. `python -m tasks.deidentify`.

Every string of a call is scanned once (`segments`, `detectors`, `tagger`); what is found gets a
surrogate that is the same everywhere in its conversation (`cleaner`, `surrogates`). Text that is
the same for everybody (prompts, schemas, fixed lines) keeps its names (`public`), so that templates
can be mined afterwards and still match production. Without a detector there is no data: it fails
closed.
"""

from __future__ import annotations

import hmac
import os
import secrets
from collections import Counter
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path

from tasks import stage
from tasks.cleaner import Cleaner, Quarantined, Text, strings
from tasks.detectors import Detector
from tasks.params import Deidentify, load
from tasks.public import Public
from tasks.records import (
    CLEAN,
    REJECTED,
    Call,
    CleanCall,
    Counts,
    Rejected,
    Writer,
    digest,
    read,
    text_of,
)
from tasks.segments import Scanner
from tasks.stage import Refused
from tasks.surrogates import Surrogates

WAITING = 4_096  # strings scanned in one batch


def load_key(home: Path) -> bytes:
    """The secret behind the surrogates: `$FLYWHEEL_PII_KEY`, else `home/pii.key` (made, 0600)."""
    given = os.environ.get("FLYWHEEL_PII_KEY")
    if given:
        return given.encode()
    path = home / "pii.key"
    if not path.exists():
        home.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(32))
    if path.stat().st_mode & 0o077:
        raise Refused(f"{path} can be read by others; run `chmod 600 {path}`")
    return path.read_bytes()


def conversation_of(call: Call) -> str:
    """Whose surrogates a call shares: its conversation's, else those of the same first user text."""
    if call.conversation:
        return call.conversation
    users = (m for m in call.messages if m.get("role") == "user")
    return "first:" + digest(text_of(next(users, {}).get("content")))


def sealed(key: bytes, conversation: str) -> str:
    """The name of a conversation in clean calls: nobody else can make one, so that a call that
    carries it is known to be clean already.
    """
    body = hmac.digest(key, b"name\0" + conversation.encode(), "sha256").hex()[:16]
    return f"c-{body}-{_seal(key, body)}"


def is_sealed(key: bytes, conversation: str) -> bool:
    """Whether this key de-identified the conversation."""
    start, _, rest = conversation.partition("-")
    body, _, seal = rest.partition("-")
    return start == "c" and hmac.compare_digest(seal.encode(), _seal(key, body).encode())


def _seal(key: bytes, body: str) -> str:
    return hmac.digest(key, b"seal\0" + body.encode(), "sha256").hex()[:16]


class Night:
    """What one run knows: findings per string, public lines, surrogates per conversation."""

    def __init__(self, params: Deidentify, key: bytes) -> None:
        self._key = key
        self._scanner = Scanner(Detector(params), params.keys)
        self._public = Public(params.public_conversations)
        self._people: dict[str, Surrogates] = {}
        self.cleaner = Cleaner(params, self._public, Surrogates(key, ""))

    def survey(self, calls: Iterable[Call]) -> int:
        """First pass: scan every distinct string, count lines. Returns the number of calls."""
        count = 0
        waiting: list[tuple[str, str]] = []
        for count, call in enumerate(calls, 1):  # noqa: B007 - the count is the result
            if is_sealed(self._key, call.conversation):
                continue
            conversation = conversation_of(call)
            waiting += [(conversation, self._scanner.add(p, t)) for _, p, t in strings(call) if t]
            if self._scanner.waiting >= WAITING:
                self._count(waiting)
        self._count(waiting)
        return count

    def _count(self, waiting: list[tuple[str, str]]) -> None:
        self._scanner.flush()
        for conversation, name in waiting:
            for leaf in self._scanner[name]:
                for found in leaf:
                    self._public.note(conversation, found.mark)
        waiting.clear()

    def clean(self, call: Call) -> CleanCall:
        """Second pass: the call with surrogates. Raises Quarantined."""
        same = {f.name: getattr(call, f.name) for f in fields(call)}
        if is_sealed(self._key, call.conversation):
            return CleanCall(**same)
        texts = [Text(r, p, t, self._scanner.known(p, t)) for r, p, t in strings(call)]
        conversation = conversation_of(call)
        if conversation not in self._people:
            self._people[conversation] = Surrogates(self._key, conversation)
        changed = self.cleaner.clean(call, texts, self._people[conversation])
        return CleanCall(**same | changed | {"conversation": sealed(self._key, conversation)})


def deidentify(calls: Path, out: Path, params: Deidentify, *, key: bytes) -> Counts:
    """Write `out/calls.parquet` (clean calls) and `out/quarantine.parquet`. Raises Refused."""
    night = Night(params, key)
    total = night.survey(read(calls))
    dropped: Counter[str] = Counter()
    with (
        Writer(out / "calls.parquet", CLEAN) as kept,
        Writer(out / "quarantine.parquet", REJECTED) as aside,
    ):
        for call in read(calls):
            try:
                kept.write(night.clean(call))
            except Quarantined as reason:
                dropped[str(reason)] += 1
                aside.write(Rejected(id=call.id, source=call.source, reason=str(reason)))
    counts = Counts("deidentify", total, kept.count, dict(dropped))
    found = {
        "entities": dict(sorted(night.cleaner.entities.items())),
        "detectors": dict(sorted(night.cleaner.detectors.items())),
    }
    stage.finish(out, counts, found)
    return counts


def run() -> Counts:
    """The DVC stage: data/validate → data/deidentify."""
    params = load().deidentify
    key = load_key(Path(os.environ.get("FLYWHEEL_HOME", ".flywheel")))
    source = Path("data/validate/calls.parquet")
    return stage.hop(
        "deidentify", Path("data/deidentify"), lambda o: deidentify(source, o, params, key=key)
    )


if __name__ == "__main__":
    stage.main(run)
