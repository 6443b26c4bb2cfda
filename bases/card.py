"""Writes the model card of a base: what it is, how it was made, what it was measured to do.

    python -m bases.card --base bases/nano --n 200

Figures come from `bases.probe` and from the folder's training.jsonl; nothing is typed in by hand.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from bases import probe

CARD = """\
---
license: apache-2.0
language: en
pipeline_tag: text-generation
library_name: transformers
---
# nano: a small base for LoRA students

A Qwen2-type causal language model with {million} million parameters ({layers} layers, width
{hidden}, {heads} heads of {head}, {vocab} tokens, tied embeddings, bfloat16, {megabytes} MB). It
knows no facts and holds no conversation. It has learned what students of recurring tasks need
before they see their first example: to copy values exactly, to write JSON and tool calls, to read
schemas and label lists, and everyday English words. A LoRA adapter makes it a student of one task.

## How it was made
`python -m bases.pretrain {options}` on one {device} (seed {seed}): {steps} steps, {tokens} million
tokens, final loss {loss} (answers count 1, prompts {prompt}). Muon for the matrices, AdamW for the
rest, float32 master weights, warm-up, plateau and linear fall. {cycles}The log is `training.jsonl`.

The training text is synthetic (`bases/synth.py`): random schemas, made-up values, an English
lexicon written for this project (`bases/lexicon/`), and the name and word lists of Faker (MIT). No
logs and no data sets of anybody are in it.

## What it can do without any adapter
Exact match on {n} unseen synthetic chats of each kind, greedy, seed {probe_seed}, Wilson intervals
(`python -m bases.probe`). These chats come from the generator that it was trained on, with other
seeds: the table shows that the skills were learned, not how well they carry over. `recurring` asks
for schemas that were seen in training, with new values.

{table}

## Limits
- English only, and a vocabulary of everyday words; rare words are spelled in pieces.
- Trained on chats of up to {width} tokens. It takes {positions}, but has not seen longer ones.
- No arithmetic, no knowledge, no safety training: it needs an adapter, a contract and a threshold.
- Text is normalised to NFC by the tokenizer, as every Qwen2-type tokenizer does.

## Prompt format
`<|system|>`, `<|user|>`, `<|assistant|>`, `<|tool|>`, each one token, each turn closed by `<|end|>`
(end of sequence). Use the chat template: it writes `< |` for `<|` inside messages, so that text
cannot forge a role. Text that is fed to the tokenizer without the template has no such protection.

## Licence
Apache-2.0, weights and training text alike.
"""


def facts(folder: Path) -> dict[str, Any]:
    """What the folder says about itself."""
    from safetensors import safe_open

    config = json.loads((folder / "config.json").read_text())
    log = [json.loads(row) for row in (folder / "training.jsonl").read_text().splitlines()]
    made, last = log[0]["config"], log[-1]
    with safe_open(folder / "model.safetensors", "pt") as file:
        shapes = [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118 (no dict)
    count = sum(a * b for a, b in ((s[0], s[1] if len(s) > 1 else 1) for s in shapes))
    tail = [row["loss"] for row in log[-10:]]
    rates = [row["lr"] for row in log[1:]]
    ends = [log[i]["step"] + 1 for i in range(1, len(rates)) if rates[i] > 4 * rates[i - 1] > 0]
    heads = config["num_attention_heads"]
    return {
        "million": f"{count / 1e6:.1f}",
        "layers": config["num_hidden_layers"],
        "hidden": config["hidden_size"],
        "heads": heads,
        "head": config["hidden_size"] // heads,
        "vocab": f"{config['vocab_size']:,}",
        "megabytes": f"{(folder / 'model.safetensors').stat().st_size / 1e6:.0f}",
        "positions": f"{config['max_position_embeddings']:,}",
        "options": f"--steps {made['steps']} --seed {made['seed']}",
        "device": "CPU thread" if log[0]["device"] == "cpu" else "GPU",
        "seed": made["seed"],
        "steps": f"{last['step'] + 1:,}",
        "tokens": f"{last['tokens'] / 1e6:.1f}",
        "loss": f"{sum(tail) / len(tail):.2f}",
        "width": 2 * made["width"],
        "cycles": "".join(
            f"A first run ended after `--steps {n}` and was gone on with. " for n in ends
        ),
    }


def write(folder: Path, n: int, seed: int = probe.UNSEEN) -> str:
    """Measure the base and write its card; returns the card."""
    from bases.batches import PROMPT_WEIGHT

    table = probe.rendered(probe.measure(folder, n, seed))
    known = facts(folder)
    text = CARD.format(**known, prompt=PROMPT_WEIGHT, n=n, probe_seed=seed, table=table)
    part = folder / ".README.md.part"
    part.write_text(text)
    part.replace(folder / "README.md")
    return text


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", type=Path, default=Path("bases/nano"))
    parser.add_argument("--n", type=int, default=200, help="chats of each kind")
    args = parser.parse_args()
    print(write(args.base, args.n))


if __name__ == "__main__":
    main()
