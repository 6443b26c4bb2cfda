"""Every dialect gives the same call for the same exchange, however it was logged."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.formats import FORMATS
from tasks.core import records
from tasks.core.params import Ingest
from tasks.core.records import Call, Json, text_of
from tasks.ingest import dialect_registry
from tasks.ingest.dialect_registry import DIALECTS
from tasks.ingest.dialects import journal, openai
from tasks.ingest.ingest import dry_run, ingest
from tasks.ingest.wire import canonical, completion, finish_and_usage, shape, times

DATA = Path(os.environ.get("FLYWHEEL_EVAL_DATA") or Path(__file__).parents[2] / "shared/data")
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"no evaluation data at {DATA}")
NOON = 1_760_000_000.0

words = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20
)
texts = words.filter(lambda t: t.strip() == t and t[0] not in '{["')
arguments = st.dictionaries(st.sampled_from("abc"), texts | st.integers(0, 99), max_size=3)
TOOL: Json = {
    "type": "function",
    "function": {
        "name": "find",
        "description": "finds",
        "parameters": {"type": "object", "properties": {"a": {}}},
    },
}


@st.composite
def assistant(draw: st.DrawFn, prefix: str) -> Json:
    made = [
        {
            "id": f"{prefix}{i}",
            "type": "function",
            "function": {"name": "find", "arguments": shape.dumps(a)},
        }
        for i, a in enumerate(draw(st.lists(arguments, max_size=2)))
    ]
    if made:
        return {"role": "assistant", "content": None, "tool_calls": made}
    return {"role": "assistant", "content": draw(texts)}


@st.composite
def calls(draw: st.DrawFn) -> Call:
    """A call with an optional system prompt, turns with tools, and all that logs may say."""
    messages: list[Json] = []
    if draw(st.booleans()):
        messages.append({"role": "system", "content": draw(texts)})
    messages.append({"role": "user", "content": draw(texts)})
    for turn in range(draw(st.integers(0, 2))):
        said = draw(assistant(f"t{turn}_"))
        messages.append(said)
        results = [
            {"role": "tool", "tool_call_id": c["id"], "content": draw(texts)}
            for c in said.get("tool_calls", ())
        ]
        messages += results or [{"role": "user", "content": draw(texts)}]
    request: Json = {"model": "big", "messages": messages}
    if any("tool_calls" in m for m in messages) or draw(st.booleans()):
        request["tools"] = [TOOL]
    reply = draw(assistant("r"))
    return Call(
        id=f"call-{draw(st.integers(0, 10**6))}",
        at=NOON + draw(st.integers(0, 10**6)),
        source="here",
        request=request,
        reply=reply,
        model="big-1",
        finish_reason="tool_calls" if "tool_calls" in reply else "stop",
        prompt_tokens=draw(st.integers(1, 999)),
        completion_tokens=draw(st.integers(1, 99)),
        latency_s=draw(st.integers(1, 9_000)) / 1e3,
        conversation="conv",
        client="app",
    )


def plain(message: Json) -> Any:
    """What a message says, whatever its shape leaves open."""
    made = [
        (c["id"], c["function"]["name"], json.loads(c["function"]["arguments"]))
        for c in message.get("tool_calls", ())
    ]
    return message["role"], text_of(message.get("content")), made, message.get("tool_call_id")


@given(call=calls(), more=st.dictionaries(st.sampled_from(["tools", "messages", "n"]), st.none()))
def test_the_short_way_gives_what_the_long_way_gives(call: Call, more: Json) -> None:
    """A pair that is canonical already is read in one step, to the same call."""
    document = FORMATS["openai"][1](call)[0]
    document["request"] |= {k: v for k, v in more.items() if k != "messages"}
    (short,) = openai.parse(document, "here")
    assert short == openai._other(document, "here")
    assert (canonical.pair(document) is None) == bool(more.keys() & {"tools", "n"})


def shape_of(message: Json) -> Any:
    role, said, made, _ = plain(message)
    return role, said, [m[1:] for m in made]


def read(documents: list[Any]) -> list[tuple[str, Call]]:
    """The calls in some documents, as ingest finds them."""
    if "custom_id" in documents[0]:
        documents = [{**documents[0], **documents[1]}]
    found = []
    for document in documents:
        for item in dialect_registry.split(document):
            name = dialect_registry.detect(item) or ""
            found += [(name, call) for call in DIALECTS[name].parse(item, "here")]
    return found


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=12, deadline=None)
@given(call=calls())
def test_a_call_comes_back_from_every_format(name: str, call: Call) -> None:
    """Messages, tools, reply, time and tokens survive every log format, whatever they hold."""
    dialect, write = FORMATS[name]
    ((found, back),) = read(json.loads(json.dumps(write(call))))
    assert found == dialect
    assert [plain(m) for m in back.messages] == [plain(m) for m in call.messages]
    if name != "blueprint":  # it has no ids of tool calls
        assert plain(back.reply) == plain(call.reply)
    assert shape_of(back.reply) == shape_of(call.reply)
    assert [t["function"]["name"] for t in back.tools] == [
        t["function"]["name"] for t in call.tools
    ]
    assert back.at == pytest.approx(call.at, abs=1e-3)
    assert back.id == call.id
    if name not in ("messages", "tensorzero"):  # they say nothing of tokens
        assert (back.prompt_tokens, back.completion_tokens) == (
            call.prompt_tokens,
            call.completion_tokens,
        )


@given(call=calls())
def test_the_journal_comes_back_exactly(call: Call) -> None:
    """Journal and ingest are inverse: every field of a call is what the gateway wrote."""
    _, write = FORMATS["journal"]
    ((_, back),) = read(json.loads(json.dumps(write(call))))
    assert back == call


def ingested(folder: Path, *lines: Any) -> tuple[list[Call], list[records.Rejected]]:
    folder.mkdir(exist_ok=True)
    (folder / "log.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    out = folder / "out"
    out.mkdir()
    counts = ingest([str(folder / "log.jsonl")], out, Ingest())
    calls = list(records.read(out / "calls"))
    assert counts.kept == len(calls)
    return calls, list(records.read_rejected(out / "quarantine.parquet"))


ASKED = {"model": "m", "messages": [{"role": "user", "content": "u"}]}


def reply_to(response: Any) -> completion.Completion:
    return completion.read(response)


def test_a_stream_with_an_error_is_an_error() -> None:
    """An error event in a stream, or a body with an error, makes a call that failed."""
    event = 'data: {"error": {"message": "overloaded", "code": 529}}\n\n'
    assert reply_to(event).error == "529: overloaded"
    assert reply_to({"error": "no"}).error == "no"


def test_a_stream_that_broke_off_is_not_a_whole_reply() -> None:
    """Without a finish reason a streamed reply counts as incomplete, half events are left out."""
    text = 'data: {"choices": [{"index": 0, "delta": {"content": "hal"}}]}\n\ndata: {"choi'
    assert reply_to(text).finish_reason == finish_and_usage.INCOMPLETE
    assert reply_to(text).reply["content"] == "hal"


def test_the_first_of_several_choices_is_the_reply() -> None:
    """Streams and bodies with n > 1 give the reply of index 0 alone."""
    chunk = [{"choices": [{"index": i, "delta": {"content": t}}]} for i, t in ((0, "a"), (1, "b"))]
    assert reply_to(chunk).reply["content"] == "a"
    messages = [{"message": {"role": "assistant", "content": t}} for t in "ab"]
    assert reply_to({"choices": messages}).reply["content"] == "a"


def test_reasoning_is_left_out_and_parts_are_joined() -> None:
    """A reply is what the caller saw: no reasoning, and its text parts as one text."""
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    message = {"role": "assistant", "content": parts, "reasoning_content": "hm", "refusal": None}
    assert reply_to({"choices": [{"message": message}]}).reply == {
        "role": "assistant",
        "content": "ab",
    }


def test_legacy_functions_become_tools(tmp_path: Path) -> None:
    """`functions`, `function_call` and the role `function` are today's tools and their results."""
    asked = {
        "functions": [{"name": "f", "parameters": {"type": "object"}}],
        "messages": [
            {"role": "user", "content": "u"},
            {
                "role": "assistant",
                "content": None,
                "function_call": {"name": "f", "arguments": "{}"},
            },
            {"role": "function", "name": "f", "content": "1"},
        ],
    }
    message = {
        "role": "assistant",
        "content": None,
        "function_call": {"name": "f", "arguments": "{}"},
    }
    response = {"choices": [{"message": message, "finish_reason": "function_call"}]}
    ((call,), _) = ingested(tmp_path, {"request": asked, "response": response})
    assert call.tools[0]["function"]["name"] == "f"
    assert call.messages[2]["tool_call_id"] == call.messages[1]["tool_calls"][0]["id"]
    assert (call.reply["tool_calls"][0]["function"]["name"], call.finish_reason) == (
        "f",
        "tool_calls",
    )


