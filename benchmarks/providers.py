"""One call written the way other providers and their frameworks log it."""

from __future__ import annotations

import json
from collections.abc import Iterator

from benchmarks.spans import calls, completion, end, iso, usage
from tasks.core.records import Call, Json, text_of


def pair(call: Call, response: object) -> Json:
    """Request and response side by side."""
    return {
        "timestamp": call.at,
        "client_id": call.client,
        "latency_s": call.latency_s,
        "conversation": call.conversation,
        "request": call.request,
        "response": response,
    }


def sse(events: list[Json]) -> str:
    """Events as the text that a server sends."""
    return "".join(f"data: {json.dumps(e)}\n\n" for e in events) + "data: [DONE]\n\n"


def _anthropic_message(message: Json) -> Json:
    if message["role"] == "tool":
        block = {"type": "tool_result", "tool_use_id": message["tool_call_id"]}
        return {"role": "user", "content": [{**block, "content": message["content"]}]}
    said = text_of(message.get("content"))
    blocks: list[Json] = [{"type": "text", "text": said}] if said else []
    blocks += [{"type": "tool_use", "id": i, "name": n, "input": a} for i, n, a in calls(message)]
    return {"role": message["role"], "content": blocks if message.get("tool_calls") else said}


def _anthropic_request(call: Call) -> Json:
    asked = call.request["messages"]
    body: Json = {"model": call.request["model"], "max_tokens": 512}
    if asked[0]["role"] == "system":
        body["system"], asked = asked[0]["content"], asked[1:]
    body["messages"] = [_anthropic_message(m) for m in asked]
    if call.tools:
        named = [t["function"] for t in call.tools]
        body["tools"] = [{"name": f["name"], "input_schema": f["parameters"]} for f in named]
    return body


def _anthropic_reply(call: Call) -> Json:
    blocks = _anthropic_message(call.reply)["content"]
    if isinstance(blocks, str):
        blocks = [{"type": "text", "text": blocks}]
    reason = {"stop": "end_turn", "tool_calls": "tool_use"}[call.finish_reason or "stop"]
    body = {"id": call.id, "type": "message", "role": "assistant", "model": call.model}
    used = usage(call, "input_tokens", "output_tokens")
    return {**body, "content": blocks, "stop_reason": reason, "usage": used}


def anthropic(call: Call) -> list[object]:
    """A pair of Anthropic's API."""
    return [{**pair(call, _anthropic_reply(call)), "request": _anthropic_request(call)}]


def anthropic_stream(call: Call) -> list[object]:
    """A streamed pair of Anthropic's API."""
    body = _anthropic_reply(call)
    used = {"input_tokens": call.prompt_tokens, "output_tokens": 1}
    events: list[Json] = [
        {"type": "message_start", "message": {**body, "content": [], "usage": used}}
    ]
    for index, block in enumerate(body["content"]):
        tool = block["type"] == "tool_use"
        empty = {**block, "input": {}} if tool else {"type": "text", "text": ""}
        events.append({"type": "content_block_start", "index": index, "content_block": empty})
        text = json.dumps(block["input"], ensure_ascii=False) if tool else block["text"]
        for i in range(0, len(text), 9):
            piece = text[i : i + 9]
            delta = (
                {"type": "input_json_delta", "partial_json": piece}
                if tool
                else {"type": "text_delta", "text": piece}
            )
            events.append({"type": "content_block_delta", "index": index, "delta": delta})
    final = {"output_tokens": call.completion_tokens}
    events.append(
        {"type": "message_delta", "delta": {"stop_reason": body["stop_reason"]}, "usage": final}
    )
    return [{**pair(call, sse(events)), "request": _anthropic_request(call)}]


def _items(message: Json) -> Iterator[Json]:
    if message["role"] == "tool":
        yield {
            "type": "function_call_output",
            "call_id": message["tool_call_id"],
            "output": message["content"],
        }
        return
    if text_of(message.get("content")):
        yield {"role": message["role"], "content": text_of(message["content"])}
    for made in message.get("tool_calls") or ():
        yield {"type": "function_call", "call_id": made["id"], **made["function"]}


