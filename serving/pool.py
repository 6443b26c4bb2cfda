"""The pool, seen from the gateway: any server that speaks vLLM's OpenAI-compatible interface.

Everything that can go wrong is a `PoolError` with a short reason; the gateway then escalates.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
from yarl import URL

from serving.client import Client, Unreachable
from serving.escalate import NO_LOGPROBS, POOL_ERROR, POOL_REFUSED, TIMEOUT
from tasks.core.records import Json
from tasks.core.stage import Refused
from tasks.students.causal import ask
from tasks.students.decoding import Answer

LOAD_TIMEOUT = 60.0
OK = 200
REFUSALS = (400, 404, 413, 422)  # of one request or adapter; another may still be answered


class PoolError(Exception):
    """No usable answer. `reason` is one of `serving.escalate`, the text a sentence."""

    def __init__(self, reason: str, detail: str, *, unreachable: bool = False) -> None:
        super().__init__(detail)
        self.reason, self.unreachable = reason, unreachable


class Pool:
    """A client for one server that holds adapters. The HTTP client belongs to the caller."""

    def __init__(self, url: str, client: Client, token: str | None = None) -> None:
        self.url = url.rstrip("/").removesuffix("/v1")
        self._client = client
        self._headers = [(b"content-type", b"application/json")]
        if token:
            self._headers.append((b"authorization", f"Bearer {token}".encode()))

    async def load(self, name: str, path: Path) -> None:
        """Make the server load an adapter, or leave it where another has. Raises PoolError."""
        body = {"lora_name": name, "lora_path": str(path)}
        try:
            await self._send("POST", "/v1/load_lora_adapter", body, LOAD_TIMEOUT)
        except PoolError:
            if name not in await self.loaded():
                raise

    async def unload(self, name: str) -> None:
        """Make the server forget an adapter. Raises PoolError."""
        await self._send("POST", "/v1/unload_lora_adapter", {"lora_name": name}, LOAD_TIMEOUT)

    async def loaded(self) -> set[str]:
        """The names of the adapters that the server answers with. Raises PoolError."""
        models = _json(await self._send("GET", "/v1/models", None, LOAD_TIMEOUT))
        return {model["id"] for model in models.get("data", ()) if model.get("parent")}

    async def answer(self, name: str, prompt: str, max_tokens: int, timeout: float) -> Answer:
        """Return what an adapter answers by itself, with log-probabilities. Raises PoolError.

        It is not held to the contract: vLLM's log-probabilities come after the guide's mask, and
        would hide that the student wanted to say something else. Off contract, it escalates.
        """
        body = {
            "model": name,
            "messages": ask(prompt),
            "max_tokens": max_tokens,
            "temperature": 0.0,
            "logprobs": True,
            "top_logprobs": 0,
            "chat_template_kwargs": {"enable_thinking": False},
        }
        reply = await self._send("POST", "/v1/chat/completions", body, timeout)
        return read(_json(reply), name)

    async def _send(
        self, method: str, path: str, body: Mapping[str, object] | None, timeout: float
    ) -> bytes:
        content = b"" if body is None else msgspec.json.encode(body)
        try:
            reply = await self._client.send(
                method, URL(self.url + path), self._headers, content, seconds=timeout
            )
            try:
                answer = await reply.body()
            finally:
                reply.close()
        except Unreachable as error:
            if error.late:
                raise PoolError(TIMEOUT, f"{self.url} gave nothing within {timeout:g} s") from None
            raise PoolError(POOL_ERROR, f"{self.url}: {error}", unreachable=True) from None
        if reply.status != OK:
            reason = POOL_REFUSED if reply.status in REFUSALS else POOL_ERROR
            raise PoolError(reason, f"{reply.status}: {_complaint(answer, reply.status)}")
        return answer


def pools(env: Mapping[str, str], client: Client) -> dict[str, Pool]:
    """The server of each kind of student; empty where there is none. Raises Refused.

    `$POOL_URL` serves all of them, but where it is vLLM, which cannot serve students of the
    encoder: those are served at `$ENCODER_URL`, by the embedded engine.
    """
    token, url = env.get("POOL_TOKEN"), env.get("POOL_URL")
    if not url:
        return {}
    if not token:
        raise Refused(f"POOL_TOKEN is empty: the pool at {url} obeys only who has its token")
    shared = Pool(url, client, token)
    apart = env.get("ENCODER_URL")
    return {"causal": shared, "encoder": Pool(apart, client, token) if apart else shared}


def read(reply: Json, name: str) -> Answer:
    """The answer in a chat completion. Raises PoolError when it may not be trusted.

    A server that ignored `logprobs`, or that answered with another model, says nothing about how
    sure the student is.
    """
    try:
        choice = reply["choices"][0]
        text, finish = choice["message"]["content"], choice["finish_reason"]
        content = (choice.get("logprobs") or {}).get("content")
        logprobs = tuple(float(token["logprob"]) for token in content or ())
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise PoolError(POOL_ERROR, f"not a chat completion: {error!r}") from None
    if reply.get("model") != name:
        raise PoolError(POOL_ERROR, f"asked for {name}, answered by {reply.get('model')}")
    if not isinstance(text, str):
        raise PoolError(POOL_ERROR, "a chat completion without content")
    if not logprobs:
        raise PoolError(NO_LOGPROBS, f"{name} answered without log-probabilities")
    return Answer(text, logprobs, str(finish))


def _json(content: bytes) -> Json:
    try:
        body = msgspec.json.decode(content)
    except ValueError:
        raise PoolError(POOL_ERROR, "the pool's reply is not JSON") from None
    if not isinstance(body, dict):
        raise PoolError(POOL_ERROR, "the pool's reply is not a JSON object")
    return body


def _complaint(content: bytes, status: int) -> str:
    """The error message in a reply, vLLM's shape or any text."""
    try:
        error = msgspec.json.decode(content)["error"]
        return str(error["message"] if isinstance(error, dict) else error)
    except (ValueError, KeyError, TypeError):
        return content.decode(errors="replace")[:200] or f"status {status}"
