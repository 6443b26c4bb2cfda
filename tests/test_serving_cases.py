"""What once broke at the gateway, run against the recorded cases' own teacher."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import served
from served import running
from test_serving_clients import line_of

DATA = Path(os.environ.get("FLYWHEEL_EVAL_DATA", "../shared/data"))
MOCK = DATA / "cases_serving" / "_mock_teacher.py"
pytestmark = pytest.mark.skipif(not MOCK.exists(), reason=f"{MOCK} is not there")

MESSAGES = [{"role": "user", "content": "hi"}]
PATH = "/v1/chat/completions"
OURS = ("x-flywheel-", "date", "transfer-encoding", "connection")


@pytest.fixture(scope="module")
def teacher() -> Iterator[str]:
    """The cases' teacher: what it does is chosen by the model that is asked for."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = subprocess.Popen([sys.executable, str(MOCK), str(port)])
    url, end = f"http://127.0.0.1:{port}", time.monotonic() + 30
    try:
        while time.monotonic() < end:
            try:
                httpx.get(f"{url}/v1/models")
                break
            except httpx.HTTPError:
                time.sleep(0.02)
        yield url
    finally:
        program.terminate()
        program.wait(10)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def gateway(home: Path, teacher: str) -> Iterator[str]:
    with running(served.gateway(home, None, f"{teacher}/v1")) as url:
        yield url


def ask(url: str, scenario: str, **more: Any) -> tuple[int, list[tuple[str, str]], bytes]:
    """Status, headers and bytes of an answer; what came of one that broke off."""
    headers, body = more.pop("headers", {}), {"model": f"m:{scenario}", "messages": MESSAGES}
    parts: list[bytes] = []
    with httpx.stream("POST", url + PATH, json=body | more, headers=headers, timeout=30) as found:
        kept = [(k.lower(), v) for k, v in found.headers.items()]
        try:
            parts += found.iter_raw()
        except httpx.RemoteProtocolError:
            parts.append(b"(broken)")
    shown = sorted((k, v) for k, v in kept if not k.startswith(OURS))
    body = b"".join(parts)
    if body.startswith(b"\x1f\x8b"):  # the time at which it was packed is in its head
        body = body[:4] + bytes(4) + body[8:]
    return found.status_code, shown, body


NAMES = (
    *("openai-beta", "x-title", "http-referer", "anthropic-beta", "x-api-key", "helicone-auth"),
    *("x-portkey-config", "cf-aig-authorization", "traceparent", "idempotency-key", "x-custom"),
    *("openai-organization", "openai-project", "api-key", "x-stainless-lang", "cookie"),
)
PATHS = (
    *("embeddings", "completions", "responses", "messages", "moderations", "files", "batches"),
    "models/gpt-4o",
)
WHOLE = (
    *("429", "500", "html502", "empty200", "gzipreply", "tools", "refusal", "reasoning"),
    *("parse", "slowfirst", "reset-body"),
)
STREAMS = (
    *("plain", "st-emoji", "st-tools", "st-errorevent", "st-comments", "st-crlf", "st-nodone"),
    *("st-u2028", "st-empty", "ct-plain", "ct-octet", "ct-upper", "ct-ndjson"),
)


@pytest.mark.parametrize("scenario", [*WHOLE, *STREAMS])
def test_an_answer_comes_back_as_it_was(scenario: str, teacher: str, gateway: str) -> None:
    """Status, headers and bytes, whatever the teacher does."""
    stream = {"stream": True} if scenario in STREAMS else {}
    with ThreadPoolExecutor() as pool:  # both at once, as some teachers take a second
        ours, its = pool.map(lambda url: ask(url, scenario, **stream), (gateway, teacher))
    assert ours == its


@pytest.mark.parametrize(
    "name",
    [
        "openai-beta",
        "x-title",
        "http-referer",
        "anthropic-beta",
        "x-api-key",
        "helicone-auth",
        "x-portkey-config",
        "cf-aig-authorization",
        "traceparent",
        "idempotency-key",
        "x-custom",
        "openai-organization",
        "openai-project",
        "api-key",
        "x-stainless-lang",
        "cookie",
    ],
)
def test_headers_and_query_dropped(name: str, gateway: str) -> None:
    """Any header that a teacher may ask for reaches it; so does the query."""
    assert ask(gateway, f"needheader-{name}", headers={name: "v"})[0] == 200
    query = {"api-version": "2024-10-21"}
    body = {"model": "m:needquery", "messages": MESSAGES}
    assert httpx.post(gateway + PATH, json=body, params=query).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "embeddings",
        "completions",
        "responses",
        "messages",
        "moderations",
        "files",
        "batches",
        "models/gpt-4o",
    ],
)
def test_endpoints_missing(path: str, teacher: str, gateway: str) -> None:
    """Every endpoint is there, and so are OPTIONS, stored completions and a trailing slash."""
    body = {"model": "m", "input": "x", "messages": MESSAGES, "max_tokens": 5}

    def replies(url: str) -> list[tuple[int, bytes]]:
        method = "GET" if "/" in path else "POST"
        content = None if "/" in path else body
        found = [httpx.request(method, f"{url}/v1/{path}", json=content)]
        found.append(httpx.options(url + PATH))
        found.append(httpx.get(url + PATH))
        found.append(httpx.post(f"{url}{PATH}/", json={}))
        return [(one.status_code, one.content) for one in found]

    assert replies(gateway) == replies(teacher)


