"""Logs of the kinds that once became wrong training data: right, or quarantined with a reason."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from tasks.core.contract import answer_of
from tasks.core.params import Validate
from tasks.core.records import Call, Json, Rejected, text_of
from tasks.ingest.reader import read
from tasks.ingest.wire import times
from tasks.validate.checks import problem, view

ASKED: list[Json] = [
    {"role": "system", "content": "Label."},
    {"role": "user", "content": "Broken."},
]
NOON = 1_772_445_600.0


def look(path: Path, *documents: Any) -> tuple[list[Call], list[str]]:
    """The calls that may be learnt from in a log of these documents, and why the others may not."""
    lines = [d if isinstance(d, str) else json.dumps(d) for d in documents]
    path.write_text("\n".join(lines), encoding="utf-8", newline="")
    return taken([path])


def taken(paths: list[Path]) -> tuple[list[Call], list[str]]:
    """What ingest and validation keep of some files, and the reasons of what they do not."""
    kept: list[Call] = []
    reasons: list[str] = []
    for _, result in read([str(p) for p in paths]):
        if isinstance(result, Rejected):
            reasons.append(result.reason)
            continue
        for call, row in result:
            names = list(Call.__dataclass_fields__)
            if found := problem(view(dict(zip(names, row, strict=True))), Validate()):
                reasons.append(found[0])
            else:
                kept.append(call)
    return kept, reasons


def pair(response: Any, messages: Any = None, **more: Any) -> Json:
    return {
        "timestamp": NOON,
        "request": {"messages": messages or ASKED, **more},
        "response": response,
    }


def chat(content: Any, finish: str = "stop", **more: Any) -> Json:
    message = {"role": "assistant", "content": content, **more}
    return {"id": "r", "choices": [{"index": 0, "message": message, "finish_reason": finish}]}


def langfuse(output: Any, given: Any = None, **more: Any) -> Json:
    made = {"id": "o", "traceId": "t", "type": "GENERATION", "startTime": "2026-03-02T10:00:00Z"}
    return {**made, "input": ASKED if given is None else given, "output": output, **more}


def span(id: str = "1", parent: str | None = None, **attributes: Any) -> Json:
    made = {"name": "chat", "context": {"trace_id": "0x1", "span_id": id}, "parent_id": parent}
    return {**made, "start_time": "2026-03-02T10:00:00Z", "attributes": attributes}


def genai(given: Any = "damage", **more: Any) -> Json:
    asked = [{"role": "user", "parts": [{"type": "text", "content": "Broken."}]}]
    said = [{"role": "assistant", "parts": [{"type": "text", "content": given}]}]
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.input.messages": json.dumps(asked),
        "gen_ai.output.messages": json.dumps(said),
        **more,
    }


JSONS: list[Any] = [
    {"output": "refund", "reason": "broken"},
    {"text": "Sorry", "tone": "warm"},
    {"content": "Sorry", "tone": "warm"},
    {"message": "Sorry"},
    {"message": {"to": "Ann", "body": "Sorry"}},
    {"error": "no order number", "label": "damage"},
    {"choices": ["a", "b"]},
    {"candidates": [{"name": "Bob"}]},
    {"generations": [1, 2]},
    {"messages": [{"to": "Ann"}]},
    {"parts": ["wheel", "lid"]},
    {"tool_calls": 0, "status": "failed"},
    {"role": "nurse", "content": "night"},
    {"response": "yes", "done": True},
    {"completion": "x", "status": "incomplete"},
    ["damage", "delay"],
    [{"label": "damage"}],
    [{"type": "refund", "amount": 3}],
    [],
    {},
    5,
    True,
]


@pytest.mark.parametrize("answer", JSONS, ids=json.dumps)
def test_an_answer_in_json_is_the_answer(tmp_path: Path, answer: Any) -> None:
    """JSON that a model wrote stays whole, however it resembles an envelope, in every dialect."""
    text = json.dumps(answer)
    raw = {"run_type": "llm", "id": "l", "inputs": {"messages": ASKED}, "start_time": NOON}
    inference = {"llm.input_messages.0.message.role": "user", "openinference.span.kind": "LLM"}
    inference |= {"llm.input_messages.0.message.content": "hi"}
    mlflow = {"mlflow.spanType": "LLM", "mlflow.spanInputs": "hi"}
    documents = [
        pair(chat(text)),
        langfuse(text),
        {**raw, "outputs": {"generations": [[{"text": text}]]}},
        {**raw, "outputs": {"output": text}},
        {"call_type": "acompletion", "messages": ASKED, "response": text},
        {"id": "z", "function_name": "f", "input": {"messages": ASKED}, "output": {"raw": text}},
        span(**genai(text)),
        span(**{**genai(), "gen_ai.output.messages": None, "gen_ai.completion": text}),
        span(**inference, **{"output.value": text}),
        span(**mlflow, **{"mlflow.spanOutputs": json.dumps(text)}),
        pair({"type": "message", "role": "assistant", "content": [{"type": "text", "text": text}]}),
        pair({"candidates": [{"content": {"parts": [{"text": text}]}, "finishReason": "STOP"}]}),
    ]
    for document in documents:
        (call,), _ = look(tmp_path / "log.jsonl", document)
        assert json.loads(answer_of(call.reply)) == answer, document


CUT = '[{"role": "system", "content": "Label."}, {"role": "us'
PRINTED = str(ASKED)


@pytest.mark.parametrize(
    "document",
    [
        langfuse("damage", CUT),
        langfuse('{"role": "assistant", "content": "dam'),
        langfuse('{"label": "dam'),
        langfuse("damage", PRINTED[:-9]),
        pair(chat('{"label": "dam')),
        span(**{**genai(), "gen_ai.input.messages": CUT}),
        span(**{**genai(), "gen_ai.output.messages": CUT[:30]}),
        span(**{"openinference.span.kind": "LLM", "input.value": CUT, "output.value": "x"}),
        span(**{"mlflow.spanType": "LLM", "mlflow.spanInputs": CUT, "mlflow.spanOutputs": "x"}),
        pair(chat("It is on its way to [truncated]")),
        pair(chat("whole", "max_tokens")),
        pair(chat("whole", "model_context_window_exceeded")),
    ],
)
def test_what_was_cut_is_not_learnt(tmp_path: Path, document: Json) -> None:
    """JSON, Python or a text that ends too early is quarantined as truncated."""
    assert look(tmp_path / "log.jsonl", document) == ([], ["truncated"])


def test_what_python_printed_is_read(tmp_path: Path) -> None:
    """Messages that were logged with `str` come back; objects without a literal do not."""
    printed = str({"role": "assistant", "content": "damage"})
    (call,), _ = look(tmp_path / "log.jsonl", langfuse(printed, PRINTED))
    assert (call.messages, answer_of(call.reply)) == (ASKED, "damage")
    objects = "content='damage' additional_kwargs={} response_metadata={}"
    assert look(tmp_path / "log.jsonl", langfuse(objects)) == ([], ["unreadable"])


def responses(*output: Json, **request: Any) -> Json:
    body = {"id": "r", "object": "response", "status": "completed", "output": list(output)}
    return {"timestamp": NOON, "request": {"input": "patch it", **request}, "response": body}


SAID = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Ok."}]}


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (responses(SAID, {"type": "custom_tool_call", "name": "p", "input": "x"}), "unsupported"),
        (responses(SAID, {"type": "local_shell_call", "action": {}}), "unsupported"),
        (responses(SAID, {"type": "computer_call", "action": {}}), "unsupported"),
        (responses({"type": "mcp_call", "name": "c"}, SAID), "unsupported"),
        (responses(SAID, previous_response_id="r0"), "history not in the log"),
        (responses(SAID, conversation="c"), "history not in the log"),
        (responses(SAID, prompt={"id": "p"}), "history not in the log"),
        (responses(SAID, input=[{"type": "item_reference", "id": "m"}]), "history not in the log"),
        (pair(chat("[REDACTED]")), "redacted"),
        (pair(chat("x"), [{"role": "user", "content": "redacted-by-litellm"}]), "redacted"),
        (pair(chat("I can not", "refusal")), "content filter"),
        (pair(chat("half", "RECITATION")), "content filter"),
        (pair(chat("Let me", "pause_turn")), "not an answer"),
        (pair(chat("x", "some-new-reason")), "not an answer"),
        (pair(chat('<tool_call>{"name": "f"}</tool_call>')), "tool call in text"),
        (pair(chat("[TOOL_CALLS] [{}]")), "tool call in text"),
        (pair(chat("<think>and then")), "empty reply"),
        (span(**genai()) | {"dropped_attributes": 3}, "incomplete"),
        (span(**genai()) | {"droppedAttributesCount": 3}, "incomplete"),
    ],
)
def test_what_cannot_be_right_is_quarantined(tmp_path: Path, document: Json, reason: str) -> None:
    """Other calls, history on a server, placeholders, stop reasons, calls as text, lost parts."""
    assert look(tmp_path / "log.jsonl", document) == ([], [reason])


@pytest.mark.parametrize(
    "text",
    [
        "<think>so</think>damage",
        "<thinking>so</thinking>damage",
        "<reasoning>so</reasoning>\ndamage",
        "so</think>damage",
        "[THINK]so[/THINK]damage",
        "◁think▷so◁/think▷damage",
        "<|channel|>analysis<|message|>so<|end|><|start|>assistant<|channel|>final<|message|>damage",
        "<|START_THINKING|>so<|END_THINKING|><|START_RESPONSE|>damage<|END_RESPONSE|>",
    ],
)
def test_thoughts_are_no_part_of_the_answer(tmp_path: Path, text: str) -> None:
    """What a reasoning model thinks aloud is left out in the markup of every family."""
    (call,), _ = look(tmp_path / "log.jsonl", pair(chat(text)))
    assert answer_of(call.reply) == "damage"


def test_a_system_prompt_beside_the_messages_is_kept(tmp_path: Path) -> None:
    """`system` or `instructions` at the top of a body or a row become the first message."""
    user = ASKED[1:]
    parameters = json.dumps({"system": "Label."})
    inference = {"openinference.span.kind": "LLM", "llm.invocation_parameters": parameters}
    inference |= {"llm.input_messages.0.message.role": "user", "output.value": "damage"}
    for document in (
        pair(chat("damage"), user, system="Label."),
        pair(chat("damage"), user, system=[{"type": "text", "text": "Label."}]),
        {"system": "Label.", "messages": [*user, {"role": "assistant", "content": "damage"}]},
        langfuse("damage", user, modelParameters={"system": "Label."}),
        span(**inference, **{"llm.input_messages.0.message.content": "Broken."}),
    ):
        (call,), _ = look(tmp_path / "log.jsonl", document)
        assert call.messages == ASKED, document


def half(id: str, **more: Any) -> Json:
    return {"custom_id": id, **more}


def test_halves_are_joined_only_where_it_is_sure_which_belong_together(tmp_path: Path) -> None:
    """An id that comes back is joined by its files' names, else not at all."""

    def write(name: str, **more: Any) -> None:
        (tmp_path / name).write_text(json.dumps(half("request-1", **more)))

    for day in ("mon", "tue"):
        body = {"messages": [{"role": "user", "content": day}]}
        write(f"{day}.jsonl", body=body)
        write(f"{day}_output.jsonl", response={"body": chat(f"of {day}")})
    calls, reasons = taken(sorted(tmp_path.iterdir()))
    assert [f"of {text_of(c.messages[0]['content'])}" for c in calls] == [
        answer_of(c.reply) for c in calls
    ]
    assert (len(calls), reasons) == (2, [])
    (tmp_path / "tue_output.jsonl").rename(tmp_path / "other.jsonl")
    (tmp_path / "mon_output.jsonl").rename(tmp_path / "another.jsonl")
    assert taken(sorted(tmp_path.iterdir())) == ([], ["unreadable"] * 4)


