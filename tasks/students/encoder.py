"""Students made of the encoder: they choose the form of an answer and fill in its fields.

The encoder has a LoRA adapter and linear heads: they choose a form and the values of closed fields,
each by its own attention to the prompt, and where copied fields begin and end in it. An answer
takes one pass, some milliseconds on a CPU; every choice has its log-probability.

    EncoderStudent.load(Path("adapter")).answer(["where is my order"])
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tasks.core.records import Json, text_of
from tasks.students.answer_templates import Forms
from tasks.students.causal import ADAPTER_FILES
from tasks.students.decoding import Answer, Ask
from tasks.students.heads import (
    FORM,
    Layout,
    Prompts,
    Scores,
    by_kernel,
    cases,
    scores,
    tensors,
    with_heads,
)
from tasks.students.kernel_head import KernelHead, words_of
from tasks.students.list_slots import read_off
from tasks.students.minilm import LENGTH, reach, shared, tokenizer
from tasks.students.slots import Field

if TYPE_CHECKING:
    import torch
    from tokenizers import Encoding

HEAD, FORMS = "head.safetensors", "forms.json"
_LONGEST = 64  # tokens of a copied value
_SHORTER = 0.05  # what a token more takes off a span's score, so that it does not reach to a copy


@dataclass(frozen=True, slots=True)
class Choice:
    """The value chosen for a field, and its log-probability."""

    value: Any
    logprob: float


class EncoderStudent:
    """The encoder with one task's adapter and heads. Not safe across threads."""

    length = LENGTH

    def __init__(self, model: Any, forms: Forms, kernel: KernelHead | None = None) -> None:
        self.model, self.forms, self.kernel = model.eval(), forms, kernel
        self.fields = {field.name: field for field in forms.fields}

    @classmethod
    def load(cls, adapter: Path) -> EncoderStudent:
        """Read a student; its attention and feed-forward weights are its own, if they changed."""
        from peft import PeftModel
        from safetensors.torch import load_file

        merged, learned = shared(), load_file(adapter / ADAPTER_FILES[1])
        if any(weight.any() for name, weight in learned.items() if "lora_B" in name):
            words = merged.get_input_embeddings().weight
            own = copy.deepcopy(merged, {id(words): words})
            merged = PeftModel.from_pretrained(own, adapter).merge_and_unload()
        forms = msgspec.json.decode((adapter / FORMS).read_bytes(), type=Forms)
        model = with_heads(merged, forms)
        heads = load_file(adapter / HEAD)
        model.load_state_dict({k: v.float() for k, v in heads.items()}, strict=False)
        return cls(model, forms, KernelHead.of(heads))

    @cached_property
    def layout(self) -> Layout:
        """Return where each choice stands in the heads' outputs."""
        return Layout(self.forms)

    def prompts(self, prompts: Sequence[str]) -> list[list[int]]:
        """Return what the encoder reads of each prompt, as token ids."""
        return [encoding.ids for encoding in tokenizer().encode_batch(list(prompts))]

    def asked(self, messages: Sequence[Json], grammar: str | None, max_tokens: int) -> Ask:
        """A request as `decode` takes it; the forms keep to the contract, so no grammar does."""
        text = "\n".join(text_of(message.get("content")) for message in messages)
        return Ask(self.prompts([text])[0], None, max_tokens, text)

    def speller(self, answer: Answer) -> Callable[[int], str]:
        """Return what gives the text of an answer's token: of a choice, here."""
        return answer.pieces.__getitem__

    def complaint(self, grammar: str) -> str | None:
        """Return why a grammar cannot be used; an encoder needs none."""
        return None

    def answer(
        self,
        prompts: Sequence[str],
        *,
        max_tokens: int = 256,
        batch: int = 32,
        heads: Sequence[int] | None = None,
    ) -> list[Answer]:
        """Answer prompts, longest together, in the order given; each by one of `heads`, if told."""
        sizes = [len(ids) for ids in self.prompts(prompts)]
        order = sorted(range(len(prompts)), key=lambda i: -sizes[i])
        answers: dict[int, Answer] = {}
        for start in range(0, len(order), batch):
            some = order[start : start + batch]
            asks = [
                Ask([], None, max_tokens, prompts[i], heads[i] if heads else None) for i in some
            ]
            answers.update(zip(some, self.decode(asks), strict=True))
        return [answers[i] for i in range(len(prompts))]

    def fits(self, ask: Ask) -> bool:
        """Return whether a prompt can be read."""
        return len(ask.ids) <= LENGTH

    def decode(self, asks: Sequence[Ask], top: int = 0) -> list[Answer]:
        """Answer one batch. A prompt that is too long gets an empty answer, cut off."""
        import torch

        encodings = tokenizer().encode_batch([ask.text for ask in asks])
        fit = [i for i, one in enumerate(encodings) if len(one.ids) <= LENGTH]
        answers = [Answer("", (), "length")] * len(asks)
        if fit:
            with torch.inference_mode():
                ids = [encodings[i].ids for i in fit]
                shapes = [cases(asks[i].text, encodings[i].offsets) for i in fit]
                scores = self._scores(tensors(ids, shapes), [asks[i] for i in fit])
            for row, i in enumerate(fit):
                choices = {name: logits[row] for name, logits in scores.choices.items()}
                own = Scores(choices, scores.points[row], scores.tags[row])
                answers[i] = self._answer(asks[i].text, encodings[i], own)
        return answers

    def _scores(self, prompts: Prompts, asks: Sequence[Ask]) -> Scores:
        if (kernel := self.kernel) is None:
            return scores(self.model, self.layout, prompts)
        words = [words_of(ask.text) for ask in asks]
        heads = [kernel.drawn(ask.text) if ask.head is None else ask.head for ask in asks]
        return by_kernel(self.model, self.layout, kernel, prompts, words, heads)

    def _answer(self, text: str, read: Encoding, scores: Scores) -> Answer:
        """The answer to one prompt, from its own scores."""
        form = self._chosen(scores.choices, FORM, range(len(self.forms.forms) + 1))
        if form.value == len(self.forms.forms):  # of no form that it knows
            return _said("", [form])
        pointed = scores.points[: len(read.ids)].log_softmax(0)
        fields = [self.fields[name] for name in self.forms.forms[form.value].names]
        lists = self._listed(fields, text, read, scores.tags)
        for field in fields:
            name = field.name
            if field.how == "closed":
                lists[name] = self._chosen(scores.choices, name, field.values)
            if not field.copied:
                continue
            lists[name] = copied(field, text, read, pointed[:, self.layout.copied[name]])
            if field.values and lists[name].value == field.nothing:
                usual = self._chosen(scores.choices, name, field.values)
                lists[name] = Choice(usual.value, usual.logprob + lists[name].logprob)
        values = {name: choice.value for name, choice in lists.items()}
        try:
            return _said(self.forms.write(form.value, values), [form, *lists.values()])
        except ValueError:  # nothing was found where something must stand
            return _said("", [form, Choice(None, -math.inf)])

    def _listed(
        self, fields: Sequence[Field], text: str, read: Encoding, tags: torch.Tensor
    ) -> dict[str, Choice]:
        """An answer's lists. All hang on the same tags, whose log-probability is the first's."""
        first = self.layout.listed
        asked = [(field, first[field.name]) for field in fields if field.name in first]
        if not asked:
            return {}
        lists, logprob = read_off(text, read, tags[: len(read.ids)].log_softmax(-1), asked)
        logprobs = [logprob] + [0.0] * (len(asked) - 1)
        return {
            name: Choice(value, own)
            for (name, value), own in zip(lists.items(), logprobs, strict=True)
        }

    def _chosen(
        self, choices: Mapping[str, torch.Tensor], name: str, values: Sequence[object]
    ) -> Choice:
        logprobs = choices[name].log_softmax(-1)
        best = int(logprobs.argmax())
        return Choice(values[best], float(logprobs[best]))


