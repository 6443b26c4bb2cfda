"""Azure's diagnostic logs: API Management's LLM and gateway logs, OpenAI resources' request log."""

from __future__ import annotations

from collections.abc import Iterable

from tasks.core.records import Call, Json
from tasks.ingest.wire import pairs, shape
from tasks.ingest.wire.shape import first, loads

_ASKED = (
    "BackendRequestBody",
    "backendRequestBody",
    "requestBody",
    "RequestBody",
    "Request-Body",
    "request",
)
_GIVEN = (
    "BackendResponseBody",
    "backendResponseBody",
    "responseBody",
    "ResponseBody",
    "Response-Body",
    "response",
)


def sniff(document: object) -> bool:
    """Return whether this is a record of a diagnostic setting, or a row of its table."""
    if not isinstance(document, dict):
        return False
    keys = {key.lower() for key in document if isinstance(key, str)}
    if "resourceid" in keys and keys & {"category", "operationname"}:
        return True
    if document.keys() & {"RequestMessages", "BackendRequestBody", "BackendResponseBody"}:
        return True
    return bool(_inner(document).keys() & {*_ASKED[:-1]})


def _inner(record: Json) -> Json:
    """The fields of a record that stand within: a setting's, or those of Application Insights."""
    inner = loads(first(record, "properties", "Properties", "customDimensions"))
    return inner if isinstance(inner, dict) else {}


def parse(document: object, source: str) -> Iterable[Call]:
    """The call of one record. Raises ValueError."""
    record = shape.mapping(document, "record")
    told = {**record, **_inner(record)}
    envelope = {
        "id": first(told, "correlationId", "CorrelationId", "requestId"),
        "timestamp": first(told, "time", "TimeGenerated", "timestamp"),
        "duration_ms": first(told, "durationMs", "DurationMs", "totalTime", "TotalTime"),
    }
    request, response = first(told, *_ASKED), first(told, *_GIVEN)
    if request is None and (messages := first(told, "requestMessages", "RequestMessages")):
        model = first(told, "modelName", "ModelName", "deploymentName", "DeploymentName")
        request = {"model": model, "messages": loads(messages)}
        response = _messages(first(told, "responseMessages", "ResponseMessages"))
    if request is None or response is None:
        raise ValueError(
            f"{shape.UNREADABLE}: the log was set up without request and response bodies"
        )
    call = pairs.exchange(envelope, request, response, source)
    taken, output = (
        first(told, f"{n}Tokens", f"{n.title()}Tokens") for n in ("prompt", "completion")
    )
    yield pairs.with_tokens(call, taken, output)


def _messages(raw: object) -> Json | None:
    messages = loads(raw)
    messages = messages[-1] if isinstance(messages, list) and messages else messages
    if isinstance(messages, str):
        messages = {"role": "assistant", "content": messages}
    return messages if isinstance(messages, dict) else None
