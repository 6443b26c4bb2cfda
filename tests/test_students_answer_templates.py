"""Answers come apart into forms and fields, and together again."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.contract import Contract, agree
from tasks.students.answer_templates import Forms, Reader, learn
from tasks.students.slots import ABSENT, Field, field_of, places

JSON = Contract(kind="json", schema={"type": "object"})
TEXT = Contract(kind="text")


WISHES = {"returns": "take back", "billing": "charged twice", "delivery": "where is it"}


def known(rows: list[tuple[str, str]], contract: Contract) -> tuple[Forms, Reader]:
    found = learn([p for p, _ in rows], [a for _, a in rows], contract)
    assert not isinstance(found, str), found
    return found


def orders(n: int = 60) -> list[tuple[str, str]]:
    """Messages with the order's number in any case, sometimes a note, and its queue."""
    rows = []
    for i in range(n):
        queue = ("returns", "billing", "delivery")[i % 3]
        order = f"SO-{1000 + 37 * i}"
        value: dict[str, Any] = {"order": order, "count": i + 20, "queue": queue}
        note = f" note: call bell{i}" if i % 4 == 0 else ""
        if note:
            value["note"] = f"bell{i}"
        wish = WISHES[queue]
        rows.append((f"{wish}: {i + 20} x {order.lower()}{note}", json.dumps(value)))
    return rows


def test_fields_are_copied_or_closed() -> None:
    """Each field is had in the cheapest way that fits: as it stands, in capitals, as a number."""
    forms, _ = known(orders(), JSON)
    found = {field.name: field.how for field in forms.fields}
    assert found == {"order": "upper", "count": "number", "queue": "closed", "note": "text"}
    assert len(forms.forms) == 1


@pytest.mark.parametrize(
    "told",
    [
        "Intents:\nloan_rate, lost_card, new_card, pay_bill, oos",
        "- loan_rate: what money costs, or will\n- lost_card: gone\n- new_card: one more\n"
        "- pay_bill: an invoice\n- oos: anything else",
        'One of "loan_rate", "lost_card", "new_card", "pay_bill" or "oos".',
        "1. **Loan_Rate**\n2. **Lost_Card**\n3. **New_Card**\n4. **Pay_Bill**\n5. **OOS**",
    ],
)
def test_labels_that_a_prompt_lists_are_few_before_they_come(told: str) -> None:
    """Two calls of each of three labels are enough, and those that did not come are known."""
    rows = [("my card is gone", "lost_card"), ("what is my rate", "loan_rate"), ("pay it", "oos")]
    said = [(prompt, json.dumps({"intent": label})) for prompt, label in rows for _ in range(2)]
    prompts, answers = [p for p, _ in said], [a for _, a in said]
    found = learn(prompts, answers, JSON, told)
    assert not isinstance(found, str)
    (field,) = found[0].fields
    assert set(field.values) == {"loan_rate", "lost_card", "new_card", "pay_bill", "oos"}
    assert len(found[0].forms) == 1


def test_words_of_a_prompt_are_no_list_of_labels() -> None:
    """Sentences that hold the answers' words by chance add nothing to them."""
    told = "You help with refunds and billing, day and night; say which of the two it is."
    assert field_of("queue", [("a", "refunds"), ("b", "billing")] * 9, told) == field_of(
        "queue", [("a", "refunds"), ("b", "billing")] * 9
    )


def test_answers_are_written_back() -> None:
    """What was read from a new answer writes the same answer."""
    rows = orders(90)
    forms, reader = known(rows[:60], JSON)
    for prompt, answer in rows[60:]:
        form, values = reader.read(prompt, answer)
        assert agree(forms.write(form, values), answer)


def test_a_field_may_be_missing() -> None:
    """An optional key is left out when nothing was found for it."""
    forms, reader = known(orders(), JSON)
    _, values = reader.read(*orders()[1])
    assert "note" not in json.loads(forms.write(0, values | {"note": ABSENT}))


