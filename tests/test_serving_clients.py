"""The clients that people use get the same through the gateway as from the teacher itself."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import provider
import pydantic
import pytest
import served
from upstream import upstream

from tasks.ingest.dialects import journal as dialect

if TYPE_CHECKING:
    import anthropic
    import openai

HELLO = [{"role": "user", "content": "hi"}]
KEY = "k"
LITELLM = Path(__file__).parents[1] / ".venv-litellm" / "bin" / "python"
Use = Callable[[str], Any]  # what a client makes of the server at a URL


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def teacher() -> str:
    return upstream(provider.answer)


@pytest.fixture(scope="module")
def gateway(home: Path, teacher: str) -> Iterator[str]:
    """The URL of a gateway that runs as in production."""
    with served.running(served.gateway(home, None, f"{teacher}/v1")) as url:
        yield url


class Person(pydantic.BaseModel):
    """A form to answer in."""

    name: str
    age: int


def client(url: str, key: str = KEY) -> openai.OpenAI:
    import openai

    return openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)


def claude(url: str) -> anthropic.Anthropic:
    import anthropic

    return anthropic.Anthropic(base_url=url, api_key=KEY, max_retries=0)


def chat(url: str, **more: Any) -> Any:
    return client(url).chat.completions.create(model="large", messages=HELLO, **more)  # type: ignore[arg-type]


def streamed(url: str) -> Any:
    return [c.model_dump() for c in chat(url, stream=True, stream_options={"include_usage": True})]


def asynchronous(url: str) -> Any:
    import openai

    async def run() -> Any:
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=KEY) as made:
            whole = await made.chat.completions.create(model="large", messages=HELLO)  # type: ignore[arg-type]
            parts = await made.chat.completions.create(model="large", messages=HELLO, stream=True)  # type: ignore[arg-type]
            return whole.model_dump(), [part.model_dump() async for part in parts]

    return asyncio.run(run())


def parsed(url: str) -> Any:
    return (
        client(url)
        .chat.completions.parse(
            model="large",
            messages=HELLO,
            response_format=Person,  # type: ignore[arg-type]
        )
        .choices[0]
        .message.parsed
    )


def as_bytes(found: Any) -> Any:
    """Status, headers and bytes of a raw reply, but for what says when, and by which gateway."""
    ours = ("date", "x-flywheel-", "transfer-encoding")
    headers = [(k.lower(), v) for k, v in found.headers.items()]
    kept = sorted((k, v) for k, v in headers if not k.startswith(ours))
    return found.status_code, kept, found.read() if hasattr(found, "read") else found.content


def raw(url: str) -> Any:
    """Each API's reply byte for byte, whole and streamed."""
    gpt, opus = client(url).with_raw_response, claude(url).with_raw_response
    asked: Any = {"model": "large", "messages": HELLO}
    for stream in (False, True):
        more = {**asked, "stream": stream}
        yield as_bytes(gpt.chat.completions.create(**more, extra_query={"a": "1"}).http_response)
        yield as_bytes(gpt.responses.create(model="large", input="hi", stream=stream).http_response)
        yield as_bytes(opus.messages.create(**more, max_tokens=9).http_response)


def responses(url: str) -> Any:
    made = client(url).responses
    whole = made.create(model="large", input="hi", store=False)
    parts = made.create(model="large", input="hi", stream=True)
    return whole.model_dump(), [part.model_dump() for part in parts], whole._request_id


