"""Decoding: greedy, batched, with a key-value cache, and guided where a grammar is given.

Rows of a batch read different numbers of tokens in a step: first a prompt each, then one token and
whatever the grammar forces after it. A forced token gets its raw log-probability like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Answer:
    """A student's answer, with the raw log-probability of every token (the end token too).

    The tokens of an encoder's answer are its choices, whose texts are `pieces`.
    """

    text: str
    logprobs: tuple[float, ...]
    finish_reason: str
    tokens: tuple[int, ...] = ()
    tops: tuple[tuple[tuple[int, float], ...], ...] = ()
    pieces: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ask:
    """One prompt as token ids, the grammar that its answer must match, and its longest length.

    `text` is the prompt as an encoder reads it, `head` which head of a mixture is to answer (None:
    the one that the prompt draws).
    """

    ids: list[int]
    grammar: str | None = None
    max_tokens: int = 256
    text: str = ""
    head: int | None = None


@dataclass(slots=True)
class Generation:
    """One answer while it is being written. `pending` is what the model reads next."""

    ask: Ask
    matcher: Any
    eos: int
    pending: list[int] = field(default_factory=list)
    forced: list[int] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    tops: list[tuple[tuple[int, float], ...]] = field(default_factory=list)
    position: int = 0
    finish_reason: str = ""

    def start(self) -> None:
        """Queue the prompt and what the grammar forces at once."""
        self.pending = list(self.ask.ids)
        self._force()

    def _force(self) -> None:
        """Queue the tokens that the grammar leaves no choice about."""
        room = self.ask.max_tokens - len(self.ids)
        self.forced = self.matcher.compute_ff_tokens()[: max(room, 0)] if self.matcher else []
        if self.forced:
            self.matcher.consume_tokens(self.forced)
            self.pending = self.pending + self.forced

    def take(self, logprobs: torch.Tensor, best: int, top: int) -> None:
        """Record the forced tokens, then choose the next. `logprobs` ends at the last token read.

        `best` is the most probable next token, whatever the grammar says.
        """
        self.position += len(self.pending)
        first = len(logprobs) - 1 - len(self.forced)
        for offset, token in enumerate(self.forced):
            self._record(token, logprobs[first + offset], top)
        if len(self.ids) >= self.ask.max_tokens:
            self.finish_reason = "length"
            return
        token = best if self._allowed(best) else self._guided(logprobs[-1])
        self._record(token, logprobs[-1], top)
        if token == self.eos:
            self.finish_reason = "stop"
        elif len(self.ids) >= self.ask.max_tokens:
            self.finish_reason = "length"
        else:
            self.pending = [token]
            if self.matcher:
                self.matcher.consume_token(token)
            self._force()

    def _record(self, token: int, logprobs: torch.Tensor, top: int) -> None:
        self.ids.append(token)
        self.logprobs.append(float(logprobs[token]))
        if top:
            values, ids = logprobs.topk(top)
            self.tops.append(tuple(zip(ids.tolist(), values.tolist(), strict=True)))

    def _allowed(self, token: int) -> bool:
        if self.matcher is None:
            return True
        if token == self.eos:
            return bool(self.matcher.is_accepting())
        return bool(self.matcher.validate_tokens([token]) == 1)

    def _guided(self, logprobs: torch.Tensor) -> int:
        """The most probable token that the grammar allows."""
        import numpy as np
        import torch

        if self.matcher.is_stopped():
            return self.eos
        packed = np.frombuffer(self.matcher.compute_bitmask(), dtype=np.uint8)
        mask = torch.from_numpy(np.unpackbits(packed, bitorder="little")[: len(logprobs)])
        allowed = mask.bool().to(logprobs.device)
        return int(logprobs.masked_fill(~allowed, float("-inf")).argmax())


def write(model: Any, rows: list[Generation], pad: int, top: int) -> None:
    """Run the model over all rows until each has finished.

    Rows read different numbers of tokens in a step, so every step is padded on the left and the
    padding stays masked in the cache. Finished rows leave when they are half of the batch.
    """
    import torch
    from transformers import DynamicCache

    cache = DynamicCache(config=model.config)
    seen = torch.zeros(len(rows), 0, dtype=torch.long)
    with torch.inference_mode():
        while True:
            width = max(len(row.pending) for row in rows)
            ids, mask, positions = _left_padded(rows, width, pad)
            seen = torch.cat([seen, mask], dim=1)
            logits = model(
                input_ids=ids.to(model.device),
                attention_mask=seen.to(model.device),
                position_ids=positions.to(model.device),
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1 + max(len(row.forced) for row in rows),
            ).logits
            logprobs = logits.float().log_softmax(-1).cpu()
            best = logprobs[:, -1].argmax(-1).tolist()
            for row, scores, token in zip(rows, logprobs, best, strict=True):
                if not row.finish_reason:
                    row.take(scores, token, top)
            left = [i for i, row in enumerate(rows) if not row.finish_reason]
            if not left:
                return
            if 2 * len(left) <= len(rows):
                rows, seen = [rows[i] for i in left], seen[left]
                cache.batch_select_indices(torch.tensor(left, device=model.device))


def _left_padded(
    rows: Sequence[Generation], width: int, pad: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Token ids, mask and positions of what the rows read next."""
    import torch

    ids, mask, positions = [], [], []
    for row in rows:
        tokens = [] if row.finish_reason else row.pending
        empty = width - len(tokens)
        ids.append([pad] * empty + tokens)
        mask.append([0] * empty + [1] * len(tokens))
        positions.append([0] * empty + [row.position + i for i in range(len(tokens))])
    return torch.tensor(ids), torch.tensor(mask), torch.tensor(positions)
