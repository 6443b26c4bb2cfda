"""The gateway as its clients see it, and what it leaves in the journal."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import served
from served import REQUEST, get, post, reply, sse
from upstream import nowhere

from examples import teacher as large
from serving import gateway as module
from serving.evidence import drawn
from tasks.core.params import Params
from tasks.core.stage import Refused
from tasks.ingest.dialects import journal as dialect

ROUTE = served.route("route")
TOOLS = served.route("tools")
QUEUE = str(large.complete(REQUEST)["choices"][0]["message"]["content"])
OTHER = "gift_card" if QUEUE != "gift_card" else "other"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    served.write_routes(tmp_path, ROUTE, TOOLS)
    return tmp_path


def test_a_confident_student_answers(home: Path) -> None:
    """A sure answer on contract is served as a chat completion, and the headers say by whom."""
    response = post(served.gateway(home, served.student(OTHER)))
    assert reply(response) == {"role": "assistant", "content": OTHER}
    headers = {k: v for k, v in response.headers.items() if k.startswith("x-flywheel")}
    (line,) = served.journal(home)
    assert headers == {
        "x-flywheel-call": line["id"],
        "x-flywheel-served-by": "student",
        "x-flywheel-task": ROUTE.task.id,
        "x-flywheel-adapter": ROUTE.adapter,
        "x-flywheel-version": "3",
        "x-flywheel-reason": "served",
    }
    assert line["answered_by"] == ROUTE.adapter
    assert line["student"]["confidence"] == pytest.approx(-0.02)
    assert line["usage"]["completion_tokens"] == 2
    assert (line["audit"], line["error"]) == (None, None)


@pytest.mark.parametrize(
    ("pool", "reason"),
    [
        (served.student(OTHER, logprob=-1.0), "not confident"),
        (served.student("no queue"), "off contract"),
        (served.student(OTHER, finish_reason="length"), "truncated"),
        (served.student(OTHER, logprobs=None), "no logprobs"),
        (lambda _: httpx.Response(500, text="oops"), "pool error"),
        (lambda _: httpx.Response(200, text="not JSON"), "pool error"),
        (None, "no pool"),
    ],
)
def test_any_doubt_escalates(home: Path, pool: Any, reason: str) -> None:
    """Whatever is wrong with the student, the client gets the teacher's answer and the reason."""
    response = post(served.gateway(home, pool))
    assert response.status_code == 200
    assert reply(response)["content"] == QUEUE
    assert response.headers["x-flywheel-served-by"] == "teacher"
    assert response.headers["x-flywheel-reason"] == reason
    (line,) = served.journal(home)
    assert (line["answered_by"], line["reason"]) == ("teacher", reason)
    assert line["reply"]["content"] == QUEUE
    assert line["task"] == ROUTE.task.id


