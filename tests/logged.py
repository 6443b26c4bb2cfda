"""Records of logs, and what ingest and validation keep of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tasks.core.params import Validate
from tasks.core.records import Call, Json, Rejected
from tasks.ingest.reader import read
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
