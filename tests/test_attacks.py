"""What strangers may send: it costs little, stops nothing and is passed on or refused in words.

Limits of sizes, times and numbers are in test_serving_limits, the gateway's keys in
test_serving_client_keys, signed versions in test_registry_store, what may be learned in
test_attacks_learning.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from io import BytesIO
from itertools import count
from typing import Any

import httpx
import psutil
import pytest
import served
import zstandard
from students import task as made_task
from test_serving_limits import CHAT, call, connected
from upstream import upstream

from registry import card, figures
from serving import body_limits, request_body
from serving.body_limits import MEGABYTE, BodyLimits
from serving.exchange import CHAT as CHATS
from serving.exchange import WAITED, Exchange
from serving.teacher import Incoming
from tasks.cluster.naming import name_of
from tasks.core.contract import Contract, violation
from tasks.core.records import Call, CleanCall
from tasks.core.schema import inline
from tasks.core.template import Template
from tasks.ingest.encoding import BLOCK, MAX_ENCRYPTED, MAX_LINE, lines_of
from tasks.validate.misfit import misfit

Json = dict[str, Any]
NAMES = count()
SOON = 2.0  # seconds: what grew with the square of its input, or faster, takes minutes


def seconds(work: Callable[[], object]) -> float:
    """How long something takes the processor."""
    start = time.process_time()
    work()
    return time.process_time() - start


def schema(**inner: object) -> Json:
    return {"type": "object", "properties": {"a": {"type": "string", **inner}}}


def doubling(levels: int) -> Json:
    """A small schema that refers to itself two to the power of `levels` times."""
    rules = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(levels)}
    return {"$defs": {**rules, f"d{levels}": {}}, "$ref": "#/$defs/d0"}


@pytest.mark.parametrize(
    "pattern", ["^(a+)+$", "^(a|aa)+$", "(.*)*x", "^(([a-z])+.)+[A-Z]([a-z])+$"]
)
def test_a_pattern_of_a_clients_schema_costs_no_more_than_the_text_is_long(pattern: str) -> None:
    """It used to double with each character: at the gateway, and in the night."""
    text = "a" * 20_000 + "!"
    asked = schema(pattern=pattern)
    contract = Contract(kind="json", schema=asked)
    assert seconds(lambda: violation(json.dumps({"a": text}), contract)) < SOON
    assert seconds(lambda: misfit({"a": text}, asked)) < SOON
    assert misfit({"a": text}, asked) == "a break `pattern`"
    keys = {"patternProperties": {pattern: {"type": "number"}}, "additionalProperties": False}
    assert seconds(lambda: misfit({text: 1}, keys)) < SOON


def test_patterns_mean_what_they_did() -> None:
    """Those of properties, too; what linear time cannot say is never met, and judges nothing."""
    names = {"patternProperties": {"^x": {"type": "string"}}, "additionalProperties": False}
    assert not misfit({"xa": "1"}, names)
    assert misfit({"xa": 1}, names) == "xa break `type`"
    assert misfit({"xa": "1", "b": 2}, names) == "the arguments break `additionalProperties`"
    ahead = Contract(kind="json", schema=schema(pattern="(?=b)b"))
    assert "cannot be checked" in str(violation('{"a": "b"}', ahead))
    assert not misfit({"a": "b"}, schema(pattern="(?=b)b"))


@pytest.mark.parametrize(
    ("asked", "value"),
    [
        (doubling(40), {}),
        (schema(pattern="a{99999}"), {"a": "b"}),
        ({"multipleOf": 0.1}, 10**400),
    ],
)
def test_a_schema_that_is_meant_to_stop_us_judges_nothing(asked: Json, value: object) -> None:
    """One that doubles forty times, one that no memory holds, and a number beyond all others."""
    assert seconds(lambda: misfit(value, asked)) < SOON
    assert not misfit(value, asked)


def test_a_schema_is_written_out_to_a_bounded_size() -> None:
    """References that double are left open where the whole has become too large."""
    wide = {"properties": {letter: {"$ref": "#"} for letter in "abcdefgh"}}
    for asked in (wide, doubling(40)):
        assert seconds(lambda asked=asked: inline(asked)) < SOON  # type: ignore[misc]
        assert len(json.dumps(inline(asked))) < MEGABYTE


@pytest.mark.parametrize(
    "text",
    [b'{"a": "' + b'\\"' * 300_000, b"{" + b'"model":1,' * 30_000 + b'"x":1}', b'{"x' * 100_000],
    ids=["a text without end", "many models", "quotes"],
)
def test_a_hostile_body_gets_its_model_in_no_time(text: bytes) -> None:
    """80 KB used to hold up everybody for 22 seconds."""
    assert seconds(lambda: request_body.with_model(text, "m")) < SOON


BOMBS: dict[str, Callable[[], bytes]] = {
    "gzip": lambda: gzip.compress(bytes(request_body.LARGEST - 9), 1) * 16,
    "x-gzip": lambda: gzip.compress(b"") * 200_000,
    "zstd": lambda: zstandard.compress(bytes(1 << 30)),
    "gzip, gzip": lambda: gzip.compress(gzip.compress(bytes(1 << 28), 1)),
    "gzip" + ", gzip" * 1_000: lambda: gzip.compress(b"{}"),
}


@pytest.mark.flow
@pytest.mark.parametrize("encoding", BOMBS, ids=["members", "empty", "zstd", "twice", "often"])
def test_what_is_packed_small_is_unpacked_within_bounds(encoding: str) -> None:
    """Members of a gzip file count together, and so do encodings around one another."""
    packed, process = BOMBS[encoding](), psutil.Process()
    before, start = process.memory_info().rss, time.process_time()
    with suppress(ValueError):
        assert len(request_body.unpacked(packed, encoding)) < request_body.LARGEST
    assert process.memory_info().rss - before < 250 * MEGABYTE
    assert time.process_time() - start < 10


@pytest.mark.flow
@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_a_line_of_a_gigabyte_is_one_line_too_long(pack: Callable[[bytes], bytes]) -> None:
    """A night reads on behind it, and never holds more than a line may have."""
    process, line = psutil.Process(), bytes(1 << 26).replace(b"\0", b"x")
    packed = pack(b'{"a":1}\n') + pack(line) * 16 + pack(b'\n{"b":1}\n')
    before = process.memory_info().rss
    first, long, last = lines_of(BytesIO(packed), packed[:4])
    assert (first.data, last.data) == (b'{"a":1}', b'{"b":1}')
    assert long.problem == f"too long: {16 << 26:,} bytes on one line"
    assert len(long.data) <= MAX_ENCRYPTED + 8 * BLOCK
    assert process.memory_info().rss - before < 6 * MAX_LINE


def exchange(content: bytes, *headers: tuple[bytes, bytes]) -> Exchange:
    """A call with this body, from a client of its own."""
    asked = Incoming("POST", b"/v1", b"", headers, content)
    return Exchange("c", 0.0, 0.0, CHATS, asked, address=str(next(NAMES)))


def test_a_body_whose_objects_would_fill_the_memory_is_not_read() -> None:
    """Ten million lists in 30 MB are the teacher's to read; a packed one that small fits."""
    room = BodyLimits(MEGABYTE)

    async def read(one: Exchange) -> bool:
        async with room.reading(one):
            return one.request is not None

    lists = b'{"messages":[' + b"[]," * 300_000 + b"[]]}"
    assert not asyncio.run(read(exchange(lists)))
    assert asyncio.run(read(exchange(gzip.compress(call()), (b"content-encoding", b"gzip"))))
    assert asyncio.run(read(exchange(call("x" * MEGABYTE))))