def responses(call: Call) -> list[object]:
    """A pair of OpenAI's Responses API."""
    asked: Json = {"model": call.request["model"], "input": []}
    for message in call.request["messages"]:
        if message["role"] == "system":
            asked["instructions"] = message["content"]
        else:
            asked["input"] += _items(message)
    if call.tools:
        asked["tools"] = [{"type": "function", **t["function"]} for t in call.tools]
    output = [
        i
        if "type" in i
        else {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": i["content"]}],
        }
        for i in _items(call.reply)
    ]
    body: Json = {
        "id": call.id,
        "object": "response",
        "model": call.model,
        "status": "completed",
        "output": output,
    }
    body["usage"] = usage(call, "input_tokens", "output_tokens")
    return [{**pair(call, body), "request": asked}]


_KINDS = {
    "system": "SystemMessage",
    "user": "HumanMessage",
    "assistant": "AIMessage",
    "tool": "ToolMessage",
}


def _langchain(message: Json) -> Json:
    kwargs: Json = {"content": text_of(message.get("content"))}
    made = [{"name": n, "args": a, "id": i, "type": "tool_call"} for i, n, a in calls(message)]
    if made:
        kwargs["tool_calls"] = made
    if message["role"] == "tool":
        kwargs["tool_call_id"] = message["tool_call_id"]
    path = ["langchain", "schema", "messages", _KINDS[message["role"]]]
    return {"lc": 1, "type": "constructor", "id": path, "kwargs": kwargs}


def langsmith(call: Call) -> list[object]:
    """A run of LangSmith, its messages serialised by LangChain."""
    said = [_langchain(m) for m in call.request["messages"]]
    info = {"finish_reason": call.finish_reason}
    one = {
        "text": text_of(call.reply.get("content")),
        "message": _langchain(call.reply),
        "generation_info": info,
    }
    settings = {"model": call.request["model"], "tools": call.tools}
    extra = {"invocation_params": settings, "metadata": {"thread_id": call.conversation}}
    outputs = {"generations": [[one]], "llm_output": {"model_name": call.model}}
    run = {
        "id": call.id,
        "run_type": "llm",
        "start_time": iso(call.at),
        "end_time": iso(end(call)),
        **usage(call),
    }
    return [
        {
            **run,
            "inputs": json.dumps({"messages": [said]}),
            "outputs": json.dumps(outputs),
            "extra": json.dumps(extra),
        }
    ]


def _block(message: Json) -> Json:
    said = text_of(message.get("content"))
    if message["role"] == "tool":
        return {
            "role": "user",
            "content": [
                {"type": "tool_result", "id": message["tool_call_id"], "name": "x", "result": said}
            ],
        }
    blocks: list[Json] = [{"type": "text", "text": said}] if said else []
    blocks += [
        {"type": "tool_call", "id": i, "name": n, "arguments": json.dumps(a)}
        for i, n, a in calls(message)
    ]
    return {"role": message["role"], "content": blocks}


def tensorzero(call: Call) -> list[object]:
    """A row of TensorZero's ChatInference."""
    asked = list(call.request["messages"])
    body: Json = {"system": asked.pop(0)["content"]} if asked[0]["role"] == "system" else {}
    body["messages"] = [_block(m) for m in asked]
    tools = [
        {
            "name": t["function"]["name"],
            "description": "",
            "parameters": t["function"]["parameters"],
        }
        for t in call.tools
    ]
    row = {
        "id": call.id,
        "function_name": "chat",
        "variant_name": call.model,
        "episode_id": call.conversation,
    }
    took = {"timestamp": iso(call.at), "processing_time_ms": round((call.latency_s or 0) * 1e3)}
    output = json.dumps(_block(call.reply)["content"])
    return [
        {
            **row,
            **took,
            "input": json.dumps(body),
            "output": output,
            "tool_params": json.dumps({"tools_available": tools}),
        }
    ]


def tensorzero_model(call: Call) -> list[object]:
    """A row of TensorZero's ModelInference."""
    row = {"id": "x", "inference_id": call.id, "model_name": call.model, "timestamp": iso(call.at)}
    raw = {"raw_request": json.dumps(call.request), "raw_response": json.dumps(completion(call))}
    return [
        {**row, **raw, "input_tokens": call.prompt_tokens, "output_tokens": call.completion_tokens}
    ]
