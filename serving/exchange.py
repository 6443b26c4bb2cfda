"""A request on its way through the gateway, and what is kept of it: headers and journal line."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from urllib.parse import unquote

from serving import request_body
from serving.client import Headers
from serving.client_keys import ClientKey
from serving.route import Match
from serving.teacher import Incoming
from tasks.core.records import TEACHER, Json
from tasks.ingest.wire.completion import Completion

CHAT, RESPONSES, MESSAGES = "chat", "responses", "messages"
_KINDS = {"chat/completions": CHAT, "responses": RESPONSES, "messages": MESSAGES}
_PATH = re.compile(
    r"(?:v1|openai(?:/v1|/deployments/(?P<model>[^/]+))?)/(?P<api>chat/completions|responses|messages)"
)
WAITED = "there was no room to read it"
TOO_LARGE = "larger than may be read"
_NOT_A_LABEL = re.compile(r"[^\x20-\x7e]")


def api_of(method: str, path: str) -> str | None:
    """Return which API that nights learn from this calls.

    Chat, responses or messages; None for others. Servers pass over `//`, `/./` and a last `/`.
    """
    match = _parts(path) if method == "POST" else None
    return _KINDS[match["api"]] if match else None


def _parts(path: str) -> re.Match[str] | None:
    return _PATH.fullmatch("/".join(part for part in path.split("/") if part not in ("", ".")))


@dataclass(slots=True)
class Exchange:
    """One request to a model; `match`, `reason` and `student` become known while it is answered.

    `start` is the clock's reading at its arrival, `at` its time in seconds since the epoch.
    `request` is None while nobody needs it, and where its body cannot be read: `unread` says why.
    `plain` says whether it is JSON to the letter. `key` is the client's, where the gateway asks for
    keys of its own; `address` is where it calls from.
    """

    id: str
    at: float
    start: float
    api: str
    incoming: Incoming
    key: ClientKey | None = None
    address: str = ""
    request: Json | None = None
    unread: str = WAITED
    plain: bool = False
    match: Match | None = None
    reason: str = ""
    student: Json | None = None

    def memory(self) -> int:
        """Return how many bytes what is read out of the body may take."""
        try:
            return request_body.memory(self._unpacked())
        except ValueError:
            return 0

    def read(self, most: int) -> None:
        """Read the request out of the body, as far as it can be, and within so many bytes."""
        try:
            body = self._unpacked()
            if request_body.memory(body) > most:
                self.unread = TOO_LARGE
                return
            self.request, self.plain = self._named(request_body.read(body)), True
        except request_body.NotPlain as error:
            self.request, self.unread = self._named(error.request), str(error)
        except ValueError as error:
            self.unread = str(error)

    def _named(self, request: Json | None) -> Json | None:
        """The request with the model that Azure is asked for: its path's, not its body's."""
        match = _parts(unquote(self.incoming.path.decode("latin-1")))
        named = match["model"] if match else None
        return request | {"model": named} if request and named else request

    def _unpacked(self) -> bytes:
        """The body before it was packed. Raises ValueError."""
        assert isinstance(self.incoming.body, bytes)
        encoding = self.incoming.header(b"content-encoding")
        return request_body.unpacked(self.incoming.body, encoding)

    @property
    def client(self) -> str:
        """Who calls, as far as the gateway knows: the key's name, else the address."""
        return self.key.name if self.key else self.address

    def is_chat(self) -> bool:
        """Return whether this is a chat request at all: lists of objects where they belong."""
        if self.api != CHAT or self.request is None:
            return False
        messages, tools = self.request.get("messages"), self.request.get("tools")
        return _objects(messages) and (tools is None or _objects(tools))

    @property
    def model(self) -> str:
        """The model that the request asks for."""
        return str((self.request or {}).get("model") or "")

    @property
    def conversation(self) -> str:
        """The conversation that the request names; empty where it names none."""
        metadata = (self.request or {}).get("metadata")
        labels: Json = metadata if isinstance(metadata, dict) else {}
        named = labels.get("conversation_id") or labels.get("session_id")
        return self.incoming.header(b"x-conversation-id") or str(named or "")

    def headers(self, by: str) -> Headers:
        """Return what the client learns about who answered, and why."""
        headers = {"x-flywheel-call": self.id, "x-flywheel-served-by": by}
        if self.match is not None:
            headers["x-flywheel-task"] = self.match.route.task.id
            headers["x-flywheel-adapter"] = self.match.route.adapter
            headers["x-flywheel-version"] = str(self.match.route.version)
        headers["x-flywheel-reason"] = self.reason
        return [(k.encode(), _NOT_A_LABEL.sub("?", v).encode()) for k, v in headers.items()]

    def line(self, audit_rate: float, **more: object) -> Json:
        """The journal line. Client headers with secrets never enter it."""
        request = self.request or {}
        metadata = request.get("metadata")
        labels: Json = metadata if isinstance(metadata, dict) else {}
        header = self.incoming.header
        return {
            "id": self.id,
            "at": self.at,
            "api": self.api,
            "request": self.request,
            "reply": None,
            "model": self.model,
            "finish_reason": None,
            "usage": None,
            "latency_s": round(time.perf_counter() - self.start, 6),
            "client": header(b"x-client-id") or str(request.get("user") or ""),
            "conversation": self.conversation,
            "key": self.key.name if self.key else None,
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


def reply_fields(read: Completion) -> Json:
    """The fields of a line (or of its audit) that hold what a model said."""
    prompt, completion = read.tokens
    return {
        "reply": read.reply,
        "model": read.model,
        "fingerprint": read.fingerprint or None,
        "finish_reason": read.finish_reason,
        "usage": {"prompt_tokens": prompt, "completion_tokens": completion},
    }
