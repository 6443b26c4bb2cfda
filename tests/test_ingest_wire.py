"""Streams, token counts, moments and messages of all providers are read whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from logged import NOON, chat, langfuse, look, pair

from tasks.core.contract import answer_of
from tasks.core.records import Json
from tasks.ingest.wire import times


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"input_tokens": 3, "cache_read_input_tokens": 97, "output_tokens": 5}, (100, 5)),
        ({"prompt_tokens": 100, "cache_read_input_tokens": 97, "completion_tokens": 5}, (100, 5)),
        ({"promptTokenCount": 100, "candidatesTokenCount": 3, "thoughtsTokenCount": 2}, (100, 5)),
        ({"inputTokens": 3, "cacheReadInputTokens": 97, "outputTokens": 5}, (100, 5)),
        ({"tokens": {"input_tokens": 100, "output_tokens": 5}}, (100, 5)),
        ({"prompt_tokens": {"$numberInt": "100"}, "completion_tokens": "5"}, (100, 5)),
        ({"prompt_token_count": 100, "generation_token_count": 5}, (100, 5)),
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
        "\ufeff" + event("dam") + "\n\n" + event("age", finish_reason="stop"),
        event("dam")[6:] + "\n" + event("age", finish_reason="stop")[6:],  # JSON lines
        '{"message": {"content": "damage"}, "done": false}\n{"done": true}',
        '{"event_type": "text-generation"}\n{"event_type": "stream-end", '
        '"finish_reason": "COMPLETE", "response": {"text": "damage"}}',
        '[{"outputText": "dam"}, {"outputText": "age", "completionReason": "FINISH"}]',
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


def test_the_choice_of_index_zero_is_the_reply(tmp_path: Path) -> None:
    """Of several, in whatever order they are listed, as in streams."""
    second, first = chat("second"), chat("first")
    second["choices"][0]["index"] = 1
    second["choices"] += first["choices"]
    (call,), _ = look(tmp_path / "log.jsonl", pair(second))
    assert call.reply["content"] == "first"
