"""Prompts that a chat template made, taken apart again at the marks of their turns."""

from __future__ import annotations

import re

from tasks.core.records import Json

_TURNS = (
    re.compile(r"<\|im_start\|>(\w+)\n(.*?)(?:<\|im_end\|>|\Z)", re.DOTALL),
    re.compile(
        r"<\|start_header_id\|>(\w+)<\|end_header_id\|>\n\n(.*?)(?:<\|eot_id\|>|\Z)", re.DOTALL
    ),
    re.compile(r"<start_of_turn>(\w+)\n(.*?)(?:<end_of_turn>|\Z)", re.DOTALL),
    re.compile(r"<\|start\|>(\w+)<\|message\|>(.*?)(?:<\|end\|>|\Z)", re.DOTALL),
)
_BEGINS = re.compile(
    r"\s*(?:<\|begin_of_text\|>|<bos>)?\s*"
    r"(?:<\|im_start\|>|<\|start_header_id\|>|<start_of_turn>|<\|start\|>\w+<\|message\|>)"
)


def turns(prompt: str) -> list[Json]:
    """The messages of a prompt that a template made; none when it is no such prompt."""
    if prompt.lstrip()[:1] != "<" or _BEGINS.match(prompt) is None:
        return []
    for pattern in _TURNS:
        messages = [
            {"role": role, "content": content.strip()} for role, content in pattern.findall(prompt)
        ]
        if messages and messages[-1]["role"] in ("assistant", "model"):
            messages = messages if messages[-1]["content"] else messages[:-1]  # the answer begins
        if messages:
            return messages
    return []
