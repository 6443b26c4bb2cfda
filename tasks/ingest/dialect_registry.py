"""Log dialects: one small module each, with `sniff(document)` and `parse(document, source)`.

A document is one decoded line (or file). `split` unwraps what holds several, `detect` finds the
dialect of one. `parse` yields calls and raises ValueError("<reason>: <detail>").
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from typing import Any, Protocol

from tasks.core.records import Call, Rejected
from tasks.ingest.dialects import (
    anthropic,
    azure,
    batch,
    bedrock,
    braintrust,
    claude_code,
    cloudflare,
    completions,
    datadog,
    gemini,
    har,
    helicone,
    journal,
    kong,
    langchain,
    langfuse,
    langsmith,
    litellm,
    messages,
    mlflow,
    named_pairs,
    openai,
    openai_agents,
    openinference,
    openllmetry,
    opik,
    otel,
    portkey,
    quarantine,
    responses,
    stored,
    table,
    tensorzero,
    vercel,
    weave,
)
from tasks.ingest.wire import spans, traces
from tasks.ingest.wire.shape import loads


class Dialect(Protocol):
    """A dialect's module."""

    def sniff(self, document: object) -> bool:
        """Return whether this document is of the dialect."""

    def parse(self, document: Any, source: str) -> Iterable[Call]:
        """The document's calls. Raises ValueError."""


# In the order of asking: the first that recognises a document takes it.
DIALECTS: Mapping[str, Dialect] = {
    "kept": quarantine,
    "journal": journal,
    "litellm": litellm,
    "portkey": portkey,
    "kong": kong,
    "cloudflare": cloudflare,
    "har": har,
    "azure": azure,
    "batch": batch,
    "anthropic": anthropic,
    "openai": openai,
    "responses": responses,
    "gemini": gemini,
    "completions": completions,
    "bedrock": bedrock,
    "stored": stored,
    "helicone": helicone,
    "langfuse": langfuse,
    "langsmith": langsmith,
    "tensorzero": tensorzero,
    "mlflow": mlflow,
    "openinference": openinference,
    "openllmetry": openllmetry,
    "vercel": vercel,
    "otel": otel,
    "openai_agents": openai_agents,
    "datadog": datadog,
    "braintrust": braintrust,
    "opik": opik,
    "weave": weave,
    "langchain": langchain,
    "claude_code": claude_code,
    "named_pairs": named_pairs,
    "table": table,
    "messages": messages,
}
# Those whose records are spans: one model call may be in several of them.
SPANS = frozenset(
    {"langfuse", "mlflow", "openinference", "openllmetry", "otel", "vercel", "datadog", "opik"}
    | {"openai_agents", "braintrust", "weave"}
)
# Keys under which one document holds several records, which `split` takes out.
_CONTAINERS = frozenset(
    {
        "_source",
        "doc",
        "hits",
        "resourceSpans",
        "resource_spans",
        "resourceLogs",
        "resource_logs",
        "batches",
        "log",
        "observations",
        "data",
        "spans",
        "raw",
    }
)
_QUARANTINED = frozenset(f.name for f in fields(Rejected))
_ACTIONS = frozenset({"index", "create", "update", "delete"})


def detect(document: object) -> str | None:
    """The name of the dialect that recognises this document, or None."""
    return next((name for name, dialect in DIALECTS.items() if dialect.sniff(document)), None)


def is_other_work(document: Any) -> bool:
    """Return whether a document is a span of what programs do beside asking models."""
    return spans.is_span(document) and otel.has(document, "http.", "db.", "rpc.", "messaging.")


def is_one(document: object) -> bool:
    """Return whether a document is surely one record: `split` would give it back as it is."""
    return isinstance(document, dict) and _CONTAINERS.isdisjoint(document)


def split(document: Any) -> Iterator[object]:
    """The records in a document: array items, pages, hits, spans, quarantined text; else itself."""
    if isinstance(document, list):
        for item in document:
            yield from split(item)
    elif not isinstance(document, dict):
        yield document
    elif isinstance(inner := document.get("_source") or document.get("doc"), dict):
        named = {"_id": document["_id"]} if "_id" in document else {}
        for item in split(inner):
            yield {**named, **item} if isinstance(item, dict) else item
    elif document.keys() == _QUARANTINED:
        yield loads(document["raw"])
    elif isinstance(hits := document.get("hits"), dict):
        yield from split(hits.get("hits") or [])
    elif "resourceSpans" in document or "resource_spans" in document:
        yield from traces.trace(traces.otlp(document))
    elif "resourceLogs" in document or "resource_logs" in document:
        yield from traces.log_records(document)
    elif isinstance(document.get("batches"), list):  # Grafana Tempo
        yield from traces.trace(traces.otlp({"resourceSpans": document["batches"]}))
    elif isinstance(archive := document.get("log"), dict) and "entries" in archive:  # HAR
        yield from split(archive["entries"])
    elif "traceID" in document and "spans" in document:
        yield from traces.jaeger(document)
    elif isinstance(document.get("observations"), list):
        yield from langfuse.split(document)
    elif _is_mlflow(document):
        yield from mlflow.split(document)
    elif isinstance(page := document.get("data"), list) and "messages" not in document:
        yield from split(page)
    else:
        yield document


def _is_mlflow(document: dict[str, object]) -> bool:
    data = loads(document.get("data"))
    return "spans" in document or (isinstance(data, dict) and "spans" in data)


def is_action(document: object) -> bool:
    """Return whether this is an action line of Elasticsearch's bulk format: no record."""
    if not isinstance(document, dict) or len(document) != 1:
        return False
    ((name, body),) = document.items()
    return name in _ACTIONS and isinstance(body, dict) and bool(body.keys() & {"_index", "_id"})
