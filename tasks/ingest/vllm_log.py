"""vLLM's text log: requests with their prompts, and with `--enable-log-outputs` what was generated.

A prompt is the text that the chat template made. It is taken apart where the template marks its
turns (ChatML, Llama 3, Gemma, harmony); otherwise it is one user message.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tasks.core.records import Json, Rejected
from tasks.ingest.encoding import RawLine, text_of
from tasks.ingest.json_lines import Document, reject
from tasks.ingest.wire import templates

_LINE = re.compile(rb"^(?:\(\w+[^)]*\) )?(?:INFO|DEBUG|WARNING|ERROR) \d\d-\d\d \d\d:\d\d:\d\d \[")
_ASKED = re.compile(r"Received request ([\w-]+): prompt: (.*?), params: (.*)", re.DOTALL)
_GIVEN = re.compile(
    r"Generated response ([\w-]+?)(?: \([^)]*\))?: output: (.*?), output_token_ids:"
    r".*?finish_reason: (\w+)",
    re.DOTALL,
)
WAITING = 10_000  # requests whose answer has not come


def is_log(data: bytes) -> bool:
    """Return whether a file's first line is one of vLLM's log."""
    return _LINE.match(data) is not None


def documents(name: str, lines: Iterator[RawLine]) -> Iterator[Document | Rejected]:
    """A pair for each request with its answer; a request without one is told of."""
    waiting: dict[str, tuple[str, Json]] = {}
    for line in lines:
        text, place = text_of(line.data), f"{name}:{line.number}"
        if match := _ASKED.search(text):
            prompt = _literal(match[2])
            messages = templates.turns(prompt) or [{"role": "user", "content": prompt}]
            waiting[match[1]] = place, {"messages": messages, **_model(match[3])}
            if len(waiting) > WAITING:
                yield _unanswered(*waiting.pop(next(iter(waiting))))
        elif (match := _GIVEN.search(text)) and (asked := waiting.pop(match[1], None)):
            message = {"role": "assistant", "content": _literal(match[2])}
            choice = {"index": 0, "message": message, "finish_reason": match[3]}
            body = {"id": match[1], "choices": [choice]}
            yield Document(asked[0], {"request": asked[1], "response": body})
    for place, request in waiting.values():
        yield _unanswered(place, request)


def _unanswered(place: str, request: Json) -> Rejected:
    detail = "the log holds no answer to this request; vLLM logs them with --enable-log-outputs"
    return reject(place, "empty reply", detail, str(request["messages"]))


def _literal(text: str) -> str:
    try:
        return str(ast.literal_eval(text))
    except (ValueError, SyntaxError):
        return text.strip("'\"")


def _model(params: str) -> Json:
    match = re.search(r"lora_request: LoRARequest\(lora_name='([^']+)'", params)
    return {"model": match[1]} if match else {}
