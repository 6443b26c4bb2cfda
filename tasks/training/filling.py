"""Filling: the encoder's students in training, from rows to an adapter with its heads.

The loss of a row is the sum over its choices: the form, each closed field, and where each copied
field begins and ends; a value that stands in several places may be copied from any of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from tasks.datasets.rows import Row
from tasks.params import Train
from tasks.students.encoder import LENGTH, load_encoder, padded, tokenizer
from tasks.students.fields import ABSENT, Field, places
from tasks.students.filler import FORM, FORMS, HEAD, Layout, pooled, scores, with_heads
from tasks.students.forms import Forms, Reader
from tasks.training.fused import fuse

if TYPE_CHECKING:
    import torch

STIFFNESS, ROUNDS = 20.0, 100  # of the linear models that closed choices begin as
MANY, GOOD = 1_000, 0.85  # rows that they are made of, and share of unseen rows they get right
Floats = NDArray[np.float32]
# Of closed choices: few examples make a student too sure of itself. Many do not, and smoothing
# then blurs which answers are right (Xia et al. 2024, arXiv 2403.14715).
SMOOTHING, FEW = 0.05, 4_000
NOTHING = (0, 0)  # the span that stands for no value: the first token is none of the text


@dataclass(frozen=True, slots=True)
class Filled:
    """A prompt as token ids and the choices that make its answer; `whole` when all are known."""

    ids: list[int]
    closed: Mapping[str, int]
    copied: Mapping[str, list[tuple[int, int]]]
    whole: bool


def filled(rows: Sequence[Row], forms: Forms, reader: Reader, longest: int) -> list[Filled]:
    """Rows as the encoder learns them; without those that are too long."""
    found = tokenizer().encode_batch([row.prompt for row in rows])
    fields = {field.name: field for field in forms.fields}
    made = [
        _filled(row, read, forms, fields, reader)
        for row, read in zip(rows, found, strict=True)
        if len(read.ids) <= min(longest, LENGTH)
    ]
    return made


def fitting(rows: Sequence[Row], longest: int) -> int:
    """How many rows the encoder can read from end to end."""
    found = tokenizer().encode_batch([row.prompt for row in rows])
    return sum(len(read.ids) <= min(longest, LENGTH) for read in found)


def _filled(
    row: Row, read: Any, forms: Forms, fields: Mapping[str, Field], reader: Reader
) -> Filled:
    form, values = reader.read(row.prompt, row.answer)
    closed, copied = {FORM: form}, dict[str, list[tuple[int, int]]]()
    names = forms.forms[form].names if form < len(forms.forms) else []
    for name in names:
        field, value = fields[name], values.get(name, ABSENT)
        if field.how == "closed":
            closed |= {name: field.values.index(value)} if value in field.values else {}
        elif value is None or value == ABSENT:
            copied[name] = [NOTHING]
        else:
            spans = [_tokens(read, span) for span in places(row.prompt, value, field.how)]
            copied |= {name: found} if (found := [s for s in spans if s]) else {}
            if name not in copied and value in field.values:
                closed[name], copied[name] = field.values.index(value), [NOTHING]
    known = len({*closed, *copied}) - 1
    return Filled(read.ids, closed, copied, whole=form < len(forms.forms) and known == len(names))


def _tokens(read: Any, span: tuple[int, int]) -> tuple[int, int] | None:
    """The first and last token of a piece of the text."""
    begin, end = span
    inside = [i for i, (a, b) in enumerate(read.offsets) if a < end and begin < b]
    return (inside[0], inside[-1]) if inside else None


def objective(
    forms: Forms, count: int
) -> Callable[[Any, Sequence[Filled]], tuple[torch.Tensor, torch.Tensor]]:
    """The loss of each row, and whether every choice of it is right; `count` rows are learned."""
    layout, smoothing = Layout(forms), SMOOTHING if count < FEW else 0.0

    def measure(model: Any, rows: Sequence[Filled]) -> tuple[torch.Tensor, torch.Tensor]:
        import torch

        ids, mask = padded([row.ids for row in rows])
        device = next(model.parameters()).device
        choices, points = scores(model, layout, ids.to(device), mask.to(device))
        total = torch.zeros(len(rows), device=device)
        right = torch.tensor([row.whole for row in rows], device=device)
        for name, logits in choices.items():
            targets = torch.tensor([row.closed.get(name, -100) for row in rows], device=device)
            loss, hit = _chosen(logits, targets, smoothing)
            total, right = total + loss, right & hit
        for name, number in layout.copied.items():
            for side in (0, 1):
                goals = _goals([row.copied.get(name, ()) for row in rows], side, ids.shape[1])
                loss, hit = _pointed(points[:, :, number, side], goals.to(device))
                total, right = total + loss / 2, right & hit
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


def _goals(spans: Sequence[Sequence[tuple[int, int]]], side: int, width: int) -> torch.Tensor:
    """The tokens that are right, row by row."""
    import torch

    goals = torch.zeros(len(spans), width, dtype=torch.bool)
    for i, found in enumerate(spans):
        goals[i, [span[side] for span in found]] = True
    return goals


def _pointed(logits: torch.Tensor, goals: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    import torch

    known = goals.any(1)
    logprobs = logits.log_softmax(1)
    best = goals.gather(1, logits.argmax(1, keepdim=True)).squeeze(1)
    loss = torch.zeros(len(goals), device=logits.device)
    reached = logprobs[known].masked_fill(~goals[known], float("-inf")).logsumexp(1)
    return loss.masked_scatter(known, -reached), ~known | best


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


def closed(forms: Forms) -> bool:
    """Whether every choice is one from a set: nothing is copied."""
    return not Layout(forms).copied


def lead(model: Any, forms: Forms, rows: Sequence[Filled], *, always: bool = False) -> bool:
    """Let closed choices begin as linear models of what the frozen encoder sees; whether all do.

    Fine-tuning from there keeps what the encoder knows, where random heads would first distort it
    (LP-FT, Kumar et al. 2022, arXiv 2202.10054). Only with many rows, and where such a model is
    good at rows that it did not see, unless `always`: of a few rows it would leave nothing to
    learn from.
    """
    import torch

    if len(rows) < MANY and not always:
        return False
    points = _seen(model, rows)
    size = float(np.sqrt((points**2).sum(1).mean()))
    choose, layout, led = model["choose"], Layout(forms), True
    for name, place in layout.closed.items():
        known = [i for i, row in enumerate(rows) if name in row.closed]
        values = np.array([rows[i].closed[name] for i in known])
        found = _linear(points[known] / size, values, 0.0 if always else GOOD)
        if found is None:
            led = False
            continue
        classes, *learned = found
        weight, bias = (part.to(choose.weight.device) for part in learned)
        with torch.no_grad():
            choose.weight[place], choose.bias[place] = 0.0, -math.log(len(rows) + 1)
            choose.weight[classes + place.start] = weight / size
            choose.bias[classes + place.start] = bias
    return led and closed(forms)


def _linear(
    points: Floats, values: NDArray[np.int_], least: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None:
    """The values that occur, and the weights and biases of a linear model of them.

    None where it gets less than the share `least` of unseen rows right.
    """
    import torch
    from sklearn.linear_model import LogisticRegression

    if not len(values):
        return None
    if len(set(values)) < 2:
        return torch.tensor(values[:1]), torch.zeros(1, points.shape[1]), torch.zeros(1)
    held = np.arange(len(values)) % 5 == 0
    linear = LogisticRegression(C=STIFFNESS, max_iter=ROUNDS)
    if least and (
        len(set(values[~held])) < 2
        or linear.fit(points[~held], values[~held]).score(points[held], values[held]) < least
    ):
        return None
    linear.fit(points, values)
    weight, bias = (torch.tensor(part).float() for part in (linear.coef_, linear.intercept_))
    if len(bias) == 1:  # of two values, scikit-learn weighs only the second
        weight, bias = torch.cat([-weight, weight]) / 2, torch.cat([-bias, bias]) / 2
    return torch.tensor(linear.classes_), weight, bias


def _seen(model: Any, rows: Sequence[Filled], batch: int = 64) -> Floats:
    """What the heads of a fresh model see of each row [rows, hidden]."""
    import torch

    encoder = model["encoder"].eval()
    result = np.zeros((len(rows), encoder.config.hidden_size), np.float32)
    order = sorted(range(len(rows)), key=lambda i: len(rows[i].ids))
    with torch.inference_mode():
        for start in range(0, len(order), batch):
            some = order[start : start + batch]
            ids, mask = (part.to(encoder.device) for part in padded([rows[i].ids for i in some]))
            result[some] = pooled(encoder, ids, mask).float().cpu().numpy()
    return result


def expect(model: Any, forms: Forms, rows: Sequence[Filled]) -> None:
    """Let each copied field begin with the chance of nothing that it has in the rows.

    Where most of many fields are empty, learning that from scratch drowns everything else.
    """
    import torch

    usual = math.log(max(1, sum(len(row.ids) for row in rows)) / max(1, len(rows)))
    with torch.no_grad():
        for name, number in Layout(forms).copied.items():
            spans = [row.copied[name] for row in rows if name in row.copied]
            empty = (sum(found == [NOTHING] for found in spans) + 0.5) / (len(spans) + 1)
            start = math.log(empty / (1 - empty)) + usual
            model["nothing"].weight[0, 2 * number : 2 * number + 2] = start


def save_heads(model: Any, forms: Forms, folder: Path) -> None:
    """Write what belongs to an adapter of the encoder."""
    from safetensors.torch import save_file

    heads = {
        name: weight.detach().float().cpu().contiguous()
        for name, weight in model.state_dict().items()
        if not name.startswith("encoder.")
    }
    save_file(heads, folder / HEAD)
    (folder / FORMS).write_bytes(msgspec.json.encode(forms))