def test_a_pool_that_raises_or_hangs_escalates(home: Path) -> None:
    """A dead pool, and one that takes longer than a student may, cost the client no answer."""

    def dead(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    def hung(_: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("never")

    assert post(served.gateway(home, dead)).headers["x-flywheel-reason"] == "pool error"
    slow = post(served.gateway(home, hung, student_timeout=0.02))
    assert slow.headers["x-flywheel-reason"] == "timeout"
    assert reply(slow)["content"] == QUEUE


def test_a_pool_that_keeps_failing_is_left_alone_for_a_while(home: Path) -> None:
    """After three failures in a row calls go straight to the teacher."""
    asked = []

    def dead(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(503)

    built = served.gateway(home, dead)
    reasons = [post(built).headers["x-flywheel-reason"] for _ in range(5)]
    assert reasons == ["pool error"] * 3 + ["circuit open"] * 2
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({"model": "large", "messages": [{"role": "user", "content": "hi"}]}, "no task"),
        ({**REQUEST, "n": 2}, "option n"),
        ({**REQUEST, "stop": ["."]}, "option stop"),
    ],
)
def test_calls_that_are_not_a_students_are_not_sent_to_it(
    home: Path, request_: Any, reason: str
) -> None:
    """Unknown prompts and options that a student cannot honour never reach the pool."""

    def never(_: httpx.Request) -> httpx.Response:
        raise AssertionError("the pool was asked")

    assert post(served.gateway(home, never), request_).headers["x-flywheel-reason"] == reason


def test_a_changed_prompt_escalates(home: Path) -> None:
    """One edited word in the instructions makes the call the teacher's again."""
    changed = json.loads(json.dumps(REQUEST).replace("Answer with the name", "Reply with the name"))
    response = post(served.gateway(home, served.student(OTHER)), changed)
    assert response.headers["x-flywheel-reason"] == "prompt changed"


@pytest.mark.parametrize(
    "body",
    [
        {"messages": "hi"},
        {"messages": ["hi", 3]},
        {"messages": [], "tools": [1]},
        {"messages": [{"role": "user", "content": [1]}]},
        {"metadata": 7, "stream_options": 3, "user": ["x"]},
        {"messages": [{"role": "system"}, {"content": {"a": 1}}], "max_tokens": "x"},
    ],
)
def test_odd_requests_are_the_teachers_to_judge(home: Path, body: Any) -> None:
    """A request that is no chat request reaches the teacher, whose error goes back as it is."""
    complaint = {"error": {"message": "messages are odd", "type": "invalid_request_error"}}
    built = served.gateway(
        home, served.student(OTHER), lambda _: httpx.Response(400, json=complaint)
    )
    response = post(built, body)
    assert (response.status_code, response.json()) == (400, complaint)
    (line,) = served.journal(home)
    assert line["error"] == "HTTP 400"


@pytest.mark.parametrize("body", [b"{", b"[1]", b"", b"\xff", b"[" * 100_000])
def test_a_body_that_is_not_json_is_the_teachers_to_judge(home: Path, body: bytes) -> None:
    """It goes on byte for byte, and its line in the journal has no request."""
    seen: list[bytes] = []

    def large(asked: httpx.Request) -> httpx.Response:
        seen.append(asked.content)
        return httpx.Response(400, json={"error": {"message": "no JSON"}})

    response = post(served.gateway(home, None, large), body)
    assert (response.status_code, response.json()["error"]["message"]) == (400, "no JSON")
    assert seen == [body]
    (line,) = served.journal(home)
    assert (line["request"], line["error"]) == (None, "HTTP 400")


def test_the_teachers_errors_pass_through(home: Path) -> None:
    """Status, body and retry hints of the teacher's error reach the client unchanged."""

    def limited(_: httpx.Request) -> httpx.Response:
        return httpx.Response(
            429, json={"error": {"message": "slow down"}}, headers={"retry-after": "7"}
        )

    response = post(served.gateway(home, served.student("x"), limited))
    assert (response.status_code, response.headers["retry-after"]) == (429, "7")
    assert response.json() == {"error": {"message": "slow down"}}
    assert served.journal(home)[0]["error"] == "HTTP 429"


def test_a_teacher_that_is_down_is_a_clear_502(home: Path) -> None:
    """The client gets one sentence in the shape that its library expects; the journal keeps it."""
    response = post(served.gateway(home, served.student("x"), nowhere()))
    assert response.status_code == 502
    sentence = response.json()["error"]["message"]
    assert sentence == f"the teacher at {nowhere()} is down (ClientConnectorError)"
    assert served.journal(home)[0]["error"] == sentence


def test_a_student_answers_even_when_the_teacher_is_down(home: Path) -> None:
    """Served calls do not need the teacher; a failed audit leaves a line without one."""
    built = served.gateway(home, served.student(OTHER), nowhere(), audit=1.0)
    assert reply(post(built))["content"] == OTHER
    (line,) = served.journal(home)
    assert line["audit"] is None


@pytest.mark.parametrize(("said", "agrees"), [(QUEUE, True), (OTHER, False)])
def test_an_audited_answer_is_compared_with_the_teachers(
    home: Path, said: str, agrees: bool
) -> None:
    """The line of an audited call holds the teacher's reply and whether the two agree."""
    built = served.gateway(home, served.student(said), audit=1.0)
    assert reply(post(built, {**REQUEST, "stream": False}))["content"] == said
    (line,) = served.journal(home)
    assert line["audit"]["reply"]["content"] == QUEUE
    assert line["audit"]["agrees"] is agrees
    assert line["answered_by"] == ROUTE.adapter
    outcome = "agrees" if agrees else "disagrees"
    assert f'flywheel_audits_total{{outcome="{outcome}"}} 1.0' in built.metrics.text()


def test_the_draw_is_a_share_and_can_be_repeated() -> None:
    """About the given share of ids is drawn, the same ones each time, more at a higher rate."""
    ids = [f"call-{i}" for i in range(4_000)]
    few, many = ({i for i in ids if drawn(i, rate)} for rate in (0.1, 0.3))
    assert 320 < len(few) < 480
    assert few < many
    assert not any(drawn(i, 0.0) for i in ids)
    assert all(drawn(i, 1.0) for i in ids)


def test_ingest_reads_what_the_gateway_writes(home: Path) -> None:
    """Audited, served and escalated calls come out of the journal as calls of the right author."""
    post(served.gateway(home, served.student(OTHER), audit=1.0))
    post(served.gateway(home, served.student(OTHER)))
    post(served.gateway(home, served.student("?")))
    audited, unseen, escalated = (
        next(iter(dialect.parse(line, "journal:1"))) for line in served.journal(home)
    )
    assert (audited.answered_by, audited.weight) == ("teacher", 1.0)
    assert audited.reply["content"] == QUEUE
    assert unseen.answered_by == ROUTE.adapter
    assert (escalated.answered_by, escalated.reply["content"]) == ("teacher", QUEUE)
    assert escalated.request["messages"] == REQUEST["messages"]


def test_tool_calls_are_served_in_the_openai_shape(home: Path) -> None:
    """A student's tool call has an id and its arguments as JSON text, streamed or not."""
    call = {"name": "track_order", "arguments": {"order_id": "SO-123456"}}
    pool = served.student(json.dumps({"tool_calls": [call]}))
    request = {"model": "large", **served.requests("tools", 1, seed=9)[0]}
    choice = post(served.gateway(home, pool), request).json()["choices"][0]
    (made,) = choice["message"]["tool_calls"]
    assert choice["finish_reason"] == "tool_calls"
    assert made["id"].startswith("call_")
    assert json.loads(made["function"]["arguments"]) == call["arguments"]
    events = list(sse(post(served.gateway(home, pool), {**request, "stream": True})))
    delta = events[1]["choices"][0]["delta"]["tool_calls"][0]
    assert (delta["index"], delta["function"]) == (0, made["function"])


def test_no_secret_enters_the_journal_or_the_counters(home: Path) -> None:
    """Keys in headers are nowhere in what the gateway keeps."""
    built = served.gateway(home, served.student(OTHER), audit=1.0)
    post(built, authorization="Bearer sk-secret", api_key="sk-secret", cookie="sk-secret")
    kept = b"".join(path.read_bytes() for path in (home / "journal").iterdir())
    assert b"sk-secret" not in kept
    assert "sk-secret" not in built.metrics.text()


def test_headers_and_metadata_name_client_and_conversation(home: Path) -> None:
    """Who calls and in which conversation is kept when the agent says it."""
    request = {**REQUEST, "metadata": {"conversation_id": "c-1", "workload_id": "routing"}}
    built = served.gateway(home, None)
    post(built, request, x_client_id="desk")
    post(built, request, x_conversation_id="c-2")
    first, second = served.journal(home)
    assert (first["client"], first["conversation"], first["hint"]) == ("desk", "c-1", "routing")
    assert second["conversation"] == "c-2"


def test_replayed_calls_keep_their_time(home: Path) -> None:
    """With --replay the header is the call's time; a bad one, or without --replay, is now."""
    built = served.gateway(home, None)
    for said in ("1772452800.5", "nan", "soon", "-5"):
        post(built, x_flywheel_at=said)
    built.replay = False
    post(built, x_flywheel_at="1772452800.5")
    times = [line["at"] for line in served.journal(home)]
    assert times[0] == 1772452800.5
    assert all(abs(at - time.time()) < 60 for at in times[1:])


def test_counters_state_and_health(home: Path) -> None:
    """What happened is counted, the routes are shown, and the process says that it is up."""
    built = served.gateway(home, served.student(OTHER))
    post(built)
    post(built, {"messages": [{"role": "user", "content": "hi"}]})
    text = get(built, "/metrics").text
    assert 'flywheel_calls_total{api="chat"} 2.0' in text
    assert f'flywheel_served_total{{adapter="{ROUTE.adapter}"}} 1.0' in text
    assert 'flywheel_escalations_total{reason="no task"} 1.0' in text
    state = get(built, "/").json()
    assert state["served"] == {ROUTE.adapter: 1}
    assert {r["adapter"] for r in state["routes"]} == {ROUTE.adapter, TOOLS.adapter}
    assert get(built, "/healthz").json() == {"status": "ok"}


def test_the_models_are_the_teachers(home: Path) -> None:
    """GET /v1/models passes the teacher's list through, or says that it is down."""
    models = {"object": "list", "data": [{"id": "large"}]}
    built = served.gateway(home, None, lambda _: httpx.Response(200, json=models))
    assert get(built, "/v1/models").json() == models

    assert get(served.gateway(home, None, nowhere()), "/v1/models").status_code == 502


def test_the_student_reads_the_payload_only(home: Path) -> None:
    """The pool is asked by the adapter's name with the payload, and free to answer off contract."""
    asked: list[Any] = []

    def pool(request: httpx.Request) -> httpx.Response:
        asked.append(msgspec.json.decode(request.content))
        return served.student(OTHER)(request)

    post(served.gateway(home, pool))
    assert asked[0]["model"] == ROUTE.adapter
    assert asked[0]["messages"][-1]["content"] == REQUEST["messages"][-1]["content"]
    assert asked[0]["logprobs"] is True


def test_the_environment_must_name_a_teacher(tmp_path: Path) -> None:
    """Without TEACHER_BASE_URL, or with something else in it, there is no gateway."""
    for url in ("", "t:80", "http://", "http://[::1", "http://t:99999/v1", "http://t/v1#x"):
        with pytest.raises(Refused, match="TEACHER_BASE_URL is '"):
            module.build(tmp_path, {"TEACHER_BASE_URL": url}, Params(), False)
    with pytest.raises(Refused, match="set TEACHER_API_KEY instead"):
        module.build(tmp_path, {"TEACHER_BASE_URL": "http://me:secret@t/v1"}, Params(), False)
    env = {"TEACHER_BASE_URL": "http://t/v1", "POOL_URL": "http://p", "TEACHER_API_KEY": "k"}
    with pytest.raises(Refused, match="POOL_TOKEN is empty: the pool at http://p obeys only"):
        module.build(tmp_path, env | {"POOL_TOKEN": ""}, Params(), True)
    env["POOL_TOKEN"] = "t"
    built = module.build(tmp_path, env, Params(), True)
    assert set(built.students.pools) == {"causal", "encoder"}
    apart = module.build(tmp_path, env | {"ENCODER_URL": "http://e"}, Params(), True).students.pools
    assert (apart["causal"].url, apart["encoder"].url) == ("http://p", "http://e")
    assert built.teacher.key == "k"


def test_a_port_in_use_is_one_sentence(tmp_path: Path) -> None:
    """A taken port is refused by name before anything starts."""
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Refused, match=f"cannot listen on 127.0.0.1:{port}"):
            module.serve(served.gateway(tmp_path, None), "127.0.0.1", port)
