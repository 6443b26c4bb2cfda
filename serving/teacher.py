"""The way to the teacher: any OpenAI-compatible endpoint, forwarded to as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx
import msgspec

from tasks.core.records import Json

# What goes on to the teacher of a client's headers, and back to the client of the teacher's.
_ONWARD = ("authorization", "api-key", "openai-organization", "openai-project", "user-agent")
_BACK = ("content-type", "retry-after", "x-request-id", "openai-", "x-ratelimit-")
# A connection that the teacher closed while it was idle fails before anything was answered.
_STALE = (httpx.ConnectError, httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)


def http_client(
    seconds: float, transport: httpx.AsyncBaseTransport | None = None
) -> httpx.AsyncClient:
    """A client for many callers at once: no cookie of one caller's call is sent with another's."""
    return httpx.AsyncClient(
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=256),
        timeout=httpx.Timeout(seconds, connect=5.0),
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        transport=transport,
    )


class TeacherDown(Exception):  # noqa: N818 - it reads as what happened
    """The teacher cannot be reached or does not answer: one sentence for the client."""


@dataclass(frozen=True, slots=True)
class Teacher:
    """The large model: its base URL (`.../v1`), the HTTP client, and what overrides the agent's.

    `key` replaces the client's own authorization, `model` the model that it asks for.
    """

    url: str
    client: httpx.AsyncClient
    key: str | None = None
    model: str | None = None

    async def ask(self, body: bytes, request: Json, headers: Mapping[str, str]) -> httpx.Response:
        """Send a chat request; the response's body is still to be read, and to be closed.

        `body` are the bytes of `request`, which go on unchanged unless the model is overridden.
        Raises TeacherDown.
        """
        if self.model and request.get("model") != self.model:
            body = msgspec.json.encode({**request, "model": self.model})
        built = self.client.build_request(
            "POST",
            f"{self.url.rstrip('/')}/chat/completions",
            content=body,
            headers={**self._headers(headers), b"content-type": b"application/json"},
        )
        try:
            return await self.client.send(built, stream=True)
        except _STALE:
            return await self._send(built)
        except httpx.HTTPError as error:
            raise down(self.url, error) from error

    async def models(self, headers: Mapping[str, str]) -> httpx.Response:
        """The teacher's list of models, read. Raises TeacherDown."""
        url = f"{self.url.rstrip('/')}/models"
        response = await self._send(
            self.client.build_request("GET", url, headers=self._headers(headers))
        )
        await read(response, self.url)
        return response

    async def _send(self, request: httpx.Request) -> httpx.Response:
        try:
            return await self.client.send(request, stream=True)
        except httpx.HTTPError as error:
            raise down(self.url, error) from error

    def _headers(self, headers: Mapping[str, str]) -> dict[bytes, bytes]:
        """What goes on, byte for byte: the client's name may be Müller."""
        onward = {name: headers[name] for name in _ONWARD if name in headers}
        if self.key:
            onward.pop("api-key", None)
            onward["authorization"] = f"Bearer {self.key}"
        return {name.encode(): value.encode("latin-1") for name, value in onward.items()}


def back(response: httpx.Response) -> dict[str, str]:
    """The headers of the teacher's response that the client gets too."""
    return {name: value for name, value in response.headers.items() if name.startswith(_BACK)}


async def read(response: httpx.Response, url: str) -> bytes:
    """The whole body of a response. Raises TeacherDown when it breaks off."""
    try:
        return await response.aread()
    except httpx.HTTPError as error:
        raise down(url, error) from error
    finally:
        await response.aclose()


def down(url: str, error: httpx.HTTPError) -> TeacherDown:
    """The sentence for a teacher that gave no answer."""
    did = "did not answer in time" if isinstance(error, httpx.TimeoutException) else "is down"
    return TeacherDown(f"the teacher at {url} {did} ({type(error).__name__})")
