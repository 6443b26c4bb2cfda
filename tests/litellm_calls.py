"""Calls of LiteLLM's client to the server at a URL, printed as JSON; run by its own Python.

.venv-litellm/bin/python tests/litellm_calls.py http://127.0.0.1:9000
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from typing import Any

import litellm

_RANDOM = re.compile(r"chatcmpl-[0-9a-f]{8}-[0-9a-f-]{27}")
HELLO = [{"role": "user", "content": "hi"}]
FIND = {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}
FORM = {"type": "json_schema", "json_schema": {"name": "p", "schema": {"type": "object"}}}


def calls(url: str) -> Any:
    """What comes of each."""
    litellm.suppress_debug_info = True
    at = {"api_base": f"{url}/v1", "api_key": "k", "max_retries": 0}
    chat = {"model": "openai/large", "messages": HELLO, **at}
    usage = {"stream": True, "stream_options": {"include_usage": True}}
    yield litellm.completion(**chat)
    yield litellm.completion(**chat, tools=[FIND])
    yield litellm.completion(**chat, response_format=FORM)
    yield from litellm.completion(**chat, **usage)
    yield asyncio.run(litellm.acompletion(**chat))
    yield litellm.text_completion(model="openai/m", prompt="hi", **at)
    yield litellm.embedding(model="openai/e", input=["hi"], **at)
    yield litellm.responses(model="openai/large", input="hi", **at)
    yield from litellm.responses(model="openai/large", input="hi", stream=True, **at)
    claude = {"model": "anthropic/large", "messages": HELLO, "max_tokens": 9, "api_key": "k"}
    yield litellm.completion(**claude, api_base=url)
    yield from litellm.completion(**claude, api_base=url, stream=True)
    try:
        litellm.completion(**chat | {"api_key": "wrong"})
    except litellm.AuthenticationError as error:
        yield str(error), error.status_code


def plain(found: Any) -> Any:
    """A reply as JSON without what LiteLLM makes up itself: its times, and ids that are random."""
    made = found.model_dump(mode="json") if hasattr(found, "model_dump") else found
    if not isinstance(made, dict):
        return made
    own = {"created"} | ({"id"} if _RANDOM.fullmatch(str(made.get("id"))) else set())
    return {k: v for k, v in made.items() if k not in own}


if __name__ == "__main__":
    print(json.dumps([plain(one) for one in calls(sys.argv[1])], default=str))
