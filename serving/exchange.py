"""A request on its way through the gateway, and what is kept of it: headers and journal line."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from serving.route import Match
from tasks.core.records import TEACHER, Json
from tasks.ingest.wire.completion import Completion


@dataclass(slots=True)
class Exchange:
    """One request; `match`, `reason` and `student` become known while it is answered.

    `start` is the clock's reading at its arrival, `at` its time in seconds since the epoch.
    """

    id: str
    at: float
    start: float
    body: bytes
    request: Json
    headers: Mapping[str, str]
    match: Match | None = None
    reason: str = ""
    student: Json | None = None

    def is_chat(self) -> bool:
        """Return whether this is a chat request at all: lists of objects where they belong."""
        messages, tools = self.request.get("messages"), self.request.get("tools")
        return _objects(messages) and (tools is None or _objects(tools))

    def response_headers(self, by: str) -> dict[str, str]:
        """What the client learns about who answered, and why."""
        headers = {"x-flywheel-call": self.id, "x-flywheel-served-by": by}
        if self.match is not None:
            headers["x-flywheel-task"] = self.match.route.task.id
            headers["x-flywheel-adapter"] = self.match.route.adapter
            headers["x-flywheel-version"] = str(self.match.route.version)
        return {**headers, "x-flywheel-reason": self.reason}

    def line(self, audit_rate: float, **more: object) -> Json:
        """The journal line. Client headers with secrets never enter it."""
        metadata = self.request.get("metadata")
        labels: Json = metadata if isinstance(metadata, dict) else {}
        conversation = labels.get("conversation_id") or labels.get("session_id")
        return {
            "id": self.id,
            "at": self.at,
            "request": self.request,
            "reply": None,
            "model": str(self.request.get("model") or ""),
            "finish_reason": None,
            "usage": None,
            "latency_s": round(time.perf_counter() - self.start, 6),
            "client": self.headers.get("x-client-id") or str(self.request.get("user") or ""),
            "conversation": self.headers.get("x-conversation-id") or str(conversation or ""),
            "hint": str(labels.get("workload_id") or labels.get("task") or ""),
            "answered_by": TEACHER,
            "reason": self.reason,
            "student": self.student,
            "audit": None,
            "audit_rate": audit_rate,
            "task": self.match.route.task.id if self.match else None,
            "error": None,
            **more,
        }


def _objects(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def reply_fields(found: Completion) -> Json:
    """The fields of a line (or of its audit) that hold what a model said."""
    prompt, completion = found.tokens
    return {
        "reply": found.reply,
        "model": found.model,
        "finish_reason": found.finish_reason,
        "usage": {"prompt_tokens": prompt, "completion_tokens": completion},
    }
