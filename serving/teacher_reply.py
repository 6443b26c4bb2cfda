"""The teacher's reply that went by, as the journal keeps it."""

from __future__ import annotations

from serving import request_body
from serving.exchange import CHAT, reply_fields
from serving.relay import Passed
from tasks.core.records import Json
from tasks.ingest.wire import completion, replies, shape, stream
from tasks.ingest.wire.completion import Completion

UNREADABLE = "the teacher's reply cannot be read"


def fields(api: str, passed: Passed) -> Json:
    """The fields of a journal line: what the teacher said, or the error."""
    if not 200 <= passed.status < 300:
        return {"error": passed.broken or f"HTTP {passed.status}"}
    try:
        completion = _read(api, passed)
    except ValueError:
        return {"error": passed.broken or UNREADABLE}
    if passed.broken and not _ended(completion):
        return {"error": passed.broken}
    return {**reply_fields(completion), "error": completion.error}


def whole(api: str, passed: Passed) -> bool:
    """Return whether the bytes so far hold an answer to its end."""
    try:
        return passed.status < 400 and _ended(_read(api, passed))
    except ValueError:
        return False


def _ended(completion: Completion) -> bool:
    return completion.finish_reason not in (None, shape.INCOMPLETE)


def _read(api: str, passed: Passed) -> Completion:
    """The reply in the bytes. Raises ValueError when there is none, or none of this API."""
    text = request_body.unpacked(passed.content, passed.encoding).decode("utf-8", "replace")
    if api == CHAT:
        return completion.read(text)
    body = stream.join(list(stream.chunks(text))) if stream.is_sse(text) else shape.loads(text)
    readable = isinstance(body, dict) and (
        body.get("error") or body.get("object") == "response" or "type" in body
    )
    if not readable:
        raise ValueError(f"{shape.UNREADABLE}: no reply of the API {api}")
    return replies.read(body)
