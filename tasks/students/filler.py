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
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from tasks.records import Json, text_of
from tasks.students.decoding import Answer, Ask
from tasks.students.encoder import LENGTH, padded, shared, tokenizer
from tasks.students.fields import Field
from tasks.students.forms import Forms
from tasks.students.lists import read_off
from tasks.students.student import ADAPTER_FILES

if TYPE_CHECKING:
    import torch

FORM = ":form"  # the choice of the form, beside those of fields
HEAD, FORMS = "head.safetensors", "forms.json"
_SPREAD = 4.0  # brings mean-pooled states to the size that a fresh linear layer expects
_LONGEST = 64  # tokens of a copied value
_SHORTER = 0.05  # what a token more takes off a span's score, so that it does not reach to a copy


@dataclass(frozen=True, slots=True)
class Layout:
    """Where each choice stands in the heads' outputs: the form first, then field by field."""

    forms: Forms

    @property
    def closed(self) -> dict[str, slice]:
        """The logits of the form (name FORM) and of each field that has values."""
        start, found = len(self.forms.forms) + 1, {FORM: slice(0, len(self.forms.forms) + 1)}
        for field in self.forms.fields:
            if field.chosen:
                found[field.name] = slice(start, start + len(field.values))
                start += len(field.values)
        return found

    @property
    def copied(self) -> dict[str, int]:
        """The row of each copied field among the pairs of begin and end scores."""
        names = [field.name for field in self.forms.fields if field.copied]
        return {name: number for number, name in enumerate(names)}

    @property
    def listed(self) -> dict[str, int]:
        """The number of each list's first kind of item among all kinds."""
        start, found = 0, dict[str, int]()
        for field in self.forms.fields:
            if field.how == "listed":
                found[field.name] = start
                start += len(field.values)
        return found

    @property
    def tags(self) -> int:
        """How many tags a token may have: none, or one of two for each kind of item."""
        kinds = [len(field.values) for field in self.forms.fields if field.how == "listed"]
        return 1 + 2 * sum(kinds) if kinds else 0


def with_heads(encoder: Any, forms: Forms) -> Any:
    """A module of the encoder and two fresh heads."""
    import torch

    layout, size = Layout(forms), encoder.config.hidden_size
    choices = max(s.stop for s in layout.closed.values())
    ends = 2 * max(1, len(layout.copied))
    attend = torch.nn.Linear(size, len(layout.closed))
    torch.nn.init.zeros_(attend.weight)  # to begin with, every token counts the same
    torch.nn.init.zeros_(attend.bias)
    nothing = torch.nn.Embedding(1, ends)  # the lead of the token that stands for no value
    torch.nn.init.zeros_(nothing.weight)
    heads = {
        "encoder": encoder,
        "attend": attend,
        "choose": torch.nn.Linear(size, choices),
        "point": torch.nn.Linear(size, ends),
        "nothing": nothing,
    }
    tag = {"tag": torch.nn.Linear(size, layout.tags)} if layout.tags else {}
    return torch.nn.ModuleDict(heads | tag)


class Scores(NamedTuple):
    """Logits of choices by name [rows, values], of begin and end [rows, tokens, fields, 2], tags.

    Those of the tags are [rows, tokens, tags].
    """

    choices: dict[str, torch.Tensor]
    points: torch.Tensor
    tags: torch.Tensor


def scores(model: Any, layout: Layout, ids: torch.Tensor, mask: torch.Tensor) -> Scores:
    """What a model says to padded prompts [rows, tokens].

    Each choice looks at the prompt through an attention of its own.
    """
    import torch
    from torch.nn.functional import linear

    hidden = model["encoder"](input_ids=ids, attention_mask=mask).last_hidden_state.float()
    hidden_from = (mask == 0).unsqueeze(-1)
    focus = model["attend"](hidden).masked_fill(hidden_from, -math.inf).softmax(1)
    seen = _SPREAD * focus.transpose(1, 2) @ hidden
    choose = model["choose"]
    choices = {
        name: linear(seen[:, number], choose.weight[place], choose.bias[place])
        for number, (name, place) in enumerate(layout.closed.items())
    }
    points = model["point"](hidden).masked_fill(hidden_from, -math.inf)
    points = torch.cat([points[:, :1] + model["nothing"].weight, points[:, 1:]], dim=1)
    tags = model["tag"](hidden) if layout.tags else hidden[..., :0]
    return Scores(choices, points.reshape(*points.shape[:2], -1, 2), tags)


