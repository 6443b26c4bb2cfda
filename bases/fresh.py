"""What a run of `bases.pretrain` begins with: its config, a tokenizer and a model.

The model is new, or a finished base, which may be given a wider vocabulary: a token that the base
had keeps its embedding, and a new word's is predicted from the encoder's word embeddings by a ridge
regression on the words that both know (after WECHSEL, Minixhofer et al. 2022, arXiv 2112.06598), at
the size that embeddings have there. What is no word begins as the mean of its former pieces.
"""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bases import tokens
from bases.synth import examples
from bases.wordlists import known, vocabulary
from tasks.students.encoder import CASES, case_of, load_encoder
from tasks.students.encoder import tokenizer as encoder_tokenizer


@dataclass(frozen=True, slots=True)
class Config:
    """All that decides the result of a run."""

    steps: int = 2600
    rows: int = 32
    width: int = 256
    hidden: int = 256
    layers: int = 6
    inner: int = 640
    heads: int = 4
    vocab: int = 4096
    lr: float = 2.5e-3
    muon_lr: float = 0.006
    warmup: int = 100
    decay: float = 0.4
    seed: int = 7
    texts: int = 60_000  # that the tokenizer learns from
    begin: str = ""  # a finished base to go on from, whose rate has fallen and rises again


def new_tokenizer(config: Config) -> Any:
    """BPE learned from the seed's own examples, which training does not see again, and words."""
    source = islice(examples(-config.seed), config.texts)
    texts = [" ".join([*(t for _, t in e.messages), e.answer]) for e in source]
    often = max(config.texts // 600, 1)  # so that rare everyday words are not spelled in pieces
    words = vocabulary() * often  # as often as in text, by Zipf's law
    for rank, one in enumerate(known(), 10):
        n = 10 * config.texts // rank
        words += [f"{one} " * n, f"{one.title()} " * (2 * n // 3)]
    return tokens.wrap(tokens.train(texts + words, config.vocab))


def new_model(config: Config, tokenizer: Any) -> Any:
    """A fresh Qwen2-type model."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(config.seed)
    shape = Qwen2Config(
        vocab_size=config.vocab,
        hidden_size=config.hidden,
        intermediate_size=config.inner,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.heads,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
    )
    return Qwen2ForCausalLM(shape)


def meanings(texts: list[str]) -> NDArray[np.float32]:
    """What the encoder knows of words: the mean of their pieces, and the case [texts, features]."""
    words = load_encoder().get_input_embeddings().weight.detach().numpy()
    read = encoder_tokenizer().encode_batch(texts, add_special_tokens=False)
    means = np.stack([words[r.ids].mean(0) if r.ids else np.zeros(words.shape[1]) for r in read])
    return np.hstack([means, np.eye(CASES)[[case_of(text) for text in texts]]]).astype(np.float32)


def embeddings(weights: NDArray[np.float32], old: Any, new: Any) -> NDArray[np.float32]:
    """Embeddings of the new tokenizer's tokens, from those of the old one's [tokens, width]."""
    from sklearn.linear_model import Ridge

    ids = old.get_vocab()
    names = new.convert_ids_to_tokens(range(len(new)))
    texts = [token if token in tokens.SPECIAL else new.decode([i]) for i, token in enumerate(names)]
    kept = np.array([token in ids for token in names])
    word = np.array([text.isalpha() for text in texts])
    pieces = old(texts, add_special_tokens=False)["input_ids"]
    result = np.stack([weights[some].mean(0) for some in pieces])
    result[kept] = weights[[ids[token] for token in names if token in ids]]
    meant = meanings(texts)
    guess = Ridge(1.0).fit(meant[kept & word], result[kept & word]).predict(meant[word & ~kept])
    size = np.linalg.norm(result[kept & word], axis=1).mean()
    result[word & ~kept] = guess * (size / np.linalg.norm(guess, axis=1, keepdims=True))
    return result


def transplanted(model: Any, old: Any, new: Any) -> Any:
    """The base with the embeddings of another tokenizer."""
    import torch

    weights = model.get_input_embeddings().weight.detach().float().numpy()
    model.resize_token_embeddings(len(new), mean_resizing=False)
    with torch.no_grad():
        model.get_input_embeddings().weight.copy_(torch.from_numpy(embeddings(weights, old, new)))
    return model


def fresh(config: Config) -> tuple[Any, Any]:
    """The tokenizer and the model that a run begins with."""
    if not config.begin:
        tokenizer = new_tokenizer(config)
        return tokenizer, new_model(config, tokenizer)
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(config.begin, dtype="float32")
    old = tokens.load(Path(config.begin))
    if len(old) == config.vocab:
        return old, model
    tokenizer = new_tokenizer(config)
    return tokenizer, transplanted(model, old, tokenizer)
