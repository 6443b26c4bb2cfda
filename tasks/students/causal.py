"""A student: a small causal base model with one task's LoRA adapter, and how it answers.

Greedy, batched decoding with a key-value cache; guided through llguidance for who asks for it.
The log-probabilities are raw: the softmax before the grammar's mask, the end-of-answer token
included, as vLLM's default gives them. Text that the grammar forces is fed in one step.

    Student.load(base_path("bundled"), Path("adapter")).answer(["where is my order"])
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from tasks.core.contract import Contract
from tasks.core.records import Json, digest
from tasks.core.stage import Refused
from tasks.students.decoding import Answer as Answer
from tasks.students.decoding import Ask, Generation, write

BUNDLED = Path(__file__).parents[2] / "bases" / "nano"
# Guided answers have the separators of `json.dumps`, as the training targets have.
JSON_STYLE = {
    "whitespace_flexible": False,
    "item_separator": ", ",
    "key_separator": ": ",
    "lenient": True,  # keywords that the guide cannot enforce are checked after the answer
}
ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
_BASE_FILES = (
    *("*.safetensors", "*.bin", "config.json"),
    *("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json"),
    "chat_template.jinja",
)


def base_path(name: str) -> Path:
    """The folder of a base model: `bundled`, or a path. Raises Refused when there is none."""
    path = BUNDLED if name == "bundled" else Path(name)
    if not (path / "config.json").exists():
        raise Refused(f"no base model at {path} (train.base: {name})")
    return path


def base_digest(base: Path) -> str:
    """A name for the base model's bytes: weights, configuration, tokenizer and chat template."""
    files = sorted(file for pattern in _BASE_FILES for file in base.glob(pattern))
    return _digest(tuple((file, file.stat().st_size, file.stat().st_mtime_ns) for file in files))


@cache
def _digest(files: tuple[tuple[Path, int, int], ...]) -> str:
    """Gigabytes are read once in a process, as long as nobody writes to them."""
    return digest(*(part for path, _, _ in files for part in (path.name, path)))


def adapter_base(adapter: Path) -> Path:
    """The base that an adapter was trained on. Raises Refused when it is not here any more."""
    config = json.loads((adapter / ADAPTER_FILES[0]).read_text())
    base = base_path(config["base_model_name_or_path"])
    if base_digest(base) != config["revision"]:
        raise Refused(f"{adapter} was trained on another base than the one at {base}")
    return base


def load_base(
    base: Path, dtype: str, attention: str | None = None, bits: Any = None
) -> tuple[Any, Any]:
    """A causal model, on the GPU where there is one, and its tokenizer.

    `attention` is the kernel's name, else the model's own choice; `bits` is how transformers shall
    quantise it; a quantised model is loaded to where it stays.
    """
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    device = torch.cuda.current_device() if torch.cuda.is_available() else "cpu"
    placed = {"quantization_config": bits, "device_map": {"": device}} if bits else {}
    model = AutoModelForCausalLM.from_pretrained(
        base, dtype=getattr(torch, dtype), attn_implementation=attention, **placed
    )
    return (model if bits else model.to(device)), base_tokenizer(base)


def base_width(base: Path) -> int:
    """Return how many units wide a causal model's hidden states are."""
    from transformers import AutoConfig

    return int(AutoConfig.from_pretrained(base).get_text_config().hidden_size)


def base_tokenizer(base: Path) -> object:
    """The tokenizer of a causal model. Raises Refused when the model was not made for chats."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    for name, what in (("chat_template", "a chat template"), ("eos_token", "an end token")):
        if getattr(tokenizer, name) is None:
            raise Refused(f"the base at {base} lacks {what}: take its chat (instruct) version")
    return tokenizer


def json_grammar(schema: Json) -> str:
    """The grammar of the JSON texts that a schema allows."""
    from llguidance import LLMatcher

    return str(LLMatcher.grammar_from_json_schema(schema, overrides=JSON_STYLE))


def choice_grammar(choices: Iterable[str]) -> str:
    """The grammar of exactly these texts."""
    from llguidance import LLMatcher

    options = " | ".join(json.dumps(choice, ensure_ascii=False) for choice in choices)
    return str(LLMatcher.grammar_from_lark(f"start: {options}"))


def regex_grammar(pattern: str) -> str:
    """The grammar of the texts that match a regular expression from end to end."""
    from llguidance import LLMatcher

    return str(LLMatcher.grammar_from_regex(pattern))


def grammar(contract: Contract | None) -> str | None:
    """The grammar of a contract's answers; None where any text will do."""
    if contract is None or contract.kind == "text":
        return None
    if contract.kind == "labels":
        return choice_grammar(contract.labels)
    return json_grammar(contract.schema or {"type": "object"})


def render(tokenizer: Any, conversations: Sequence[Sequence[Json]]) -> list[list[int]]:
    """The token ids of conversations, each up to where the assistant speaks."""
    texts = [
        tokenizer.apply_chat_template(
            list(messages), tokenize=False, add_generation_prompt=True, enable_thinking=False
        )
        for messages in conversations
    ]
    return list(tokenizer(texts, add_special_tokens=False)["input_ids"])