def test_calls_under_one_id_are_told_apart_by_all_that_they_say(tmp_path: Path) -> None:
    """A host that calls every reply chatcmpl-0 loses none: document, then 600 constant letters."""
    texts = [f"{name}: {'x' * 600}" for name in "abc"]
    documents = [pair(chat("ok"), [{"role": "user", "content": t}]) for t in texts]
    from tasks.ingest.preview import Summary

    summary = Summary()
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, [*documents, documents[0]])))
    for name, result in read([str(tmp_path / "log.jsonl")]):
        assert not isinstance(result, Rejected)
        summary.add(name, result[0][0])
    assert (summary.calls, summary.repeats) == (3, 1)


@pytest.mark.parametrize("order", [1, -1])
def test_nested_spans_on_two_lines_are_one_call(tmp_path: Path, order: int) -> None:
    """Two instruments record one model call: inner and outer span, in either order, are one."""
    spans = [span("1", **genai()), span("2", "1", **genai())][::order]
    calls, reasons = look(tmp_path / "log.jsonl", *spans)
    assert (len(calls), reasons) == (1, ["not a call"])


def test_files_as_text_are_not_learnt(tmp_path: Path) -> None:
    """A picture in a tool's result, as a part or as base64 in its text, is not text."""
    data = base64.b64encode(bytes(range(256)) * 8).decode()
    call = {"id": "c", "type": "function", "function": {"name": "shot", "arguments": "{}"}}
    for result in (
        f"data:image/png;base64,{data}",
        json.dumps({"type": "image", "data": data}),
        [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}],
    ):
        asked = [*ASKED, {"role": "assistant", "content": None, "tool_calls": [call]}]
        asked.append({"role": "tool", "tool_call_id": "c", "content": result})
        assert look(tmp_path / "log.jsonl", pair(chat("damage"), asked)) == ([], ["not text"])


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"input_tokens": 3, "cache_read_input_tokens": 97, "output_tokens": 5}, (100, 5)),
        ({"prompt_tokens": 100, "cache_read_input_tokens": 97, "completion_tokens": 5}, (100, 5)),
        ({"promptTokenCount": 100, "candidatesTokenCount": 3, "thoughtsTokenCount": 2}, (100, 5)),
        ({"inputTokens": 3, "cacheReadInputTokens": 97, "outputTokens": 5}, (100, 5)),
        ({"tokens": {"input_tokens": 100, "output_tokens": 5}}, (100, 5)),
    ],
)
def test_cached_tokens_and_thoughts_count(usage: Json, tokens: tuple[int, int]) -> None:
    """A prompt read from a cache is as long as it is; thinking is part of the answer's cost."""
    from tasks.ingest.wire import finish_and_usage

    assert finish_and_usage.usage(usage) == tokens


