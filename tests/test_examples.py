"""The sample agent asks what a support desk asks, and its teacher answers what it reads."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
import served
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import agent, desk, prompts, rules, teacher, texts, texts_forms
from examples.wording import Voice, misspellings
from serving.gateway import Gateway
from tasks.core.records import text_of

DAY = date(2026, 3, 2)
SAMPLE = Path(agent.__file__).with_name("calls.jsonl.gz")


def records(count: int = 500, day: date = DAY, seed: int = 0) -> list[Any]:
    return list(agent.records(count, day, seed))


def said(request: Any) -> str:
    """What was said in a request, beside the instructions."""
    return json.dumps(request["messages"][1:])


def test_a_day_has_nine_kinds_of_calls() -> None:
    """Every kind takes its share of the calls, tools and several turns among them."""
    made = [record["request"] for record in records(1_000)]
    share = {kind: n / 1_000 for kind, n in Counter(map(desk.kind_of, made)).items()}
    assert set(share) == set(desk.KINDS)
    assert min(share.values()) > 0.04
    assert 0.06 < share["complaint"] < 0.11
    assert sum(len(request["messages"]) > 3 for request in made) > 80


def test_no_prompt_comes_back_on_another_day() -> None:
    """Of three days' user texts at least 99 % are said once only, and none on two days."""
    days: defaultdict[str, set[int]] = defaultdict(set)
    total = 0
    for number in range(3):
        for record in records(400, DAY + timedelta(number), number):
            total += 1
            days[said(record["request"])].add(number)
    assert len(days) >= 0.99 * total
    assert sum(len(found) > 1 for found in days.values()) <= 1


def test_prompts_are_long_and_payloads_short() -> None:
    """Instructions have 200 to 1,200 characters; half of the kinds carry a header of their own."""
    for kind, (_, header) in desk.KINDS.items():
        if kind == "tools":
            continue
        made = served.requests(kind, 8)
        systems = {request["messages"][0]["content"] for request in made}
        assert len(systems) == (8 if header else 1)
        assert all(200 <= len(system) <= 1_200 for system in systems)
        payloads = [len(text_of(request["messages"][-1]["content"])) / 4 for request in made]
        assert max(payloads) < (180 if kind == "complaint" else 90)


def test_the_same_seed_makes_the_same_calls() -> None:
    """Calls are a function of day and seed; another seed makes others."""
    made = [said(record["request"]) for record in records(60)]
    assert made == [said(record["request"]) for record in records(60)]
    assert not set(made) & {said(record["request"]) for record in records(60, seed=1)}


@pytest.mark.parametrize(
    ("phrases", "read"),
    [
        (texts.ROUTE, rules.route),
        (texts.ANSWERS, rules.reply),
        (texts.TRIAGE, lambda text: json.loads(rules.triage(text))["category"]),
    ],
    ids=["route", "reply", "triage"],
)
def test_the_teacher_understands_the_customers(phrases: Any, read: Any) -> None:
    """Through typos, small talk and lower case, at least 98 % are read as they were meant."""
    right = 0
    for number in range(400):
        voice = Voice(f"customer {number}", DAY)
        meant = voice.rng.choice(list(phrases))
        right += read(voice.message(voice.say(phrases[meant]))) == meant
    assert right >= 0.98 * 400


def test_extracted_values_are_copied_from_the_message() -> None:
    """Names, items and addresses in the teacher's answers stand in the prompt word for word."""
    for kind in ("extract", "address"):
        for request in served.requests(kind, 60):
            message = str(request["messages"][-1]["content"])
            answer = json.loads(rules.answer(request, "k")["content"])
            values = [v for k, v in answer.items() if isinstance(v, str) and k != "state"]
            assert values
            assert all(value in message for value in values)


@given(
    first=st.text("abcdefghij", min_size=2, max_size=8),
    last=st.text("klmnopqr", min_size=2, max_size=9),
)
@settings(max_examples=40, deadline=None)
def test_the_teacher_depends_on_no_name(first: str, last: str) -> None:
    """Any name in a customer's message is found, so surrogates read as the real ones do."""
    name = f"{first.title()} {last.title()}"
    text = f"My name is {name}. Order SO-123456. I was charged twice for the rug. I want a refund."
    assert rules.summary(text) == (
        f"Customer {name} reports a double charge with order SO-123456; wants a refund."
    )