@pytest.mark.parametrize("scenario", ["redirect307", "redirect308"])
def test_redirecting_teacher(scenario: str, gateway: str) -> None:
    """The gateway follows to where the same host says."""
    import openai

    client = openai.OpenAI(base_url=f"{gateway}/v1", api_key="k", max_retries=0)
    found = client.chat.completions.create(model=f"m:{scenario}", messages=MESSAGES)  # type: ignore[arg-type]
    assert found.choices[0].message.content == "hello"


@pytest.mark.parametrize("scenario", ["st-cutevent", "st-cutline"])
def test_stream_cut_inside_line(scenario: str, gateway: str) -> None:
    """Where the teacher breaks off, the client's library raises its own error, with a sentence."""
    import openai

    client = openai.OpenAI(base_url=f"{gateway}/v1", api_key="k", max_retries=0)
    stream = client.chat.completions.create(model=f"m:{scenario}", messages=MESSAGES, stream=True)  # type: ignore[call-overload]
    with pytest.raises(openai.APIError, match="the teacher's answer broke off"):
        list(stream)


@pytest.mark.parametrize("scenario", ["st-linger", "st-usage-late"])
def test_client_leaves_after_the_end(scenario: str, gateway: str, home: Path) -> None:
    """A client that stops at the finish reason has its whole answer: so has the journal."""
    import openai

    client = openai.OpenAI(base_url=f"{gateway}/v1", api_key="k", max_retries=0)
    made = client.chat.completions.with_raw_response.create(
        model=f"m:{scenario}",
        messages=MESSAGES,
        stream=True,  # type: ignore[arg-type]
    )
    with made.parse() as stream:
        for chunk in stream:
            if chunk.choices and chunk.choices[0].finish_reason:
                break
    line = line_of(home, made.headers["x-flywheel-call"])
    assert (line["reply"]["content"], line["error"]) == ("all of it", None)
    usage = {"prompt_tokens": 5, "completion_tokens": 2}
    assert scenario == "st-linger" or line["usage"] == usage


def test_stream_line_separators(gateway: str, home: Path) -> None:
    """U+2028 and U+0085 in a stream are text, for the journal too."""
    body = {"model": "m:st-u2028", "messages": MESSAGES, "stream": True}
    reply = httpx.post(gateway + PATH, json=body)
    line = line_of(home, reply.headers["x-flywheel-call"])
    assert line["reply"]["content"] == "line one\u2028line two\u0085x"


def test_surrogates_escaped_twice(gateway: str, teacher: str, tmp_path: Path) -> None:
    """JSON in JSON is the same for the journal and, with TEACHER_MODEL, for the teacher."""
    tool = '{"review": "great \\ud83d\\ude00 thanks"}'
    texts = [tool, r"C:\udata\ud800dir, regex [\ud800-\udfff]"]
    asked = [{"role": "user", "content": text} for text in texts]
    with running(served.gateway(tmp_path, None, f"{teacher}/v1", model="m:x")) as url:
        body = {"model": "m:y", "messages": asked}
        reply = httpx.post(url + PATH, json=body)
        line = line_of(tmp_path, reply.headers["x-flywheel-call"])
    assert [m["content"] for m in line["request"]["messages"]] == texts
    last = [one for one in httpx.get(f"{teacher}/last").json() if one["path"] == PATH][-1]
    assert httpx.Response(200, text=last["body"]).json() == {**body, "model": "m:x"}


ELSEWHERE = {
    "audited-lines-lost": "test_serving_journal."
    "test_lines_that_a_killed_gateway_had_put_aside_are_written",
    "data-get-damaged-cache": "test_registry_ledger.test_damaged_data_is_named_and_not_restored",
    "dead-service-unnoticed": "test_cli_processes.test_a_service_that_dies_starts_again",
    "hangup-orphans": "test_unattended.test_a_closed_terminal_ends_everything",
    "mlflow-down": "test_cli.test_a_registry_that_is_away_is_said_within_seconds",
    "night-stopped-holds-slot": "test_unattended.test_a_night_that_was_killed_begins_again",
    "one-bad-bundle-blocks-all": "test_serving_reconcile.test_a_bad_bundle_costs_only_itself",
    "promotes-at-once": "test_unattended.test_promotions_at_once_lose_nothing",
    "schedule-never-fires": "test_unattended.test_a_scheduled_night_registers_students",
}


CASES = sorted(path.parent.name for path in MOCK.parent.glob("*/case.json"))


@pytest.mark.parametrize("case", CASES)
def test_every_case_is_a_test(case: str) -> None:
    """Here by its own name; elsewhere where it needs more, or less, than a gateway."""
    here = f"{Path(__file__).stem}.test_{case.replace('-', '_')}"
    file, _, name = ELSEWHERE.get(case, here).partition(".")
    assert f"def {name}(" in Path(__file__).with_name(f"{file}.py").read_text()
