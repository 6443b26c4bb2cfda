"""Trains the tagger's adapter on made-up text: half an hour on one core.

    OMP_NUM_THREADS=1 python -m bases.tagger.train --out bases/tagger/adapter

Writes the LoRA weights (PEFT safetensors), case embedding, classifier and `training.json`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from bases.tagger.languages import LOCALES
from bases.tagger.text import Example, examples
from tasks.deidentify.tagger import KINDS, LABELS, Encoded, Tokens, build, logits

IGNORED = -100
LENGTH = 128


def labels(window: Encoded, example: Example) -> list[int]:
    """The label of each token of a window."""
    out = []
    spans = sorted(example.spans)
    for start, end in window.spans:
        label = IGNORED if start == end else 0
        for a, b, kind in spans:
            if start < b and a < end:
                label = 1 + 2 * KINDS.index(kind) + (start > a)
        out.append(label)
    return out


def windows(
    seed: int, count: int, tokens: Tokens, languages: Sequence[str] = ("en",)
) -> list[tuple[Encoded, list[int]]]:
    """The training set, tokenised."""
    found = list(islice(examples(seed, languages), count))
    encoded = tokens([e.text for e in found], LENGTH)
    return [(w, labels(w, found[w.segment])) for w in encoded]


def batches(rows: Sequence[Any], size: int, seed: int) -> Iterator[list[Any]]:
    """Batches of about `size` tokens of similar length, in a random order."""
    from random import Random

    rng = Random(seed)
    order = sorted(rows, key=lambda r: (len(r[0].ids), rng.random()))
    made: list[list[Any]] = [[]]
    for row in order:
        if made[-1] and (len(made[-1]) + 1) * len(row[0].ids) > size:
            made.append([])
        made[-1].append(row)
    rng.shuffle(made)
    yield from made


def step(model: Any, batch: list[tuple[Encoded, list[int]]]) -> Any:
    """The loss of a batch."""
    import torch

    longest = max(len(w.ids) for w, _ in batch)
    ids, mask, cases = (torch.zeros(len(batch), longest, dtype=torch.long) for _ in range(3))
    gold = torch.full((len(batch), longest), IGNORED)
    for row, (window, wanted) in enumerate(batch):
        size = len(window.ids)
        ids[row, :size], cases[row, :size] = torch.tensor(window.ids), torch.tensor(window.cases)
        mask[row, :size], gold[row, :size] = 1, torch.tensor(wanted)
    scores = logits(model, ids, mask.bfloat16(), cases)
    return torch.nn.functional.cross_entropy(
        scores.float().reshape(-1, len(LABELS)), gold.reshape(-1), label_smoothing=0.02
    )


def train(args: argparse.Namespace) -> None:
    """Train and write the adapter."""
    import torch
    from safetensors.torch import save_file
    from torch.optim.lr_scheduler import OneCycleLR

    out, seed, rate = args.out, args.seed, args.rate
    torch.manual_seed(seed)
    model = build().bfloat16()  # twice as fast; the optimizer keeps exact copies
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0  # one pass over fresh text: nothing to overfit
    model.train()
    rows = windows(seed, args.examples, Tokens(), args.languages)
    plan = [b for epoch in range(args.epochs) for b in batches(rows, args.batch, seed + epoch)]
    weights = [p for p in model.parameters() if p.requires_grad]
    exact = [p.detach().float().clone() for p in weights]
    optimizer = torch.optim.AdamW(exact, lr=rate, weight_decay=0.01)
    schedule = OneCycleLR(
        optimizer, rate, total_steps=len(plan), pct_start=0.06, anneal_strategy="cos"
    )
    losses, began = [], time.monotonic()
    for number, batch in enumerate(plan, 1):
        loss = step(model, batch)
        loss.backward()
        for weight, copy in zip(weights, exact, strict=True):
            copy.grad, weight.grad = weight.grad.float(), None
        torch.nn.utils.clip_grad_norm_(exact, 1.0)
        optimizer.step()
        schedule.step()
        for weight, copy in zip(weights, exact, strict=True):
            weight.data.copy_(copy)
        losses.append(loss.item())
        if number % 50 == 0 or number == len(plan):
            mean = sum(losses[-50:]) / len(losses[-50:])
            print(
                f"{number}/{len(plan)} loss {mean:.4f} {time.monotonic() - began:.0f} s", flush=True
            )
    out.mkdir(parents=True, exist_ok=True)
    for config in model["encoder"].peft_config.values():
        config.base_model_name_or_path = "sentence-transformers/all-MiniLM-L6-v2"  # no local path
    model["encoder"].half().save_pretrained(out)
    (out / "README.md").unlink(missing_ok=True)
    head = {f"head.{k}": v.half() for k, v in model["head"].state_dict().items()}
    save_file(
        {**head, "case.weight": model["case"].weight.detach().half()}, out / "head.safetensors"
    )
    shown = {k: v for k, v in vars(args).items() if k != "out"} | {"labels": LABELS}
    report = shown | {"seconds": round(time.monotonic() - began), "losses": losses[::20]}
    (out / "training.json").write_text(json.dumps(report))


def main() -> None:
    """Train from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--examples", type=int, default=80_000)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1_024, help="tokens")
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--languages", nargs="+", default=[*LOCALES, "en", "en"])
    train(parser.parse_args())


if __name__ == "__main__":
    main()