def event(text: str, **more: Any) -> str:
    return "data: " + json.dumps({"choices": [{"index": 0, "delta": {"content": text}, **more}]})


@pytest.mark.parametrize(
    "text",
    [
        event("dam") + "\n\ndata: keep-alive\n\n: ping\n\n" + event("age", finish_reason="stop"),
        event("damage", finish_reason="stop").replace(', "delta"', ',\ndata: "delta"'),
        event("dam") + "\r\n\r\n" + event("age", finish_reason="stop") + "\r\n\r\ndata: [DONE]",
        "event: x\nid: 1\n" + event("damage", finish_reason="stop"),
    ],
)
def test_streams_are_put_together_whole(tmp_path: Path, text: str) -> None:
    """Keep-alives, events of two lines and any line break leave a stream whole."""
    (call,), _ = look(tmp_path / "log.jsonl", pair(text))
    assert answer_of(call.reply) == "damage"


def test_letters_that_streams_and_loggers_break_come_back(tmp_path: Path) -> None:
    """U+2028 is no line break, an emoji's halves are joined, a lone half is replaced."""
    line = event("a\u2028b\u0085c", finish_reason="stop").replace("\\u2028", "\u2028")
    halves = event("\ud83d") + "\n\n" + event("\ude9a", finish_reason="stop")
    for text, answer in ((line, "a\u2028b\u0085c"), (halves, "\U0001f69a")):
        (call,), _ = look(tmp_path / "log.jsonl", pair(text))
        assert call.reply["content"] == answer
    (call,), _ = look(tmp_path / "log.jsonl", json.dumps(pair(chat("ok\ud83d"))))
    assert call.reply["content"] == "ok\ufffd"


