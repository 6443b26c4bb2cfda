"""The way to the teacher: what a client sent goes on as it came, and so does what comes back."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass

from yarl import URL

from serving import request_body
from serving.client import Arriving, Body, Client, Headers, Reply, Unreachable, repeatable
from tasks.core.stage import Refused

REDIRECTS = 3
LARGE = 1 << 20  # bytes of a body that are looked through beside the other requests
_MOVED = (307, 308)  # the same request at another address
_HOP_BY_HOP = frozenset(
    {b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"te"}
    | {b"proxy-connection", b"trailer", b"transfer-encoding", b"upgrade"}
)
_NO_BODY = (204, 304)
_PLAIN_URL = re.compile(rb"[!-~]+")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")  # no header of HTTP holds one
KEYS = (b"authorization", b"api-key", b"x-api-key")  # where clients send their key
_ACCOUNT = (b"openai-organization", b"openai-project")  # of the client's key, not of ours
_OURS = b"x-flywheel-"
_NAMES_MODEL = re.compile(
    rb"/(chat/completions|completions|responses|responses/input_tokens|messages"
    rb"|messages/count_tokens)/*$"
)


def base_url(text: str) -> str:
    """The teacher's base URL as it is set, but for a host that is not ASCII. Raises Refused."""
    text = text.strip()
    try:
        url = URL(text)
        good = url.scheme in ("http", "https") and url.host and url.port and not url.fragment
    except ValueError:
        good = False
    if not good:
        raise Refused(
            f"TEACHER_BASE_URL is {text!r}; set it to the teacher's base URL, "
            "such as https://api.openai.com/v1"
        )
    if url.raw_user or url.raw_password:  # it would be in errors, and on the state's page
        raise Refused("TEACHER_BASE_URL holds a user or a password; set TEACHER_API_KEY instead")
    return text if text.isascii() else str(url)


class TeacherDown(Exception):  # noqa: N818 - it reads as what happened
    """The teacher cannot be reached or gives no reply to pass on: one sentence for the client."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request as it arrived: path and query as they were spelled, headers in order."""

    method: str
    path: bytes
    query: bytes
    headers: Headers
    body: Body = b""

    def header(self, name: bytes) -> str:
        """A header's value, the first if there are several; empty where there is none."""
        return next((v.decode("latin-1") for k, v in self.headers if k == name), "")

    @property
    def size(self) -> int:
        """Return the bytes of the body, where it is here."""
        return len(self.body) if isinstance(self.body, bytes) else 0

    def with_body(self, body: Body) -> Incoming:
        """The same request with its body."""
        return Incoming(self.method, self.path, self.query, self.headers, body)

    def names_model(self) -> bool:
        """Return whether the body names the model that is to write or to count."""
        return self.method == "POST" and bool(_NAMES_MODEL.search(self.path))


