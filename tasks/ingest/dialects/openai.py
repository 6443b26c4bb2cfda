"""Request and response side by side: OpenAI wire pairs and the NVIDIA blueprint's documents.

Also the blueprint's relatives: NeMo Agent Toolkit records and Elasticsearch hits (unwrapped by
`tasks.ingest.detect`, which leaves `_id` in the document).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tasks.core.records import Call, Json
from tasks.ingest.wire import canonical, completion, shape
from tasks.ingest.wire.build import build
from tasks.ingest.wire.completion import Completion

_SESSIONS = dict.fromkeys(("conversation_id", "conversation", "session_id", "thread_id")).keys()
_LATENCIES = frozenset(
    {"latency_s", "latency", "duration_s", "latency_ms", "duration_ms", "response_ms"}
)


def sniff(document: Any) -> bool:
    """Whether this is a document with a chat request and a response."""
    if not isinstance(document, dict) or "response" not in document or _is_message(document):
        return False
    asked = shape.loads(document.get("request"))
    return isinstance(asked, dict) and "messages" in asked and "v" not in document


def _is_message(document: Json) -> bool:
    """Whether the reply is an Anthropic message, which only its own dialect reads right."""
    given = document["response"]
    return isinstance(given, dict) and given.get("type") == "message"


def parse(document: Any, source: str) -> Iterable[Call]:
    """The call of one pair. Raises ValueError."""
    pair = shape.mapping(document, "record")
    plain = canonical.pair(pair)
    yield _plain(pair, plain, source) if plain is not None else _other(pair, source)


def _other(pair: Json, source: str) -> Call:
    """The call of any pair."""
    asked = shape.request(pair.get("request"))
    if not pair.get("response") and pair.get("error_details"):
        answer = completion.failed(pair["error_details"])
    else:
        answer = completion.read(pair.get("response"))
    return call(pair, asked, answer, source)


def _plain(pair: Json, plain: canonical.Pair, source: str) -> Call:
    """The call of a pair that is canonical as it stands."""
    given = plain.response
    used = given.usage
    answer = Completion(
        reply=dict(pair["response"]["choices"][0]["message"]),
        finish_reason=shape.finish(given.choices[0].finish_reason),
        tokens=(None, None) if used is None else (used.prompt_tokens, used.completion_tokens),
        model=given.model,
        id=given.id,
        at=shape.seconds(given.created),
    )
    return call(pair, pair["request"], answer, source)


def call(pair: Json, asked: Json, answer: Completion, source: str) -> Call:
    """A call from a request and its answer, with what the envelope says about them."""
    return build(
        source=source,
        request=asked,
        id=answer.id or shape.first(pair, "id", "_id", "request_id"),
        at=shape.seconds(shape.first(pair, "timestamp", "created_at", "date")) or answer.at,
        latency_s=_latency(pair),
        conversation_id=_conversation(pair, asked),
        client=shape.text(shape.first(pair, "client_id", "client")),
        hint=shape.text(shape.first(pair, "workload_id", "hint")),
        **answer.fields(),
    )


def _latency(pair: Json) -> float | None:
    if not pair.keys() & _LATENCIES:
        return None
    if (took := shape.real(shape.first(pair, "latency_s", "latency", "duration_s"))) is not None:
        return took
    took = shape.real(shape.first(pair, "latency_ms", "duration_ms", "response_ms"))
    return None if took is None else took / 1e3


def _conversation(pair: Json, asked: Json) -> Any:
    found = shape.first(pair, *_SESSIONS) if pair.keys() & _SESSIONS else None
    if found is None and isinstance(metadata := asked.get("metadata"), dict):
        return shape.first(metadata, *_SESSIONS)
    return found
