"""Every text of a call is reached, whatever it is packed in, and JSON stays JSON."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.records import Call
from tasks.deidentify.call_texts import pieces, rewrite
from tasks.deidentify.conversations import conversation_of
from tasks.deidentify.patterns import by_key
from tasks.deidentify.scanner import leaves, spans

SYSTEM = "You extract order details. Answer with JSON. Contact: help@shop.example"


def call(name, user, reply="ok", system=SYSTEM, **more):
    messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
    request = {"model": "m", "messages": messages} | more.pop("request", {})
    answer = reply if isinstance(reply, dict) else {"role": "assistant", "content": reply}
    return Call(id=name, at=0.0, source=f"x:{name}", request=request, reply=answer, **more)


def test_calls_of_one_dialogue_share_a_conversation_without_an_id():
    """The first user text names it."""
    first, later = call("1", "hello"), call("2", "hello")
    later.request["messages"] += [
        {"role": "assistant", "content": "hi"},
        {"role": "user", "content": "x"},
    ]
    assert conversation_of(first) == conversation_of(later) != conversation_of(call("3", "bye"))


def test_images_do_not_pass():
    """The bytes of an image are neither read nor kept."""
    part = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    from tasks.deidentify.call_texts import each_message

    message = {"role": "user", "content": [part, {"type": "text", "text": "look"}]}
    kept = each_message(message, lambda path, text: text.upper())
    assert kept["content"][0]["image_url"]["url"] == "data:,"
    assert kept["content"][1]["text"] == "LOOK"


@pytest.mark.parametrize(
    ("path", "value", "kind"),
    [
        ("user.first_name", "Mia", "PERSON"),
        ("dateOfBirth", "1990-05-03", "BIRTH_DATE"),
        ("customer.phone", "5551234567", "PHONE_NUMBER"),
        ("last_four", "1167", "CARD_LAST_FOUR"),
        ("last_four", "null", None),
        ("email", "unknown", None),
        ("order_id", "#W1", None),
        ("token", "hello", None),
    ],
)
def test_a_key_says_what_its_value_is(path, value, kind):
    """When the value fits."""
    assert by_key(path, value, {}) == kind


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(JSON, st.booleans(), st.text(max_size=10))
def test_json_stays_json_with_the_same_keys(document, ascii_only, around):
    """Only string values change; nothing else of the text does."""
    body = json.dumps(document, ensure_ascii=ascii_only)
    text = around.replace("{", "").replace("[", "") + body

    def shape(value):
        if isinstance(value, dict):
            return {k: shape(v) for k, v in value.items()}
        return (
            [shape(v) for v in value]
            if isinstance(value, list)
            else isinstance(value, str) or value
        )

    changed = rewrite(body, lambda path, leaf: leaf + "x" if path else leaf)
    assert shape(json.loads(changed)) == shape(document)
    assert rewrite(text, lambda path, leaf: leaf) == text


@given(st.text(max_size=300))
def test_every_character_of_a_string_belongs_to_one_piece(text):
    """Without gaps and overlaps."""
    assert "".join(text[p.start : p.end] for p in pieces(text)) == text


@given(st.text("ab .\n", max_size=6000))
def test_a_long_text_is_cut_without_losing_a_character(text):
    """Each character is scanned once."""
    assert "".join(text[a:b] for a, b in spans(text)) == text


def test_json_inside_json_is_reached():
    """A string that holds JSON is read as JSON."""
    inner = json.dumps({"email": "a@gmail.com"})
    assert [(p.path, p.text) for p in leaves(json.dumps({"body": inner}))] == [
        ("body.email", "a@gmail.com")
    ]