@dataclass(frozen=True, slots=True)
class Teacher:
    """The large model: its base URL (`.../v1`), the HTTP client, and what overrides the agent's.

    `key` replaces the client's own key, `model` the model that it asks for. `seconds` is how long
    the teacher may be silent.
    """

    url: str
    client: Client
    key: str | None = None
    model: str | None = None
    seconds: float = 600.0

    async def send(self, incoming: Incoming) -> Reply:
        """Send a request on; the reply's body is still to come. Raises TeacherDown."""
        url = self.address(incoming)
        if incoming.size > LARGE:
            headers, body = await asyncio.to_thread(self._onward, incoming)
        else:
            headers, body = self._onward(incoming)
        body = body if isinstance(body, bytes) else Arriving(body)
        try:
            reply = await self.client.send(
                incoming.method, url, headers, body, seconds=self.seconds
            )
            for _ in range(REDIRECTS):
                moved = _moved(reply) if repeatable(body) else None
                if moved is None:
                    break
                reply.close()
                reply = await self.client.send(
                    incoming.method, moved, headers, body, seconds=self.seconds
                )
        except Unreachable as error:
            raise self.down(error) from error
        if problem := _impassable(reply):
            reply.close()
            raise TeacherDown(f"the teacher at {self.url} {problem}")
        return reply

    def address(self, incoming: Incoming) -> URL:
        """Return where a path of the gateway is at the teacher: `/v1/...` below its base URL.

        Azure's `/openai/...` is at the root that the base URL names before its own `/openai`.
        A query of the base URL is added to the client's, which has precedence.
        """
        base, _, own = self.url.partition("?")
        path, base = incoming.path.decode("latin-1"), base.rstrip("/")
        if path.startswith("/openai/"):
            base = re.sub(r"(?<!/)/(openai|v1)(/.*)?$", "", base)
        else:
            path = path.removeprefix("/v1")
        query = incoming.query.decode("latin-1")
        given = {pair.split("=")[0] for pair in query.split("&")}
        more = [pair for pair in own.split("&") if pair and pair.split("=")[0] not in given]
        query = "&".join([query, *more] if query else more)
        return URL(f"{base}{path}?{query}" if query else base + path, encoded=True)

    def _onward(self, incoming: Incoming) -> tuple[Headers, Body]:
        """The headers and the body that the teacher gets."""
        headers: Headers = list(end_to_end(incoming.headers))
        body = incoming.body
        if isinstance(body, bytes):
            headers = [(k, v) for k, v in headers if k != b"content-length"]
            if self.model and incoming.names_model():
                try:
                    body = request_body.unpacked(body, incoming.header(b"content-encoding"))
                    headers = [(k, v) for k, v in headers if k != b"content-encoding"]
                    body = request_body.with_model(body, self.model)
                except ValueError:
                    pass  # in an encoding of its own: the teacher's to judge
        if self.key:
            headers = self._with_key(headers)
        return headers, body

    def _with_key(self, headers: Headers) -> Headers:
        """Our key in the place of the client's, where it had one."""
        places = [k for k, _ in headers if k in KEYS] or [b"authorization"]
        key = self.key or ""
        own = [(k, (f"Bearer {key}" if k == b"authorization" else key).encode()) for k in places]
        return [*((k, v) for k, v in headers if k not in KEYS and k not in _ACCOUNT), *own]

    def down(self, error: Unreachable) -> TeacherDown:
        """The sentence for a teacher that gave no answer, or none that can be read."""
        did = "did not answer in time" if error.late else "is down"
        if error.unreadable:
            did = "sent a reply that cannot be read"
        return TeacherDown(f"the teacher at {self.url} {did} ({error.kind})")


def end_to_end(headers: Headers) -> Iterator[tuple[bytes, bytes]]:
    """The headers of a request that are not about this connection, or about this gateway."""
    named = {k: v for k, v in headers if k == b"connection"}.get(b"connection", b"")
    listed = {name.strip().lower() for name in named.split(b",")}
    dropped = _HOP_BY_HOP | listed | {b"host", b"expect"}
    return ((k, v) for k, v in headers if k not in dropped and not k.startswith(_OURS))


def back(reply: Reply) -> list[tuple[bytes, bytes]]:
    """The headers of the teacher's reply that the client gets too."""
    headers = end_to_end([(k.lower(), v) for k, v in reply.headers])
    if reply.status in _NO_BODY:  # a length would be that of another reply
        headers = ((k, v) for k, v in headers if k != b"content-length")
    return list(headers)


def _impassable(reply: Reply) -> str | None:
    """Return why a reply cannot be passed on; None for all others."""
    if reply.status < 200:
        return f"answered with the status {reply.status}, which ends no request"
    for name, value in back(reply):
        if _CONTROL.search(value):
            return f"sent a reply whose header {name.decode('latin-1')!r} holds a control character"
    return None


def _moved(reply: Reply) -> URL | None:
    """Return where the teacher says that a request is to be sent instead, if that is the teacher.

    Only the same scheme, host and port may get the key and the body. All else is passed on as it
    came: the client's own library decides about it.
    """
    places = [v for k, v in reply.headers if k.lower() == b"location"]
    if reply.status not in _MOVED or len(places) != 1 or not _PLAIN_URL.fullmatch(places[0]):
        return None
    try:
        target = reply.url.join(URL(places[0].decode(), encoded=True))
        same = target.user is None and target.origin() == reply.url.origin()
    except ValueError:
        return None
    return target if same else None
