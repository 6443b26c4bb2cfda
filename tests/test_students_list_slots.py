"""Lists of what stands in the prompt: found, tagged, and read off again."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.core.contract import Contract
from tasks.students.answer_templates import Forms, Reader, learn
from tasks.students.heads import Layout
from tasks.students.list_slots import REST, read_off, tags
from tasks.students.minilm import tokenizer
from tasks.students.slots import ABSENT

CONTRACT = Contract(kind="json", schema={"type": "object"})
PEOPLE = ("Ann", "Bob Mc Coy", "Carla O'Neil", "Dimitri", "Eve")
PLACES = ("Rome", "New York", "Oslo", "St. Ives", "Bath")
BEFORE = {"person": ("meet", "call up", "go with"), "place": ("in", "on to", "( near )")}
Said = list[tuple[str, str]]


def strings(said: Said) -> Any:
    return {kind: [t for k, t in said if k == kind] for kind in ("person", "place")}


def objects(said: Said) -> Any:
    return {"found": [{"type": kind, "text": text, "sure": True} for kind, text in said]}


def trip(rng: random.Random) -> tuple[str, Said]:
    """A sentence that names people and places, and what it names."""
    names = [("person", name) for name in PEOPLE] + [("place", name) for name in PLACES]
    said = rng.sample(names, rng.randint(0, 3))
    words = [word for kind, text in said for word in (rng.choice(BEFORE[kind]), text)]
    return " ".join([*words, "tomorrow"]), said


def trips(n: int, shape: Any, seed: int = 0) -> list[tuple[str, str]]:
    rng = random.Random(seed)
    return [(prompt, json.dumps(shape(said))) for prompt, said in (trip(rng) for _ in range(n))]


def known(rows: list[tuple[str, str]]) -> tuple[Forms, Reader]:
    found = learn([p for p, _ in rows], [a for _, a in rows], CONTRACT)
    assert not isinstance(found, str), found
    return found


@pytest.mark.parametrize("shape", [strings, objects])
def test_lists_of_any_length_are_one_form(shape: Any) -> None:
    """However many people and places there are; the kinds of objects are their closed values."""
    forms, reader = known(trips(80, shape))
    assert len(forms.forms) == 1
    assert {field.how for field in forms.fields} == {"listed"}
    assert Layout(forms).tags == 5
    prompt = "Zoe Zimmer and then Paris with Yan"
    answer = json.dumps(shape([("person", "Zoe Zimmer"), ("place", "Paris"), ("person", "Yan")]))
    form, values = reader.read(prompt, answer)
    assert json.loads(forms.write(form, values)) == json.loads(answer)
    nothing = json.loads(forms.write(form, dict.fromkeys(values, ABSENT)))
    assert nothing == {}


@settings(deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([strings, objects]))
def test_what_is_tagged_is_read_off(seed: int, shape: Any) -> None:
    """The tags of an answer make the same answer again."""
    import torch

    forms, reader = known(trips(60, shape))
    [(prompt, answer)] = trips(1, shape, seed)
    layout, read = Layout(forms), tokenizer().encode(prompt)
    form, values = reader.read(prompt, answer)
    lists = [(field, layout.listed[field.name]) for field in forms.fields]
    asked = [(field, number, values[field.name]) for field, number in lists]
    found = tags(prompt, read, asked)
    assert found is not None
    sure = torch.full((len(read.ids), layout.tags), -9.0)
    sure[[i for i, tag in enumerate(found) if tag != REST], [t for t in found if t != REST]] = -0.5
    made, logprob = read_off(prompt, read, sure, lists)
    assert json.loads(forms.write(form, made)) == json.loads(answer)
    assert logprob == -0.5 * sum(tag != REST for tag in found)


def test_a_text_said_twice_is_listed_once_or_twice() -> None:
    """As the teacher does it."""
    twice = [
        (f"call Ann{i} and Bo{i} or Ann{i}", [f"Ann{i}", f"Bo{i}", f"Ann{i}"]) for i in range(9)
    ]
    once = [(prompt, three[:2]) for prompt, three in twice]
    for rows in (twice, once):
        pairs = [(p, json.dumps({"names": told})) for p, told in [*rows, ("nobody", [])]]
        forms, _ = known(pairs)
        [field] = forms.fields
        read = tokenizer().encode(rows[0][0])
        found = tags(rows[0][0], read, [(field, 0, rows[0][1])])
        assert found is not None
        assert found.count(1) == 3
        assert field.once == (rows is once)


def mails(n: int, **more: Any) -> list[tuple[str, Any]]:
    rng = random.Random(4)
    told = [rng.sample(PEOPLE, rng.randint(0, 3)) for _ in range(n)]
    return [(f"mail {' and '.join(names)} now", {"to": names} | more) for names in told]


@pytest.mark.parametrize("odd", [{"to": None}, {"to": "Ann"}, {"to": True}, {"to": {}}, {}])
def test_no_list_is_another_form(odd: Any) -> None:
    """A null, a word or nothing in its place is written as it was said, and not as a list."""
    rows = mails(60) + [(f"mail Ann {i}", odd) for i in range(4)]
    pairs = [(prompt, json.dumps(answer)) for prompt, answer in rows]
    forms, reader = known(pairs)
    assert "listed" in {field.how for field in forms.fields}
    for prompt, answer in pairs:
        form, values = reader.read(prompt, answer)
        assert json.loads(forms.write(form, values)) == json.loads(answer)


def test_a_word_has_one_tag() -> None:
    """Of two lists that name the same, one is tagged; the other is left to forms or refused."""
    pairs = [(p, json.dumps(a | {"people": a["to"]})) for p, a in mails(80)]
    found = learn([p for p, _ in pairs], [a for _, a in pairs], CONTRACT)
    assert isinstance(found, str) or [f.how for f in found[0].fields].count("listed") == 1


@pytest.mark.parametrize(
    ("prompt", "names", "tagged"),
    [
        ("mail Jose\u0301 now", ["Jose\u0301"], True),
        ("mail Ann and Bob Mc Coy", ["Ann", "Bob Mc Coy"], True),
        ("Ann here, mail Eve and Ann", ["Eve", "Ann"], False),
        ("mail Ann", ["Ann", "Eve"], False),
        ("mail ", [], True),
    ],
)
def test_tags_make_the_list_or_there_are_none(prompt: str, names: list[str], tagged: bool) -> None:
    """Nothing is learned that would say something else."""
    forms, _ = known([(p, json.dumps(a)) for p, a in mails(60)])
    assert (
        tags(prompt, tokenizer().encode(prompt), [(forms.fields[0], 0, names)]) is not None
    ) == tagged


MENU = ("late", "broken", "angry", "refund", "loyal")  # no alphabet: the teacher's own order


def tickets(n: int) -> list[tuple[str, str]]:
    rng = random.Random(2)
    picked = [[tag for tag in MENU if rng.random() < 0.4] for _ in range(n)]
    return [(f"ticket {i}", json.dumps({"tags": tags, "n": 1})) for i, tags in enumerate(picked)]


@given(st.sets(st.sampled_from(MENU)))
def test_values_of_a_menu_are_each_there_or_not(picked: set[str]) -> None:
    """Any choice of them is one form, also one that was never seen, and none at all."""
    forms, reader = known(tickets(60))
    assert len(forms.forms) == 1
    wanted = {"tags": [tag for tag in MENU if tag in picked], "n": 1}
    form, values = reader.read("a new ticket", json.dumps(wanted))
    assert form == 0
    assert json.loads(forms.write(form, values)) == wanted
    told = {name: value for name, value in values.items() if value != []}
    assert json.loads(forms.write(form, told)).get("tags", []) == wanted["tags"]


@pytest.mark.parametrize("tags", [["angry", "late"], ["late", "late"], ["new"], ["late", 3]])
def test_what_is_off_the_menu_has_no_form(tags: list[Any]) -> None:
    """In another order, twice, or unknown: it is not learned as something else."""
    forms, reader = known(tickets(60))
    assert reader.read("a ticket", json.dumps({"tags": tags, "n": 1}))[0] == len(forms.forms)


@pytest.mark.parametrize("said", ["sorted", "unsaid"])
def test_other_lists_are_left_to_forms(said: str) -> None:
    """Those in another order, and those of what the prompt does not say."""
    rng, rows = random.Random(1), []
    for _ in range(60):
        names = rng.sample(PLACES, rng.choice((2, 3)))
        told = sorted(names) if said == "sorted" else [str(PLACES.index(name)) for name in names]
        rows.append((" , ".join(names), json.dumps({"places": told})))
    found = learn([p for p, _ in rows], [a for _, a in rows], CONTRACT)
    assert isinstance(found, str) or "listed" not in {field.how for field in found[0].fields}
