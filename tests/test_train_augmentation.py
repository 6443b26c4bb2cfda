"""Rows with exchanged values say the same thing of another value, in prompt and answer."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from tasks.core.rows import Row
from tasks.train.augmentation import swapped


def row(prompt: str, answer: object) -> Row:
    text = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
    return Row("r", 0.0, "g", prompt, text, 1.0)


CITIES = ("Oslo", "São Paulo", "New York", 'the "Hague"', "York", "Bath\\Wells", "Rome", "Bern",
          "Kyiv", "Riga", "Bonn", "Lyon", "Turin", "Nice", "Graz")  # fmt: skip
NAMES = ("Ann", "Bo Li", "O'Hara", "Zoë", "Bo", "Ann York", "Cy", "Di", "Eve", "Flo", "Gil", "Hal",
         "Ida", "Jo", "Kim")  # fmt: skip
TRIPS = list(zip(CITIES, NAMES, strict=True))


@given(more=st.lists(st.tuples(st.sampled_from(CITIES), st.sampled_from(NAMES))),
       seed=st.integers(0, 9))  # fmt: skip
def test_prompt_and_answer_change_together(more: list[tuple[str, str]], seed: int) -> None:
    """A swapped row says the same thing of other values, and the same rows give the same swaps."""
    rows = [row(f"fly {b} to {a} at 9", {"to": a, "who": b, "n": 1}) for a, b in TRIPS + more]
    made = swapped(rows, 2, seed)
    assert made == swapped(rows, 2, seed)
    assert made
    for one in made:
        said = json.loads(one.answer)
        assert one.prompt == f"fly {said['who']} to {said['to']} at 9"
        assert said["n"] == 1
        assert said["to"] in CITIES
        assert said["who"] in NAMES
    assert swapped(rows, 0, seed) == []


def test_values_come_from_their_like() -> None:
    """Arguments of the same function, fields beside the same action, tasks of the same tag."""
    calls = [
        row(f"{verb} {key}{n}", {"tool_calls": [{"name": verb, "arguments": {"id": f"{key}{n}"}}]})
        for n in range(20)
        for verb, key in (("find", "F"), ("book", "B"))
    ]
    acts = [
        row(f"{what} {key}{n}", {"action": what, "value": f"{key}{n}"})
        for n in range(20)
        for what, key in (("refund", "R"), ("visit", "V"))
    ]
    tags = [
        row(f"[{task}] about {key}{n}", {"on": f"{key}{n}"})
        for n in range(20)
        for task, key in (("a-1", "A"), ("b-2", "B"))
    ]
    for rows in (calls, acts, tags):
        meant = {r.prompt: r.answer for r in rows}
        made = swapped(rows, 5, 0)
        assert len(made) > len(rows)
        assert all(meant[one.prompt] == one.answer for one in made)


def test_what_follows_from_a_value_follows_still() -> None:
    """A country that the prompt does not name goes with its city."""
    lands = {city: ("A", "B")[n % 2] for n, city in enumerate(CITIES)}
    rows = [row(f"to {city}", {"city": city, "land": land}) for city, land in lands.items()]
    for one in swapped(rows, 5, 0):
        said = json.loads(one.answer)
        assert lands[said["city"]] == said["land"]


def test_what_may_mean_anything_stays() -> None:
    """Bare texts, few values, objects in lists, values said twice and values not said."""
    many = [f"v{n}" for n in range(30)]
    assert swapped([row(f"red {one}", one) for one in many], 3, 0) == []
    assert swapped([row(f"to {one}", {"to": one}) for one in many[:9] * 3], 3, 0) == []
    slots = [row(f"city {one}", [{"name": "city", "value": one}]) for one in many]
    assert swapped(slots, 3, 0) == []
    assert swapped([row(f"{one} or {one}", {"to": one}) for one in many], 3, 0) == []
    assert swapped([row("there", {"to": one}) for one in many], 3, 0) == []


def test_a_value_is_not_swapped_into_another() -> None:
    """A new value that would make another one ambiguous is not taken."""
    trips = [(a, b) for a, b in zip(CITIES, reversed(CITIES), strict=True) if a != b]
    rows = [row(f"from {a} to {b}", {"by": a, "to": b}) for a, b in trips]
    for one in swapped(rows, 20, 1):
        said = json.loads(one.answer)
        assert one.prompt == f"from {said['by']} to {said['to']}"
        assert {said["by"], said["to"]} != {"York", "New York"}