@pytest.mark.parametrize(
    ("case", "answer"),
    [
        ("I got the rug 61 days ago. It arrived broken", ("reject", "too_late")),
        (
            "I got the rug 60 days ago. It arrived broken. A sale item",
            ("refund", "damaged_in_time"),
        ),
        ("I got the rug 3 days ago. I never opened it. It was on sale", ("reject", "sale_item")),
        ("I got the rug 30 days ago. The box is still sealed", ("refund", "unopened_in_time")),
        ("I got the rug 2 weeks ago. I used it once", ("exchange", "opened_in_time")),
        ("I got the rug 15 days ago. I used it once", ("reject", "too_late")),
    ],
)
def test_the_return_policy_is_applied(case: str, answer: tuple[str, str]) -> None:
    """The teacher decides returns by the policy in the prompt, days included."""
    assert tuple(json.loads(rules.refund(case)).values()) == answer


def test_about_two_percent_of_the_answers_are_off() -> None:
    """The teacher is wrong or off the asked format now and then, for the same prompts each time."""
    made = records(1_500)
    off = 0
    for record in made:
        message = record["response"]["choices"][0]["message"]
        key = record["response"]["id"].removeprefix("chatcmpl-")
        off += message != rules.answer(record["request"], key)
    assert 0.01 < off / len(made) < 0.035
    assert teacher.complete(made[7]["request"])["choices"] == made[7]["response"]["choices"]


def test_a_follow_up_holds_what_was_said_before() -> None:
    """The second call of a tool conversation has the actual tool call and its result."""
    case = next(
        case
        for case in desk.cases(DAY, 0, 400)
        if case.kind == "tools" and rules.answer(next(case.open()), "k").get("tool_calls")
    )
    talk = case.open()
    called = rules.answer(next(talk), "k")
    *_, assistant, result = talk.send(called)["messages"]
    assert assistant == called
    assert result["role"] == "tool"
    assert result["tool_call_id"] == called["tool_calls"][0]["id"]
    assert prompts.TOOLS[0]["function"]["name"] == "track_order"


def test_letters_are_never_the_same() -> None:
    """Answers to complaints are long and different for every letter."""
    letters = [
        str(rules.answer(request, f"key {i}")["content"])
        for i, request in enumerate(served.requests("complaint", 40))
    ]
    assert len(set(letters)) == 40
    assert all(60 <= len(letter.split()) <= 200 for letter in letters)


@settings(deadline=None)
@given(word=st.sampled_from(["refund", "cancel", "address", "immediately"]))
def test_a_typo_is_one_slip(word: str) -> None:
    """A misspelling keeps the first and the last letter and is at most one letter longer."""
    for typo in misspellings(word):
        assert typo != word
        assert (typo[0], typo[-1]) == (word[0], word[-1])
        assert abs(len(typo) - len(word)) <= 1


def test_every_phrase_can_be_said() -> None:
    """No phrase has a slot that is never filled or brackets that do not close."""
    more = {"slot": "evening", "quantity": "3", "ago": "3 days ago"}
    tables = [texts.ROUTE, texts.TRIAGE, texts.PRIORITY, texts.SENTIMENT, texts.ANSWERS]
    tables += [texts_forms.DETAILS, texts_forms.TOOLS, texts_forms.ISSUES, texts_forms.WISHES]
    for phrase in (p for table in tables for group in table.values() for p in group):
        for number in range(6):
            assert not re.search(
                r"[(){}|]", Voice(str(number), DAY).say(phrase, {**more, "phone": "5"})
            )


def talk_to(built: Gateway, calls: int) -> list[agent.Outcome]:
    """The agent's traffic through a real OpenAI client into the gateway's application."""
    import openai

    outcomes: list[agent.Outcome] = []

    async def send() -> None:
        http = httpx2.AsyncClient(transport=httpx2.ASGITransport(served.app(built)))
        async with (
            built.teacher.client,
            openai.AsyncOpenAI(
                base_url="http://here/v1", api_key="x", http_client=http, max_retries=0
            ) as client,
        ):
            cases = agent.conversations(calls, DAY, 0)
            made = await agent.traffic(client, "m", cases, calls, 4, outcomes.append)
            assert made == len(outcomes)

    asyncio.run(send())
    return outcomes


