"""A sample of each log format that no generator writes: it is read, by its own dialect."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from tasks.core.contract import answer_of
from tasks.core.records import Call, Json, Rejected
from tasks.ingest.reader import read

ASKED: list[Json] = [
    {"role": "system", "content": "You label."},
    {"role": "user", "content": "Broken."},
]
AT = "2026-03-02T10:00:00Z"
BODY = {"model": "m", "messages": ASKED}
CHOICE = {
    "index": 0,
    "message": {"role": "assistant", "content": "damage"},
    "finish_reason": "stop",
}
CHAT = {"id": "r", "choices": [CHOICE], "usage": {"prompt_tokens": 20, "completion_tokens": 3}}
CONTENTS = {
    "contents": [{"role": "user", "parts": [{"text": "Broken."}]}],
    "systemInstruction": {"parts": [{"text": "You label."}]},
}
GEMINI = {"candidates": [{"content": {"parts": [{"text": "damage"}]}, "finishReason": "STOP"}]}
CONVERSE = {
    "system": [{"text": "You label."}],
    "messages": [{"role": "user", "content": [{"text": "Broken."}]}],
}
STREAM = [
    {"messageStart": {"role": "assistant"}},
    {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": "dam"}}},
    {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": "age"}}},
    {"messageStop": {"stopReason": "end_turn"}},
]
BEDROCK = {"schemaType": "ModelInvocationLog", "timestamp": AT, "requestId": "q", "modelId": "n"}
SIDES = {"input": {"messages": ASKED}, "output": {"messages": [CHOICE["message"]]}}
HTTP = {"method": "POST", "url": "https://x/v1/chat/completions"}


def langchain(kind: str, content: str) -> Json:
    made = {"content": content, "type": kind.lower()}
    return {"lc": 1, "type": "constructor", "id": ["langchain", f"{kind}Message"], "kwargs": made}


LISTED = [langchain("System", "You label."), langchain("Human", "Broken.")]
SPAN: Json = {"traceId": "t", "spanId": "s", "startTimeUnixNano": "1772445600000000000"}
GENAI = {
    "gen_ai.operation.name": "chat",
    "gen_ai.system_instructions": json.dumps([{"type": "text", "content": "You label."}]),
    "gen_ai.input.messages": json.dumps(
        [{"role": "user", "parts": [{"type": "text", "content": "Broken."}]}]
    ),
    "gen_ai.output.messages": json.dumps(
        [{"role": "assistant", "parts": [{"type": "text", "content": "damage"}]}]
    ),
}
EVENTS = [
    ("gen_ai.system.message", {"content": "You label."}),
    ("gen_ai.user.message", {"content": "Broken."}),
    ("gen_ai.choice", {"index": 0, "finish_reason": "stop", "message": {"content": "damage"}}),
]


def otlp(value: Any) -> Json:
    if isinstance(value, dict):
        values = [{"key": k, "value": otlp(v)} for k, v in value.items()]
        return {"kvlistValue": {"values": values}}
    return {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}


LOGS = [
    {"timeUnixNano": "1", "eventName": n, "traceId": "t", "spanId": "s", "body": otlp(b)}
    for n, b in EVENTS
]
TRANSCRIPT: list[Json] = [
    {
        "type": "user",
        "uuid": "a",
        "parentUuid": None,
        "sessionId": "s",
        "message": {"role": "user", "content": "Broken."},
    },
    {
        "type": "assistant",
        "uuid": "b",
        "parentUuid": "a",
        "sessionId": "s",
        "timestamp": AT,
        "requestId": "q",
        "message": {
            "id": "m",
            "type": "message",
            "role": "assistant",
            "content": [{"type": "text", "text": "damage"}],
            "stop_reason": "end_turn",
        },
    },
]

ANSWERED = {"output": {"message": {"role": "assistant", "content": [{"text": "damage"}]}}}
LOGGED = {"input": ASKED, "output": CHOICE["message"]}
MADE = (
    "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nYou label.<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nBroken.<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n"
)
GENERATED = {"outputBodyJson": {"generation": "damage", "stop_reason": "stop"}}
SAMPLES: dict[str, tuple[str, list[Any]]] = {
    "bedrock batch": (
        "bedrock",
        [{"recordId": "1", "modelInput": CONVERSE, "modelOutput": ANSWERED}],
    ),
    "vertex payloads": (
        "gemini",
        [{"request_payload": [json.dumps(CONTENTS)], "response_payload": [json.dumps(GEMINI)]}],
    ),
    "application insights": (
        "azure",
        [
            {
                "timestamp": AT,
                "customDimensions": json.dumps(
                    {"Request-Body": json.dumps(BODY), "Response-Body": json.dumps(CHAT)}
                ),
            }
        ],
    ),
    "datadog export api": (
        "datadog",
        [{"id": "1", "type": "span", "attributes": {**SIDES, "span_kind": "llm", "span_id": "1"}}],
    ),
    "langfuse ingestion": (
        "langfuse",
        [{"type": "generation-create", "timestamp": AT, "body": {"traceId": "t", **LOGGED}}],
    ),
    "zipkin": ("otel", [{"traceId": "t", "id": "s", "timestamp": 1772445600000000, "tags": GENAI}]),
    "logfire": (
        "otel",
        [
            {
                **SPAN,
                "attributes": {
                    "gen_ai.system": "openai",
                    "request_data": json.dumps(BODY),
                    "response_data": json.dumps({"message": CHOICE["message"]}),
                },
            }
        ],
    ),
    "bedrock llama": (
        "bedrock",
        [{**BEDROCK, "input": {"inputBodyJson": {"prompt": MADE}}, "output": GENERATED}],
    ),
    "columns of text": (
        "table",
        [{"Time": AT, "System Prompt": "You label.", "Prompt": "Broken.", "Completion": "damage"}],
    ),
    "messages and a text": ("table", [{"ts": AT, "messages": ASKED, "response": "damage"}]),
    "messages as text": ("table", [{"prompt": json.dumps(ASKED), "completion": "damage"}]),
    "messages and choices": ("table", [{"messages": ASKED, "choices": [CHOICE]}]),
    "a row that has its reply": (
        "messages",
        [{"messages": [*ASKED, CHOICE["message"]], "answer": "missing"}],
    ),
    "req and res": ("named_pairs", [{"ts": AT, "req": {"body": BODY}, "res": {"body": CHAT}}]),
    "bodies": ("named_pairs", [{"requestBody": json.dumps(BODY), "responseBody": CHAT}]),
    "input and output": ("named_pairs", [{"input": ASKED, "output": CHAT}]),
    "gemini": ("gemini", [{"timestamp": AT, "request": CONTENTS, "response": GEMINI}]),
    "gemini stream": ("gemini", [{"request": CONTENTS, "response": [GEMINI]}]),
    "vertex": (
        "gemini",
        [
            {
                "full_request": CONTENTS,
                "full_response": GEMINI,
                "logging_time": AT,
                "endpoint": "m/g",
            }
        ],
    ),
    "bedrock converse": (
        "bedrock",
        [
            {
                **BEDROCK,
                "input": {"inputBodyJson": CONVERSE},
                "output": {
                    "outputBodyJson": {
                        "output": {
                            "message": {"role": "assistant", "content": [{"text": "damage"}]}
                        },
                        "stopReason": "end_turn",
                    }
                },
            }
        ],
    ),
    "bedrock stream": (
        "bedrock",
        [
            {
                **BEDROCK,
                "operation": "ConverseStream",
                "input": {"inputBodyJson": CONVERSE},
                "output": {"outputBodyJson": STREAM},
            }
        ],
    ),
    "azure": (
        "azure",
        [
            {
                "time": AT,
                "resourceId": "/S",
                "category": "GatewayLogs",
                "properties": {
                    "backendRequestBody": json.dumps(BODY),
                    "backendResponseBody": json.dumps(CHAT),
                },
            }
        ],
    ),
    "ollama": (
        "openai",
        [
            {
                "request": BODY,
                "response": {"model": "q", "message": CHOICE["message"], "done": True},
            }
        ],
    ),
    "ollama generate": (
        "completions",
        [
            {
                "request": {"model": "q", "system": "You label.", "prompt": "Broken."},
                "response": {"model": "q", "response": "damage", "done": True},
            }
        ],
    ),
    "cohere v1": (
        "completions",
        [
            {
                "request": {"message": "Broken.", "preamble": "You label.", "chat_history": []},
                "response": {"text": "damage", "generation_id": "g", "finish_reason": "COMPLETE"},
            }
        ],
    ),
    "openai agents": (
        "openai_agents",
        [
            {
                "object": "trace.span",
                "id": "span_1",
                "trace_id": "t",
                "started_at": AT,
                "span_data": {"type": "generation", "input": ASKED, "output": [CHOICE["message"]]},
            }
        ],
    ),
    "langchain event": (
        "langchain",
        [
            {
                "event": "on_chat_model_end",
                "run_id": "r",
                "data": {"input": {"messages": [LISTED]}, "output": langchain("AI", "damage")},
            }
        ],
    ),
    "langgraph state": (
        "langchain",
        [{"values": {"messages": [*LISTED, langchain("AI", "damage")]}, "created_at": AT}],
    ),
    "langsmith prompts": (
        "langsmith",
        [
            {
                "id": "l",
                "run_type": "llm",
                "start_time": AT,
                "inputs": {"prompts": ["Broken."]},
                "outputs": {"generations": [[{"text": "damage"}]]},
            }
        ],
    ),
    "otlp logs": ("otel", [{"resourceLogs": [{"scopeLogs": [{"logRecords": LOGS}]}]}]),
    "jaeger": (
        "otel",
        [
            {
                "data": [
                    {
                        "traceID": "t",
                        "processes": {},
                        "spans": [
                            {
                                "traceID": "t",
                                "spanID": "s",
                                "startTime": 1_772_445_600_000_000,
                                "duration": 9,
                                "tags": [{"key": k, "value": v} for k, v in GENAI.items()],
                            }
                        ],
                    }
                ]
            }
        ],
    ),
    "tempo": (
        "otel",
        [{"batches": [{"scopeSpans": [{"spans": [{**SPAN, "attributes": GENAI}]}]}]}],
    ),
    "datadog": (
        "datadog",
        [{"span_id": "s", "trace_id": "t", "start_ns": 1, "meta": {"span.kind": "llm", **SIDES}}],
    ),
    "datadog export": (
        "datadog",
        [
            {
                "data": [
                    {
                        "id": "x",
                        "type": "span",
                        "attributes": {
                            "span_id": "s",
                            "trace_id": "t",
                            "span_kind": "llm",
                            "meta": SIDES,
                        },
                    }
                ]
            }
        ],
    ),
    "braintrust": (
        "braintrust",
        [
            {
                "span_id": "b",
                "created": AT,
                "span_attributes": {"type": "llm"},
                "input": ASKED,
                "output": [CHOICE],
            }
        ],
    ),
    "weave": (
        "weave",
        [
            {
                "id": "w",
                "op_name": "weave:///openai",
                "inputs": BODY,
                "output": CHAT,
                "started_at": AT,
            }
        ],
    ),
    "opik": (
        "opik",
        [
            {
                "id": "o",
                "trace_id": "t",
                "type": "llm",
                "start_time": AT,
                "input": {"messages": ASKED},
                "output": CHAT,
            }
        ],
    ),
    "portkey": (
        "portkey",
        [
            {
                "id": "p",
                "created_at": AT,
                "ai_org": "o",
                "request": {**HTTP, "body": BODY},
                "response": {"status": 200, "body": CHAT},
            }
        ],
    ),
    "kong": (
        "kong",
        [
            {
                "started_at": 1_772_445_600_000,
                "request": {"id": "k"},
                "ai": {
                    "proxy": {
                        "meta": {"request_model": "m"},
                        "payload": {"request": json.dumps(BODY), "response": json.dumps(CHAT)},
                    }
                },
            }
        ],
    ),
    "cloudflare": (
        "cloudflare",
        [
            {
                "id": "c",
                "created_at": AT,
                "provider": "openai",
                "success": True,
                "request": json.dumps(BODY),
                "response": json.dumps(CHAT),
            }
        ],
    ),
    "har": (
        "har",
        [
            {
                "log": {
                    "entries": [
                        {
                            "startedDateTime": AT,
                            "time": 812,
                            "request": {**HTTP, "postData": {"text": json.dumps(BODY)}},
                            "response": {
                                "status": 200,
                                "content": {
                                    "encoding": "base64",
                                    "text": base64.b64encode(json.dumps(CHAT).encode()).decode(),
                                },
                            },
                        }
                    ]
                }
            }
        ],
    ),
    "anthropic batch": (
        "batch",
        [
            {"custom_id": "x", "params": {**BODY, "messages": ASKED[1:], "system": "You label."}},
            {
                "custom_id": "x",
                "result": {
                    "type": "succeeded",
                    "message": {
                        "role": "assistant",
                        "content": [{"type": "text", "text": "damage"}],
                        "stop_reason": "end_turn",
                    },
                },
            },
        ],
    ),
    "gemini batch": (
        "batch",
        [{"key": "x", "request": CONTENTS}, {"key": "x", "response": GEMINI}],
    ),
    "claude code": ("claude_code", TRANSCRIPT),
}
WITHOUT_SYSTEM = {"langsmith prompts", "claude code"}


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_is_read_by_its_dialect(tmp_path: Path, name: str) -> None:
    """The question, the system prompt and the answer come back from every format."""
    dialect, documents = SAMPLES[name]
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, documents)))
    found: list[tuple[str, Call]] = []
    others: list[Rejected] = []
    for named, result in read([str(tmp_path / "log.jsonl")]):
        if isinstance(result, Rejected):
            others.append(result)
        else:
            found += [(named, call) for call, _ in result]
    assert [r for r in others if r.reason != "not a call"] == []
    ((named, call),) = found
    assert (named, answer_of(call.reply)) == (dialect, "damage")
    assert call.messages == (ASKED[1:] if name in WITHOUT_SYSTEM else ASKED)
    assert call.finish_reason in ("stop", None)


def test_vllms_log_is_read_where_it_holds_answers(tmp_path: Path) -> None:
    """A prompt is taken apart at the template's marks; a request without an answer says so."""
    prompt = "<|im_start|>system\nYou label.<|im_end|>\n<|im_start|>user\nBroken.<|im_end|>\n"
    head = "INFO 03-02 10:00:00 [logger.py:39]"
    lines = [
        f"{head} Received request {n}: prompt: {prompt!r}, params: SamplingParams(n=1)"
        for n in "ab"
    ]
    lines.append(f"{head} Generated response a: output: 'damage', output_token_ids: None, ")
    lines[-1] += "finish_reason: stop"
    (tmp_path / "vllm.log").write_text("\n".join(lines))
    (_, taken), (_, missing) = read([str(tmp_path / "vllm.log")])
    assert isinstance(taken, list)
    assert isinstance(missing, Rejected)
    assert (taken[0][0].messages, answer_of(taken[0][0].reply)) == (ASKED, "damage")
    assert missing.reason == "empty reply"


