"""A kernel head: choices by likeness to the rows that were learned, in meaning and in words.

With a few hundred rows and many labels it is far better than linear heads: two prompts are alike
by the cosine of their meanings, by its square (pairs of features that go together) and by the words
they share. It keeps the meanings of its rows, a weight of each for each choice, and a weight of
each word, so that an answer costs one pass of the encoder and two small products.

A head may be a mixture of several, each of which has learned more rows than the one before; which
of them answers a prompt is drawn by a hash of it, in the shares in which they were proven.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from tasks.core.records import digest

if TYPE_CHECKING:
    import torch

PREFIX = "kernel."
BUCKETS = 8_192  # that words and pairs of words are hashed into
PARTS = ("points", "weights", "words", "rarity", "bias", "shares")  # of the saved head
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W_]+|[^\w\s]")
Floats = NDArray[np.float32]


def words_of(text: str) -> list[int]:
    """The words of a text and their pairs, as numbers of buckets."""
    words = _WORD.findall(text.lower())
    pairs = (f"{a} {b}" for a, b in pairwise(words))
    return [crc32(word.encode("utf-8", "replace")) % BUCKETS for word in (*words, *pairs)]


def rarity(rows: Sequence[Sequence[int]]) -> Floats:
    """Return how much each bucket tells.

    The logarithm of the share of rows without it [buckets].
    """
    seen = Counter(bucket for row in rows for bucket in set(row))
    weights = np.full(BUCKETS, math.log(1 + len(rows)) + 1, np.float32)
    for bucket, count in seen.items():
        weights[bucket] = math.log((1 + len(rows)) / (1 + count)) + 1
    return weights


def table(rows: Sequence[Sequence[int]], tells: Floats) -> Any:
    """Rows of words as a sparse matrix, each of length one [rows, buckets]."""
    from scipy.sparse import csr_matrix
    from sklearn.preprocessing import normalize

    counts = [Counter(row) for row in rows]
    at = np.cumsum([0, *map(len, counts)])
    columns = np.array([bucket for count in counts for bucket in count], np.int32)
    times = np.array([n for count in counts for n in count.values()], np.float32)
    values = (1 + np.log(times)) * tells[columns] if len(columns) else times
    return normalize(csr_matrix((values, columns, at), shape=(len(rows), BUCKETS)))


def unit(points: Floats) -> Floats:
    """Points brought to length one."""
    sizes = np.linalg.norm(points, axis=1, keepdims=True)
    return np.asarray(points / np.maximum(sizes, 1e-6), np.float32)


def cosine(a: Floats, b: Floats) -> Floats:
    """Return how alike meanings are, with the pairs of features that go together [a, b]."""
    product = a @ b.T
    return np.asarray(product + product**2, np.float32)


class KernelHead:
    """The learned heads, by choice: weights of the learned rows, of words, and what is usual.

    The columns of all heads stand beside each other. `shares` are those of the prompts that each
    answers.
    """

    def __init__(self, parts: Mapping[str, torch.Tensor]) -> None:
        tensors = {"shares": parts["bias"].new_ones(1), **parts}  # one head, as of old
        self._parts = {name: tensors[name].half() for name in PARTS if name != "shares"}
        self._parts["shares"] = tensors["shares"].float()
        self._points, self._weights, self._words, self._tells, self._bias, shares = (
            part.float().cpu().numpy() for part in self._parts.values()
        )
        self._limits = np.cumsum(shares)

    @classmethod
    def of(cls, saved: Mapping[str, torch.Tensor]) -> KernelHead | None:
        """The head among the tensors of an adapter, if it has one."""
        own = {k.removeprefix(PREFIX): v for k, v in saved.items() if k.startswith(PREFIX)}
        return cls(own) if own else None

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return what is saved."""
        return {f"{PREFIX}{name}": part for name, part in self._parts.items()}

    def drawn(self, prompt: str) -> int:
        """Return which of the heads answers a prompt."""
        if len(self._limits) == 1:
            return 0
        point = int(digest(prompt, "head", length=8), 16) / 16**8 * self._limits[-1]
        return int(np.searchsorted(self._limits[:-1], point, side="right"))

    def __call__(
        self, points: Floats, rows: Sequence[Sequence[int]], heads: Sequence[int] | None = None
    ) -> Floats:
        """The logits of all choices, for prompts' meanings and words [rows, choices].

        `heads` says which of the heads answers each row: the last one, unless it is told.
        """
        meant = cosine(unit(points), self._points) @ self._weights
        by_words = table(rows, self._tells) @ self._words
        every = (meant + by_words + self._bias).reshape(len(rows), len(self._limits), -1)
        chosen = [len(self._limits) - 1] * len(rows) if heads is None else heads
        return np.asarray(every[np.arange(len(rows)), chosen], np.float32)