def test_calls_of_different_functions_are_different_forms() -> None:
    """A function's name belongs to the form; its arguments are fields that functions share."""
    tools = Contract(kind="tools", schema={})
    rows = []
    for i in range(40):
        name = ("track", "cancel")[i % 2]
        call = {"name": name, "arguments": {"id": f"A{i}"}}
        rows.append((f"{name} A{i}", json.dumps({"tool_calls": [call]})))
    rows += [(f"thanks {i}", json.dumps({"content": "You are welcome."})) for i in range(10)]
    forms, reader = known(rows, tools)
    assert len(forms.forms) == 3
    assert {field.name for field in forms.fields} == {"tool_calls.0.arguments.id", "content"}
    form, values = reader.read("please track Z9", rows[0][1].replace("A0", "Z9"))
    assert json.loads(forms.write(form, values))["tool_calls"][0]["arguments"] == {"id": "Z9"}


def test_sentences_have_gaps_where_they_copy() -> None:
    """A repeated sentence is a form; the words that come from the prompt are its fields."""
    rows = [
        (f"i am Ann{i}, where is SO-{i}", f"Customer Ann{i} asks for order SO-{i}; call back.")
        for i in range(30)
    ]
    forms, reader = known(rows, TEXT)
    assert len(forms.forms) == 1
    assert len(forms.fields) == 2
    said = "Customer Bo asks for order X-1; call back."
    form, values = reader.read("Bo here: X-1", said)
    assert forms.write(form, values) == said
    with pytest.raises(ValueError, match="a slot without its value"):
        forms.write(form, {**values, next(iter(values)): ABSENT})


