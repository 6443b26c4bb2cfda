"""Fit a kernel head: ridge regression whose leave-one-out answers come with it, in closed form.

What each row would have been answered by a head that had not learned it, or anything of its group,
chooses how much words count and how names of labels help, sets how sure the head is, and is kept:
it is the honest confidence of training rows (out of fold), for whoever certifies the student.

Rows that prove are learned as well, one after the other: all rows come in blocks, the first head
has learned the first of them, and each further one the blocks before (progressive validation, Blum,
Kalai and Langford 1999, COLT). Each later block is the proof of the head that had not seen it; the
student is the mixture of all heads.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.core.records import digest
from tasks.core.rows import Row
from tasks.students.answer_templates import Forms
from tasks.students.heads import FORM, Layout
from tasks.students.kernel_head import (
    PARTS,
    Floats,
    KernelHead,
    cosine,
    rarity,
    table,
    unit,
    words_of,
)
from tasks.students.minilm import tokenizer
from tasks.train import label_names
from tasks.train.encoder import Filled
from tasks.train.head_init import seen
from tasks.train.label_names import Name
from tasks.train.ridge import Solved, inverted, solved_with

BLOCKS = 4  # that prove
BASE = (0.25, 0.55)  # of the rows, that all heads learn: least and most
PROOF = 170  # rows that prove where that leaves enough to learn from
MOST = 2_000  # rows; with more, linear heads are as good and cheaper
FIELDS = 3  # choices up to which names of values help; with more they would cost too much
READ = 800  # rows that the settings are chosen on
WORDS, STIFFNESS, NAMES = (0.15, 0.4, 1.0), (0.1, 0.3), (0.0, 1.0)
TEMPERATURES = (2.0, 4.0, 6.0, 9.0, 13.0, 18.0, 25.0, 35.0)
UNSEEN = -30.0  # the logit of what a head never saw


@dataclass(frozen=True, slots=True)
class Block:
    """Rows, those of them that later heads learn, and how the encoder reads these."""

    rows: list[Row]
    kept: list[Row]
    learned: list[Filled]


@dataclass(frozen=True, slots=True)
class Fitted:
    """A head, and what each learned row would have got without its group.

    The learned rows are those of the first block. `heads` says which head of the mixture a later
    row proves, by the row's id.
    """

    head: KernelHead
    confidence: list[float]
    right: list[bool]
    heads: dict[str, int]


def blocks(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows in blocks, first what all heads learn; a group is never torn apart."""
    groups: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.group or row.id].append(row)
    base = min(max(BASE[0], 1 - PROOF / len(rows)), BASE[1])
    shares = [base, *[(1 - base) / BLOCKS] * BLOCKS]
    split: list[list[Row]] = [[] for _ in shares]
    for name in sorted(groups, key=lambda name: digest(name, "block")):
        place = min(range(len(shares)), key=lambda place: len(split[place]) / shares[place])
        split[place].extend(groups[name])
    return [block for block in split if block]


class _Rows:
    """Rows and names of values as points, words and groups."""

    def __init__(
        self,
        points: Floats,
        words: Sequence[list[int]],
        groups: Sequence[str],
        learned: Sequence[list[int]],
    ) -> None:
        """`learned` are the words of what the first head learns: they say how rare words are."""
        self.points, self.groups, self.tells = unit(points), list(groups), rarity(learned)
        self.words = table(words, self.tells)
        self.alike, self.shared = cosine(self.points, self.points), self.words @ self.words.T
        self.shared = np.asarray(self.shared.todense(), np.float32)
        self._last: tuple[tuple[int, ...], _Setting, NDArray[np.float64]] | None = None

    def inverse(self, at: Sequence[int], setting: _Setting) -> NDArray[np.float64]:
        """The inverse for some of the rows: the last one again where those are the same."""
        if self._last and self._last[:2] == (tuple(at), setting):
            return self._last[2]
        kernel = self.alike[np.ix_(at, at)] + setting.words * self.shared[np.ix_(at, at)]
        inverse = inverted(kernel, np.full(len(at), setting.stiffness))
        self._last = tuple(at), setting, inverse
        return inverse


@dataclass(frozen=True, slots=True)
class _ChoiceRows:
    """One choice's rows with their values, and the places of its values' names."""

    place: slice
    rows: list[int]
    values: list[int]
    names: list[int]
    named: list[int]


@dataclass(frozen=True, slots=True)
class _Setting:
    words: float
    stiffness: float
    names: float


def fit(model: Any, forms: Forms, parts: Sequence[Block], told: str) -> Fitted:
    """The kernel heads of a fresh model; `told` is the prompt that may describe labels.

    The first block is learned by all heads; each later one proves a head, which is the only one
    where there is none.
    """
    import torch

    layout, learned, later = Layout(forms), parts[0].learned, parts[1:]
    names = label_names.named(layout, told) if len(layout.closed) <= FIELDS else []
    every = [row for block in parts for row in block.learned]
    points = _read(model, learned, every, [row for block in parts for row in block.kept], names)
    ends = np.cumsum([len(block.learned) for block in parts])[: max(1, len(later))]
    fitted = [_choices(layout, every[:end], names, len(every)) for end in ends]
    setting = _chosen(points, max(fitted[0].values(), key=lambda c: len(set(c.values))))
    heads = [_head(points, choices, setting, len(every)) for choices in fitted]
    weights, bias = (np.concatenate([head[part] for head in heads], axis=-1) for part in (0, 1))
    shares = np.array([len(block.rows) for block in later] or [1], np.float32)
    words = setting.words * (points.words.T @ weights)
    saved = (points.points, weights, words, points.tells, bias, shares / shares.sum())
    head = KernelHead({k: torch.tensor(v) for k, v in zip(PARTS, saved, strict=True)})
    scores = heads[0][2][: len(learned)] + heads[0][1]
    proven = {row.id: place for place, block in enumerate(later) for row in block.rows}
    return Fitted(head, *_judged(layout, learned, scores), proven)