def test_what_node_prints_is_read(tmp_path: Path) -> None:
    """OpenTelemetry's console exporter for JavaScript prints objects, not JSON."""
    prompt = json.dumps(ASKED)
    printed = f"""{{
  resource: {{ attributes: {{}} }},
  traceId: 't',
  parentSpanContext: undefined,
  name: 'ai.generateText.doGenerate',
  id: 's',
  timestamp: 1772445600000000,
  attributes: {{
    'ai.prompt.messages': '{prompt}',
    'ai.response.text': 'dam' +
      'age'
  }},
  events: []
}}
"""
    (tmp_path / "console.log").write_text(printed + printed.replace("'damage'", "'x'... 9 more"))
    (_, taken), *_ = read([str(tmp_path / "console.log")])
    assert isinstance(taken, list)
    assert (taken[0][0].messages, answer_of(taken[0][0].reply)) == (ASKED, "damage")
    assert taken[0][0].at == 1772445600
    cut = printed.replace("'dam' +", "'dam'... 900 more characters,")
    (tmp_path / "console.log").write_text(cut)
    ((_, refused),) = read([str(tmp_path / "console.log")])
    assert isinstance(refused, Rejected)


def test_a_tool_of_another_provider_keeps_its_schema(tmp_path: Path) -> None:
    """Bedrock's tool specifications and Opik's tools in the metadata are declared tools."""
    schema = {"type": "object", "properties": {"id": {"type": "string"}}}
    spec = {"toolSpec": {"name": "find", "inputSchema": {"json": schema}}}
    asked = {**CONVERSE, "toolConfig": {"tools": [spec, {"cachePoint": {"type": "default"}}]}}
    tool = {"type": "function", "function": {"name": "find", "parameters": schema}}
    span = {"type": "llm", "trace_id": "t", "start_time": AT, "metadata": {"tools": [tool]}}
    for document in (
        {
            **BEDROCK,
            "input": {"inputBodyJson": asked},
            "output": {"outputBodyJson": ANSWERED},
        },
        {**span, "input": {"messages": ASKED}, "output": {"choices": [CHOICE]}},
    ):
        (tmp_path / "log.jsonl").write_text(json.dumps(document))
        ((_, taken),) = read([str(tmp_path / "log.jsonl")])
        assert isinstance(taken, list)
        assert taken[0][0].tools == [tool]
