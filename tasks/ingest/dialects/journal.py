"""Our own gateway's journal, all versions of it: this is where the loop closes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tasks.core.records import TEACHER, Call, Json
from tasks.ingest.wire import finish_and_usage, replies, requests, shape, times
from tasks.ingest.wire.build import build

# UPGRADES[i] turns a line of version i + 1 into one of version i + 2.
UPGRADES: tuple[Callable[[Json], Json], ...] = ()
VERSION = len(UPGRADES) + 1


def sniff(document: object) -> bool:
    """Return whether this is a line of the journal."""
    return isinstance(document, dict) and {"v", "request", "reply"} <= document.keys()


def upgrade(line: Json) -> Json:
    """The line in today's schema. Raises ValueError when it comes from a newer gateway."""
    version = line.get("v")
    if not isinstance(version, int) or not 1 <= version <= VERSION:
        raise ValueError(f"{shape.UNREADABLE}: journal version {version!r}, known up to {VERSION}")
    for step in UPGRADES[version - 1 :]:
        line = step(line)
    return line


def parse(document: object, source: str) -> Iterable[Call]:
    """The call of one journal line. Raises ValueError.

    An audited answer counts as the teacher's, for as many calls as the audit's rate says it
    stands for; an answer that was served unseen keeps its student's name. The rate is known of
    escalated calls, too, where a student was asked first.
    """
    line = upgrade(shape.mapping(document, "journal line"))
    audit = line["audit"] if isinstance(line.get("audit"), dict) else {}
    audited = bool(audit.get("reply"))
    served = shape.text(line.get("answered_by")) or TEACHER
    merged = {**line, **{k: v for k, v in audit.items() if v}} if audited else line
    student = line.get("student") if isinstance(line.get("student"), dict) else None
    rate = _rate(line) if student or served != TEACHER else 1.0
    raw, error = merged.get("reply"), line.get("error")
    if isinstance(raw, str):
        raw = {"role": "assistant", "content": raw}
    if line.get("full"):
        raise ValueError(f"{shape.INCOMPLETE}: the journal was full (retention.journal)")
    if not raw and not error:
        raise ValueError(f"{shape.EMPTY}: the line has neither reply nor error")
    yield build(
        source=source,
        request=requests.read(shape.mapping(line.get("request"), "request")),
        reply=_reply(raw),
        id=line.get("id"),
        at=times.seconds(line.get("at")),
        tokens=finish_and_usage.usage(merged.get("usage")),
        latency_s=line.get("latency_s"),
        conversation_id=line.get("conversation"),
        model=shape.text(merged.get("model")),
        finish_reason=finish_and_usage.finish((audit if audited else line).get("finish_reason")),
        client=shape.text(line.get("client")),
        hint=shape.text(line.get("hint")),
        answered_by=TEACHER if audited else served,
        student=student,
        error=error if isinstance(error, str | None) else shape.dumps(error),
        weight=1 / rate if audited and served != TEACHER else 1.0,
        rate=rate,
        key=shape.text(line.get("key")),
    )


def _rate(line: Json) -> float:
    rate = shape.real(line.get("audit_rate"))
    return rate if rate is not None and 0 < rate <= 1 else 1.0


def _reply(raw: Any) -> Json:
    """The assistant's message, also where the body of another API was journaled."""
    if not raw:
        return shape.reply({"content": None})
    plain = isinstance(raw, dict) and isinstance(raw.get("content"), str | None)
    if plain and not raw.keys() & {"output", "parts", "candidates", "message"}:
        return shape.reply(raw)
    return replies.read(raw, body=True).reply