def _read(
    model: Any,
    learned: Sequence[Filled],
    every: Sequence[Filled],
    rows: Sequence[Row],
    names: Sequence[Name],
) -> _Rows:
    """All rows and names of values, as the encoder and the words see them."""
    texts = [name.text for name in names]
    read = [row.ids for row in every] + [
        encoding.ids for encoding in tokenizer().encode_batch(texts)
    ]
    named = [words_of(text) for text in texts]
    words = [row.words for row in every]
    groups = [row.group or row.id for row in rows] + [f"name {i}" for i in range(len(texts))]
    return _Rows(seen(model, read), words + named, groups, [r.words for r in learned] + named)


def _choices(
    layout: Layout, learned: Sequence[Filled], names: Sequence[Name], before: int
) -> dict[str, _ChoiceRows]:
    """Return what a head learns of each choice from the first rows.

    Names stand `before` rows further: of values that came, and of those that the prompt tells, as a
    head that is yet to be proven cannot know others.
    """
    choices = {}
    for name, place in layout.closed.items():
        rows = [i for i, row in enumerate(learned) if name in row.closed]
        values = [learned[i].closed[name] for i in rows]
        own = [
            i
            for i, one in enumerate(names)
            if one.field == name and (one.value in set(values) or one.told)
        ]
        meant = [names[i].value for i in own]
        choices[name] = _ChoiceRows(place, rows, values, [before + i for i in own], meant)
    return choices


def _head(
    rows: _Rows, choices: Mapping[str, _ChoiceRows], setting: _Setting, count: int
) -> tuple[Floats, Floats, Floats]:
    """One head: weights, bias, and what each of `count` rows gets without its group."""
    size = max(choice.place.stop for choice in choices.values())
    weights = np.zeros((len(rows.points), size), np.float32)
    bias, without = np.full(size, UNSEEN, np.float32), np.zeros((count, size), np.float32)
    for choice in choices.values():
        known = {*choice.values, *(choice.named if setting.names else ())}
        bias[choice.place.start + np.array(sorted(known), int)] = 0.0
        _fill(rows, choice, setting, weights, bias, without)
    return weights, bias, without


def _solved(all_rows: _Rows, choice: _ChoiceRows, setting: _Setting, most: int = MOST) -> Solved:
    """A choice's weights: rows first, then names."""
    rows, names = choice.rows[:most], choice.names if setting.names else []
    at = [*rows, *names]
    goals = np.zeros((len(at), choice.place.stop - choice.place.start), np.float32)
    values = [*choice.values[:most], *(choice.named if setting.names else [])]
    goals[np.arange(len(at)), values] = 1
    return solved_with(all_rows.inverse(at, setting), goals, [all_rows.groups[i] for i in at])


def _chosen(rows: _Rows, choice: _ChoiceRows) -> _Setting:
    """The setting whose answers to rows it had not learned are the most probable."""
    if len(set(choice.values)) < 2:
        return _Setting(WORDS[0], STIFFNESS[0], NAMES[0])
    values = np.array(choice.values[:READ])
    tried = [_Setting(*one) for one in product(WORDS, STIFFNESS, NAMES if choice.names else (0.0,))]

    def loss(setting: _Setting) -> float:
        without = _solved(rows, choice, setting, READ).without[: len(values)]
        return min(_loss(t * without, values) for t in TEMPERATURES)

    return min(tried, key=loss)


def _loss(logits: Floats, values: NDArray[np.int_]) -> float:
    return float(-_logprobs(logits)[np.arange(len(values)), values].mean())


def _logprobs(logits: Floats) -> Floats:
    from scipy.special import log_softmax

    return np.asarray(log_softmax(logits, axis=1))


def _fill(
    rows: _Rows,
    choice: _ChoiceRows,
    setting: _Setting,
    weights: Floats,
    bias: Floats,
    without: Floats,
) -> None:
    """Write one choice's columns of the head, and what its rows get without their groups."""
    place = choice.place
    if len(set(choice.values)) < 2:
        bias[place] = -math.log(len(rows.groups) + 1)
        bias[place.start + choice.values[0] if choice.values else place.start] = 0.0
        return
    solved, values = _solved(rows, choice, setting), np.array(choice.values)
    own = solved.without[: len(values)]
    sure = min(TEMPERATURES, key=lambda t: _loss(t * own, values))
    at = [*choice.rows, *(choice.names if setting.names else [])]
    weights[at, place] = sure * solved.weights
    kernel = rows.alike[: len(without), at] + setting.words * rows.shared[: len(without), at]
    without[:, place] = sure * kernel @ solved.weights
    without[choice.rows, place] = sure * own


def _judged(
    layout: Layout, learned: Sequence[Filled], logits: Floats
) -> tuple[list[float], list[bool]]:
    """Return how sure each row's answer is, and whether it is right."""
    logprobs = {name: _logprobs(logits[:, place]) for name, place in layout.closed.items()}
    best = {name: scores.argmax(1) for name, scores in logprobs.items()}
    sure, right = list[float](), list[bool]()
    for i, row in enumerate(learned):
        form = int(best[FORM][i])
        fits = form < len(layout.forms.forms)
        names = [FORM, *(layout.forms.forms[form].names if fits else ())]
        sure.append(float(sum(logprobs[name][i].max() for name in names)))
        right.append(row.whole and all(best[n][i] == goal for n, goal in row.closed.items()))
    return sure, right
