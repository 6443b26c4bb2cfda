"""The teacher as a referee: asked at night, where the environment says that it is."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import httpx

from tasks.core.records import Json
from tasks.core.stage import Refused
from tasks.evaluate.referee import Ask, Silent

WAITS = 2.0, 8.0  # seconds before a busy teacher is asked again


def referee(env: Mapping[str, str], client: httpx.Client, *, waits: Sequence[float] = WAITS) -> Ask:
    """Return what asks the teacher at `$TEACHER_BASE_URL`. Raises Refused when it is not named."""
    url, model = env.get("TEACHER_BASE_URL", ""), env.get("TEACHER_MODEL", "")
    if not url or not model:
        raise Refused("evaluate.referee needs TEACHER_BASE_URL and TEACHER_MODEL")
    key = env.get("TEACHER_API_KEY")
    headers = {"authorization": f"Bearer {key}"} if key else {}

    def post(body: Json) -> httpx.Response:
        try:
            return client.post(f"{url.rstrip('/')}/chat/completions", json=body, headers=headers)
        except httpx.HTTPError as error:
            raise Silent(type(error).__name__) from error

    def ask(messages: list[Json]) -> str:
        response = post({"model": model, "messages": messages})
        for wait in waits:
            if response.status_code != httpx.codes.TOO_MANY_REQUESTS:
                break
            time.sleep(wait)
            response = post({"model": model, "messages": messages})
        return _content(response)

    return ask


def _content(response: httpx.Response) -> str:
    if response.status_code != httpx.codes.OK:
        raise Silent(f"status {response.status_code}")
    try:
        return str(response.json()["choices"][0]["message"]["content"])
    except (ValueError, LookupError, TypeError):
        raise Silent("no chat completion") from None
