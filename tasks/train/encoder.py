"""The encoder's students in training, from rows to an adapter with its heads.

The loss of a row is the sum over its choices: the form, each closed field, where each copied field
begins and ends, and the words' tags where lists are made of them; a value that stands in several
places may be copied from any of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tasks.core.params import Train
from tasks.core.rows import Row
from tasks.students.answer_templates import Forms, Reader
from tasks.students.encoder import FORMS, HEAD
from tasks.students.heads import (
    FORM,
    Layout,
    Prompts,
    by_kernel,
    cases,
    scores,
    tensors,
    with_heads,
)
from tasks.students.kernel_head import KernelHead, words_of
from tasks.students.list_slots import REST, tags
from tasks.students.minilm import LENGTH, load_encoder, tokenizer
from tasks.students.slots import ABSENT, Field, places
from tasks.train.fused import fuse

if TYPE_CHECKING:
    import torch
    from tokenizers import Encoding

# Of closed choices: few examples make a student too sure of itself. Many do not, and smoothing
# then blurs which answers are right (Xia et al. 2024, arXiv 2403.14715).
SMOOTHING, FEW = 0.05, 4_000
# How some of the training's rows seem to be typed, four of every sixteen.
TYPED, RECASED = {0: str.lower, 4: str.upper, 8: str.lower, 12: str.title}, 16
NOTHING = (0, 0)  # the span that stands for no value: the first token is none of the text


@dataclass(frozen=True, slots=True)
class Filled:
    """A prompt as token ids and the choices that make its answer; `whole` when all are known.

    `cases` has one for each token, and so has `tags`, but where there is no list to make of them;
    `words` are the buckets of the prompt's words.
    """

    ids: list[int]
    cases: list[int]
    closed: Mapping[str, int]
    copied: Mapping[str, list[tuple[int, int]]]
    tags: list[int]
    whole: bool
    words: list[int]


def filled(
    rows: Sequence[Row], forms: Forms, reader: Reader, longest: int, *, recased: bool = False
) -> list[Filled]:
    """Rows as the encoder learns them; without those that are too long.

    Some of those `recased` seem to be typed in another case, so that case is a hint and no more.
    """
    encodings = tokenizer().encode_batch([row.prompt for row in rows])
    layout, fields = Layout(forms), {field.name: field for field in forms.fields}
    result = [
        _filled(
            row, read, layout, fields, reader, _typed(row.prompt, place) if recased else row.prompt
        )
        for place, (row, read) in enumerate(zip(rows, encodings, strict=True))
        if len(read.ids) <= min(longest, LENGTH)
    ]
    return result


def _typed(prompt: str, place: int) -> str:
    """A prompt as it was typed, or, at some places among the rows, might have been."""
    other = TYPED.get(place % RECASED, str)(prompt)
    return other if len(other) == len(prompt) else prompt


def readable(rows: Sequence[Row], longest: int) -> list[Row]:
    """The rows that the encoder can read from end to end."""
    encodings = tokenizer().encode_batch([row.prompt for row in rows])
    most = min(longest, LENGTH)
    return [row for row, read in zip(rows, encodings, strict=True) if len(read.ids) <= most]


def _filled(
    row: Row,
    read: Encoding,
    layout: Layout,
    fields: Mapping[str, Field],
    reader: Reader,
    typed: str,
) -> Filled:
    forms = layout.forms.forms
    form, values = reader.read(row.prompt, row.answer)
    closed, copied = {FORM: form}, dict[str, list[tuple[int, int]]]()
    names = forms[form].names if form < len(forms) else []
    asked, exact = list[tuple[Field, int, Any]](), True
    for name in names:
        field, value = fields[name], values.get(name, ABSENT)
        if field.how == "listed":
            asked.append((field, layout.listed[name], value))
        elif field.how == "closed":
            place = _place(field.values, value)
            closed |= {name: place} if place is not None else {}
        elif value is None or value == ABSENT:
            copied[name] = [NOTHING]
            exact &= value == field.nothing
            place = _place(field.values, value)
            closed |= {name: place} if place is not None else {}
        else:
            spans = [_tokens(read, span) for span in places(row.prompt, value, field.how)]
            copied |= {name: options} if (options := [s for s in spans if s]) else {}
            place = _place(field.values, value)
            if name not in copied and place is not None:
                closed[name], copied[name] = place, [NOTHING]
    tagged = tags(row.prompt, read, asked) if asked else []
    choices = len({*closed, *copied}) - 1 + len(asked)
    whole = exact and form < len(forms) and choices == len(names) and tagged is not None
    shapes = cases(typed, read.offsets)
    return Filled(read.ids, shapes, closed, copied, tagged or [], whole, words_of(row.prompt))


def _place(values: Sequence[object], value: object) -> int | None:
    """Return where a value stands among others; in JSON true is not 1."""
    same = (i for i, one in enumerate(values) if one == value and type(one) is type(value))
    return next(same, None)


def _tokens(read: Encoding, span: tuple[int, int]) -> tuple[int, int] | None:
    """The first and last token of a piece of the text."""
    begin, end = span
    inside = [i for i, (a, b) in enumerate(read.offsets) if a < end and begin < b]
    return (inside[0], inside[-1]) if inside else None


def objective(
    forms: Forms, count: int, kernel: KernelHead | None = None
) -> Callable[[Any, Sequence[Filled]], tuple[torch.Tensor, torch.Tensor]]:
    """The loss of each row, and whether every choice of it is right; `count` rows are learned."""
    layout, smoothing = Layout(forms), SMOOTHING if count < FEW else 0.0

    def measure(model: Any, rows: Sequence[Filled]) -> tuple[torch.Tensor, torch.Tensor]:
        import torch

        device = next(model.parameters()).device
        read = tensors([row.ids for row in rows], [row.cases for row in rows])
        width = read.ids.shape[1]
        prompts = Prompts(*(part.to(device) for part in read))
        if kernel is None:
            choices, points, tagged = scores(model, layout, prompts)
        else:
            words = [row.words for row in rows]
            choices, points, tagged = by_kernel(model, layout, kernel, prompts, words)
        total = torch.zeros(len(rows), device=device)
        right = torch.tensor([row.whole for row in rows], device=device)
        for name, logits in choices.items():
            targets = torch.tensor([row.closed.get(name, REST) for row in rows], device=device)
            loss, hit = _chosen(logits, targets, smoothing)
            total, right = total + loss, right & hit
        for name, number in layout.copied.items():
            for side in (0, 1):
                goals = _goals([row.copied.get(name, ()) for row in rows], side, width)
                loss, hit = _pointed(points[:, :, number, side], goals.to(device))
                total, right = total + loss / 2, right & hit
        if layout.tags:
            targets = _tags([row.tags for row in rows], width).to(device)
            loss, hit = _chosen(tagged.flatten(0, 1), targets.flatten(), 0.0)
            total = total + loss.view_as(targets).sum(1)
            right = right & hit.view_as(targets).all(1)
        return total, right

    return measure


def _chosen(
    logits: torch.Tensor, targets: torch.Tensor, smoothing: float
) -> tuple[torch.Tensor, torch.Tensor]:
    from torch.nn.functional import cross_entropy

    loss = cross_entropy(
        logits, targets, reduction="none", ignore_index=-100, label_smoothing=smoothing
    )
    return loss, (targets < 0) | (logits.argmax(-1) == targets)


def _tags(rows: Sequence[Sequence[int]], width: int) -> torch.Tensor:
    """The tags of each row's tokens; none where it has none."""
    import torch

    return torch.tensor([[*row, *[REST] * (width - len(row))] for row in rows])


