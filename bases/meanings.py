"""The words that the encoder (all-MiniLM-L6-v2, Apache-2.0) knows, and what they mean to it.

    python -m bases.meanings

writes `bases/lexicon/meanings.txt`: its most frequent words in groups of like meaning, the most
typical first. `bases.pretrain` begins a new base's embeddings with the encoder's, so that a base
tells a country from a city before it has read either.
"""

from functools import cache
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bases.wordlists import LEXICON, lines, pick

COUNT, GROUPS, LEAST = 16_000, 400, 12
UNFIT = ("nigger", "faggot", "whore", "slut", "cunt", "fuck", "nazi", "rape", "porn")
RUDE = {"shit", "bitch", "bastard", "cock", "dick", "ass", "anal", "negro", "hitler"}


@cache
def groups() -> list[list[str]]:
    """Words of like meaning together."""
    return [row.split() for row in lines("meanings.txt")]


@cache
def known() -> list[str]:
    """Every word of the groups."""
    return sorted(word for group in groups() for word in group)


def member(rng: Random, group: int) -> str:
    """A word of a group, now and then two."""
    some = groups()[group]
    return pick(rng, some) if rng.random() < 0.8 else f"{pick(rng, some)} {pick(rng, some)}"


def common(count: int) -> list[str]:
    """The encoder's most frequent words, in that order, as its vocabulary is."""
    from tasks.students.minilm import tokenizer

    rows = sorted((i, word) for word, i in tokenizer().get_vocab().items())
    plain = (w for _, w in rows if w.isascii() and w.isalpha() and len(w) > 1)
    return [w for w in plain if not w.startswith(UNFIT)][:count]


def vectors(words: list[str], width: int, seed: int) -> NDArray[np.float32]:
    """The encoder's input embeddings of words in `width` dimensions, of length one [words, width].

    Their principal components (384 at most), turned at random so that all dimensions vary alike.
    """
    from sklearn.decomposition import PCA

    from tasks.students.minilm import load_encoder, tokenizer

    table = load_encoder().embeddings.word_embeddings.weight.detach().numpy()
    places = tokenizer().get_vocab()
    most = min(width, table.shape[1])
    own = PCA(most, random_state=seed).fit(table[[places[w] for w in common(COUNT)]])
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(width, width)))[0][:most]
    found: NDArray[np.float32] = own.transform(table[[places[w] for w in words]]) @ turn
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return found.astype(np.float32)


def begin(weight: Any, tokenizer: Any, seed: int) -> None:
    """Write the encoder's vectors into an embedding's rows; a capital is one step aside."""
    import torch

    meant = set(common(COUNT))
    rows = [(i, t) for t, i in sorted(tokenizer.get_vocab().items()) if t.lower() in meant]
    found = vectors([t.lower() for _, t in rows], weight.shape[1], seed)
    aside = np.random.default_rng(seed).normal(size=weight.shape[1]) * 0.3
    capital = np.array([t[0].isupper() for _, t in rows], dtype=np.float32)[:, None]
    found += capital * (aside / np.sqrt(weight.shape[1])).astype(np.float32)
    with torch.no_grad():
        weight.mul_(2)  # all others: no word is much louder than a piece of one
        weight[[i for i, _ in rows]] = torch.from_numpy(found)


def grouped() -> list[list[str]]:
    """The groups, by spherical k-means; small and loose words of each group are left out."""
    from sklearn.cluster import KMeans

    words = [w for w in common(COUNT) if len(w) > 2]
    points = vectors(words, 256, 0)
    made = KMeans(GROUPS, n_init=1, random_state=0, max_iter=60).fit(points)
    near = (points * made.cluster_centers_[made.labels_]).sum(axis=1)
    found: list[list[str]] = [[] for _ in range(GROUPS)]
    for i in np.argsort(-near, kind="stable"):
        if words[i] not in RUDE:
            found[made.labels_[i]].append(words[i])
    return [group for group in found if len(group) >= LEAST]


def main() -> None:
    """Write the lexicon's file."""
    head = (
        f"# the encoder's {COUNT:,} most frequent words in groups of like meaning: bases.meanings"
    )
    rows = [head, *(" ".join(group) for group in sorted(grouped()))]
    (LEXICON / "meanings.txt").write_text("\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
