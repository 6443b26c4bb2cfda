"""A student: a small causal base model with one task's LoRA adapter, and how it answers.

Greedy, batched decoding with a key-value cache, guided by the task's contract through llguidance.
The log-probabilities are raw: the softmax before the grammar's mask, the end-of-answer token
included, as vLLM's default gives them. Text that the grammar forces is fed in one step.

    Student.load(base_path("bundled"), Path("adapter")).answer(["where is my order"], contract)
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.contract import Contract
from tasks.records import Json, digest
from tasks.stage import Refused

if TYPE_CHECKING:
    import torch

BUNDLED = Path(__file__).parents[1] / "bases" / "nano"
# Guided answers have the separators of `json.dumps`, as the training targets have.
JSON_STYLE = {
    "whitespace_flexible": False,
    "item_separator": ", ",
    "key_separator": ": ",
    "lenient": True,  # keywords that the guide cannot enforce are checked after the answer
}
_BASE_FILES = ("*.safetensors", "config.json", "tokenizer.json", "chat_template.jinja")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a student said, with the raw log-probability of every token (the end token too)."""

    text: str
    logprobs: tuple[float, ...]
    finish_reason: str
    tokens: tuple[int, ...] = ()
    tops: tuple[tuple[tuple[int, float], ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Ask:
    """One prompt as token ids, the grammar that its answer must match, and its longest length."""

    ids: list[int]
    grammar: str | None = None
    max_tokens: int = 256


def base_path(name: str) -> Path:
    """The folder of a base model: `bundled`, or a path. Raises Refused when there is none."""
    path = BUNDLED if name == "bundled" else Path(name)
    if not (path / "config.json").exists():
        raise Refused(f"no base model at {path} (train.base: {name})")
    return path


def base_digest(base: Path) -> str:
    """A name for the base model's bytes: weights, configuration, tokenizer and chat template."""
    files = sorted(file for pattern in _BASE_FILES for file in base.glob(pattern))
    return digest(*(part for file in files for part in (file.name, file.read_bytes())))


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


@dataclass(slots=True)
class _Row:
    """One answer while it is being written. `pending` is what the model reads next."""

    ask: Ask
    matcher: Any
    eos: int
    pending: list[int] = field(default_factory=list)
    forced: list[int] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    tops: list[tuple[tuple[int, float], ...]] = field(default_factory=list)
    position: int = 0
    finish_reason: str = ""

    def start(self) -> None:
        self.pending = list(self.ask.ids)
        self._force()

    def _force(self) -> None:
        """Queue the tokens that the grammar leaves no choice about."""
        room = self.ask.max_tokens - len(self.ids)
        self.forced = self.matcher.compute_ff_tokens()[: max(room, 0)] if self.matcher else []
        if self.forced:
            self.matcher.consume_tokens(self.forced)
            self.pending = self.pending + self.forced

    def take(self, logprobs: torch.Tensor, best: int, top: int) -> None:
        """Record the forced tokens, then choose the next. `logprobs` ends at the last token read.

        `best` is the likeliest next token, whatever the grammar says.
        """
        self.position += len(self.pending)
        first = len(logprobs) - 1 - len(self.forced)
        for offset, token in enumerate(self.forced):
            self._record(token, logprobs[first + offset], top)
        if len(self.ids) >= self.ask.max_tokens:
            self.finish_reason = "length"
            return
        token = best if self._allowed(best) else self._guided(logprobs[-1])
        self._record(token, logprobs[-1], top)
        if token == self.eos:
            self.finish_reason = "stop"
        elif len(self.ids) >= self.ask.max_tokens:
            self.finish_reason = "length"
        else:
            self.pending = [token]
            if self.matcher:
                self.matcher.consume_token(token)
            self._force()

    def _record(self, token: int, logprobs: torch.Tensor, top: int) -> None:
        self.ids.append(token)
        self.logprobs.append(float(logprobs[token]))
        if top:
            values, ids = logprobs.topk(top)
            self.tops.append(tuple(zip(ids.tolist(), values.tolist(), strict=True)))

    def _allowed(self, token: int) -> bool:
        if self.matcher is None:
            return True
        if token == self.eos:
            return bool(self.matcher.is_accepting())
        return bool(self.matcher.validate_tokens([token]) == 1)

    def _guided(self, logprobs: torch.Tensor) -> int:
        """The likeliest token that the grammar allows."""
        import numpy as np
        import torch

        if self.matcher.is_stopped():
            return self.eos
        packed = np.frombuffer(self.matcher.compute_bitmask(), dtype=np.uint8)
        mask = torch.from_numpy(np.unpackbits(packed, bitorder="little")[: len(logprobs)])
        allowed = mask.bool().to(logprobs.device)
        return int(logprobs.masked_fill(~allowed, float("-inf")).argmax())


class Student:
    """A base model, perhaps with an adapter merged into a copy of it. Not safe across threads."""

    def __init__(self, model: Any, tokenizer: Any, guide: Any) -> None:
        self.model, self.tokenizer, self.guide = model, tokenizer, guide
        self.eos = int(tokenizer.eos_token_id)
        self.length = int(model.config.max_position_embeddings)

    @classmethod
    def load(cls, base: Path, adapter: Path | None, *, dtype: str = "auto") -> Student:
        """Read a base model and, when given, merge an adapter into it.

        `dtype` auto is float32 on a CPU, where an answer must not depend on its batch's rounding,
        and bfloat16 on a GPU. Raises Refused when there is no model.
        """
        import torch
        from llguidance.hf import from_tokenizer
        from transformers import AutoModelForCausalLM, AutoTokenizer

        device = "cuda" if torch.cuda.is_available() else "cpu"
        wanted = {"auto": "bfloat16" if device == "cuda" else "float32"}.get(dtype, dtype)
        model = AutoModelForCausalLM.from_pretrained(base, dtype=getattr(torch, wanted))
        tokenizer = AutoTokenizer.from_pretrained(base)
        guide = from_tokenizer(tokenizer, n_vocab=model.config.vocab_size)
        student = cls(model.eval().to(device), tokenizer, guide)
        return student.adapted(adapter) if adapter else student

    def adapted(self, adapter: Path) -> Student:
        """This base with an adapter merged into a copy of the weights; the base stays as it is.

        A copy per adapter is what a model of a few million parameters can afford; larger bases are
        served by vLLM, which keeps the adapters apart.
        """
        from peft import PeftModel

        merged = PeftModel.from_pretrained(copy.deepcopy(self.model), adapter).merge_and_unload()
        return Student(merged.eval(), self.tokenizer, self.guide)

    def render(self, messages: Sequence[Json]) -> list[int]:
        """The token ids of a conversation up to where the assistant speaks."""
        text = self.tokenizer.apply_chat_template(
            list(messages), tokenize=False, add_generation_prompt=True, enable_thinking=False
        )
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def answer(
        self,
        prompts: Sequence[str],
        contract: Contract | None,
        *,
        max_tokens: int = 256,
        batch: int = 32,
    ) -> list[Answer]:
        """Answer prompts, longest together, in the order given."""
        form = grammar(contract)
        asks = [
            Ask(self.render([{"role": "user", "content": prompt}]), form, max_tokens)
            for prompt in prompts
        ]
        order = sorted(range(len(asks)), key=lambda i: -len(asks[i].ids))
        answers: dict[int, Answer] = {}
        for start in range(0, len(order), batch):
            some = order[start : start + batch]
            answers.update(zip(some, self.decode([asks[i] for i in some]), strict=True))
        return [answers[i] for i in range(len(asks))]

    def decode(self, asks: Sequence[Ask], top: int = 0) -> list[Answer]:
        """Write the answers of one batch. Raises ValueError on a grammar that does not compile.

        A prompt that leaves no room for an answer gets an empty one with finish reason `length`.
        """
        rows = [self._row(ask) for ask in asks]
        live = [row for row in rows if not row.finish_reason]
        if live:
            _write(self.model, live, int(self.tokenizer.pad_token_id or 0), top)
        return [self._answer(row) for row in rows]

    def _row(self, ask: Ask) -> _Row:
        from llguidance import LLMatcher

        row = _Row(ask, None, self.eos)
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

    def _answer(self, row: _Row) -> Answer:
        ids = row.ids[:-1] if row.finish_reason == "stop" else row.ids
        text = self.tokenizer.decode(ids, skip_special_tokens=True)
        logprobs, tops = tuple(row.logprobs), tuple(row.tops)
        return Answer(text, logprobs, row.finish_reason, tuple(row.ids), tops)


def _write(model: Any, rows: list[_Row], pad: int, top: int) -> None:
    """Run the model over all rows until each has finished.

    Rows read different numbers of tokens in a step, so every step is padded on the left and the
    padding stays masked in the cache. Finished rows leave when they are half of the batch.
    """
    import torch
    from transformers import DynamicCache

    cache = DynamicCache(config=model.config)
    seen = torch.zeros(len(rows), 0, dtype=torch.long)
    with torch.inference_mode():
        while rows:
            width = max(len(row.pending) for row in rows)
            ids, mask, positions = _left_padded(rows, width, pad)
            seen = torch.cat([seen, mask], dim=1)
            logits = model(
                input_ids=ids.to(model.device),
                attention_mask=seen.to(model.device),
                position_ids=positions.to(model.device),
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1 + max(len(row.forced) for row in rows),
            ).logits
            logprobs = logits.float().log_softmax(-1).cpu()
            best = logprobs[:, -1].argmax(-1).tolist()
            for row, scores, token in zip(rows, logprobs, best, strict=True):
                if not row.finish_reason:
                    row.take(scores, token, top)
            left = [i for i, row in enumerate(rows) if not row.finish_reason]
            if 2 * len(left) <= len(rows):
                rows, seen = [rows[i] for i in left], seen[left]
                cache.batch_select_indices(torch.tensor(left, device=model.device))


def _left_padded(
    rows: Sequence[_Row], width: int, pad: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Token ids, mask and positions of what the rows read next."""
    import torch

    ids, mask, positions = [], [], []
    for row in rows:
        tokens = [] if row.finish_reason else row.pending
        empty = width - len(tokens)
        ids.append([pad] * empty + tokens)
        mask.append([0] * empty + [1] * len(tokens))
        positions.append([0] * empty + [row.position + i for i in range(len(tokens))])
    return torch.tensor(ids), torch.tensor(mask), torch.tensor(positions)