def files(url: str) -> Any:
    """An upload of some size, streamed up."""
    made = client(url)
    one = made.files.create(file=("x.jsonl", b"{}\n" * 500_000), purpose="batch")
    batch = made.batches.create(
        input_file_id=one.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    return one.model_dump(), batch.model_dump()


def azure(url: str) -> Any:
    import openai

    made = openai.AzureOpenAI(azure_endpoint=url, api_key=KEY, api_version="2024-10-21")
    found = made.chat.completions.create(model="large", messages=HELLO)  # type: ignore[arg-type]
    return found.model_dump()


def refused(url: str) -> Any:
    import openai

    with pytest.raises(openai.AuthenticationError) as caught:
        client(url, "wrong").chat.completions.create(model="large", messages=HELLO)  # type: ignore[arg-type]
    return str(caught.value), caught.value.body


def messages(url: str) -> Any:
    made, asked = claude(url).messages, {"model": "large", "messages": HELLO}
    whole = made.create(max_tokens=9, **asked)  # type: ignore[call-overload]
    with made.stream(max_tokens=9, **asked) as stream:  # type: ignore[arg-type]
        events = [event.model_dump() for event in stream]
    return whole.model_dump(), events, made.count_tokens(**asked).model_dump()  # type: ignore[arg-type]


def langchain(url: str) -> Any:
    from langchain_openai import ChatOpenAI, OpenAIEmbeddings

    model = ChatOpenAI(model="large", base_url=f"{url}/v1", api_key=KEY, max_retries=0)  # type: ignore[arg-type]
    vectors = OpenAIEmbeddings(
        model="e",
        base_url=f"{url}/v1",
        api_key=KEY,
        check_embedding_ctx_length=False,  # type: ignore[arg-type]
    )
    whole = model.invoke("hi")
    return (
        (whole.content, whole.usage_metadata, whole.response_metadata),
        [part.content for part in model.stream("hi")],
        model.with_structured_output(Person).invoke("hi"),
        vectors.embed_query("hi"),
    )


def litellm(url: str) -> Any:
    """LiteLLM's client, from an environment of its own: its pins conflict with ours."""
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [LITELLM, Path(__file__).with_name("litellm_calls.py"), url],
        env=env | {"LITELLM_LOCAL_MODEL_COST_MAP": "True"},
        capture_output=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found[0]["choices"][0]["message"]["content"] == provider.SAID
    return found


USES: dict[str, Use] = {
    "openai": lambda url: chat(url).model_dump(),
    "openai-tools": lambda url: chat(
        url, tools=[{"type": "function", "function": {"name": "find"}}]
    ).model_dump(),
    "openai-stream": streamed,
    "openai-async": asynchronous,
    "openai-parse": parsed,
    "raw": lambda url: list(raw(url)),
    "openai-responses": responses,
    "openai-embeddings": lambda url: (
        client(url).embeddings.create(model="e", input="hi").model_dump()
    ),
    "openai-completions": lambda url: (
        client(url).completions.create(model="m", prompt="hi").model_dump()
    ),
    "openai-moderations": lambda url: client(url).moderations.create(input="hi").model_dump(),
    "openai-model": lambda url: client(url).models.retrieve("large").model_dump(),
    "openai-images": lambda url: client(url).images.generate(model="i", prompt="x").model_dump(),
    "openai-files": files,
    "openai-azure": azure,
    "openai-refused": refused,
    "anthropic": messages,
    "langchain": langchain,
}
ELSEWHERE = [
    pytest.mark.e2e,
    pytest.mark.skipif(not LITELLM.exists(), reason="LiteLLM needs `make .venv-litellm/ready`"),
]


@pytest.mark.parametrize("use", [*USES, pytest.param("litellm", marks=ELSEWHERE)])
def test_a_client_gets_the_same_through_the_gateway(use: str, teacher: str, gateway: str) -> None:
    ask = USES.get(use, litellm)
    assert ask(gateway) == ask(teacher)


def line_of(home: Path, call: str) -> Any:
    """The journal line of a call, which is written when its answer has gone by."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        for line in served.journal(home):
            if line["id"] == call:
                return line
        time.sleep(0.01)
    raise AssertionError("no line")


@pytest.mark.parametrize("path", ["chat/completions", "responses", "messages"])
@pytest.mark.parametrize("stream", [False, True])
def test_what_went_by_is_learned_from(path: str, stream: bool, home: Path, gateway: str) -> None:
    """Each API's calls come out of the journal as calls with their reply, streamed or not."""
    asked: dict[str, Any] = {"model": "large", "stream": stream, "max_tokens": 9}
    asked |= {"input": "hi"} if path == "responses" else {"messages": HELLO}
    reply = httpx.post(f"{gateway}/v1/{path}/", json=asked)
    (call,) = dialect.parse(line_of(home, reply.headers["x-flywheel-call"]), "journal:1")
    assert [m["content"] for m in call.messages] == ["hi"]
    assert call.reply["content"] == provider.SAID
    assert (call.error, call.finish_reason, call.model) == (None, "stop", "large")
    if not (stream and path == "chat/completions"):
        assert (call.prompt_tokens, call.completion_tokens) == (5, 2)


def test_a_question_that_browsers_ask_first_is_the_teachers(gateway: str) -> None:
    """OPTIONS, GET and unknown paths reach it too."""
    for method, path in (
        ("OPTIONS", "chat/completions"),
        ("GET", "chat/completions"),
        ("PUT", "x"),
    ):
        reply = httpx.request(method, f"{gateway}/v1/{path}")
        assert "unknown url" in reply.json()["error"]["message"]


def test_what_cannot_be_passed_on_says_so(gateway: str) -> None:
    """WebSockets, and addresses that are not the API's."""
    asks = {"connection": "upgrade", "upgrade": "websocket"}
    reply = httpx.get(f"{gateway}/v1/realtime", headers=asks)
    assert (reply.status_code, reply.json()["error"]["message"]) == (
        501,
        "/v1/realtime: WebSockets are not passed on; connect to the teacher itself",
    )
    reply = httpx.post(f"{gateway}/chat/completions", json={})
    assert reply.status_code == 404
    assert "the API is under /v1" in reply.json()["error"]["message"]
