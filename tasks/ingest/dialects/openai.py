"""Request and response side by side: OpenAI wire pairs and the NVIDIA blueprint's documents.

Also the blueprint's relatives: NeMo Agent Toolkit records and Elasticsearch hits (unwrapped by
`tasks.ingest.dialect_registry`, which leaves `_id` in the document).
"""

from __future__ import annotations

from collections.abc import Iterable

from tasks.core.records import Call, Json
from tasks.ingest.wire import (
    canonical,
    completion,
    finish_and_usage,
    pairs,
    replies,
    requests,
    shape,
    times,
)
from tasks.ingest.wire.completion import Completion


def sniff(document: object) -> bool:
    """Return whether this is a document with a chat request and a response."""
    if not isinstance(document, dict) or "response" not in document or _is_message(document):
        return False
    asked = shape.loads(document.get("request"))
    return isinstance(asked, dict) and "messages" in asked and "v" not in document


def _is_message(document: Json) -> bool:
    """Return whether the reply is an Anthropic message, which only its own dialect reads right."""
    given = document["response"]
    return isinstance(given, dict) and given.get("type") == "message"


def parse(document: object, source: str) -> Iterable[Call]:
    """The call of one pair. Raises ValueError."""
    pair = shape.mapping(document, "record")
    plain = canonical.pair(pair)
    yield _plain(pair, plain, source) if plain is not None else _other(pair, source)


def _other(pair: Json, source: str) -> Call:
    """The call of any pair."""
    asked = shape.mapping(shape.loads(pair.get("request")), "request")
    asked = requests.read(asked)
    if not pair.get("response") and pair.get("error_details"):
        answer = completion.failed(pair["error_details"])
    else:
        answer = replies.read(pair.get("response"), body=True)
    return pairs.call(pair, asked, answer, source)


def _plain(pair: Json, plain: canonical.Pair, source: str) -> Call:
    """The call of a pair that is canonical as it stands."""
    given = plain.response
    used = given.usage
    answer = Completion(
        reply=dict(pair["response"]["choices"][0]["message"]),
        finish_reason=finish_and_usage.finish(given.choices[0].finish_reason),
        tokens=(None, None) if used is None else _tokens(used, pair["response"]["usage"]),
        model=given.model,
        id=given.id,
        at=times.seconds(given.created),
    )
    return pairs.call(pair, pair["request"], answer, source)


def _tokens(used: canonical.TokenCounts, stated: object) -> tuple[int | None, int | None]:
    if used.prompt_tokens is None:  # in another API's words, perhaps
        return finish_and_usage.usage(stated)
    return used.prompt_tokens, used.completion_tokens