def test_parallel_calls_under_one_index_are_two(tmp_path: Path) -> None:
    """A host that streams whole calls, all with index 0, called two tools."""
    made = [
        {"index": 0, "id": i, "function": {"name": "f", "arguments": json.dumps({"a": i})}}
        for i in "xy"
    ]
    deltas = [{"choices": [{"index": 0, "delta": {"tool_calls": [m]}}]} for m in made]
    last = {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}
    (call,), _ = look(tmp_path / "log.jsonl", pair([*deltas, last]))
    assert [c["id"] for c in call.reply["tool_calls"]] == ["x", "y"]


@pytest.mark.parametrize("text", ["id: 4\nlabel: x", "data: broken", "event: late", ":) Sorry!"])
def test_prose_that_begins_like_a_stream_is_prose(tmp_path: Path, text: str) -> None:
    """Only `data:` with JSON behind it makes server-sent events."""
    (call,), _ = look(tmp_path / "log.jsonl", langfuse(text))
    assert call.reply["content"] == text


GOOD = json.dumps(pair(chat("ok")))


@pytest.mark.parametrize(
    ("name", "data", "calls"),
    [
        ("a.jsonl", b"\xef\xbb\xbf" + GOOD.encode(), 1),
        ("a.jsonl", GOOD.encode("utf-16"), 1),
        ("a.jsonl", f"{GOOD}\r\n{GOOD}".encode("utf-16-le"), 2),
        ("a.jsonl", GOOD.replace("Broken", "Größe").encode("latin-1"), 1),
        ("a.jsonl", GOOD.replace('"id": "r"', '"cost": NaN').encode(), 1),
        ("a.jsonl", (GOOD + GOOD).encode(), 2),
        ("a.jsonl", f"[\n{GOOD},\n{GOOD},\n".encode(), 2),
        ("a.json", f"[\n{GOOD},\n{GOOD},\n]".encode(), 2),
        ("a.json", json.dumps([json.loads(GOOD)] * 2, indent=1).encode()[:-1], 2),
        ("a.jsonl", "\n".join([json.dumps(json.loads(GOOD), indent=2)] * 2).encode(), 2),
        ("a.jsonl", f"2026-03-02T10:00:00Z stdout F {GOOD}".encode(), 1),
        ("a.jsonl", f"2026-03-02T10:00:00.123Z {GOOD}".encode(), 1),
        ("a.jsonl", f"app-1  | {GOOD}".encode(), 1),
    ],
)
def test_what_encodings_and_loggers_make_of_json_is_read(
    tmp_path: Path, name: str, data: bytes, calls: int
) -> None:
    """Marks, encodings, open arrays, commas, NaN and documents one behind the other."""
    (tmp_path / name).write_bytes(data)
    kept, reasons = taken([tmp_path / name])
    assert (len(kept), reasons) == (calls, [])


