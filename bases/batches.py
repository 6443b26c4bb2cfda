"""Synthetic chats as rows of token ids with loss weights, packed without cutting a chat.

Used by `bases.pretrain`. A block of rows depends on the seed and its number alone, so that a run
can go on after a stop where it was.
"""

import os
from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, count, islice
from typing import Any

import numpy as np

from bases.fields import Example
from bases.synth import examples

PROMPT_WEIGHT = 0.2


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of ids; `weight[r, t]` counts the prediction of token t+1 from the tokens to t."""

    ids: np.ndarray
    weight: np.ndarray
    tokens: int


def rendered(example: Example) -> tuple[str, str]:
    """Prompt and answer with role tokens, as the chat template renders them."""
    turns = "".join(
        f"<|{role}|>{text.replace('<|', '< |')}<|end|>" for role, text in example.messages
    )
    return f"{turns}<|assistant|>", f"{example.answer}<|end|>"


def encoded(tokenizer: Any, source: Iterator[Example], n: int) -> list[tuple[list[int], int]]:
    """The next `n` chats as ids, with the number of prompt tokens."""
    pairs = [rendered(example) for example in islice(source, n)]
    flat = tokenizer.encode_batch([text for pair in pairs for text in pair])
    ids = [e.ids for e in flat]
    return [(p + a, len(p)) for p, a in zip(ids[::2], ids[1::2], strict=True)]


def packed(chats: list[tuple[list[int], int]], width: int) -> list[list[tuple[list[int], int]]]:
    """Best fit, longest first: few holes and no chat cut in two."""
    rows: list[list[tuple[list[int], int]]] = []
    free: list[tuple[int, int]] = []  # room and row, the least room first
    for chat in sorted(chats, key=lambda c: -len(c[0])):
        size = len(chat[0])
        if size > width:
            continue
        at = bisect_left(free, (size, 0))
        room, row = free.pop(at) if at < len(free) else (width, len(rows))
        if row == len(rows):
            rows.append([])
        rows[row].append(chat)
        insort(free, (room - size, row))
    return rows


def block(tokenizer: Any, seed: int, number: int, rows: int, width: int, pad: int) -> list[Batch]:
    """Some six batches of `rows` rows, shuffled: short chats come after long ones else."""
    rng = np.random.default_rng([seed, number])
    source = examples(seed * 1_000_003 + number)
    table = packed(encoded(tokenizer, source, max(rows * width // 16, 64)), width)
    order = rng.permutation(len(table))
    ids = np.full((len(table), width), pad, dtype=np.int64)
    weight = np.zeros((len(table), width), dtype=np.float32)
    for r, chats in enumerate(table[i] for i in order):
        at = 0
        for i in rng.permutation(len(chats)):
            chat, prompt = chats[i]
            end = at + len(chat)
            ids[r, at:end] = chat
            weight[r, at : at + prompt - 1] = PROMPT_WEIGHT
            weight[r, at + prompt - 1 : end - 1] = 1.0
            at = end
    cut = range(0, len(table) - rows + 1, rows)
    return [
        Batch(ids[i : i + rows], weight[i : i + rows], int((ids[i : i + rows] != pad).sum()))
        for i in cut
    ]


@dataclass(frozen=True, slots=True)
class Blocks:
    """Every block by its number, for a loader's workers."""

    tokenizer: Any
    seed: int
    rows: int
    width: int
    pad: int

    def __getitem__(self, number: int) -> list[Batch]:
        return block(self.tokenizer, self.seed, number, self.rows, self.width, self.pad)


def alone(_: int) -> None:
    """A worker encodes in one thread: those of the process that it was forked from are gone."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"


def stream(blocks: Blocks, skip: int, workers: int = 0) -> Iterator[Batch]:
    """Batches without end, `skip` of them passed over; workers make blocks ahead, in order."""
    from torch.utils.data import DataLoader

    loader: DataLoader[list[Batch]] = DataLoader(
        blocks,  # type: ignore[arg-type]
        batch_size=None,
        sampler=count(),
        collate_fn=list,
        num_workers=workers,
        worker_init_fn=alone,
    )
    yield from islice(chain.from_iterable(loader), skip, None)
