"""Who may call the gateway: keys of its own, and what each may use."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
import served
from typer.testing import CliRunner

from flows.cli.main import app as flywheel
from serving import client_keys
from serving.client_keys import FILE, ClientKeys, add, revoke
from serving.gateway import Gateway, app, serve
from tasks.core.stage import Refused

ROUTE = served.route("route")
CHAT = "/v1/chat/completions"
USAGE = {"prompt_tokens": 900, "completion_tokens": 100, "total_tokens": 1_000}


class Upstream:
    """A teacher that keeps the headers it was sent, and says what a call cost."""

    def __init__(self) -> None:
        self.headers: list[httpx.Headers] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """A chat completion."""
        self.headers.append(request.headers)
        message = {"role": "assistant", "content": "hello"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return httpx.Response(200, json={"model": "large", "choices": [choice], "usage": USAGE})


def gateway(home: Path, teacher: Any, **changes: Any) -> Gateway:
    """A gateway with the company's key, and students for one task."""
    served.write_routes(home, ROUTE)
    built = served.gateway(home, served.student("other"), teacher, **changes)
    object.__setattr__(built.teacher, "key", "sk-company")
    return built


def post(built: Gateway, count: int = 1, peer: str = "10.0.0.9", **headers: str) -> list[Any]:
    """Calls of the one task, one after the other: the responses."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    async def run() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app(built), client=(peer, 1))
        async with (
            built.teacher.client,
            httpx.AsyncClient(transport=transport, base_url="http://gateway") as client,
        ):
            body = {"model": "large", **served.requests("route", 1, seed=9)[0]}
            made = [await client.post(CHAT, json=body, headers=named) for _ in range(count)]
            return [*made, await client.get("/", headers=named)]

    return asyncio.run(run())


def statuses(responses: list[Any]) -> list[int]:
    return [response.status_code for response in responses]


def test_without_keys_everybody_on_this_machine_may_call(tmp_path: Path) -> None:
    assert statuses(post(gateway(tmp_path, Upstream()))) == [200, 200]


@pytest.mark.parametrize("place", ["authorization", "x_api_key", "api_key", "x_flywheel_key"])
def test_a_key_lets_in_and_goes_no_further(tmp_path: Path, place: str) -> None:
    """Where the client sends it does not matter; the teacher gets the company's key alone."""
    teacher = Upstream()
    secret = add(tmp_path, "team-a", 0.0, tasks=("other-*",))
    shown = f"Bearer {secret}" if place == "authorization" else secret
    called, state = post(gateway(tmp_path, teacher), **{place: shown}, openai_organization="theirs")
    assert (called.status_code, state.status_code) == (200, 200)
    assert not [v for v in teacher.headers[0].values() if secret in v]
    assert teacher.headers[0]["authorization"].endswith("sk-company") or place != "authorization"
    assert "openai-organization" not in teacher.headers[0]
    assert served.journal(tmp_path)[0]["key"] == "team-a"


def test_without_a_key_there_is_no_answer_and_no_state(tmp_path: Path) -> None:
    """Status 401 and one sentence, for calls, for `/` from elsewhere, and with a wrong key."""
    add(tmp_path, "team-a", 0.0)
    teacher = Upstream()
    for headers in ({}, {"authorization": "Bearer sk-other"}):
        called, state = post(gateway(tmp_path, teacher), **headers)
        assert (called.status_code, state.status_code) == (401, 401)
        assert "flywheel keys add" in called.json()["error"]["message"]
    assert teacher.headers == []
    assert statuses(post(gateway(tmp_path, teacher), peer="127.0.0.1")) == [401, 200]


def test_a_revoked_key_is_refused_with_the_next_call(tmp_path: Path) -> None:
    """The running gateway sees it; the last one revoked, or the file lost, opens nothing."""
    secret, built = add(tmp_path, "team-a", 0.0), gateway(tmp_path, Upstream())
    shown = {"x_flywheel_key": secret}
    assert statuses(post(built, **shown)) == [200, 200]
    revoke(tmp_path, "team-a", 1.0)
    assert post(built, **shown)[0].status_code == 401
    (tmp_path / FILE).unlink()
    assert post(built, **shown)[0].status_code == 401
    with pytest.raises(Refused, match="has no key that is in force"):
        revoke(tmp_path, "team-b", 1.0)


def test_keys_are_hashed_at_rest(tmp_path: Path) -> None:
    """Nobody reads a key out of the file, and only its owner reads the file."""
    secret = add(tmp_path, "team-a", 0.0)
    with pytest.raises(Refused, match="already has a key"):
        add(tmp_path, "team-a", 1.0)
    assert secret not in (tmp_path / FILE).read_text()
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("limits", "passes", "sentence"),
    [
        ({"requests": 3}, 3, "its 3 requests a minute: try again in"),
        ({"tokens": 1_500}, 2, "its 1500 tokens a minute: try again in"),
        ({"dollars": 0.005}, 2, "has used its $0.005 of today (UTC)"),
    ],
)
def test_who_has_used_its_share_is_told_so(
    tmp_path: Path, limits: dict[str, Any], passes: int, sentence: str
) -> None:
    """Status 429; another client goes on, and a gateway that starts anew knows what was spent."""
    secret, other = add(tmp_path, "team-a", 0.0, **limits), add(tmp_path, "team-b", 0.0)
    (tmp_path / "routes.json").unlink(missing_ok=True)
    built = gateway(tmp_path, Upstream(), model=None)
    (tmp_path / "routes.json").unlink()
    found = post(built, 5, x_flywheel_key=secret)
    assert statuses(found)[:5] == [200] * passes + [429] * (5 - passes)
    assert sentence in found[4].json()["error"]["message"]
    assert post(built, 1, x_flywheel_key=other)[0].status_code == 200
    if "dollars" in limits:
        again = ClientKeys(tmp_path)
        again.recall(tmp_path / "journal", served.journal(tmp_path)[0]["at"])
        assert again._dollars == built.clients._dollars


def test_students_answer_the_tasks_that_a_key_may_have(tmp_path: Path) -> None:
    """Others go to the teacher, with the reason."""
    keys = {name: add(tmp_path, name, 0.0, tasks=(name,)) for name in (ROUTE.task.id, "other-*")}
    teacher = Upstream()
    reasons = [
        post(gateway(tmp_path, teacher), x_flywheel_key=key)[0].headers["x-flywheel-reason"]
        for key in keys.values()
    ]
    assert reasons == ["served", "task not allowed"]


def test_beyond_loopback_a_gateway_without_keys_does_not_start(tmp_path: Path) -> None:
    """The sentence names both ways out."""
    with pytest.raises(Refused, match=r"flywheel keys add NAME.*GATEWAY_WALLED=1"):
        serve(gateway(tmp_path, Upstream()), "0.0.0.0", 0)


def test_keys_are_made_listed_and_revoked_from_the_command_line(tmp_path: Path) -> None:
    """The key is shown once; the list shows limits and states."""
    home, run = ["--home", str(tmp_path)], CliRunner().invoke
    made = run(flywheel, ["keys", "add", "team-a", "--requests", "60", "--task", "r-*", *home])
    assert made.exit_code == 0
    (key,) = client_keys.read(tmp_path)
    assert (key.name, key.requests, key.tasks) == ("team-a", 60, ("r-*",))
    assert run(flywheel, ["keys", "revoke", "team-a", *home]).exit_code == 0
    assert client_keys.read(tmp_path)[0].revoked
    assert run(flywheel, ["keys", "list", *home]).exit_code == 0
