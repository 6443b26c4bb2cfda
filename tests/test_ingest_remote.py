"""Servers are read page by page, and one that does not answer is refused in one sentence."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import msgspec
import pytest

from tasks.core.records import Call, Json
from tasks.core.stage import Refused
from tasks.ingest import dialect_registry, remote

Answer = Callable[[httpx.Request], httpx.Response]
ASKED = {"model": "m", "messages": [{"role": "user", "content": "u"}]}
SAID = {"role": "assistant", "content": "a"}


def read(entry: str, answer: Answer, since: float | None = None) -> list[tuple[str, Call]]:
    """(dialect, call) of everything that an in-process server holds."""
    found = []
    for _, document in remote.records(entry, since, httpx.MockTransport(answer)):
        for item in dialect_registry.split(document):
            name = dialect_registry.detect(item) or ""
            found += [(name, call) for call in dialect_registry.DIALECTS[name].parse(item, "here")]
    return found


def body(request: httpx.Request) -> Json:
    decoded: Json = msgspec.json.decode(request.content)
    return decoded


def test_an_index_is_scrolled_to_its_end() -> None:
    """Every hit of every page is a record; the scroll is closed afterwards."""
    source = {"request": ASKED, "response": {"choices": [{"message": SAID}]}}
    pages = [
        [{"_id": i, "_source": {**source, "timestamp": 1_760_000_000 + i}} for i in p]
        for p in ((1, 2), (3,), ())
    ]
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(f"{request.method} {request.url.path}")
        if request.method == "DELETE":
            return httpx.Response(200, json={})
        return httpx.Response(200, json={"_scroll_id": "s", "hits": {"hits": pages.pop(0)}})

    found = read("elasticsearch+http://logs:9200/flywheel", answer)
    assert [(name, call.at) for name, call in found] == [
        ("openai", 1_760_000_000 + i) for i in (1, 2, 3)
    ]
    assert seen[0] == "POST /flywheel/_search"
    assert seen[-1] == "DELETE /_search/scroll"


def test_generations_are_read_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Langfuse's pages are followed with the keys of the environment, from the watermark on."""
    monkeypatch.setenv("LANGFUSE_PUBLIC_KEY", "pk")
    monkeypatch.setenv("LANGFUSE_SECRET_KEY", "sk")
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        one = {
            "id": f"g{len(asked)}",
            "traceId": "t",
            "type": "GENERATION",
            "startTime": 1_760_000_000,
        }
        data = [{**one, "input": ASKED["messages"], "output": SAID}]
        return httpx.Response(200, json={"data": data, "meta": {"totalPages": 2}})

    found = read("langfuse+https://host", answer, since=1_760_000_000.0)
    assert [(name, call.id) for name, call in found] == [("langfuse", "g1"), ("langfuse", "g2")]
    assert asked[1].url.params["page"] == "2"
    assert asked[0].url.params["fromStartTime"] == "2025-10-09T08:53:20+00:00"
    assert asked[0].headers["Authorization"].startswith("Basic ")


def test_traces_are_read_with_their_spans() -> None:
    """An MLflow experiment's traces are searched, and each one's spans fetched."""
    spans = [
        {
            "span_id": "1",
            "trace_id": "t",
            "name": "chat",
            "attributes": {
                "mlflow.spanType": '"CHAT_MODEL"',
                "mlflow.spanInputs": msgspec.json.encode(ASKED).decode(),
                "mlflow.spanOutputs": msgspec.json.encode(
                    {"choices": [{"message": SAID}]}
                ).decode(),
            },
        }
    ]

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("get-trace-artifact"):
            return httpx.Response(200, json={"spans": spans})
        assert body(request)["locations"][0]["mlflow_experiment"] == {"experiment_id": "7"}
        return httpx.Response(200, json={"traces": [{"trace_id": "t"}]})

    ((name, call),) = read("mlflow+http://host:5000/7", answer)
    assert (name, call.reply) == ("mlflow", SAID)


@pytest.mark.parametrize(
    ("response", "sentence"),
    [
        (httpx.Response(401), "answered with status 401"),
        (httpx.Response(200, text="<html>"), "cannot be read"),
        (httpx.Response(200, json={"took": 1}), "its answer has no 'hits'"),
    ],
)
def test_a_server_that_answers_badly_is_refused(response: httpx.Response, sentence: str) -> None:
    """Status, nonsense and a missing field each give one sentence with the source's name."""
    with pytest.raises(Refused, match=rf"source elasticsearch\+http://logs/x .*{sentence}"):
        read("elasticsearch+http://logs/x", lambda request: response)
