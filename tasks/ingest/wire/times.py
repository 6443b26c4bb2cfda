"""Moments as logs write them: numbers in any unit, ISO 8601 and its relatives, other languages."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from tasks.ingest.wire.shape import real

_LATEST = 4_102_444_800.0  # 2100: a later "time" is not one
FIELDS = (
    *("timestamp", "@timestamp", "created_at", "createdAt", "date", "time", "ts", "datetime"),
    *("start_time", "startTime", "startedDateTime", "request_time", "requestTime", "created"),
    *("logged_at", "event_time", "eventTime", "_time", "logging_time", "processed_time"),
    *("started_at", "startedAt", "requested_at", "Timestamp", "timestamp_ms", "TimeGenerated"),
)
_WRAPPED = ("$date", "$numberLong", "seconds", "epochSecond", "_seconds", "value")
_ZONE = re.compile(r"\[[\w/+-]+\]$|\s+m=[+-][\d.]+$")  # Java's zone names, Go's monotonic clock
_UTC = re.compile(r"\s*(?:UTC|GMT|Z)$")
_OFFSET = re.compile(r"\s+([+-]\d\d:?\d\d)(?:\s+[A-Z]{3,4})?$")
_FRACTION = re.compile(r"(:\d\d)[.,](\d{6})\d*")
_DOTNET = re.compile(r"/?Date\((-?\d+)([+-]\d{4})?\)/?")
_WRITTEN = (
    *("%d/%b/%Y:%H:%M:%S%z", "%d/%b/%Y:%H:%M:%S", "%Y/%m/%dT%H:%M:%S", "%Y/%m/%d %H:%M:%S"),
    *("%Y/%m/%d %H:%M:%S.%f", "%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%d %H:%M", "%Y.%m.%d %H:%M:%S"),
    *("%a %b %d %H:%M:%S %Y", "%a %b %d %H:%M:%S.%f %Y", "%a %b %d %Y %H:%M:%S"),
    *("%a %b %d %H:%M:%S%z %Y", "%b %d %Y %H:%M:%S", "%b %d, %Y %H:%M:%S"),
    *("%b %d, %Y, %I:%M:%S %p", "%b %d, %Y %I:%M:%S %p", "%B %d, %Y %H:%M:%S"),
    *("%B %d, %Y, %I:%M:%S %p", "%B %d, %Y %I:%M %p", "%B %d, %Y %I:%M:%S %p"),
    *("%b %d, %Y @ %H:%M:%S.%f", "%b %d, %Y @ %H:%M:%S", "%d %b %Y %H:%M:%S", "%d-%b-%Y %H:%M:%S"),
    *("%d %B %Y %H:%M:%S", "%d.%m.%Y %H:%M:%S", "%d.%m.%Y, %H:%M:%S", "%d.%m.%Y %H:%M"),
    *("%Y%m%d%H%M%S", "%Y%m%d %H:%M:%S", "%Y:%m:%d %H:%M:%S"),
)


def seconds(value: object) -> float | None:
    """Seconds since the epoch out of s, ms, µs, ns or a written date; None if unusable."""
    if type(value) is int and 1_000_000_000 < value < _LATEST:
        return float(value)
    if isinstance(value, datetime):
        at: float | None = (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    elif isinstance(value, dict):
        return _wrapped(value)
    elif isinstance(value, list) and len(value) == 2:  # JavaScript's [seconds, nanoseconds]
        return _wrapped({"seconds": value[0], "nanos": value[1]})
    elif isinstance(value, str) and "-" in value[:8]:
        at = _moment(value)
    else:
        at = real(value)
        at = _moment(value) if isinstance(value, str) and (at is None or _is_digits(value)) else at
    if at is None or at <= 0:
        return None
    for scale in (1e9, 1e6, 1e3):
        if at > _LATEST * scale / 100:
            at /= scale
            break
    return at if 0 < at < _LATEST else None


def _is_digits(value: str) -> bool:
    """Return whether a number is a date without separators: 20260302T100000 without its T."""
    return len(value) == 14 and value.startswith("20") and value.isdecimal()


def _wrapped(value: dict[str, object]) -> float | None:
    """MongoDB's `$date`, protobuf's seconds and nanos."""
    inner = next((value[name] for name in _WRAPPED if name in value), None)
    at = seconds(inner)
    nanos = real(value.get("nanos") or value.get("nano") or value.get("_nanoseconds"))
    return at + nanos / 1e9 if at is not None and nanos else at


def _moment(value: str) -> float | None:
    """A written date; without a zone it is taken as UTC. Day before month only where it is said."""
    try:
        return _stamp(datetime.fromisoformat(value))  # nearly every date
    except ValueError:
        pass
    if match := _DOTNET.fullmatch(value.strip()):
        return int(match[1]) / 1e3
    cleaned = _UTC.sub("", _ZONE.sub("", value.strip()))
    cleaned = _FRACTION.sub(r"\1.\2", _OFFSET.sub(r"\1", cleaned)).replace("\u202f", " ")
    cleaned = re.sub(r"(:\d\d),(\d+)", r"\1.\2", cleaned)
    with suppress(ValueError):
        return _stamp(datetime.fromisoformat(cleaned))
    if "," in value or " " in value:
        with suppress(ValueError, IndexError, TypeError):
            return _stamp(parsedate_to_datetime(value))
    for form in _WRITTEN:
        with suppress(ValueError):
            return _stamp(datetime.strptime(cleaned, form))
    return None


def _stamp(when: datetime) -> float:
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def elapsed(start: float | None, end: float | None) -> float | None:
    """Seconds from start to end, or None."""
    return end - start if start is not None and end is not None and end >= start else None