def test_images_are_kept_as_references(tmp_path: Path) -> None:
    """An inline picture is replaced by its digest; a link stays."""
    parts = [
        {"type": "image_url", "image_url": {"url": u}}
        for u in ("data:image/png;base64,AA", "https://x/y")
    ]
    row = {"messages": [{"role": "user", "content": parts}, {"role": "assistant", "content": "a"}]}
    ((call,), _) = ingested(tmp_path, row)
    inline, link = (p["image_url"]["url"] for p in call.messages[0]["content"])
    assert inline.startswith("sha256:")
    assert link == "https://x/y"


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (None, "empty reply"),
        ("", "empty reply"),
        ({"choices": []}, "empty reply"),
        ({"choices": [{"message": 5}]}, "unreadable"),
        ({"choices": "x"}, "unreadable"),
        (7, "unreadable"),
    ],
)
def test_an_unusable_response_has_a_reason(tmp_path: Path, response: Any, reason: str) -> None:
    """Empty and misshapen bodies are quarantined with a reason and their raw text."""
    _, (rejected,) = ingested(tmp_path, {"request": ASKED, "response": response})
    assert rejected.reason == reason
    assert json.loads(rejected.raw)["request"] == ASKED


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (1_760_000_000, NOON),
        (1_760_000_000_000, NOON),
        ("1760000000000000000", NOON),
        ("2025-10-09T08:53:20Z", NOON),
        ("2025-10-09 10:53:20+02:00", NOON),
        ("2025-10-09 08:53:20 UTC", NOON),
        ("Thu, 09 Oct 2025 08:53:20 GMT", NOON),
        ("soon", None),
        (-5, None),
        (True, None),
        (float("inf"), None),
    ],
)
def test_times_of_all_kinds_are_seconds(written: Any, seconds: float | None) -> None:
    """Seconds to nanoseconds, ISO 8601 and HTTP dates are one time; nonsense is none."""
    assert times.seconds(written) == seconds


