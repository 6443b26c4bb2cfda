"""Wrong answers in a training set, found in the manner of confident learning.

Each closed part of the answers (the label, or a field with few values) is predicted from the words
and the meaning of the prompt by a model that did not see the row: kernel ridge regression, whose
leave-one-out predictions have a closed form. Rows are dropped only where that model has learned the
task: it beats the most frequent answer by far, and is good at the rows that stay.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.core.contract import Contract, normal, structure
from tasks.core.rows import Candidate
from tasks.students.minilm import embed

MIN_ROWS = 150
ENCODED = 12_000  # rows up to which the encoder reads them, too; of more rows, words say enough
BLOCKS = 4_000, 1_500  # rows that one model is made of: with the encoder, and without
MEANING = 2.0  # weight of the encoder's kernel beside that of the words
MAX_VALUES, PER_VALUE = 200, 4
RIDGE = 1.5
RIVAL = 2.0  # a doubtful value is this many times less likely than another one,
SURE = 0.6  # ... which is at least this share of how likely it usually is for its own rows
LEARNED = 0.5  # of what the most frequent value gets wrong, the model gets this share right
GOOD = 0.85  # share of the rows that stay that it gets right

Floats = NDArray[np.float32]


def doubtful(candidates: Sequence[Candidate], contract: Contract) -> dict[int, str]:
    """The places of rows with a doubtful answer."""
    columns = _closed_columns(candidates, contract) if len(candidates) >= MIN_ROWS else []
    if not columns:
        return {}
    encoded = len(candidates) <= ENCODED
    count = -(-len(candidates) // BLOCKS[0 if encoded else 1])
    places: set[int] = set()
    for start in range(count):
        block = np.arange(start, len(candidates), count)
        kernel = _kernel([candidates[i].row.prompt for i in block.tolist()], encoded=encoded)
        for column in columns:
            wrong = _suspects(kernel, [column[place] for place in block])
            places.update(int(place) for place in block[wrong])
    return dict.fromkeys(sorted(places), "doubtful answer")


def _kernel(prompts: Sequence[str], *, encoded: bool) -> Floats:
    """Return how alike prompts are: by their words and, where asked for, by their meaning."""
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
    from sklearn.pipeline import make_pipeline

    counts = HashingVectorizer(ngram_range=(1, 2), alternate_sign=False, dtype=np.float32)
    table = make_pipeline(counts, TfidfTransformer(sublinear_tf=True)).fit_transform(prompts)
    kernel: Floats = (table @ table.T).toarray()
    if encoded:
        points = embed(prompts)
        kernel += MEANING * (points @ points.T) ** 2
    return kernel


def _closed_columns(candidates: Sequence[Candidate], contract: Contract) -> list[list[str]]:
    if contract.kind == "labels":
        return [[normal(candidate.row.answer, contract) for candidate in candidates]]
    if contract.kind != "json":
        return []
    values = [structure(candidate.row.answer) for candidate in candidates]
    keys = sorted({key for value in values if isinstance(value, dict) for key in value})
    columns = [[_plain(value, key) for value in values] for key in keys]
    return [column for column in columns if _closed(column, candidates)]


def _closed(column: Sequence[str], candidates: Sequence[Candidate]) -> bool:
    """Few values, and not copied from the prompt: a copied one needs no second opinion."""
    values = set(column)
    if not (2 <= len(values) <= MAX_VALUES and len(column) >= PER_VALUE * len(values)):
        return False
    copied = sum(value in c.row.prompt for value, c in zip(column, candidates, strict=True))
    return copied < len(candidates) / 2


def _plain(value: Any, key: str) -> str:
    field = value.get(key) if isinstance(value, dict) else None
    return field if isinstance(field, str) else repr(field)


def _suspects(kernel: Floats, column: Sequence[str]) -> NDArray[np.bool_]:
    counts = Counter(column)
    levels = sorted(counts)
    label = np.array([levels.index(value) for value in column])
    enough = np.array([counts[value] >= PER_VALUE for value in column])
    likely = _unseen(kernel, label, np.ones(len(label), dtype=bool))
    before, chance = (likely.argmax(axis=1) == label).mean(), max(counts.values()) / len(label)
    wrong: NDArray[np.bool_] = _wrong(likely, label) & enough
    if not wrong.any():
        return wrong
    # Without the suspects the model judges better, and finds the wrong rows that hid behind them.
    likely = _unseen(kernel, label, ~wrong)
    wrong |= _wrong(likely, label) & enough
    likely = _unseen(kernel, label, ~wrong)
    after = (likely.argmax(axis=1) == label)[~wrong].mean()
    trusted = before - chance >= LEARNED * (1 - chance) and after >= GOOD
    return wrong if trusted else np.zeros_like(wrong)


def _unseen(kernel: Floats, label: NDArray[np.int_], used: NDArray[np.bool_]) -> Floats:
    """Likelihoods of each value for each row, by a model of `used` rows without that row."""
    targets = np.eye(int(label.max()) + 1, dtype=np.float32)[label]
    inverse = np.linalg.inv(
        kernel[np.ix_(used, used)] + RIDGE * np.eye(int(used.sum()), dtype=np.float32)
    )
    weights = inverse @ targets[used]
    scores = kernel[:, used] @ weights
    scores[used] = targets[used] - weights / np.diag(inverse)[:, None]
    scores = np.clip(scores, 0.01, 1.0)
    return np.asarray(scores / scores.sum(axis=1, keepdims=True))


def _wrong(likely: Floats, label: NDArray[np.int_]) -> NDArray[np.bool_]:
    """Another value is as likely as its own rows usually are, and the row's own one is not."""
    own, best, rival = (
        likely[np.arange(len(label)), label],
        likely.max(axis=1),
        likely.argmax(axis=1),
    )
    usual = np.array([own[label == level].mean() for level in range(likely.shape[1])])
    sure = (best >= SURE * usual[rival]) & (own < SURE * usual[label])
    return np.asarray((rival != label) & sure & (RIVAL * own < best))
