"""Measures a base: exact match on unseen synthetic chats, kind by kind.

    python -m bases.probe --base bases/nano --n 50

Prints a table with Wilson intervals and, last, one line of JSON. Greedy decoding; an answer counts
when it is the expected text, character for character.
"""

import argparse
import json
import math
from itertools import islice
from pathlib import Path
from typing import Any

from bases import tokens
from bases.fields import Example
from bases.synth import MIX, examples

UNSEEN = 990_001  # pretraining draws its seeds far from here


def wilson(hits: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % interval of a share; sound for small n and near 0 and 1."""
    if n == 0:
        return 0.0, 1.0
    p, square = hits / n, z * z / n
    middle, half = p + square / 2, z * math.sqrt((p * (1 - p) + square / 4) / n)
    return max(0.0, (middle - half) / (1 + square)), min(1.0, (middle + half) / (1 + square))


def as_chat(example: Example) -> list[dict[str, str]]:
    """The messages as the chat template takes them."""
    return [{"role": role, "content": text} for role, text in example.messages]


def answers(model: Any, tokenizer: Any, asked: list[Example], longest: int = 160) -> list[str]:
    """Greedy answers for one batch, padded on the left."""
    import torch

    texts = [
        tokenizer.apply_chat_template(as_chat(e), tokenize=False, add_generation_prompt=True)
        for e in asked
    ]
    tokenizer.padding_side = "left"
    inputs = tokenizer(texts, return_tensors="pt", padding=True).to(model.device)
    with torch.inference_mode():
        out = model.generate(
            **inputs, max_new_tokens=longest, do_sample=False, pad_token_id=tokenizer.pad_token_id
        )
    fresh = out[:, inputs["input_ids"].shape[1] :]
    return [str(text) for text in tokenizer.batch_decode(fresh, skip_special_tokens=True)]


def measure(base: Path, n: int, seed: int = UNSEEN, show: int = 0) -> dict[str, tuple[int, int]]:
    """Hits and number of chats for every kind."""
    import torch
    from transformers import AutoModelForCausalLM

    tokenizer = tokens.load(base)
    model = AutoModelForCausalLM.from_pretrained(str(base), dtype=torch.bfloat16)
    model.eval().to("cuda" if torch.cuda.is_available() else "cpu")
    table: dict[str, tuple[int, int]] = {}
    for kind in (k for k in MIX if k != "bare"):  # its keys cannot be known from the prompt
        asked = sorted(islice(examples(seed, kind), n), key=lambda e: len(e.messages[-1][1]))
        got = [a for i in range(0, n, 50) for a in answers(model, tokenizer, asked[i : i + 50])]
        table[kind] = (sum(a == e.answer for a, e in zip(got, asked, strict=True)), n)
        wrong = [(e.messages[-1][1], e.answer, a) for a, e in zip(got, asked, strict=True)]
        for row in [w for w in wrong if w[1] != w[2]][:show]:
            print(kind, *(f"  {text!r}" for text in row), sep="\n")
    return table


def rendered(table: dict[str, tuple[int, int]]) -> str:
    """The table in Markdown, as the model card quotes it."""
    rows = ["| kind | exact | 95 % interval | n |", "|---|---|---|---|"]
    total = (sum(h for h, _ in table.values()), sum(n for _, n in table.values()))
    for kind, (hits, n) in {**table, "all": total}.items():
        low, high = wilson(hits, n)
        rows.append(f"| {kind} | {hits / n:.2f} | {low:.2f}–{high:.2f} | {n} |")
    return "\n".join(rows)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", type=Path, default=Path("bases/nano"))
    parser.add_argument("--n", type=int, default=50, help="chats of each kind")
    parser.add_argument("--seed", type=int, default=UNSEEN)
    parser.add_argument("--show", type=int, default=0, help="wrong answers of each kind to print")
    args = parser.parse_args()
    table = measure(args.base, args.n, args.seed, args.show)
    print(rendered(table))
    exact = {k: {"hits": h, "n": n} for k, (h, n) in table.items()}
    print(json.dumps({"base": args.base.name, "seed": args.seed, "exact": exact}))


if __name__ == "__main__":
    main()