def test_calls_of_one_conversation_share_their_group(tmp_path: Path) -> None:
    """Turns of a conversation agree though its system prompt changes with every request."""
    user, said = {"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}

    def turn(*messages: Json, at: int) -> Json:
        system = {"role": "system", "content": f"[request {at:x}] Today is day {at}. You help."}
        return {"messages": [system, *messages], "timestamp": NOON + at}

    more = [{"role": "user", "content": "v"}, {"role": "assistant", "content": "b"}]
    other = [{"role": "user", "content": "w"}, said]
    rows = [turn(user, said, at=1), turn(user, said, *more, at=2), turn(*other, at=3)]
    (one, two, three), _ = ingested(tmp_path, *rows)
    assert one.conversation == two.conversation != three.conversation


def line(**more: Any) -> Json:
    base = {
        "v": 1,
        "id": "a",
        "at": NOON,
        "request": ASKED,
        "reply": {"role": "assistant", "content": "s"},
    }
    return {**base, "answered_by": "task-v1-00000000", "audit_rate": 0.2, "audit": None, **more}


def test_an_audited_answer_counts_as_the_teachers() -> None:
    """The audit's reply is the target, for 1 / rate calls; an unseen answer keeps its student."""
    student = {"answer": "s", "confidence": -0.1, "adapter": "x", "version": 1}
    audit = {"reply": {"role": "assistant", "content": "t"}, "agrees": False}
    (audited,) = journal.parse(line(audit=audit, student=student), "here")
    assert (audited.reply["content"], audited.answered_by, audited.weight) == ("t", "teacher", 5.0)
    assert audited.student == student
    usage = {"prompt_tokens": 7, "completion_tokens": 2}
    (told,) = journal.parse(line(audit={**audit, "usage": usage, "model": "big"}), "here")
    assert (told.prompt_tokens, told.completion_tokens, told.model) == (7, 2, "big")
    (served,) = journal.parse(line(), "here")
    assert (served.reply["content"], served.answered_by, served.weight) == (
        "s",
        "task-v1-00000000",
        1.0,
    )
    (escalated,) = journal.parse(line(answered_by="teacher"), "here")
    assert (escalated.answered_by, escalated.weight) == ("teacher", 1.0)


def test_a_journal_from_the_future_is_not_guessed_at() -> None:
    """A line of a version that is not known yet is quarantined with both versions named."""
    with pytest.raises(ValueError, match="journal version 99, known up to 1"):
        list(journal.parse(line(v=99), "here"))


def test_batch_halves_are_joined_across_files(tmp_path: Path) -> None:
    """Requests and answers of a batch stand in two files; a half that stays alone says so."""
    asked = {"custom_id": "a", "body": ASKED}
    body = {"choices": [{"message": {"role": "assistant", "content": "x"}}]}
    answer = {"custom_id": "a", "response": {"status_code": 200, "body": body}, "error": None}
    (tmp_path / "answers.jsonl").write_text(json.dumps(answer))
    (tmp_path / "requests.jsonl").write_text(
        "\n".join(json.dumps(one) for one in (asked, {"custom_id": "b", "body": ASKED}))
    )
    out = tmp_path / "out"
    out.mkdir()
    counts = ingest([str(tmp_path)], out, Ingest())
    assert (counts.kept, counts.dropped) == (1, {"empty reply": 1})


def test_a_model_call_recorded_twice_is_one_call() -> None:
    """Of nested model spans in one trace only the fuller, else the inner, is a call."""
    outer = {
        "id": "o",
        "type": "GENERATION",
        "traceId": "t",
        "startTime": NOON,
        "input": "hi",
        "output": "x",
    }
    inner = {
        **outer,
        "id": "i",
        "parentObservationId": "o",
        "input": [{"role": "user", "content": "hi"}],
    }
    found = list(dialect_registry.split({"trace": {}, "observations": [outer, inner]}))
    (call,) = DIALECTS["langfuse"].parse(found[1], "here")
    assert call.id == "i"
    with pytest.raises(ValueError, match="not a call: wraps another model call"):
        list(DIALECTS["langfuse"].parse(found[0], "here"))


@needs_data
def test_the_blueprints_variants_are_read_unchanged(tmp_path: Path) -> None:
    """Documents, wire pairs, rows, toolkit records and hits: five calls and one repeated."""
    text = (DATA / "ingest/ingest_variants.jsonl").read_text()
    lines = [json.loads(one)["doc"] for one in text.splitlines()]
    calls, rejected = ingested(tmp_path, *lines)
    assert [r.reason for r in rejected] == ["duplicate", "not a call"]
    assert len(calls) == 5
    assert calls[0].hint or calls[1].hint


@needs_data
def test_every_recorded_pair_is_a_call() -> None:
    """Real wire pairs of many hosts, streams and errors included, are read without loss."""
    found = dry_run([str(DATA / "wire")])
    with gzip.open(DATA / "wire/pairs.jsonl.gz") as file:
        assert found.records == found.calls + found.repeats == sum(1 for _ in file)


@needs_data
def test_framework_traces_hold_the_calls_that_they_show() -> None:
    """Eleven agent frameworks' traces give their model calls, each once, and nothing else."""
    found = dry_run([str(DATA / "traces")])
    assert found.calls == 17  # and two of which a message was never logged
    assert found.with_usage == found.with_latency == found.calls
    assert found.records == found.calls + found.repeats + found.reasons.total()
    said = found.table()
    assert "langfuse 149" in said
    assert "not a call 109" in said