def carried(text: str) -> list[Any]:
    coded = base64.b64encode(text.encode()).decode()
    return [
        {"log": text + "\n", "stream": "stdout", "time": "2026-03-02T10:00:00Z"},
        {"@timestamp": "2026-03-02T10:00:00Z", "message": text, "kubernetes": {}},
        {"messageType": "DATA_MESSAGE", "logEvents": [{"id": "1", "message": text}]},
        {"records": [{"recordId": "1", "data": coded}]},
        {"Records": [{"kinesis": {"data": coded}}]},
        {"jsonPayload": json.loads(text), "logName": "x"},
        {"result": {"_raw": text}},
        {"streams": [{"stream": {}, "values": [["1", text]]}]},
        {"event": json.loads(text), "sourcetype": "x"},
    ]


@pytest.mark.parametrize("document", carried(GOOD), ids=lambda d: ",".join(d))
def test_wrappers_are_opened(tmp_path: Path, document: Any) -> None:
    """Lines come out of what runtimes, shippers and queues put around them."""
    (call,), reasons = look(tmp_path / "log.jsonl", document)
    assert (answer_of(call.reply), reasons) == ("ok", [])


def test_a_line_that_docker_cut_is_put_together(tmp_path: Path) -> None:
    """Docker cuts lines at 16 KB: the pieces of one become one record again."""
    pieces = [GOOD[:40], GOOD[40:80], GOOD[80:] + "\n"]
    documents = [{"log": p, "stream": "stdout", "time": "t"} for p in pieces]
    (call,), reasons = look(tmp_path / "log.jsonl", *documents)
    assert (answer_of(call.reply), reasons) == ("ok", [])


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("null", "{}"),
        (None, "{}"),
        ('"{\\"a\\": 1}"', '{"a": 1}'),
        ("[]", None),
        ("{'a': 1}", None),
    ],
)
def test_arguments_are_mended_where_it_is_clear_how(
    tmp_path: Path, given: Any, kept: str | None
) -> None:
    """No arguments and arguments that were encoded twice are read; what else is broken is not."""
    made = [{"id": "t", "type": "function", "function": {"name": "f", "arguments": given}}]
    calls, reasons = look(tmp_path / "log.jsonl", pair(chat(None, "tool_calls", tool_calls=made)))
    found = [c.reply["tool_calls"][0]["function"]["arguments"] for c in calls]
    assert (found, reasons) == (([], ["arguments not JSON"]) if kept is None else ([kept], []))


