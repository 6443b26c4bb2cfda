"""Logs of the kinds that once became wrong training data: right, or quarantined with a reason."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from logged import ASKED, NOON, chat, genai, langfuse, look, pair, span, taken

from tasks.core.contract import answer_of
from tasks.core.records import Json, Rejected, text_of
from tasks.ingest.reader import read

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


BODY: Json = {"messages": ASKED}
F: Json = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
DROPPED = "This value has been dropped because this span's size exceeds the 1MB size limit."
NESTED = '{"function": {"name": "f", "arguments": {}}}'
LITELLM = "The start of it... (litellm_truncated 900 chars) ...the end"
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
        (pair(chat("<TOOLCALL>[]</TOOLCALL>")), "tool call in text"),
        (pair(chat("<|start|>assistant to=functions.f<|message|>{}")), "tool call in text"),
        (pair(chat('<|action_start|><|plugin|>{"name": "f"}')), "tool call in text"),
        (pair(chat("<|START_ACTION|>[]<|END_ACTION|>")), "tool call in text"),
        (pair(chat('I look. <x:invoke name="f"></x:invoke>')), "tool call in text"),
        (pair(chat('>>>f\n{"a": 1}'), tools=[F]), "tool call in text"),
        (pair(chat('[f(a="1")]'), tools=[F]), "tool call in text"),
        (pair(chat('So.\nAction: f\nAction Input: {"a": 1}'), tools=[F]), "tool call in text"),
        (
            pair(chat(NESTED), tools=[F]),
            "tool call in text",
        ),
        (pair(chat("Let me look.", "tool_calls")), "incomplete"),
        (pair(chat("[no content captured]")), "redacted"),
        (pair(chat("x"), [{"role": "user", "content": f"[{DROPPED}]"}]), "redacted"),
        (pair(chat("x"), [{"role": "user", "content": LITELLM}]), "truncated"),
        (pair(chat("So ... (900 more characters)")), "truncated"),
        (pair(chat("So [... 900 characters omitted ...] it is")), "truncated"),
        (pair(chat("So …[+900 chars]")), "truncated"),
        ({"request_body": BODY, "response_body": {"helicone_message": "too large"}}, "unreadable"),
        ({"request_body": {"helicone_message": "no"}, "response_body": chat("x")}, "unreadable"),
        (pair(chat("<think>and then")), "empty reply"),
        (span(**{"http.request.method": "GET", "url.path": "/orders"}), "not a call"),
        (span(**{"db.system": "postgresql"}), "not a call"),
        (span(**{"acme.prompt": "Broken."}), "unknown format"),
        ({"prompt": "Broken.", "completion": "dam", "finish_reason": "length"}, "truncated"),
        ({"prompt": "Broken.", "response": "", "error": "status 529"}, "error reply"),
        ({"prompt": "Broken.", "response": ""}, "empty reply"),
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
        "<scratchpad>so</scratchpad>damage",
        '<think duration="3">so</think>damage',
        '<details type="reasoning" done="true">so</details>damage',
        "<|think|>so<|end|><|begin|>assistant<|content|>damage",
        "<|thinking|>so<|/thinking|>damage",
        "Here is my thought process: so\nHere is my response: damage",
        "damage<|im_end|>",
        "damage</s>",
        "damage<end_of_turn>\n<eos>",
        "<|START_THINKING|>so<|END_THINKING|><|START_RESPONSE|>damage<|END_RESPONSE|>",
    ],
)
def test_thoughts_are_no_part_of_the_answer(tmp_path: Path, text: str) -> None:
    """What a reasoning model thinks aloud is left out in the markup of every family."""
    (call,), _ = look(tmp_path / "log.jsonl", pair(chat(text)))
    assert answer_of(call.reply) == "damage"


def test_an_answer_that_explains_itself_is_not_taken_away(tmp_path: Path) -> None:
    """`Here is my thought process:` begins a thought only where the response is named behind it."""
    text = "Here is my thought process: the dent is new, so it is damage"
    (call,), _ = look(tmp_path / "log.jsonl", pair(chat(text)))
    assert answer_of(call.reply) == text


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


def test_nothing_of_a_prompt_is_passed_over(tmp_path: Path) -> None:
    """A turn without a role is the user's; an item that says nothing known is refused."""
    answer = {"candidates": [{"content": {"parts": [{"text": "ok"}]}, "finishReason": "STOP"}]}
    told = {"parts": [{"text": "Label."}]}
    for contents in ([{"parts": [{"text": "Broken."}]}], [{"text": "Broken."}], ["Broken."]):
        asked = {"contents": contents, "systemInstruction": told}
        (call,), _ = look(tmp_path / "log.jsonl", {"request": asked, "response": answer})
        assert call.messages == ASKED, contents
    odd = {"request": {"contents": [{"blob": 1}], "systemInstruction": told}, "response": answer}
    assert look(tmp_path / "log.jsonl", odd) == ([], ["unreadable"])


def test_a_tag_of_html_at_the_end_is_part_of_the_answer(tmp_path: Path) -> None:
    """Only what ends a model's turn is left out."""
    (call,), _ = look(tmp_path / "log.jsonl", pair(chat("<s>old</s>")))
    assert answer_of(call.reply) == "<s>old</s>"


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


def test_halves_in_two_sources_are_joined(tmp_path: Path) -> None:
    """Requests and answers of a batch may be named as two sources of a night."""
    from tasks.core.params import Ingest
    from tasks.ingest.ingest import dry_run, ingest

    asked, given = tmp_path / "asked.jsonl", tmp_path / "given.jsonl"
    asked.write_text(json.dumps(half("1", body=BODY)))
    given.write_text(json.dumps(half("1", response={"body": chat("ok")})))
    (tmp_path / "out").mkdir()
    counts = ingest([str(asked), str(given)], tmp_path / "out", Ingest())
    assert (counts.read, counts.kept) == (1, 1)
    assert dry_run([str(given), str(asked)]).calls == 1


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
