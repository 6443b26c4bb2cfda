"""The tagger: a small encoder that finds people, places and organisations, on a CPU, in batches.

all-MiniLM-L6-v2 (installs without a model hub; the file's digest is checked) with a LoRA
adapter for token classification in `bases/tagger/adapter`, 2.7 MB. Case, which the encoder does not
see, is added as an embedding. Trained by `python -m bases.tagger.train`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.deidentify.findings import Finding
from tasks.deidentify.tagger_model import TaggerModel
from tasks.deidentify.wordlists import fold, roles, word_set
from tasks.students.minilm import CASES, case_of, load_encoder, tokenizer

ADAPTER = Path(__file__).parents[2] / "bases" / "tagger" / "adapter"
KINDS = ("PERSON", "ADDRESS", "LOCATION", "ORGANIZATION")
LABELS = ("O", *(f"{tag}-{kind}" for kind in KINDS for tag in "BI"))
LENGTHS = (16, 24, 32, 48, 64, 96, 128, 192, 256)  # tokens; longer segments are read in windows
TOKENS_PER_BATCH = 512  # as fast as more, and a single text does not wait for empty rows


def build() -> Any:
    """The model to train: encoder with new LoRA weights, case embedding and classifier."""
    import torch
    from peft import LoraConfig, get_peft_model

    encoder = load_encoder("eager")  # faster there than sdpa
    size = encoder.config.hidden_size
    case, head = torch.nn.Embedding(CASES, size), torch.nn.Linear(size, len(LABELS))
    targets = ["query", "key", "value", "dense"]
    config = LoraConfig(r=32, lora_alpha=64, lora_dropout=0.05, target_modules=targets)
    encoder = get_peft_model(encoder, config)
    torch.nn.init.zeros_(case.weight)
    return torch.nn.ModuleDict({"encoder": encoder, "case": case, "head": head})


def logits(model: Any, ids: object, mask: Any, cases: Any) -> Any:
    """Label scores of each token, while it is trained."""
    words = model["encoder"].base_model.get_input_embeddings()(ids) + model["case"](cases)
    hidden = model["encoder"](inputs_embeds=words, attention_mask=mask).last_hidden_state
    return model["head"](hidden)


@dataclass(frozen=True, slots=True)
class Encoded:
    """A window of a segment as the model reads it."""

    segment: int
    ids: list[int]
    cases: list[int]
    spans: list[tuple[int, int]]


class Tokens:
    """The encoder's tokenizer, with spans and case classes."""

    def __init__(self) -> None:
        self._tokenizer = tokenizer()

    def __call__(self, texts: Sequence[str], longest: int = LENGTHS[-1]) -> Iterator[Encoded]:
        """Windows of at most `longest` tokens, [CLS] and [SEP] included; they do not overlap."""
        for index, encoding in enumerate(self._tokenizer.encode_batch(list(texts))):
            ids, spans = encoding.ids, encoding.offsets
            text, room = texts[index], longest - 2
            for start in range(1, max(len(ids) - 1, 2), room):
                stop = min(start + room, len(ids) - 1)
                part = spans[start:stop]
                cases = [0, *(case_of(text[a:b]) for a, b in part), 0]
                window = [ids[0], *ids[start:stop], ids[-1]]
                yield Encoded(index, window, cases, [(0, 0), *part, (0, 0)])


