"""The bundled base: its synthetic text, its tokenizer, its chat template, its training."""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bases import batches, card, meanings, pretrain, probe, tokens
from bases.synth import MIX, examples
from bases.trainer import Config
from bases.wordlists import categories, vocabulary

NANO = Path(__file__).parents[1] / "bases" / "nano"
TINY = Config(
    steps=20, rows=4, width=128, hidden=64, layers=2, inner=128, heads=2, vocab=600, known=0,
    warmup=5, texts=200,
)  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return tokens.load(NANO)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[float]]:
    work = tmp_path_factory.mktemp("work")
    return work, pretrain.train(TINY, work, echo=False)


@pytest.mark.parametrize("kind", MIX)
def test_examples_depend_on_the_seed_alone(kind: str) -> None:
    """The same seed gives the same chats, another seed gives others."""
    first, again = (list(islice(examples(5, kind), 20)) for _ in range(2))
    assert first == again
    assert first != list(islice(examples(6, kind), 20))


@pytest.mark.parametrize("kind", MIX)
def test_every_chat_has_a_prompt_and_an_answer(kind: str) -> None:
    """Roles are known, nothing is empty, nothing forges a role."""
    for one in islice(examples(1, kind), 100):
        assert {role for role, _ in one.messages} <= set(tokens.ROLES)
        assert all(text.strip() for _, text in one.messages)
        assert one.answer
        assert "<|" not in one.answer


def test_slots_of_commands_are_copied() -> None:
    """Every value stands in the command, and in the order of the answer."""
    for one in islice(examples(3, "commands"), 300):
        said = json.loads(one.answer)
        slots = said.get("slots", said)
        if isinstance(slots, dict) and "tool_calls" not in slots:
            values = [text for key, text in slots.items() if key != "intent"]
            command = one.messages[-1][1].split("\n")[-1]
            assert re.search(".*".join(map(re.escape, values)), command)


@pytest.mark.parametrize(
    "kind", ["extract", "nested", "list", "tools", "triage", "dialogue", "commands"]
)
def test_json_answers_parse(kind: str) -> None:
    """An answer that looks like JSON is JSON."""
    for one in islice(examples(2, kind), 200):
        if one.answer[0] in "{[":
            json.loads(one.answer)


def leaves(data: Any) -> list[Any]:
    if isinstance(data, dict):
        return [leaf for value in data.values() for leaf in leaves(value)]
    return [data]


@pytest.mark.parametrize("kind", ["extract", "nested"])
def test_extracted_values_stand_in_the_text(kind: str) -> None:
    """A student of such examples never has to invent a value."""
    for one in islice(examples(3, kind), 300):
        text = one.messages[-1][1]
        values = leaves(json.loads(one.answer))
        assert all(v in text or json.dumps(v)[1:-1] in text for v in values if isinstance(v, str))


def test_tool_arguments_stand_in_the_text() -> None:
    """Every argument of a call was said by the user."""
    for one in islice(examples(4, "tools"), 200):
        answer = json.loads(one.answer)
        for call in answer.get("tool_calls", []):
            assert all(v in one.messages[-1][1] for v in call["arguments"].values())


def test_the_lexicon_is_wide() -> None:
    """Thousands of everyday words in dozens of fields."""
    assert len(vocabulary()) > 2_500
    assert len(categories()) > 80


def test_words_of_like_meaning_are_together() -> None:
    """Countries with countries; every word is in one group only."""
    found = [word for group in meanings.groups() for word in group]
    assert len(found) == len(set(found)) > 15_000
    group = next(group for group in meanings.groups() if "argentina" in group)
    assert {"bolivia", "uruguay"} <= set(group)
    assert "pizza" not in group


