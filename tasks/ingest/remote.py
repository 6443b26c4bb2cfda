"""Records from servers: an Elasticsearch index, Langfuse's API, an MLflow tracking server.

Sources are URLs with the server's kind in front: `elasticsearch+https://host:9200/index`,
`langfuse+https://host`, `mlflow+http://host:5000/<experiment id>`. Keys come from the environment
(ELASTICSEARCH_API_KEY; LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY; MLFLOW_TRACKING_TOKEN), never
from params.yaml. Everything is read page by page; `since` leaves older pages on the server where it
can, and what is read again is told by its id.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx

from tasks.core.records import Json
from tasks.core.stage import Refused

PAGE = 100
TIMEOUT = 60.0
Record = tuple[str, Any]  # (its id on the server, the document)


def is_remote(entry: str) -> bool:
    """Return whether a source names a server."""
    return entry.partition("+")[0] in _KINDS and "://" in entry


def records(
    entry: str, since: float | None = None, transport: httpx.BaseTransport | None = None
) -> Iterator[Record]:
    """The records that a server holds. Raises Refused when it does not answer as it should."""
    kind, _, url = entry.partition("+")
    base = httpx.URL(url)
    names = [part for part in base.path.split("/") if part]
    root = base.copy_with(path="/")
    try:
        with httpx.Client(
            base_url=root, timeout=TIMEOUT, transport=transport, **_auth(kind)
        ) as client:
            yield from _KINDS[kind](client, names, since)
    except httpx.HTTPStatusError as error:
        raise Refused(f"source {entry} answered with status {error.response.status_code}") from None
    except (httpx.HTTPError, ValueError) as error:
        raise Refused(f"source {entry} cannot be read: {error}") from None


def _auth(kind: str) -> Json:
    env = os.environ.get
    if kind == "langfuse":
        return {"auth": (env("LANGFUSE_PUBLIC_KEY", ""), env("LANGFUSE_SECRET_KEY", ""))}
    if kind == "elasticsearch" and (key := env("ELASTICSEARCH_API_KEY")):
        return {"headers": {"Authorization": f"ApiKey {key}"}}
    if kind == "mlflow" and (token := env("MLFLOW_TRACKING_TOKEN")):
        return {"headers": {"Authorization": f"Bearer {token}"}}
    return {}


def _json(response: httpx.Response) -> Json:
    response.raise_for_status()
    body = response.json()
    if not isinstance(body, dict):
        raise ValueError("its answer is no JSON object")
    return body


def elasticsearch(client: httpx.Client, names: list[str], _: float | None) -> Iterator[Record]:
    """All documents of an index. Their times come in any unit, so the window is ours to keep."""
    if len(names) != 1:
        raise ValueError("the URL must end with the name of one index")
    asked = {"size": PAGE, "sort": ["_doc"]}
    page = _json(client.post(f"{names[0]}/_search", params={"scroll": "2m"}, json=asked))
    try:
        while hits := page["hits"]["hits"]:
            for hit in hits:
                yield str(hit.get("_id")), hit
            again = {"scroll": "2m", "scroll_id": page["_scroll_id"]}
            page = _json(client.post("_search/scroll", json=again))
    except KeyError as missing:
        raise ValueError(f"its answer has no {missing}") from None
    finally:
        if scroll := page.get("_scroll_id"):
            client.request("DELETE", "_search/scroll", json={"scroll_id": scroll})


def langfuse(client: httpx.Client, _: list[str], since: float | None) -> Iterator[Record]:
    """All generations of a project, those from `since` on where it is given."""
    asked: Json = {"type": "GENERATION", "limit": PAGE}
    if since is not None:
        asked["fromStartTime"] = datetime.fromtimestamp(since, UTC).isoformat()
    number, last = 1, 1
    while number <= last:
        page = _json(client.get("api/public/observations", params={**asked, "page": number}))
        for one in page.get("data") or ():
            yield str(one.get("id")), one
        last = int((page.get("meta") or {}).get("totalPages") or 0)
        number += 1


def mlflow(client: httpx.Client, names: list[str], since: float | None) -> Iterator[Record]:
    """All traces of an experiment (`0` is the default one), with their spans."""
    place = {"experiment_id": names[0] if names else "0"}
    where = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": place}
    asked: Json = {"locations": [where], "max_results": PAGE}
    if since is not None:
        asked["filter"] = f"attributes.timestamp_ms >= {int(since * 1e3)}"
    while True:
        page = _json(client.post("api/3.0/mlflow/traces/search", json=asked))
        for info in page.get("traces") or ():
            named = str(info.get("trace_id") or info.get("request_id"))
            spans = client.get(
                "ajax-api/3.0/mlflow/get-trace-artifact", params={"request_id": named}
            )
            yield named, {"info": info, "data": _json(spans)}
        if not (token := page.get("next_page_token")):
            return
        asked["page_token"] = token


_KINDS: dict[str, Callable[[httpx.Client, list[str], float | None], Iterator[Record]]] = {
    "elasticsearch": elasticsearch,
    "langfuse": langfuse,
    "mlflow": mlflow,
}