def _said(text: str, chosen: Sequence[Choice]) -> Answer:
    """An answer whose tokens are its choices."""
    logprobs = tuple(choice.logprob for choice in chosen)
    pieces = tuple(str(choice.value) for choice in chosen)
    return Answer(text, logprobs, "stop", tuple(range(len(chosen))), pieces=pieces)


def copied(field: Field, text: str, read: Encoding, logprobs: torch.Tensor) -> Choice:
    """The piece of the text that a field is copied from, `logprobs` [tokens, 2] of begin and end.

    Token 0 stands for nothing. The probabilities of all places where the same text stands add up.
    """
    import torch

    begin, end = logprobs[:, 0], logprobs[:, 1]
    spans = begin[:, None] + end[None, :]
    allowed = torch.ones_like(spans, dtype=torch.bool).triu().tril(_LONGEST)
    allowed[0, 1:] = False
    allowed[1:, -1] = False  # the last token is none of the text
    place = torch.arange(len(spans))
    long = _SHORTER * (place[None, :] - place[:, None])  # of two that are as likely, the shorter
    best = int((spans - long).masked_fill(~allowed, -math.inf).argmax())
    first, last = divmod(best, len(spans))
    if first == 0:
        return Choice(field.nothing, float(spans[0, 0]))
    wanted, size = read.ids[first : last + 1], last - first

    def value(start: int) -> Any:
        """Return what is copied from the token `start` on: as it is typed there, if case counts."""
        stop = reach(text, read.offsets[start + size][1])
        return field.copy(text[read.offsets[start][0] : stop])

    try:
        words = value(first)
        same = [i for i in range(1, len(spans) - size)
                if read.ids[i : i + size + 1] == wanted and value(i) == words]  # fmt: skip
    except ValueError:
        return Choice(None, -math.inf)
    logprob = float(torch.stack([spans[i, i + size] for i in same]).logsumexp(0))
    return Choice(words, min(logprob, 0.0))
