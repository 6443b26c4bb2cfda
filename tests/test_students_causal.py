"""A student answers in its contract's form and says honestly how sure it was."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import tiny

from tasks.core.contract import Contract, violation
from tasks.core.stage import Refused
from tasks.students.causal import (
    Student,
    base_digest,
    base_path,
    base_tokenizer,
    choice_grammar,
    grammar,
    json_grammar,
    regex_grammar,
)
from tasks.students.decoding import Ask

PROMPTS = ["what colour is the apple", "the sea", "grass " * 12, "item 12: what colour"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def student(base: Path) -> Student:
    return Student.load(base, None)


def test_an_answer_does_not_depend_on_its_batch(student: Student) -> None:
    """Prompts answered together get the answers and log-probabilities that each gets alone."""
    together = student.answer(PROMPTS, None, max_tokens=12)
    for prompt, answer in zip(PROMPTS, together, strict=True):
        alone = student.answer([prompt], None, max_tokens=12)[0]
        assert answer.tokens == alone.tokens
        assert answer.logprobs == pytest.approx(alone.logprobs, abs=1e-4)


def test_logprobs_are_the_models_own(student: Student) -> None:
    """Every token, forced or chosen, has the log-softmax that one plain forward pass gives it."""
    import torch

    answer = student.answer(PROMPTS[:1], tiny.colour_contract())[0]
    prompt = student.prompts(PROMPTS[:1])[0]
    ids = torch.tensor([prompt + list(answer.tokens)])
    with torch.inference_mode():
        scores = student.model(input_ids=ids).logits[0].float().log_softmax(-1)
    steps = range(len(prompt) - 1, ids.shape[1] - 1)
    expected = [float(scores[i, ids[0, i + 1]]) for i in steps]
    assert answer.logprobs == pytest.approx(expected, abs=1e-4)


def test_decoding_is_greedy_as_in_transformers(student: Student) -> None:
    """Without a contract the tokens are those of `generate`."""
    import torch

    prompt = student.prompts(PROMPTS[1:2])[0]
    ids = torch.tensor([prompt])
    expected = student.model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=10, do_sample=False
    )[0, len(prompt) :]
    assert list(student.answer(PROMPTS[1:2], None, max_tokens=10)[0].tokens) == expected.tolist()


def test_a_guided_answer_is_on_its_contract(student: Student) -> None:
    """An untrained model answers in form as `json.dumps` writes, and ends by itself."""
    contract = tiny.colour_contract()
    for answer in student.answer(PROMPTS, contract):
        assert violation(answer.text, contract) is None
        assert answer.text == json.dumps(json.loads(answer.text), ensure_ascii=False)
        assert answer.finish_reason == "stop"
        assert answer.tokens[-1] == student.eos
        assert len(answer.logprobs) == len(answer.tokens)


def test_labels_are_given_whole(student: Student) -> None:
    """A label may hold quotes, accents and another label."""
    contract = Contract(kind="labels", labels=("yes", 'yes "sir"', "später", "no"))
    answers = student.answer(PROMPTS, contract)
    assert {answer.text for answer in answers} <= set(contract.labels)


def test_rows_of_one_batch_may_have_different_forms(student: Student) -> None:
    """Each row is held to its own grammar and its own length."""
    ids = student.prompts(PROMPTS[:1])[0]
    number, choice, free = student.decode(
        [
            Ask(ids, regex_grammar("[0-9]{3}")),
            Ask(ids, choice_grammar(["red", "blue"])),
            Ask(ids, None, 5),
        ]
    )
    assert number.text.isdigit()
    assert len(number.text) == 3
    assert choice.text in ("red", "blue")
    assert len(free.tokens) <= 5


@pytest.mark.parametrize("limit", [1, 2, 3, 5])
def test_a_length_limit_is_kept(student: Student, limit: int) -> None:
    """An answer that is cut off says so, forced tokens included."""
    answer = student.answer(PROMPTS[:1], tiny.colour_contract(), max_tokens=limit)[0]
    assert answer.finish_reason == "length"
    assert len(answer.tokens) == len(answer.logprobs) == limit


def test_a_prompt_that_leaves_no_room_gets_an_empty_answer(student: Student) -> None:
    """A prompt longer than the model reads is not cut in silence."""
    answers = student.answer(["sea " * 400, "sea"], tiny.colour_contract())
    assert (answers[0].text, answers[0].logprobs) == ("", ())
    assert answers[0].finish_reason == "length"
    assert answers[1].finish_reason == "stop"


def test_likeliest_tokens_are_given_beside(student: Student) -> None:
    """With `top`, every position lists the most probable tokens, most confident first."""
    ids = student.prompts(PROMPTS[:1])[0]
    answer = student.decode([Ask(ids, None, 4)], top=3)[0]
    for token, logprob, tops in zip(answer.tokens, answer.logprobs, answer.tops, strict=True):
        assert tops[0] == (token, pytest.approx(logprob, abs=1e-6))
        assert [value for _, value in tops] == sorted((v for _, v in tops), reverse=True)


def test_a_grammar_that_makes_no_sense_is_named(student: Student) -> None:
    """A broken grammar is a complaint before decoding and a ValueError in it."""
    broken = regex_grammar("(")
    assert student.complaint(broken)
    assert student.complaint(json_grammar({"type": "object"})) is None
    with pytest.raises(ValueError, match="grammar"):
        student.decode([Ask([5], broken)])


def test_text_has_no_grammar() -> None:
    """Only closed and structured answers are guided."""
    assert grammar(None) is None
    assert grammar(Contract(kind="text")) is None
    assert grammar(Contract(kind="labels", labels=("a", "b"))) is not None


def test_a_base_is_named_by_its_bytes(base: Path, tmp_path: Path) -> None:
    """Two bases differ in name when their weights differ, and a missing one is refused."""
    other = tiny.base(tmp_path / "other", seed=1)
    assert base_digest(base) == base_digest(base)
    assert base_digest(base) != base_digest(other)
    with pytest.raises(Refused, match="no base model"):
        base_path(str(tmp_path / "nothing"))


@pytest.mark.parametrize("lack", ["chat_template", "eos_token"])
def test_a_base_that_was_not_made_for_chats_is_refused(lack: str, tmp_path: Path) -> None:
    """One sentence says what it lacks and which version to take."""
    base = tiny.base(tmp_path / "base")
    (base / "chat_template.jinja").unlink(missing_ok=True)
    settings = json.loads((base / "tokenizer_config.json").read_text())
    settings |= {"chat_template": tiny.CHAT, lack: None}
    (base / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(Refused, match=r"lacks an? .* take its chat"):
        base_tokenizer(base)


def test_confidence_is_a_probability(student: Student) -> None:
    """The sum of an answer's log-probabilities is at most nothing."""
    assert all(math.fsum(a.logprobs) <= 0 for a in student.answer(PROMPTS, tiny.colour_contract()))