def notes(n: int) -> list[tuple[str, str]]:
    """Messages of customers and their summaries; a few prompts say `call`, which is no value."""
    issues = {
        "came broken": "a damaged item",
        "never came": "a late delivery",
        "lacks a screw": "a missing part",
    }
    wishes = {
        "send another": "a replacement",
        "my money back": "a refund",
        "please call me": "a call back",
    }
    rows = []
    for i in range(n):
        issue, wish = list(issues)[i % 3], list(wishes)[i // 3 % 3]
        prompt = f"Ann{i} Lee{i} here, SO-{100 + i} {issue}, {wish}"
        what = f"reports {issues[issue]} with order SO-{100 + i}; wants {wishes[wish]}."
        rows.append((prompt, f"Customer Ann{i} Lee{i} {what}"))
    return rows


def test_parts_that_differ_on_their_own_are_learned_on_their_own() -> None:
    """A summary of one of three issues and one of three wishes is one form, and not nine."""
    forms, reader = known(notes(120), TEXT)
    assert len(forms.forms) == 1
    found = {field.name: field for field in forms.fields}
    closed = [{value.strip() for value in f.values} for f in found.values() if f.how == "closed"]
    assert closed == [
        {"damaged item", "late delivery", "missing part"},
        {"replacement", "refund", "call back"},
    ]
    for prompt, text in notes(130)[120:]:
        form, values = reader.read(prompt, text)
        assert forms.write(form, values) == text


def test_parts_of_which_one_tells_the_other_are_one() -> None:
    """Where each issue has a wish of its own, there are three sentences and not nine."""
    pairs = [row for i, row in enumerate(notes(360)) if i % 3 == i // 3 % 3]
    forms, _ = known(pairs, TEXT)
    assert len(forms.forms) == 3


def test_a_wrong_answer_makes_no_name_a_word_of_the_sentence() -> None:
    """One in fifty answers is that of another message: names stay values."""
    rows = notes(150)
    rows = [(p, rows[i - 1][1] if i % 50 == 49 else a) for i, (p, a) in enumerate(rows)]
    forms, reader = known(rows, TEXT)
    assert len(forms.forms) == 1
    unread = [i for i, (p, a) in enumerate(rows) if reader.read(p, a)[0] == len(forms.forms)]
    assert unread == [49, 99, 149]


def test_an_answer_that_is_copied_whole_needs_its_value() -> None:
    """A bare text that stands in the prompt is a field; nothing copied is no answer."""
    forms, reader = known([(f"the code is SO-{i}77", f"SO-{i}77") for i in range(60)], TEXT)
    form, values = reader.read("my code: SO-1", "SO-1")
    assert forms.write(form, values) == "SO-1"
    with pytest.raises(ValueError, match="without its value"):
        forms.write(form, dict.fromkeys(values, ABSENT))


def test_queries_are_one_form_with_values_copied_or_usual() -> None:
    """Quoted values and numbers are slots: copied, or one of a few; equal ones are one field."""
    terms = {"autumn": "FA", "spring": "SP"}
    rows = [
        (
            f"which {kind}{i} courses are there in {term} ?",
            f'SELECT NAME WHERE AREA LIKE "%{kind}{i}%" OR NAME LIKE "%{kind}{i}%" AND '
            f'TERM = "{code}" LIMIT 1 ;',
        )
        for i in range(20)
        for kind in ("theory", "systems")
        for term, code in terms.items()
    ]
    forms, reader = known(rows, TEXT)
    assert len(forms.forms) == 1
    assert {f.name: (f.how, f.values) for f in forms.fields} == {
        "answer~LIKE": ("text", ()),
        "answer~TERM": ("closed", ("FA", "SP")),
        "answer~LIMIT": ("closed", ("1",)),
    }
    said = rows[0][1].replace("theory0", "logic")
    assert forms.write(*reader.read("logic courses in autumn", said)) == said
    other = said.replace('NAME LIKE "%logic', 'NAME LIKE "%art')
    assert reader.read("logic or art courses", other)[0] == len(forms.forms)


def test_letters_have_no_form() -> None:
    """Where every answer is another text there is nothing to fill in, and a sentence says so."""
    rows = [(f"complaint {i}", f"{'so sorry ' * (i % 7)}dear {i} regret{i * i}") for i in range(50)]
    found = learn([p for p, _ in rows], [a for _, a in rows], TEXT)
    assert isinstance(found, str)
    assert "form in common" in found


def test_an_answer_of_another_form_is_named_so() -> None:
    """A form that was never seen is the one past the last."""
    forms, reader = known(orders(), JSON)
    assert reader.read("x", json.dumps({"order": ["a", "b"]}))[0] == len(forms.forms)
    assert reader.read("x", "not JSON")[0] == len(forms.forms)


@pytest.mark.parametrize(
    ("prompt", "value", "how", "found"),
    [
        ("12 and 2", "2", "text", [(7, 8)]),
        ("so-1 SO-1", "SO-1", "upper", [(0, 4), (5, 9)]),
        ("so-1 SO-1", "SO-1", "text", [(5, 9)]),
        ("7 of them", 7, "number", [(0, 1)]),
        ("it is true", True, "text", []),
        ("a  b", " ", "text", []),
    ],
)
def test_values_are_found_as_whole_words(
    prompt: str, value: Any, how: Any, found: list[tuple[int, int]]
) -> None:
    """Part of a longer word or number is no copy."""
    assert places(prompt, value, how) == found


leaves = st.none() | st.booleans() | st.integers(0, 99) | st.text("ab c", max_size=6)
objects = st.dictionaries(
    st.sampled_from("wxyz"), leaves | st.lists(leaves, max_size=2), min_size=1, max_size=3
)


@given(st.lists(objects, min_size=1, max_size=3))
def test_reading_and_writing_agree(values: list[Any]) -> None:
    """Whatever JSON recurs: what is read with a form is written back the same."""
    rows = [(f"said {json.dumps(v)}", json.dumps(v)) for v in values for _ in range(4)]
    found = learn([p for p, _ in rows], [a for _, a in rows], JSON)
    if isinstance(found, str):
        return
    forms, reader = found
    for prompt, answer in rows:
        form, read = reader.read(prompt, answer)
        if form < len(forms.forms):
            assert agree(forms.write(form, read), answer)


@given(st.text(), st.sampled_from(["text", "upper", "lower", "title", "number"]))
def test_copies_are_values_or_refused(text: str, how: Any) -> None:
    """Whatever stands there is copied, or refused with a ValueError."""
    field = Field(name="x", how=how)
    try:
        value = field.copy(text)
    except ValueError:
        assert how == "number"
    else:
        assert how == "number" or isinstance(value, str)


def test_half_a_character_is_no_form() -> None:
    """An answer that cannot be written to a file is left to students that write."""
    answers = ['{"mood": "\\ud83d"}'] * 9 + ['{"mood": "calm"}'] * 11
    found = learn(["how is it"] * 20, answers, Contract(kind="json"))
    assert not isinstance(found, str), found
    msgspec.json.encode(found[0])


def test_a_word_for_nothing_is_no_closed_field() -> None:
    """Where most answers say "N/A" or "", the others are copied still."""
    for nothing in ("N/A", ""):
        rows = [(f"to C{n}" if n % 9 == 0 else "home", {"city": f"C{n}" if n % 9 == 0 else nothing})
                for n in range(400)]  # fmt: skip
        forms, reader = known([(prompt, json.dumps(answer)) for prompt, answer in rows], JSON)
        (field,) = forms.fields
        assert (field.how, field.values) == ("text", (nothing,))
        form, values = reader.read("to Rome", '{"city": "Rome"}')
        assert json.loads(forms.write(form, values)) == {"city": "Rome"}


def test_numbers_in_words_are_one_of_the_values_that_are_not_copied() -> None:
    """`twenty` means 20 where most write digits; a value that came otherwise once is a slip."""
    pairs = [(f"send {20 + i % 40} of them", 20 + i % 40) for i in range(170)]
    pairs += [("send twenty of them", 20), ("send thirty of them", 30), ("send some", None)] * 10
    found = field_of("count", [*pairs, ("send a few of them", 777)])
    assert found == Field(name="count", how="number", values=(None, 20, 30), empty="null")


def test_the_way_that_fits_most_is_taken() -> None:
    """Values in lower case, some of which are typed so, are brought to lower case."""
    rows = [(f"in {'Rome' if n % 10 == 0 else 'rome'}{n}", json.dumps({"to": f"rome{n}"}))
            for n in range(100)]  # fmt: skip
    forms, _ = known(rows, JSON)
    assert [field.how for field in forms.fields] == ["lower"]


def test_titles_get_the_capitals_that_were_not_typed() -> None:
    """What the teacher writes as a title is copied from lower case; other capitals stay."""
    places = ("new york", "Bank of Ruritania", "stratford-upon-avon", "McDonald's", "isle of man")
    titles = ("New York", "Bank of Ruritania", "Stratford-Upon-Avon", "McDonald's", "Isle of Man")
    rows = [(f"to {place} {n}", json.dumps({"to": f"{title} {n}"}))
            for n in range(20) for place, title in zip(places, titles, strict=True)]  # fmt: skip
    forms, reader = known(rows, JSON)
    assert [field.how for field in forms.fields] == ["title"]
    form, values = reader.read("to the gulf of mexico", '{"to": "Gulf of Mexico"}')
    assert json.loads(forms.write(form, values)) == {"to": "Gulf of Mexico"}


@pytest.mark.parametrize(
    ("prompt", "value", "found"),
    [
        ("我想去东京玩", "东京", [(3, 5)]),
        ("서울에서 만나", "서울", [(0, 2)]),
        ("ไปกรุงเทพครับ", "กรุงเทพ", [(2, 9)]),
        ("the Romeo", "Rome", []),
        ("飞Rome", "Rome", []),
    ],
)
def test_words_need_no_spaces_where_their_script_has_none(
    prompt: str, value: str, found: list[tuple[int, int]]
) -> None:
    """Chinese, Korean and Thai words stand beside others; Latin ones do not."""
    assert places(prompt, value, "text") == found


def test_labels_that_mostly_came_once_are_closed_all_the_same() -> None:
    """Of forty labels in eighty answers a fifth came once: one form, and each label is a choice."""
    labels = [f"label_{n % 40 if n < 64 else 40 + n}" for n in range(80)]
    answers = [json.dumps({"intent": label}) for label in labels]
    found = learn([f"say {n}" for n in range(80)], answers, Contract(kind="json", schema={}))
    assert not isinstance(found, str)
    forms, _ = found
    assert len(forms.forms) == 1
    (field,) = forms.fields
    assert (field.how, set(field.values)) == ("closed", set(labels))
