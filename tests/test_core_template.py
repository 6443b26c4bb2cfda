"""Templates: exact, reversible, and None as soon as the prompt has changed."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.cluster.template_mining import mine, pattern_of
from tasks.core.contract import answer_of
from tasks.core.template import Head, Pattern, Slot, Template
from tests.traffic import LABELS, call, orders, tickets, truth, visible

TEXTS = st.text(max_size=30)
MESSAGES = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "tool", "system"])},
    optional={
        "content": st.none()
        | TEXTS
        | st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": TEXTS})),
        "tool_call_id": TEXTS,
        "tool_calls": st.just([{"id": "1", "function": {"name": "f", "arguments": "{}"}}]),
    },
)
HEADLINES = ("shares fall", "bank buys rival", "rates stay as they are")
ANY = Template(turns=True, tools=("",), formats=("",))
ROUTER = mine([c.request for c in tickets(80)], at=[c.at for c in tickets(80)])


def edits(text: str) -> list[str]:
    """The text with one word changed, for every word."""
    spans = [match.span() for match in re.finditer(r"[A-Za-z]+", text)]
    return [f"{text[:start]}changed{text[end:]}" for start, end in spans]


def request(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"messages": list(messages), **more}


@given(st.lists(MESSAGES, min_size=1, max_size=5))
def test_fill_gives_back_what_payload_took(messages: list[dict[str, Any]]) -> None:
    """Byte for byte and key for key: None contents, lists of parts, tool calls and results."""
    payload = ANY.payload({"messages": messages})
    if payload is not None:
        filled = ANY.fill(payload)
        assert msgspec.json.encode(filled) == msgspec.json.encode(messages)


@given(st.lists(TEXTS, min_size=2, max_size=5), st.data())
def test_a_pattern_is_reversible(constants: list[str], data: st.DataObject) -> None:
    """What a pattern is filled with matches it again and gives the same text, whatever it holds."""
    slots = tuple(Slot(name="s") for _ in constants[1:])
    pattern = Pattern(tuple(constants), slots)
    values = data.draw(st.tuples(*(TEXTS for _ in slots)))
    text = pattern.fill(values)
    found = pattern.match(text)
    assert found is not None
    assert pattern.fill(found) == text


@settings(max_examples=40)
@given(st.lists(st.text("ab :\n", min_size=1, max_size=12), min_size=8, max_size=20))
def test_mined_patterns_are_reversible_too(values: list[str]) -> None:
    """Every text that a mined pattern matches comes back from its values."""
    texts = [
        f"Rules of the desk:\nTier: {value}\nBe short and kind. {value[::-1]}" for value in values
    ]
    pattern = pattern_of(texts, user=False)
    matched = [(text, found) for text in texts if (found := pattern.match(text)) is not None]
    assert len(matched) >= 0.9 * len(texts)
    assert all(pattern.fill(found) == text for text, found in matched)


def test_one_changed_word_is_another_prompt() -> None:
    """No edit of the constant text, wherever it is, goes through; the untouched prompt does."""
    sample = next(tickets(1, seed=7))
    system = sample.messages[0]["content"]
    assert ROUTER.payload(sample.request) is not None
    constant = system.split("]")[1]
    for changed in edits(constant):
        message = {"role": "system", "content": system.replace(constant, changed)}
        assert ROUTER.payload(request(message, sample.messages[1])) is None


def test_words_put_in_or_taken_out_are_seen() -> None:
    """A word more, also right beside a slot, or a word less is another prompt."""
    sample = next(tickets(1, seed=7))
    system, user = sample.messages
    text = system["content"]
    for place in [match.start() for match in re.finditer(r"\b\w", text)][1:]:
        changed = {**system, "content": f"{text[:place]}really {text[place:]}"}
        assert ROUTER.payload(request(changed, user)) is None
    assert ROUTER.payload(request({**system, "content": text.replace("the ", "", 1)}, user)) is None


def test_the_header_is_a_slot_and_noise() -> None:
    """Request id and date change on every call and never matter: the student does not see them."""
    calls = list(tickets(120))
    template = mine(
        [c.request for c in calls], [answer_of(c.reply) for c in calls], [c.at for c in calls]
    )
    slots = template.heads[0].patterns[0].slots
    assert [slot.name for slot in slots] == ["request", "date"]
    assert all(slot.noise for slot in slots)
    payload = template.payload(calls[0].request)
    assert payload is not None
    assert template.prompt(payload) == calls[0].messages[1]["content"]


def test_the_day_is_a_slot_even_in_one_day_of_calls() -> None:
    """Tomorrow's date matches a template of today; a fixed date in the rules must not move."""
    rules = "Today is Monday 2 March 2026. Prices are of 1 January 2025. Answer yes or no only."
    calls = [call(n, rules, f"question number {n * 7}", "yes") for n in range(30)]
    template = mine([c.request for c in calls], at=[c.at for c in calls])
    user = {"role": "user", "content": "another"}
    later = {
        "role": "system",
        "content": rules.replace("Monday 2 March 2026", "Friday 6 March 2026"),
    }
    moved = {"role": "system", "content": rules.replace("1 January 2025", "1 January 2026")}
    assert template.payload(request(later, user)) is not None
    assert template.payload(request(moved, user)) is None