def test_the_agent_talks_through_the_gateway(tmp_path: Path) -> None:
    """A day's traffic goes through OpenAI client, gateway and students, each call on record."""
    served.write_routes(tmp_path, served.route("route"))
    built = served.gateway(tmp_path, served.student("other"))
    outcomes = talk_to(built, 60)
    built.journal.close()
    kept = served.journal(tmp_path)
    assert len(kept) == len(outcomes) > 50
    assert not any(outcome.error for outcome in outcomes)
    by_students = [outcome for outcome in outcomes if outcome.served_by == "student"]
    assert {outcome.kind for outcome in by_students} == {"route"}
    assert {line["answered_by"] for line in kept} == {"teacher", served.route("route").adapter}
    assert all(line["client"] == "support-desk" and line["conversation"] for line in kept)
    assert all(datetime.fromtimestamp(line["at"], UTC).date() == DAY for line in kept)


def test_the_agent_goes_on_when_calls_fail(tmp_path: Path) -> None:
    """A conversation whose call fails ends there; the others are held."""

    def down(_: Any) -> Any:
        raise served.httpx.ConnectError("refused")

    outcomes = talk_to(served.gateway(tmp_path, None, down), 20)
    assert {outcome.error for outcome in outcomes} == {"InternalServerError"}


def test_the_teacher_streams_what_it_says() -> None:
    """Put together, a stream is the answer that the same request gets at once."""
    import openai

    request = {"model": "m", **served.requests("extract", 1)[0]}

    async def ask() -> tuple[str, Any]:
        http = httpx2.AsyncClient(transport=httpx2.ASGITransport(teacher.app(0.0)))
        async with openai.AsyncOpenAI(
            base_url="http://t/v1", api_key="x", http_client=http
        ) as client:
            events = await client.chat.completions.create(
                stream=True, stream_options={"include_usage": True}, **request
            )
            chunks = [chunk async for chunk in events]
            models = [model.id async for model in client.models.list()]
            assert models == [teacher.MODEL]
        text = "".join(c.delta.content or "" for chunk in chunks for c in chunk.choices)
        return text, chunks[-1].usage

    text, usage = asyncio.run(ask())
    whole = teacher.complete(request)
    assert text == whole["choices"][0]["message"]["content"]
    assert usage.total_tokens == whole["usage"]["total_tokens"]


def test_latency_grows_with_the_answer() -> None:
    """A letter takes longer than a label, and both about as long as they should."""
    times: defaultdict[str, list[float]] = defaultdict(list)
    for record in records(600):
        took = teacher.seconds(record["response"], 0.35)
        times[desk.kind_of(record["request"])].append(took)
    mean = {kind: sum(found) / len(found) for kind, found in times.items()}
    assert 0.15 < mean["route"] < 0.4
    assert mean["complaint"] > 3 * mean["route"]


def test_the_shipped_sample_is_what_the_command_writes(tmp_path: Path) -> None:
    """examples/calls.jsonl.gz is the log of three days, 2,000 calls, byte for byte."""
    assert agent.log(tmp_path / "log.gz", 2_000, 3, DAY, 0) == 2_000
    assert (tmp_path / "log.gz").read_bytes() == SAMPLE.read_bytes()
    assert SAMPLE.stat().st_size <= 400_000
    with gzip.open(SAMPLE) as file:
        record = json.loads(next(file))
    assert record.keys() == {"timestamp", "workload_id", "client_id", "request", "response"}
    assert record["workload_id"] is None


def test_the_teacher_changes_when_it_is_told_to() -> None:
    """From a moment on queues have other names and addresses another schema; nothing else moves."""
    for kind in desk.KINDS:
        found = (case for case in desk.cases(DAY, 0, 400) if case.kind == kind)
        request = next(next(found).open())
        before = teacher.complete(request)["choices"][0]["message"]
        after = teacher.complete(request, shifted=True)["choices"][0]["message"]
        assert (before != after) == (kind in ("route", "address")), kind