def _goals(spans: Sequence[Sequence[tuple[int, int]]], side: int, width: int) -> torch.Tensor:
    """The tokens that are right, row by row."""
    import torch

    goals = torch.zeros(len(spans), width, dtype=torch.bool)
    for i, options in enumerate(spans):
        goals[i, [span[side] for span in options]] = True
    return goals


def _pointed(logits: torch.Tensor, goals: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    import torch

    pointed = goals.any(1)
    logprobs = logits.log_softmax(1)
    best = goals.gather(1, logits.argmax(1, keepdim=True)).squeeze(1)
    loss = torch.zeros(len(goals), device=logits.device)
    reached = logprobs[pointed].masked_fill(~goals[pointed], float("-inf")).logsumexp(1)
    return loss.masked_scatter(pointed, -reached), ~pointed | best


def fresh(forms: Forms, params: Train) -> Any:
    """The encoder with a new adapter and new heads, ready to learn."""
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(params.seed)
    gpu = torch.cuda.is_available()
    half = gpu or torch.cpu._is_avx512_bf16_supported()
    encoder = load_encoder("eager", dtype="bfloat16" if half else "float32")
    config = LoraConfig(
        r=params.rank,
        lora_alpha=2 * params.rank,
        target_modules=["query", "key", "value", "dense"],
        use_dora=params.dora,
    )
    adapted = get_peft_model(encoder, config, autocast_adapter_dtype=False)
    fuse(adapted)
    return with_heads(adapted, forms).to("cuda" if gpu else "cpu")


def save_heads(model: Any, forms: Forms, folder: Path, kernel: KernelHead | None = None) -> None:
    """Write what belongs to an adapter of the encoder."""
    from safetensors.torch import save_file

    heads = {
        name: weight.detach().float().cpu().contiguous()
        for name, weight in model.state_dict().items()
        if not name.startswith("encoder.")
    }
    save_file(heads | (kernel.tensors() if kernel else {}), folder / HEAD)
    (folder / FORMS).write_bytes(msgspec.json.encode(forms))