def test_a_slot_that_shows_in_the_answers_is_kept() -> None:
    """An agent's name that the replies sign with is part of the student's text."""
    names = ["Maria Lopez", "John Hamilton", "Ada Byron"]
    calls = [
        call(
            n,
            f"You write for agent {names[n % 3]}. Be brief.",
            f"hello {n}",
            f"Bye, {names[n % 3]}",
        )
        for n in range(60)
    ]
    template = mine([c.request for c in calls], [answer_of(c.reply) for c in calls])
    payload = template.payload(calls[0].request)
    assert payload is not None
    assert template.prompt(payload) == "agent: Maria Lopez\nhello 0"


def test_a_constant_frame_in_the_user_turn_is_template() -> None:
    """Only what stands inside a long constant user prompt is the payload."""
    frame = (
        "\nClassify the headline below into one of the classes.\n### START\n{}\n### END\nClass:\n"
    )
    texts = [frame.format(f"{HEADLINES[n % 3]} {n}") for n in range(40)]
    calls = [call(n, "You classify.", text, "a") for n, text in enumerate(texts)]
    template = mine([c.request for c in calls])
    payload = template.payload(calls[3].request)
    assert payload is not None
    assert template.prompt(payload) == f"{HEADLINES[0]} 3"
    broken = {"role": "user", "content": frame.format("x").replace("START", "BEGIN")}
    assert template.payload(request(calls[0].messages[0], broken)) is None


def test_free_user_text_is_never_a_constant() -> None:
    """That all questions so far ended in the same way does not bind the next one."""
    calls = [call(n, "Answer.", f"I want to know {n}, please?", "yes") for n in range(60)]
    template = mine([c.request for c in calls])
    other = {"role": "user", "content": "Tell me more"}
    assert template.payload(request(calls[0].messages[0], other)) is not None


def test_unknown_tools_and_formats_do_not_match() -> None:
    """Tools in another order are the same; another tool, choice or response format is not."""
    one, two, three = ({"type": "function", "function": {"name": n}} for n in "abc")
    messages = [{"role": "system", "content": "Use a tool."}, {"role": "user", "content": "go"}]
    template = mine([request(*messages, tools=[one, two])] * 20)
    assert template.payload(request(*messages, tools=[two, one])) is not None
    assert template.payload(request(*messages, tools=[one, two, three])) is None
    assert template.payload(request(*messages)) is None
    assert template.payload(request(*messages, tools=[one, two], tool_choice="none")) is None
    form = {"type": "json_object"}
    assert template.payload(request(*messages, tools=[one, two], response_format=form)) is None


def test_a_follow_up_to_a_one_turn_task_is_the_teachers() -> None:
    sample = next(tickets(1))
    more = [
        *sample.messages,
        {"role": "assistant", "content": "billing"},
        {"role": "user", "content": "?"},
    ]
    assert ROUTER.payload(request(*more)) is None


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "image_url", "image_url": {"url": "x"}}],
        [{"type": "image_url", "text": "x"}],
        7,
        [3],
    ],
)
def test_what_is_not_text_is_the_teachers(content: Any) -> None:
    assert ANY.payload(request({"role": "user", "content": content})) is None


@pytest.mark.parametrize(
    "more",
    [[{"role": "system", "content": "Answer in French."}, {"role": "user", "content": "so"}],
     [{"role": "assistant", "content": "The answer is"}]],
)  # fmt: skip
def test_new_rules_and_begun_replies_are_the_teachers(more: list[dict[str, Any]]) -> None:
    """A conversation may go on, but only with what its student has learned to read."""
    asked = {"role": "user", "content": "where is it"}
    assert ANY.payload(request(asked)) is not None
    assert ANY.payload(request(asked, *more)) is None


