"""AWS Bedrock's model invocation log: InvokeModel of any vendor, Converse, and their streams."""

from __future__ import annotations

from collections.abc import Iterable

from tasks.core.records import Call, Json
from tasks.ingest.wire import pairs, shape
from tasks.ingest.wire.shape import first, loads


def sniff(document: object) -> bool:
    """Return whether this is a record of the log."""
    if not isinstance(document, dict):
        return False
    if document.get("schemaType") == "ModelInvocationLog":
        return True
    if "recordId" in document and isinstance(document.get("modelInput"), dict):  # a batch's output
        return True
    return document.keys() >= {"modelId", "input", "output"} and "operation" in document


def parse(document: object, source: str) -> Iterable[Call]:
    """The call of one record. Raises ValueError."""
    record = shape.mapping(document, "record")
    if "modelInput" in record:
        yield _batched(record, source)
        return
    asked, given = _side(record, "input"), _side(record, "output")
    body = loads(asked.get("inputBodyJson"))
    if not isinstance(body, dict):
        where = "in S3" if asked.get("inputBodyS3Path") else "not in the log"
        raise ValueError(f"{shape.UNREADABLE}: the request's body is {where}")
    response = first(given, "outputBodyJson")
    if error := record.get("errorCode"):
        response = {"error": {"code": error, "message": shape.text(error)}}
    elif response is None and given.get("outputBodyS3Path"):
        raise ValueError(f"{shape.UNREADABLE}: the response's body is in S3")
    if isinstance(response, dict) and response.keys() & {"embedding", "embeddings"}:
        raise ValueError(f"{shape.NOT_A_CALL}: an embedding")
    envelope = {"id": record.get("requestId"), "timestamp": record.get("timestamp")}
    metadata = record.get("requestMetadata")
    if isinstance(metadata, dict):
        envelope |= {k: v for k, v in metadata.items() if isinstance(v, str) and k not in envelope}
    latency = _latency(response)
    if latency is not None:
        envelope["latency_ms"] = latency
    call = pairs.exchange(envelope, {"model": record.get("modelId"), **body}, response, source)
    yield pairs.with_tokens(call, asked.get("inputTokenCount"), given.get("outputTokenCount"))


def _batched(record: Json, source: str) -> Call:
    error = record.get("error")
    response = {"error": error} if error else record.get("modelOutput")
    return pairs.exchange({"id": record["recordId"]}, record["modelInput"], response, source)


def _side(record: Json, name: str) -> Json:
    body = loads(record.get(name))
    return body if isinstance(body, dict) else {}


def _latency(response: object) -> object:
    metrics = response.get("metrics") if isinstance(response, dict) else None
    return metrics.get("latencyMs") if isinstance(metrics, dict) else None