def test_what_is_read_at_a_time_has_its_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of the largest are read at once, a third stays unread; their room is free afterwards."""
    monkeypatch.setattr(body_limits, "WAIT_SECONDS", 0.01)
    large = call("x" * 300_000).decode().replace("hello", "").encode() + b"," * 70_000

    async def run() -> None:
        room = BodyLimits(MEGABYTE)
        one, two, three = (exchange(large) for _ in range(3))
        async with room.reading(one), room.reading(two), room.reading(three):
            assert three.unread == WAITED
        async with room.reading(three):
            assert three.unread == "no JSON"

    asyncio.run(run())


BODY = call()
CHUNKED = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
LENGTH = b"content-length: %d\r\n" % len(BODY)
CHUNKS = b"transfer-encoding: chunked\r\n"
SMUGGLED = b"0\r\n\r\nGET /v1/models HTTP/1.1\r\nhost: a\r\n\r\n"


@pytest.fixture(scope="module")
def passed() -> list[httpx.Request]:
    """What reached the teacher."""
    return []


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, passed: list[httpx.Request]) -> Iterator[str]:
    def teacher(request: httpx.Request) -> httpx.Response:
        passed.append(request)
        return httpx.Response(200, json={"choices": []})

    home = tmp_path_factory.mktemp("home")
    with served.running(served.gateway(home, None, upstream(teacher) + "/v1")) as url:
        yield url


@pytest.mark.parametrize(
    "rest",
    [
        LENGTH + CHUNKS + b"\r\n" + CHUNKED,
        CHUNKS + LENGTH + b"\r\n" + CHUNKED,
        b"content-length: 5\r\n" + CHUNKS + b"\r\n" + SMUGGLED,
        b"content-length: 5\r\n" + LENGTH + b"\r\n" + BODY,
        b"content-length: +62\r\n\r\n" + BODY,
        b"content-length: -1\r\n\r\n",
        b"transfer-encoding: xchunked\r\n\r\n" + CHUNKED,
        b"transfer-encoding: gzip, chunked\r\n\r\n" + CHUNKED,
        b"transfer-encoding : chunked\r\n\r\n" + CHUNKED,
        b"x: a\r\n transfer-encoding: chunked\r\n" + LENGTH + b"\r\n" + BODY,
        LENGTH + b"x: a\0b\r\n\r\n" + BODY,
    ],
)
def test_a_request_with_two_lengths_is_refused(
    gateway: str, passed: list[httpx.Request], rest: bytes
) -> None:
    """Whatever two servers could read as different requests reaches no teacher."""
    before = len(passed)
    with closing(connected(gateway)) as raw:
        raw.sendall(f"POST {CHAT} HTTP/1.1\r\nhost: a\r\n".encode() + rest)
        raw.shutdown(1)
        said = b"".join(iter(lambda: raw.recv(65536), b""))
    assert said[9:12] in (b"400", b"501")
    assert len(passed) == before


def strange() -> Iterator[bytes]:
    """Bodies that are no UTF-8, no JSON, or odd in what they are."""
    yield b'{"messages": [{"role": "user", "content": "\xff\xfe"}], "user": "\xc3"}'
    yield b'{"messages": [{"role": "user", "content": "\\ud800"}], "metadata": {"task": "\\udfff"}}'
    yield b"[" * 100_000
    yield b'{"messages": ' + b"[" * 5_000 + b"]" * 5_000 + b"}"
    yield b'{"messages": [' + b"9" * 100_000 + b"]}"
    yield b'{"messages": [{"role": "user", "content": NaN}], "temperature": 1e999}'
    yield b'{"messages": [null, 3, "x"], "tools": {"a": 1}, "model": {"x": []}, "metadata": [1]}'
    yield b'{"messages": [{"role": 7, "content": {"a": 1}}], "tools": [{"type": 9, "function": 3}]}'
    yield b"\xef\xbb\xbf{}"
    yield b""


@pytest.mark.parametrize("sent", strange())
def test_what_nobody_can_read_is_passed_on_as_it_came(
    gateway: str, passed: list[httpx.Request], sent: bytes
) -> None:
    """Never an error of ours: the teacher says what is wrong with it."""
    headers = {"x-client-id": b"\xff\xc3", "x-conversation-id": b"\xe4" * 50}
    with httpx.Client(trust_env=False, timeout=30) as client:
        answer = client.post(gateway + CHAT, content=sent, headers=headers)
    assert answer.status_code == 200
    assert passed[-1].content == sent


@pytest.mark.parametrize("role", [[], {}, None, 7, ["system"]])
def test_a_role_that_is_none_is_only_another_prompt(role: object) -> None:
    """Two of them are turns of no known kind: never an error that fills the log."""
    messages = [{"role": role, "content": "a"}, {"role": role, "content": "b"}]
    found = Template(turns=True).payload({"messages": messages})
    assert found is None or [one["role"] for one in found.rest] == [role, role]


def test_names_of_clients_reach_mlflow_without_line_breaks() -> None:
    """A task is called after words of its tools, and figures lose what MLflow does not take."""
    tool = {"type": "function", "function": {"name": "find\r\n\0order'; drop"}}
    request = {"messages": [{"role": "user", "content": "x"}], "tools": [tool]}
    reply = {"role": "assistant", "content": "y"}
    one = CleanCall(**{"id": "a", "at": 0.0, "source": "s", "request": request, "reply": reply})
    contract = Contract(kind="tools", schema={"properties": {}})
    assert name_of(Template(), [one], contract).replace(" ", "").isalnum()
    assert figures._FORBIDDEN.sub("", "slice/a\r\n'b") == "slice/ab"
    shown = card.model(made_task("a-1", description="two\0parts"))
    assert "\0" not in shown


def test_a_call_is_a_call() -> None:
    """`CleanCall` is the de-identified type: a raw call is none."""
    assert not issubclass(Call, CleanCall)