@pytest.mark.parametrize(
    "written",
    [
        "2026-03-02 10:00:00,000",
        "2026-03-02T10:00:00.000000001Z",
        "2026-03-02T10:00:00+0000",
        "2026/03/02 10:00:00",
        "02/Mar/2026:10:00:00 +0000",
        "Mon Mar  2 10:00:00 2026",
        "2026-03-02 10:00:00 +0000 UTC",
        "2026-03-02T11:00:00+01:00[Europe/Berlin]",
        "20260302T100000Z",
        "/Date(1772445600000)/",
        "Mar 2, 2026, 10:00:00 AM",
        "Mon, 2 Mar 2026 11:00:00 +0100",
        {"$date": "2026-03-02T10:00:00Z"},
        {"seconds": 1_772_445_600, "nanos": 0},
        "1772445600.0",
        "1.7724456e9",
    ],
)
def test_moments_are_read_as_they_are_written(written: Any) -> None:
    """The ways in which languages, databases and web servers write one moment."""
    assert times.seconds(written) == pytest.approx(NOON, abs=1e-3)


def test_results_are_paired_by_the_tools_name(tmp_path: Path) -> None:
    """Gemini's results have no id: each goes to the call of its tool, in whatever order."""
    made = [{"functionCall": {"name": n, "args": {}}} for n in "ab"]
    back = [{"functionResponse": {"name": n, "response": {"of": n}}} for n in "ba"]
    contents = [{"role": "user", "parts": [{"text": "go"}]}, {"role": "model", "parts": made}]
    contents.append({"role": "user", "parts": back})
    thought = [{"thought": True, "text": "hm"}, {"text": "damage"}]
    answer = {"candidates": [{"content": {"parts": thought}, "finishReason": "STOP"}]}
    document = {"request": {"contents": contents}, "response": answer}
    (call,), _ = look(tmp_path / "log.jsonl", document)
    names = {c["id"]: c["function"]["name"] for m in call.messages for c in m.get("tool_calls", ())}
    results = [m for m in call.messages if m["role"] == "tool"]
    assert [json.loads(m["content"])["of"] for m in results] == [
        names[m["tool_call_id"]] for m in results
    ]
    assert answer_of(call.reply) == "damage"