def pooled(encoder: Any, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """What choices see as long as they pay the same attention to every token [rows, hidden]."""
    hidden = encoder(input_ids=ids, attention_mask=mask).last_hidden_state.float()
    shares = mask.unsqueeze(-1) / mask.sum(1).view(-1, 1, 1)
    found: torch.Tensor = _SPREAD * (hidden * shares).sum(1)
    return found


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen for a field, and its log-probability."""

    value: Any
    logprob: float


class EncoderStudent:
    """The encoder with one task's adapter and heads. Not safe across threads."""

    length = LENGTH

    def __init__(self, model: Any, forms: Forms) -> None:
        self.model, self.forms = model.eval(), forms
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
        return cls(model, forms)

    @cached_property
    def layout(self) -> Layout:
        """Where each choice stands in the heads' outputs."""
        return Layout(self.forms)

    def prompts(self, prompts: Sequence[str]) -> list[list[int]]:
        """What the encoder reads of each prompt, as token ids."""
        return [found.ids for found in tokenizer().encode_batch(list(prompts))]

    def asked(self, messages: Sequence[Json], grammar: str | None, max_tokens: int) -> Ask:
        """A request as `decode` takes it; the forms keep to the contract, so no grammar does."""
        text = "\n".join(text_of(message.get("content")) for message in messages)
        return Ask(self.prompts([text])[0], None, max_tokens, text)

    def speller(self, answer: Answer) -> Callable[[int], str]:
        """What gives the text of an answer's token: of a choice, here."""
        return answer.pieces.__getitem__

    def complaint(self, grammar: str) -> str | None:
        """Why a grammar cannot be used; an encoder needs none."""
        return None

    def answer(
        self,
        prompts: Sequence[str],
        *,
        max_tokens: int = 256,
        batch: int = 32,
    ) -> list[Answer]:
        """Answer prompts, longest together, in the order given."""
        sizes = [len(ids) for ids in self.prompts(prompts)]
        order = sorted(range(len(prompts)), key=lambda i: -sizes[i])
        answers: dict[int, Answer] = {}
        for start in range(0, len(order), batch):
            some = order[start : start + batch]
            asks = [Ask([], None, max_tokens, prompts[i]) for i in some]
            answers.update(zip(some, self.decode(asks), strict=True))
        return [answers[i] for i in range(len(prompts))]

    def decode(self, asks: Sequence[Ask], top: int = 0) -> list[Answer]:
        """Answer one batch. A prompt that is too long gets an empty answer, cut off."""
        import torch

        found = tokenizer().encode_batch([ask.text for ask in asks])
        fit = [i for i, one in enumerate(found) if len(one.ids) <= LENGTH]
        answers = [Answer("", (), "length")] * len(asks)
        if fit:
            with torch.inference_mode():
                said = scores(self.model, self.layout, *padded([found[i].ids for i in fit]))
            for row, i in enumerate(fit):
                choices = {name: logits[row] for name, logits in said.choices.items()}
                own = Scores(choices, said.points[row], said.tags[row])
                answers[i] = self._answer(asks[i].text, found[i], own)
        return answers

    def _answer(self, text: str, read: Any, said: Scores) -> Answer:
        """The answer to one prompt, from its own scores."""
        form = self._chosen(said.choices, FORM, range(len(self.forms.forms) + 1))
        if form.value == len(self.forms.forms):  # of no form that it knows
            return _said("", [form])
        pointed = said.points[: len(read.ids)].log_softmax(0)
        fields = [self.fields[name] for name in self.forms.forms[form.value].names]
        made = self._listed(fields, text, read, said.tags)
        for field in fields:
            name = field.name
            if field.how == "closed":
                made[name] = self._chosen(said.choices, name, field.values)
            if not field.copied:
                continue
            made[name] = copied(field, text, read, pointed[:, self.layout.copied[name]])
            if field.values and made[name].value == field.nothing:
                usual = self._chosen(said.choices, name, field.values)
                made[name] = Choice(usual.value, usual.logprob + made[name].logprob)
        values = {name: choice.value for name, choice in made.items()}
        try:
            return _said(self.forms.write(form.value, values), [form, *made.values()])
        except ValueError:  # nothing was found where something must stand
            return _said("", [form, Choice(None, -math.inf)])

    def _listed(
        self, fields: Sequence[Field], text: str, read: Any, tags: torch.Tensor
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
        self, choices: Mapping[str, torch.Tensor], name: str, values: Sequence[Any]
    ) -> Choice:
        logprobs = choices[name].log_softmax(-1)
        best = int(logprobs.argmax())
        return Choice(values[best], float(logprobs[best]))


def _said(text: str, chosen: Sequence[Choice]) -> Answer:
    """An answer whose tokens are its choices."""
    logprobs = tuple(choice.logprob for choice in chosen)
    pieces = tuple(str(choice.value) for choice in chosen)
    return Answer(text, logprobs, "stop", tuple(range(len(chosen))), pieces=pieces)


def copied(field: Field, text: str, read: Any, logprobs: torch.Tensor) -> Choice:
    """The piece of the text that a field is copied from, `logprobs` [tokens, 2] of begin and end.

    Token 0 stands for nothing. The probabilities of all places where the same text stands add up.
    """
    import torch

    begin, end = logprobs[:, 0], logprobs[:, 1]
    spans = begin[:, None] + end[None, :]
    allowed = torch.ones_like(spans, dtype=torch.bool).triu().tril(_LONGEST)
    allowed[0, 1:] = False
    place = torch.arange(len(spans))
    long = _SHORTER * (place[None, :] - place[:, None])  # of two that are as likely, the shorter
    best = int((spans - long).masked_fill(~allowed, -math.inf).argmax())
    first, last = divmod(best, len(spans))
    if first == 0:
        return Choice(field.nothing, float(spans[0, 0]))
    piece = text[read.offsets[first][0] : read.offsets[last][1]]
    wanted, size = read.ids[first : last + 1], last - first
    same = [i for i in range(1, len(spans) - size) if read.ids[i : i + size + 1] == wanted]
    logprob = float(torch.stack([spans[i, i + size] for i in same]).logsumexp(0))
    try:
        return Choice(field.copy(piece), min(logprob, 0.0))
    except ValueError:
        return Choice(None, -math.inf)