def ask(prompt: str) -> list[Json]:
    """The conversation in which a student reads a prompt."""
    return [{"role": "user", "content": prompt}]


class Student:
    """A base model, perhaps with an adapter merged into a copy of it. Not safe across threads."""

    def __init__(self, model: Any, tokenizer: Any, guide: Any) -> None:
        self.model, self.tokenizer, self.guide = model, tokenizer, guide
        self.eos = int(tokenizer.eos_token_id)
        self.length = int(model.config.get_text_config().max_position_embeddings)

    @classmethod
    def load(cls, base: Path, adapter: Path | None, *, dtype: str = "auto") -> Student:
        """Read a base model and, when given, merge an adapter into it.

        `dtype` auto is float32 on a CPU, where an answer must not depend on its batch's rounding,
        and bfloat16 on a GPU. Raises Refused when there is no model.
        """
        import torch
        from llguidance.hf import from_tokenizer

        wanted = "bfloat16" if torch.cuda.is_available() else "float32"
        model, tokenizer = load_base(base, wanted if dtype == "auto" else dtype)
        guide = from_tokenizer(tokenizer, n_vocab=model.config.get_text_config().vocab_size)
        student = cls(model.eval(), tokenizer, guide)
        return student.adapted(adapter) if adapter else student

    def adapted(self, adapter: Path) -> Student:
        """The base with an adapter merged into a copy of the weights; the base stays as it is.

        A copy per adapter is what a model of a few million parameters can afford; larger bases are
        served by vLLM, which keeps the adapters apart.
        """
        from peft import PeftModel

        merged = PeftModel.from_pretrained(copy.deepcopy(self.model), adapter).merge_and_unload()
        return Student(merged.eval(), self.tokenizer, self.guide)

    def asked(self, messages: Sequence[Json], grammar: str | None, max_tokens: int) -> Ask:
        """A request as `decode` takes it."""
        return Ask(render(self.tokenizer, [messages])[0], grammar, max_tokens)

    def speller(self, answer: Answer) -> Callable[[int], str]:
        """Return what gives the text of an answer's token."""
        return lambda token: str(self.tokenizer.decode([token]))

    def complaint(self, grammar: str) -> str | None:
        """Return why a grammar cannot be used; None when it can."""
        from llguidance import LLMatcher

        return LLMatcher.validate_grammar(grammar, self.guide) or None

    def prompts(self, prompts: Sequence[str]) -> list[list[int]]:
        """Return what the model reads of each prompt, as token ids."""
        return render(self.tokenizer, [ask(prompt) for prompt in prompts])

    def answer(
        self,
        prompts: Sequence[str],
        contract: Contract | None = None,
        *,
        max_tokens: int = 256,
        batch: int = 32,
    ) -> list[Answer]:
        """Answer prompts, longest together, in the order given; with a contract, held to it."""
        form = grammar(contract)
        asks = [Ask(ids, form, max_tokens) for ids in self.prompts(prompts)]
        order = sorted(range(len(asks)), key=lambda i: -len(asks[i].ids))
        answers: dict[int, Answer] = {}
        for start in range(0, len(order), batch):
            some = order[start : start + batch]
            answers.update(zip(some, self.decode([asks[i] for i in some]), strict=True))
        return [answers[i] for i in range(len(asks))]

    def fits(self, ask: Ask) -> bool:
        """Return whether a prompt leaves room for an answer."""
        return len(ask.ids) < self.length

    def decode(self, asks: Sequence[Ask], top: int = 0) -> list[Answer]:
        """Write the answers of one batch. Raises ValueError on a grammar that does not compile.

        A prompt that leaves no room for an answer gets an empty one with finish reason `length`.
        """
        rows = [self._row(ask) for ask in asks]
        live = [row for row in rows if not row.finish_reason]
        if live:
            write(self.model, live, int(self.tokenizer.pad_token_id or 0), top)
        return [self._answer(row) for row in rows]

    def _row(self, ask: Ask) -> Generation:
        from llguidance import LLMatcher

        row = Generation(ask, None, self.eos)
        room = self.length - len(ask.ids)
        if room < 1 or ask.max_tokens < 1:
            row.finish_reason = "length"
            return row
        if ask.grammar is not None:
            row.matcher = LLMatcher(self.guide, ask.grammar)
            if row.matcher.is_error():
                raise ValueError(f"the answer's grammar: {row.matcher.get_error()}")
        row.ask = Ask(ask.ids, ask.grammar, min(ask.max_tokens, room))
        row.start()
        return row

    def _answer(self, row: Generation) -> Answer:
        ids = row.ids[:-1] if row.finish_reason == "stop" else row.ids
        text = self.tokenizer.decode(ids, skip_special_tokens=True)
        logprobs, tops = tuple(row.logprobs), tuple(row.tops)
        return Answer(text, logprobs, row.finish_reason, tuple(row.ids), tops)