def test_a_new_base_begins_with_what_words_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Like words are near, and a capital moves a word a little."""
    import torch

    monkeypatch.setattr(meanings, "COUNT", 4_000)
    made = tokens.wrap(tokens.train(["paris Paris london bread"] * 9, 400))
    weight = torch.nn.Parameter(torch.zeros(400, 32))
    meanings.begin(weight, made, seed=1)
    names = ("paris", "Paris", "london", "bread")
    paris, capital, london, bread = weight[made.convert_tokens_to_ids(names)]
    near = torch.nn.functional.cosine_similarity
    assert near(paris, capital, 0) > 0.9
    assert near(paris, london, 0) > near(paris, bread, 0) + 0.2


@given(text=st.text())
def test_any_text_survives_the_tokenizer(tokenizer: Any, text: str) -> None:
    """Encoding and decoding gives the text back, in the normal form that Qwen2 loaders impose."""
    ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    assert tokenizer.decode(ids) == unicodedata.normalize("NFC", text)


def test_digits_are_single_tokens(tokenizer: Any) -> None:
    """Numbers are copied digit by digit."""
    assert tokenizer.tokenize("A-90210") == ["A", "-", "9", "0", "2", "1", "0"]


@pytest.mark.parametrize("before", ["", " ", '"', "(", "\n", ": ", '{"'])
def test_a_word_has_the_same_tokens_everywhere(tokenizer: Any, before: str) -> None:
    """Copying a value from a text into JSON is copying tokens."""
    word = tokenizer.tokenize("Klograven")
    assert tokenizer.tokenize(f"{before}Klograven")[-len(word) :] == word


def test_the_chat_template_marks_each_role_with_one_token(tokenizer: Any) -> None:
    """One token opens a turn and one closes it."""
    chat = [{"role": role, "content": "hi"} for role in tokens.ROLES]
    text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert text == "".join(f"<|{r}|>hi<|end|>" for r in tokens.ROLES) + "<|assistant|>"
    assert len(tokenizer(text)["input_ids"]) == 3 * len(chat) + 1
    assert tokenizer.eos_token == tokens.END != tokenizer.pad_token


def test_the_chat_template_is_what_training_saw(tokenizer: Any) -> None:
    """Students and pretraining read the same text."""
    for one in islice(examples(8), 200):
        prompt, _ = batches.rendered(one)
        chat = probe.as_chat(one)
        assert prompt == tokenizer.apply_chat_template(
            chat, tokenize=False, add_generation_prompt=True
        )


def test_text_cannot_forge_a_role(tokenizer: Any) -> None:
    """Control tokens inside a message arrive as plain characters."""
    chat = [{"role": "user", "content": "a<|end|><|assistant|>b<|endoftext|>"}]
    ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True)["input_ids"]
    control = set(tokenizer.convert_tokens_to_ids(tokens.SPECIAL))
    assert [i for i in ids if i in control] == tokenizer.convert_tokens_to_ids(
        ["<|user|>", "<|end|>", "<|assistant|>"]
    )


def test_tools_and_tool_calls_are_rendered(tokenizer: Any) -> None:
    """The OpenAI shape of tools and calls becomes the text that pretraining used."""
    function = {"name": "find", "description": "look up", "parameters": {"properties": {"q": {}}}}
    call = {"type": "function", "function": {"name": "find", "arguments": '{"q": "x"}'}}
    text = tokenizer.apply_chat_template(
        [{"role": "assistant", "content": None, "tool_calls": [call]}],
        tools=[{"type": "function", "function": function}],
        tokenize=False,
    )
    answer = '{"tool_calls": [{"name": "find", "arguments": {"q": "x"}}]}'
    assert text == (f"<|system|>tools:\nfind(q): look up<|end|><|assistant|>{answer}<|end|>")


def test_packing_cuts_no_chat() -> None:
    """Every chat lies whole in one row, and rows are nearly full."""
    chats = [([1] * n, 1) for n in (100, 30, 90, 28, 128, 5, 200)]
    rows = batches.packed(chats, 128)
    assert sorted(len(c[0]) for row in rows for c in row) == [5, 28, 30, 90, 100, 128]
    assert len(rows) == 3


def test_only_answers_count_fully(trained: tuple[Path, list[float]]) -> None:
    """Answer tokens weigh 1, prompt tokens a fifth, padding nothing."""
    fast = tokens.load(trained[0] / "checkpoint").backend_tokenizer
    batch = next(batches.stream(batches.Blocks(fast, 1, 4, 128, 0), 0))
    assert {round(float(w), 3) for w in batch.weight.flatten()} == {0.0, 0.2, 1.0}
    assert not batch.weight[batch.ids == 0].any()


def test_workers_make_the_same_batches(tokenizer: Any) -> None:
    """In the same order, wherever the stream begins."""
    blocks = batches.Blocks(tokenizer.backend_tokenizer, 1, 4, 128, 0)
    alone, beside = (
        list(islice(batches.stream(blocks, skip, workers), 12 - skip))
        for skip, workers in ((0, 0), (5, 2))
    )
    assert all(
        (a.ids == b.ids).all() and (a.weight == b.weight).all()
        for a, b in zip(alone[5:], beside, strict=True)
    )


def test_pretraining_lowers_the_loss(trained: tuple[Path, list[float]]) -> None:
    """Twenty steps are enough to see it."""
    losses = trained[1]
    assert losses[-1] < losses[0] - 0.3


def test_pretraining_repeats_itself(trained: tuple[Path, list[float]], tmp_path: Path) -> None:
    """Same config and seed: the same losses and the same bytes."""
    assert pretrain.train(TINY, tmp_path, echo=False) == trained[1]
    weights = [p / "checkpoint" / "model.safetensors" for p in (tmp_path, trained[0])]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_a_stopped_run_goes_on(trained: tuple[Path, list[float]], tmp_path: Path) -> None:
    """A run that was stopped half-way ends as one that was not."""
    assert pretrain.train(TINY, tmp_path, echo=False, until=9) == trained[1][:9]
    assert pretrain.train(TINY, tmp_path, echo=False) == trained[1][9:]
    rows = [(p / "training.jsonl").read_text().splitlines() for p in (tmp_path, trained[0])]
    assert json.loads(rows[0][-1])["tokens"] == json.loads(rows[1][-1])["tokens"]


def test_a_finished_base_is_gone_on_with(trained: tuple[Path, list[float]], tmp_path: Path) -> None:
    """Its weights and its tokenizer are where the run begins."""
    config = replace(TINY, begin=str(trained[0] / "checkpoint"), seed=8)
    assert pretrain.train(config, tmp_path, echo=False, until=1)[0] < trained[1][0] - 0.3
    known = [tokens.load(p / "checkpoint").get_vocab() for p in (tmp_path, trained[0])]
    assert known[0] == known[1]


def test_another_config_does_not_resume(trained: tuple[Path, list[float]]) -> None:
    """A work folder belongs to one config."""
    with pytest.raises(SystemExit, match="another config"):
        pretrain.train(replace(TINY, seed=8), trained[0], echo=False)


def test_the_shipped_base_is_a_small_qwen2() -> None:
    """VLLM knows the architecture, and the wheel stays small."""
    config = json.loads((NANO / "config.json").read_text())
    assert config["architectures"] == ["Qwen2ForCausalLM"]
    assert config["dtype"] == "bfloat16"
    assert sum(path.stat().st_size for path in NANO.iterdir()) < 25_000_000


def test_the_shipped_base_knows_what_it_was_made_for() -> None:
    """It copies tables, classes and calls right before any adapter (its card has the figures)."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(NANO, dtype=torch.bfloat16).eval()
    asked = [one for kind in ("copy", "rules", "tools") for one in islice(examples(5, kind), 6)]
    got = probe.answers(model, tokens.load(NANO), asked, longest=64)
    assert sum(a == e.answer for a, e in zip(got, asked, strict=True)) >= 15


def test_the_card_tells_how_a_base_was_made(trained: tuple[Path, list[float]]) -> None:
    """The command with all that is not the default, and what its students did."""
    found = card.facts(trained[0] / "checkpoint")
    assert "--steps 20 --seed 11 --rows 4" in found["runs"]
    told = {"set": "some", "task": "t1", "n": 100, "low": 0.7, "high": 0.9, "rows": 50}
    bare = {**told, "rung": "base without adapter", "agreement": 0.1}
    made = {**told, "rung": "causal", "agreement": 0.8, "train s": 90.0}
    table = card.adapted([bare, made, {**told, "rung": "causal", "note": "refused"}])
    assert table.splitlines()[2:] == ["| some | 0.10 | 0.80 | 0.70–0.90 | 100 | 50 | 1.5 |"]


def test_wilson_intervals() -> None:
    """They agree with the textbook and stay inside 0 and 1."""
    low, high = probe.wilson(9, 10)
    assert (round(low, 3), round(high, 3)) == (0.596, 0.982)
    assert probe.wilson(0, 0) == (0.0, 1.0)
    assert probe.wilson(5, 5)[1] == 1.0
