"""Head initialisation: what the heads of the encoder's students are before a step is made.

Random heads would first distort what the encoder knows, and drown what is rare in what is usual.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tasks.students.answer_templates import Forms
from tasks.students.heads import Layout, pooled
from tasks.students.list_slots import REST
from tasks.students.minilm import padded
from tasks.train.encoder import NOTHING, Filled

if TYPE_CHECKING:
    import torch

STIFFNESS, ROUNDS = 20.0, 100  # of the linear models that closed choices begin as
MANY, GOOD = 1_000, 0.85  # rows that they are made of, and share of unseen rows they get right
Floats = NDArray[np.float32]


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
    points = seen(model, [row.ids for row in rows])
    size = float(np.sqrt((points**2).sum(1).mean()))
    choose, layout, led = model["choose"], Layout(forms), True
    for name, place in layout.closed.items():
        usable = [i for i, row in enumerate(rows) if name in row.closed]
        values = np.array([rows[i].closed[name] for i in usable])
        solved = _linear(points[usable] / size, values, 0.0 if always else GOOD)
        if solved is None:
            led = False
            continue
        classes, *learned = solved
        weight, bias = (part.to(choose.weight.device) for part in learned)
        with torch.no_grad():
            choose.weight[place], choose.bias[place] = 0.0, -math.log(len(rows) + 1)
            choose.weight[classes + place.start] = weight / size
            choose.bias[classes + place.start] = bias
    return led and not layout.reads


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


def seen(model: Any, rows: Sequence[Sequence[int]], batch: int = 64) -> Floats:
    """Return what the heads of a fresh model see of each row of token ids [rows, hidden]."""
    import torch

    encoder = model["encoder"].eval()
    result = np.zeros((len(rows), encoder.config.hidden_size), np.float32)
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    with torch.inference_mode():
        for start in range(0, len(order), batch):
            some = order[start : start + batch]
            ids, mask = (part.to(encoder.device) for part in padded([rows[i] for i in some]))
            result[some] = pooled(encoder, ids, mask).float().cpu().numpy()
    return result


def expect(model: Any, forms: Forms, rows: Sequence[Filled]) -> None:
    """Let each copied field begin with the chance of nothing that it has in the rows, and each tag.

    Where most of many fields are empty, learning that from scratch drowns everything else.
    """
    import torch

    layout = Layout(forms)
    usual = math.log(max(1, sum(len(row.ids) for row in rows)) / max(1, len(rows)))
    with torch.no_grad():
        for name, number in layout.copied.items():
            spans = [row.copied[name] for row in rows if name in row.copied]
            empty = (sum(options == [NOTHING] for options in spans) + 0.5) / (len(spans) + 1)
            start = math.log(empty / (1 - empty)) + usual
            model["nothing"].weight[0, 2 * number : 2 * number + 2] = start
        if layout.tags:
            counts = Counter(tag for row in rows for tag in row.tags if tag != REST)
            shares = torch.tensor([counts[tag] + 0.5 for tag in range(layout.tags)])
            model["tag"].bias.copy_(shares.log() - shares.sum().log())
