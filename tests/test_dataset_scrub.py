"""No row holds what de-identification replaced; one row is cleaned, no task is lost for a word."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import escape
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.contract import Contract
from tasks.core.rows import Candidate, Row, write_rows
from tasks.dataset.scrub import Scrubbed, Scrubber
from tasks.deidentify.leak_check import Originals, leaks

KEY = b"0123456789abcdef"
TEXT = Contract(kind="text")
HERE = "conversation 0"


def originals(*values: str) -> Originals:
    """Values that were replaced, all in one conversation."""
    known = Originals(KEY)
    for value in values:
        known.add("PASSWORD", value, HERE)
    return known


def candidates(texts: list[str], answer: str = "{}") -> list[Candidate]:
    """A row for each text, each of a conversation of its own."""
    return [
        Candidate(Row(f"r{i}", i, "", text, answer.format(text), 1.0, opening=f"conversation {i}"))
        for i, text in enumerate(texts)
    ]


def scrubbed(known: Originals, found: list[Candidate], contract: Contract = TEXT) -> Scrubbed:
    return Scrubber(known, found).scrub(found, contract)


def test_a_missed_original_becomes_a_surrogate_in_its_row() -> None:
    """The same one in prompt and answer; other rows are left alone, and the task is kept."""
    value = "mia.li42@gmail.com"
    found = candidates([f"order {i} please" for i in range(100)] + [f"ask {value.upper()} first"])
    done = scrubbed(originals(value), found)
    assert done.found[:100] == found[:100]
    changed = done.found[100].row
    assert changed.prompt == changed.answer != found[100].row.prompt
    assert changed.prompt.startswith("ask ")
    assert (done.cleaned, done.values, done.failed, done.aside) == (1, 1, None, [])


def test_a_word_that_the_log_uses_is_no_original() -> None:
    """Taken for a password once, it is personal in that conversation and a word in all others."""
    texts = [f"{word} to move it, changed {word}s" for word in ("sun", "sea", "oak", "ice", "map")]
    found = candidates(["my password is changed", *texts])
    done = scrubbed(originals("changed"), found)
    assert done.found[1:] == found[1:]
    assert "changed" not in done.found[0].row.prompt


def test_jargon_is_ordinary_where_it_stands_in_many_sentences() -> None:
    """A word of no dictionary has to be used a lot; behind one label it is somebody's name."""
    words = [f"{chr(97 + i % 9)}w restart kubectlify on node {i}" for i in range(40)]
    spoken = [f"{chr(97 + i % 9)}w kubectlify node {i}" for i in range(40)]
    named = [f"user: kubectlify asks about node {i}" for i in range(40)]
    for texts, kept in ((spoken, True), (named, False), (words, False)):
        found = candidates(["-", *texts])
        assert (scrubbed(originals("kubectlify"), found).found == found) == kept


def test_a_row_that_cannot_be_cleaned_is_set_aside() -> None:
    """A label that is an original cannot become another text."""
    contract = Contract(kind="labels", labels=("jsmith4711", "other"))
    found = candidates(["who is it", "what is it"], answer="other")
    bad = Row("bad", 3.0, "", "who", "jsmith4711", 1.0, opening="x")
    done = scrubbed(originals("jsmith4711"), [*found, Candidate(bad)], contract)
    assert done.found == found
    assert [candidate.row for candidate in done.aside] == [bad]


def test_a_task_is_refused_by_the_rate_of_different_misses() -> None:
    """Many people's numbers say that de-identification failed; one hotline everywhere does not."""
    numbers = [f"+1 415 555 {i:04}" for i in range(20)]
    known = originals(*numbers)
    many = scrubbed(known, candidates([f"call {n}" for n in numbers] + ["hello"] * 180))
    assert many.failed == (
        "de-identification failed: 20 values that it replaced elsewhere stood in 200 rows (10.0%)"
    )
    one = scrubbed(known, candidates([f"call {numbers[0]}"] * 150 + ["hello"] * 50))
    assert one.failed is None
    assert one.cleaned == 150


VALUES = st.from_regex(
    r"[a-z]{3,9}\.[a-z]{3,9}[0-9]{0,3}@[a-z]{3,8}\.(com|org)|[a-z]{4,9}_[0-9]{4}"
    r"|\+[1-9][0-9]{2} [0-9]{3} [0-9]{4}|[A-Z]{2}[0-9]{2}( [0-9]{4}){4}|sk-[a-zA-Z0-9]{20}"
    r"|[0-9]{3}-[0-9]{2}-[0-9]{4}|[a-z]{5}![0-9]{3}",
    fullmatch=True,
)


@given(VALUES, st.sampled_from(["it is {} now", "({}).", "key={}", '{{"a": "{}"}}', "x\n{}\ny"]))
def test_an_original_is_found_wherever_it_stands(value: str, around: str) -> None:
    """In another case, without its separators, in brackets, in JSON: exactly there."""
    known = originals(value)
    forms = [value, value.upper(), value.replace(" ", ""), value.replace(" ", "-")]
    for text in (around.format(form) for form in forms):
        assert known.within(text) == 1, text
    assert known.within(around.format("a harmless order W2378156")) == 0


def _writings(value: str) -> Iterator[tuple[str, str]]:
    yield "log.jsonl", json.dumps({"said": f"hello\n{value}\tbye"})
    yield "access.log", f"GET /search?q={quote(value, safe='')}&x=1 200"
    yield "page.html", f"<td>{escape(value).replace('@', '&#64;')}</td>"
    yield "forms.json", json.dumps({"values": [value, "other"]})


@pytest.mark.parametrize("value", ["mia.li@gmail.com", "+1 (415) 555-0101", "hunter2!xyz"])
def test_originals_are_found_in_every_kind_of_file(tmp_path: Path, value: str) -> None:
    """Rows, answers, what an adapter is written with, logs with escapes: each is named."""
    for name, text in _writings(value):
        (tmp_path / name).write_text(f"nothing here\n{text}\n")
    write_rows(tmp_path / "train.parquet", [Row("a", 0.0, "", f"ask {value}", "ok", 1.0)])
    found = leaks([tmp_path], originals(value))
    assert {leak.path.name: leak.count for leak in found} == dict.fromkeys(
        ["access.log", "forms.json", "log.jsonl", "page.html", "train.parquet"], 1
    )
