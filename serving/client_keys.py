"""The gateway's own keys: who may call, how often, at what cost, and for which tasks.

`home/keys.json` (0600) holds them, each only as the SHA-256 of its 256 random bits; `flywheel keys`
writes it, and gateways read it anew when it changes. While it holds a key, every call needs one: in
`x-flywheel-key`, or where clients send the key of an API. It does not go on to the teacher.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path

import msgspec
from filelock import FileLock

from serving.body_limits import NotTaken
from serving.teacher import KEYS, Incoming
from tasks.core import economics, encryption
from tasks.core.params import Economics
from tasks.core.records import TEACHER, Json
from tasks.core.stage import Refused, private, write_atomic

log = logging.getLogger("flywheel.gateway")

FILE = "keys.json"
PREFIX = "fw-"
OWN_HEADER = b"x-flywheel-key"
MINUTE = 60.0


class ClientKey(msgspec.Struct, frozen=True, omit_defaults=True):
    """One client's key: limits of None are none. Requests and tokens a minute, dollars a UTC day.

    Students answer calls of the `tasks` whose id fits a pattern; None: of all.
    """

    name: str
    sha256: str
    made: float
    revoked: float | None = None
    requests: int | None = None
    tokens: int | None = None
    dollars: float | None = None
    tasks: tuple[str, ...] | None = None

    def may(self, task: str) -> bool:
        """Return whether students of a task may answer this client."""
        return self.tasks is None or any(fnmatchcase(task, pattern) for pattern in self.tasks)


def read(home: Path) -> list[ClientKey]:
    """All keys of a home, revoked ones too, oldest first. Raises Refused."""
    try:
        return msgspec.json.decode((home / FILE).read_bytes(), type=list[ClientKey])
    except FileNotFoundError:
        return []
    except msgspec.DecodeError as error:
        raise Refused(f"{home / FILE}: {error}") from None


def add(home: Path, name: str, now: float, **limits: object) -> str:
    """Make a key, which is shown this once. Raises Refused where the name has one."""
    secret = PREFIX + secrets.token_urlsafe(32)
    with _locked(home):
        keys = read(home)
        if any(key.name == name and key.revoked is None for key in keys):
            raise Refused(f"{name!r} already has a key; revoke it first")
        fields = {"name": name, "sha256": _digest(secret), "made": now, **limits}
        _write(home, [*keys, msgspec.convert(fields, ClientKey)])
    return secret


def revoke(home: Path, name: str, now: float) -> None:
    """End a key: from its next call on the client is refused. Raises Refused."""
    with _locked(home):
        keys = read(home)
        if not any(key.name == name and key.revoked is None for key in keys):
            raise Refused(f"{name!r} has no key that is in force")
        _write(home, [_revoked(key, name, now) for key in keys])


def _revoked(key: ClientKey, name: str, now: float) -> ClientKey:
    ends = key.name == name and key.revoked is None
    return msgspec.structs.replace(key, revoked=now) if ends else key


def _locked(home: Path) -> FileLock:
    return FileLock(private(home) / f".{FILE}.lock")


def _write(home: Path, keys: list[ClientKey]) -> None:
    write_atomic(home / FILE, msgspec.json.format(msgspec.json.encode(keys), indent=1))
    (home / FILE).chmod(0o600)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


@dataclass(slots=True)
class _Bucket:
    """The rest of a rate: full at first, and again a minute after it was emptied."""

    limit: int
    left: float
    at: float

    def now(self, now: float) -> _Bucket:
        """The bucket, filled for the time that went by."""
        rate = self.limit / MINUTE
        self.left, self.at = min(self.limit, self.left + rate * (now - self.at)), now
        return self

    @property
    def wait(self) -> float:
        """Seconds until there is something in it again."""
        return max(0.0, (1.0 - self.left) * MINUTE / self.limit)


@dataclass(slots=True)
class ClientKeys:
    """The keys that a gateway knows, and what their clients have used."""

    home: Path
    prices: Economics = field(default_factory=Economics)
    _stamp: tuple[int, ...] | None = None
    _keys: dict[str, ClientKey] = field(default_factory=dict)
    _buckets: dict[tuple[str, str], _Bucket] = field(default_factory=dict)
    _dollars: dict[tuple[str, str], float] = field(default_factory=lambda: defaultdict(float))

    def admit(self, incoming: Incoming, now: float) -> tuple[ClientKey | None, Incoming]:
        """The client of a request, and the request without its key; None where none is needed.

        Raises NotTaken: 401 without a key that is in force, 429 above one of its limits.
        """
        self._refresh()
        if not self._keys or incoming.method == "OPTIONS":  # a browser asks first, without a key
            return None, incoming
        places = (OWN_HEADER, *KEYS)
        offered = {n: _digest(_bare(v)) for n, v in incoming.headers if n in places}
        header = next((n for n in places if offered.get(n) in self._keys), None)
        if header is None:
            raise NotTaken(401, "this gateway asks for a key of its own (flywheel keys add)")
        key = self._keys[offered[header]]
        if key.revoked is not None:
            raise NotTaken(401, f"the key of {key.name} was revoked")
        self._within(key, now)
        rest = [(n, v) for n, v in incoming.headers if n != header]
        return key, replace(incoming, headers=rest)

    def _within(self, key: ClientKey, now: float) -> None:
        """Count a request. Raises NotTaken above a limit."""
        if key.dollars is not None and self._dollars[key.name, _day(now)] >= key.dollars:
            raise NotTaken(429, f"{key.name} has used its ${key.dollars:g} of today (UTC)")
        for unit, bucket in self._of(key, now):
            if bucket.left < 1:
                used = f"{key.name} has used its {bucket.limit} {unit} a minute"
                raise NotTaken(429, f"{used}: try again in {bucket.wait:.0f} seconds")
        if requests := self._buckets.get((key.name, "requests")):
            requests.left -= 1

    def _of(self, key: ClientKey, now: float) -> Iterator[tuple[str, _Bucket]]:
        for unit, limit in (("requests", key.requests), ("tokens", key.tokens)):
            if limit is not None:
                new = _Bucket(limit, limit, now)
                bucket = self._buckets.setdefault((key.name, unit), new)
                bucket.limit = limit
                yield unit, bucket.now(now)

    def spend(self, line: Json) -> None:
        """Count what a call cost, by its line of the journal."""
        name, usage = line.get("key"), line.get("usage")
        if not name or not isinstance(usage, Mapping):
            return
        tokens = [usage.get(part) for part in ("prompt_tokens", "completion_tokens")]
        prompt, completion = (n if isinstance(n, int | float) else 0 for n in tokens)
        cost = economics.teacher_cost if line["answered_by"] == TEACHER else economics.student_cost
        paid = cost(economics.Usage(prompt, completion), self.prices)
        self._dollars[name, _day(line["at"])] += paid
        if bucket := self._buckets.get((name, "tokens")):
            bucket.left -= prompt + completion

    def recall(self, journal: Path, now: float) -> None:
        """Count what the calls of today cost before this gateway started."""
        for path in journal.glob(f"{_day(now)}*.jsonl"):
            for line in encryption.lines(path):
                if b'"key":"' in line:
                    with suppress(msgspec.DecodeError, KeyError, TypeError):
                        self.spend(msgspec.json.decode(line))

    def needed(self) -> bool:
        """Return whether calls need a key now."""
        self._refresh()
        return bool(self._keys)

    def _refresh(self) -> None:
        """Read the keys again when the file changed; one that is gone or torn opens nothing."""
        try:
            stat = (self.home / FILE).stat()
        except OSError:
            return
        stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._keys = {key.sha256: key for key in read(self.home)}
            except Refused as error:
                log.error("the keys stay as they were: %s", error)


def _bare(value: bytes) -> str:
    """A key as it stands in a header, without `Bearer`."""
    return value.decode("latin-1").strip().removeprefix("Bearer ").strip()


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).date().isoformat()