@pytest.mark.parametrize("body", [{}, {"messages": None}, {"messages": []}, {"messages": "hi"}])
def test_a_malformed_request_does_not_match(body: dict[str, Any]) -> None:
    assert ROUTER.payload(body) is None


def test_turns_are_written_out() -> None:
    """A conversation with tools reads turn by turn, tool calls as compact JSON."""
    function = {"name": "find", "arguments": '{"id": 1}'}
    messages = [
        {"role": "user", "content": "where is it"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "x", "function": function}]},
        {"role": "tool", "tool_call_id": "x", "content": "on its way"},
    ]
    payload = ANY.payload(request(*messages))
    assert payload is not None
    assert ANY.prompt(payload) == (
        "user: where is it\n"
        'assistant: {"tool_calls": [{"name": "find", "arguments": {"id": 1}}]}\n'
        "tool: on its way"
    )


def test_a_template_survives_json() -> None:
    assert msgspec.json.decode(msgspec.json.encode(ROUTER), type=Template) == ROUTER


def test_a_few_prompts_of_another_version_do_not_spoil_it() -> None:
    """Two prompts in a hundred that say something else are off the template, nothing more."""
    good = list(orders(98))
    odd = [call(n, "Do something else altogether with the text.", "x", "y") for n in range(2)]
    template = mine([c.request for c in [*odd, *good]])
    assert all(template.payload(c.request) is not None for c in good)
    assert all(template.payload(c.request) is None for c in odd)


def test_hostile_texts_take_linear_time() -> None:
    """Half-matches repeated a hundred thousand times are turned down in milliseconds."""
    start = time.perf_counter()
    for text in ("[request " * 50_000, "[request a | " * 50_000, " " * 400_000, "a " * 200_000):
        message = {"role": "system", "content": f"[request {text}] Answer with one word"}
        assert ROUTER.payload(request(message, {"role": "user", "content": "x"})) is None
    assert time.perf_counter() - start < 2


def test_real_prompts_of_the_second_week_match_the_first_weeks_templates() -> None:
    """≥ 99.9 % of three sources' later calls match, come back exactly, and no edit goes through."""
    calls, known = visible(), truth()
    middle = calls[0].at + 7 * 86_400
    for source in ("clinc150", "news_events", "tau_bench"):
        some = [c for c in calls if known[c.id]["source"].startswith(source)]
        early = [c for c in some if c.at < middle]
        template = mine(
            [c.request for c in early], [answer_of(c.reply) for c in early], [c.at for c in early]
        )
        later = [c for c in some if c.at >= middle]
        pairs = [(c, template.payload(c.request)) for c in later]
        assert sum(p is not None for _, p in pairs) >= 0.999 * len(later)
        assert all(template.fill(p) == c.messages for c, p in pairs if p is not None)
        assert _edited(template, later[0].request) == []


def _edited(template: Template, body: dict[str, Any]) -> Sequence[str]:
    """Edits of the longest constant of a prompt that go unnoticed."""
    patterns = [(0, p) for p in template.heads[0].patterns] + [(1, p) for p in template.first]
    place, longest = max(
        ((place, constant) for place, p in patterns for constant in p.constants),
        key=lambda x: len(x[1]),
    )
    text = body["messages"][place]["content"]
    unseen = []
    for changed in edits(longest)[::7]:
        messages = list(body["messages"])
        messages[place] = {**messages[place], "content": text.replace(longest, changed)}
        if changed != longest and template.payload({**body, "messages": messages}) is not None:
            unseen.append(changed)
    return unseen


def test_heads_of_other_shapes_do_not_match() -> None:
    """A system message in parts is not the one in a string, whatever it says."""
    template = Template(
        heads=(Head({"role": "system", "content": ""}, (Pattern(("Hi",), ()),)),),
        tools=("",),
        formats=("",),
    )
    user = {"role": "user", "content": LABELS[0]}
    assert template.payload(request({"role": "system", "content": "Hi"}, user)) is not None
    parts = [{"type": "text", "text": "Hi"}]
    assert template.payload(request({"role": "system", "content": parts}, user)) is None