class Tagger:
    """Findings of people, places and organisations in many segments at once."""

    def __init__(self, model: TaggerModel, threshold: float) -> None:
        self._model, self._threshold = model, threshold
        self._tokens = Tokens()

    @classmethod
    def load(cls, threshold: float, adapter: Path = ADAPTER) -> Tagger:
        """The shipped tagger. Raises Refused when a file is missing."""
        return cls(TaggerModel(adapter), threshold)

    def findings(self, texts: Sequence[str]) -> list[list[Finding]]:
        """Return what is found in each text."""
        out: list[list[Finding]] = [[] for _ in texts]
        windows = sorted(self._tokens(texts), key=lambda w: len(w.ids))
        for length, batch in batches(windows):
            for window, chances in zip(batch, self._chances(batch, length), strict=True):
                words = list(_words(texts[window.segment], window.spans, chances))
                out[window.segment] += entities(texts[window.segment], words, self._threshold)
        return out

    def _chances(self, batch: list[Encoded], length: int) -> Any:
        """Label chances of each token. The shape is fixed: a batch's other rows change nothing."""
        import torch

        rows = max(TOKENS_PER_BATCH // length, 1)
        ids, cases = (torch.zeros(rows, length, dtype=torch.long) for _ in range(2))
        mask = torch.zeros(rows, length, dtype=torch.bool)
        for row, window in enumerate(batch):
            size = len(window.ids)
            ids[row, :size] = torch.tensor(window.ids)
            cases[row, :size] = torch.tensor(window.cases)
            mask[row, :size] = True
        mask[len(batch) :, 0] = True
        with torch.inference_mode():
            scores = self._model(ids, mask, cases).float()
        return scores.softmax(-1)[: len(batch)].numpy()


def batches(windows: Sequence[Encoded]) -> Iterator[tuple[int, list[Encoded]]]:
    """Windows of similar length together, shortest first."""
    batch: list[Encoded] = []
    length = LENGTHS[0]
    for window in windows:
        needed = next(n for n in LENGTHS if n >= len(window.ids))
        if batch and (needed != length or len(batch) >= max(TOKENS_PER_BATCH // length, 1)):
            yield length, batch
            batch = []
        length = needed
        batch.append(window)
    if batch:
        yield length, batch


@dataclass(slots=True)
class Word:
    """A word or a punctuation mark, and the chance of each kind."""

    start: int
    end: int
    begins: float  # the chance that an entity begins here
    kinds: list[float]


def _words(text: str, spans: Sequence[tuple[int, int]], chances: Any) -> Iterator[Word]:
    """Word pieces put together; the first piece weighs as much as the rest."""
    word: Word | None = None
    for (start, end), row in zip(spans[1:-1], chances[1 : len(spans) - 1], strict=True):
        kinds = [float(row[1 + 2 * k] + row[2 + 2 * k]) for k in range(len(KINDS))]
        begins = float(sum(row[1 + 2 * k] for k in range(len(KINDS))))
        joined = word is not None and start == word.end and text[start].isalnum()
        if word is not None and joined and text[start - 1].isalnum():
            word.end = end
            word.kinds = [max(a, b * 0.8) for a, b in zip(word.kinds, kinds, strict=True)]
            continue
        if word is not None:
            yield word
        word = Word(start, end, begins, kinds)
    if word is not None:
        yield word


_GLUE = {
    "PERSON": re.compile(r"[ .'’-]{0,3}|, ?"),
    "ADDRESS": re.compile(r"[\s,.#/'’>|-]{0,8}"),
    "LOCATION": re.compile(r"[ .'’-]{0,3}"),
    "ORGANIZATION": re.compile(r"[ .,&'’-]{0,3}"),
}


def entities(text: str, words: Sequence[Word], threshold: float) -> Iterator[Finding]:
    """Neighbouring words of one kind as one finding."""
    open_: list[Word] = []
    kind = ""
    for word in words:
        best = max(range(len(KINDS)), key=lambda k: word.kinds[k])
        here = KINDS[best] if sum(word.kinds) >= threshold else ""
        if not any(c.isalnum() for c in text[word.start : word.end]):
            continue  # punctuation joins by what stands around it
        if open_ and (here != kind or not _follows(text, open_[-1], word, kind)):
            yield from _finding(text, open_, kind)
            open_ = []
        if here:
            open_, kind = [*open_, word], here
    if open_:
        yield from _finding(text, open_, kind)


def _follows(text: str, last: Word, word: Word, kind: str) -> bool:
    between = text[last.end : word.start]
    if not _GLUE[kind].fullmatch(between):
        return False
    sure_start = word.begins > 0.5 and kind != "ADDRESS"
    return not (sure_start and between.strip() != "" and between.strip() not in {"'", "’", "-"})


def _finding(text: str, words: Sequence[Word], kind: str) -> Iterator[Finding]:
    start, end = words[0].start, words[-1].end
    index = KINDS.index(kind)
    score = max(max(w.kinds[index] for w in words), sum(sum(w.kinds) for w in words) / len(words))
    if kind in {"LOCATION", "ORGANIZATION"}:
        lead = _LEAD.match(text, start, end)
        start = lead.end() if lead else start
    kind = "PERSON" if kind == "LOCATION" and _is_full_name(text[start:end]) else kind
    if plausible(text[start:end], kind) and not (kind == "PERSON" and _is_code(text, start, end)):
        yield Finding(start, end, kind, round(min(score, 1.0), 3), "tagger")


_LEAD = re.compile(
    r"(?:(?:the|of|in|at|to|from|major|southern|northern|eastern|western)\s+)+", re.I
)


def _is_full_name(text: str) -> bool:
    """Return whether a supposed place is a given and a family name.

    A name that is missed does harm.
    """
    words = [fold(w) for w in text.split()]
    given = {"female", "male"}
    return len(words) == 2 and roles().get(words[0]) in given and words[1] in roles()


def _is_code(text: str, start: int, end: int) -> bool:
    """Return whether a supposed name is a code in capitals in a text without them."""
    word = text[start:end]
    if not word.isupper() or " " in word or fold(word) in roles():
        return False
    around = text[:start] + text[end:]
    return not around.isupper()


def plausible(text: str, kind: str) -> bool:
    """Return whether a finding can be one: no ordinary word, code or number for a name."""
    letters = sum(c.isalpha() for c in text)
    if kind == "ADDRESS":
        return letters + sum(c.isdigit() for c in text) >= 2
    if letters < 2 or text.casefold() in word_set("ordinary"):
        return False
    if kind == "PERSON":
        return not any(c.isdigit() for c in text) and "_" not in text
    short_code = len(text) <= 4 and text.isupper() and kind == "LOCATION"
    return not (short_code and len(text) == 3)
