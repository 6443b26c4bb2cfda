"""Heads: the model of the encoder's students, and what it says to prompts.

Linear heads on the encoder: they choose a form and the values of closed fields, each by its own
attention to the prompt; where copied fields begin and end in it; and the tag of each word. Case,
which the encoder does not see, is added as an embedding where anything is copied.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from tasks.students.answer_templates import Forms
from tasks.students.kernel_head import KernelHead
from tasks.students.minilm import CASES, case_of, padded

if TYPE_CHECKING:
    import torch

FORM = ":form"  # the choice of the form, beside those of fields
_SPREAD = 4.0  # brings mean-pooled states to the size that a fresh linear layer expects


@dataclass(frozen=True)
class Layout:
    """The places of choices in the heads' outputs: the form first, then field by field."""

    forms: Forms

    @cached_property
    def closed(self) -> dict[str, slice]:
        """The logits of the form (name FORM) and of each field that has values."""
        start, slices = len(self.forms.forms) + 1, {FORM: slice(0, len(self.forms.forms) + 1)}
        for field in self.forms.fields:
            if field.chosen:
                slices[field.name] = slice(start, start + len(field.values))
                start += len(field.values)
        return slices

    @cached_property
    def copied(self) -> dict[str, int]:
        """The row of each copied field among the pairs of begin and end scores."""
        names = [field.name for field in self.forms.fields if field.copied]
        return {name: number for number, name in enumerate(names)}

    @cached_property
    def listed(self) -> dict[str, int]:
        """The number of each list's first kind of item among all kinds."""
        start, starts = 0, dict[str, int]()
        for field in self.forms.fields:
            if field.how == "listed":
                starts[field.name] = start
                start += len(field.values)
        return starts

    @cached_property
    def tags(self) -> int:
        """Return how many tags a token may have: none, or one of two for each kind of item."""
        kinds = [len(field.values) for field in self.forms.fields if field.how == "listed"]
        return 1 + 2 * sum(kinds) if kinds else 0

    @cached_property
    def reads(self) -> bool:
        """Return whether anything is taken from the prompt; else every choice is one from a set."""
        return bool(self.copied or self.tags)


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
    if layout.tags:
        heads["tag"] = torch.nn.Linear(size, layout.tags)
    if layout.reads:
        heads["case"] = torch.nn.Embedding(CASES, size)
        torch.nn.init.zeros_(heads["case"].weight)
    return torch.nn.ModuleDict(heads)


class Scores(NamedTuple):
    """Logits of choices by name [rows, values], of begin and end [rows, tokens, fields, 2], tags.

    Those of the tags are [rows, tokens, tags].
    """

    choices: dict[str, torch.Tensor]
    points: torch.Tensor
    tags: torch.Tensor


class Prompts(NamedTuple):
    """Prompts as the model reads them: token ids, which are no padding, case [rows, tokens]."""

    ids: torch.Tensor
    mask: torch.Tensor
    cases: torch.Tensor


def cases(text: str, offsets: Sequence[tuple[int, int]]) -> list[int]:
    """The case of each token of a text."""
    return [case_of(text[begin:end]) for begin, end in offsets]


def tensors(ids: Sequence[Sequence[int]], shapes: Sequence[Sequence[int]]) -> Prompts:
    """Token ids and cases, padded on the right."""
    return Prompts(*padded(ids), padded(shapes)[0])


def by_kernel(
    model: Any,
    layout: Layout,
    head: KernelHead,
    prompts: Prompts,
    words: Sequence[Sequence[int]],
    heads: Sequence[int] | None = None,
) -> Scores:
    """Return what a model with a kernel head says to prompts, of these words; it copies nothing.

    `heads` says which of a mixture answers each.
    """
    import torch

    seen = pooled(model["encoder"], prompts.ids, prompts.mask)
    logits = torch.tensor(head(seen.cpu().numpy(), words, heads), device=seen.device)
    choices = {name: logits[:, place] for name, place in layout.closed.items()}
    shape = (*prompts.ids.shape, 1, 2)
    return Scores(choices, seen.new_zeros(shape), seen.new_zeros((*prompts.ids.shape, 0)))


def scores(model: Any, layout: Layout, prompts: Prompts) -> Scores:
    """Return what a model says to prompts.

    Each choice looks at them through an attention of its own.
    """
    import torch
    from torch.nn.functional import linear

    encoder, (ids, mask, shapes) = model["encoder"], prompts
    words = encoder.get_input_embeddings()(ids)
    if layout.reads:
        words = words + model["case"](shapes).to(words.dtype)
    hidden = encoder(inputs_embeds=words, attention_mask=mask).last_hidden_state.float()
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
    """The mean that choices see while they attend to every token alike [rows, hidden]."""
    hidden = encoder(input_ids=ids, attention_mask=mask).last_hidden_state.float()
    shares = mask.unsqueeze(-1) / mask.sum(1).view(-1, 1, 1)
    vector: torch.Tensor = _SPREAD * (hidden * shares).sum(1)
    return vector
