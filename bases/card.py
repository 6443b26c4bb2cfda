"""Writes the model card of a base: what it is, how it was made, what it was measured to do.

    python -m benchmarks.students --rungs causal --sets snips_nlu wnut17 > students.txt
    python -m bases.card --base bases/nano --n 200 --after students.txt

Figures come from `bases.probe`, from the folder's training.jsonl and from what
`benchmarks.students` printed; nothing is typed in by hand.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

from bases import probe
from bases.pretrain import runs
from bases.trainer import Config

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
On one {device}, {tokens} million tokens:

{runs}

Answers count 1, prompts {prompt}. Muon for the matrices, AdamW for the rest, float32 master
weights, warm-up, plateau and linear fall. The log is `training.jsonl`.

The training text is synthetic (`bases/synth.py`): random schemas, made-up values, an English
lexicon written for this project (`bases/lexicon/`), the name and word lists of Faker (MIT), and the
most frequent words of all-MiniLM-L6-v2 (Apache-2.0) in groups of like meaning. The embeddings of
these words began with that model's (`bases/meanings.py`). No logs and no data sets of anybody are
in it. 
## What it can do without any adapter
Exact match on {n} unseen synthetic chats of each kind, greedy, seed {probe_seed}, Wilson intervals
(`python -m bases.probe`). These chats come from the generator that it was trained on, with other
seeds: the table shows that the skills were learned, not how well they carry over. `recurring` asks
for schemas that were seen in training, with new values.

{table}

## What it can do with one
Real tasks; LoRA on the earliest 60 % of the calls, agreement with the recorded answers of later
ones, Wilson intervals (the sets are not in the repository):

    python -m benchmarks.students {command}

{after}

## Limits
- English only, and a vocabulary of common words; rare words are spelled in pieces.
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


def told(rows: Sequence[dict[str, Any]]) -> str:
    """One run: how it was started, how far it came, and where its rate rose again."""
    first, last = Config(), Config(**rows[0]["config"])
    own = (name for name in asdict(last) if getattr(last, name) != getattr(first, name))
    wanted = {name: getattr(last, name) for name in ("steps", "seed", *own)}
    options = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in wanted.items())
    rates = [row["lr"] for row in rows[1:]]
    ends = [rows[i]["step"] + 1 for i in range(1, len(rates)) if rates[i] > 4 * rates[i - 1] > 0]
    steps, tokens = rows[-1]["step"] + 1, rows[-1]["tokens"] / 1e6
    loss = fmean(row["loss"] for row in rows[1:][-10:])
    rose = "".join(f"; it ended at {end:,} at first, and was gone on with" for end in ends)
    begun = f"- `python -m bases.pretrain {options}`"
    return f"{begun}: {steps:,} steps, {tokens:.1f} million tokens, final loss {loss:.2f}{rose}"


def facts(folder: Path) -> dict[str, Any]:
    """Return what the folder says about itself."""
    from safetensors import safe_open

    config = json.loads((folder / "config.json").read_text())
    log = runs(folder / "training.jsonl")
    made = log[-1][0]
    with safe_open(folder / "model.safetensors", "pt") as file:
        shapes = [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118 (no dict)
    count = sum(a * b for a, b in ((s[0], s[1] if len(s) > 1 else 1) for s in shapes))
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
        "device": "CPU" if made["device"] == "cpu" else "GPU",
        "tokens": f"{sum(rows[-1]['tokens'] for rows in log) / 1e6:.1f}",
        "width": made["config"]["width"],
        "runs": "\n".join(map(told, log)),
    }


def adapted(results: Sequence[dict[str, Any]]) -> str:
    """The base without an adapter and with one, task by task."""
    head = "| task | without | with | 95 % interval | n | rows | minutes of training |"
    rows = [head, "|---|---|---|---|---|---|---|"]
    bare = {(r["set"], r["task"]): r for r in results if r["rung"] == "base without adapter"}
    for row in (r for r in results if r["rung"] == "causal" and "agreement" in r):
        interval = f"{row['low']:.2f}–{row['high']:.2f}"
        without = bare[row["set"], row["task"]]["agreement"]
        figures = f"{without:.2f} | {row['agreement']:.2f} | {interval}"
        counts = f"{row['n']:,} | {row['rows']:,} | {row['train s'] / 60:.1f}"
        rows.append(f"| {row['set']} | {figures} | {counts} |")
    return "\n".join(rows)


def write(folder: Path, n: int, after: dict[str, Any], seed: int = probe.UNSEEN) -> str:
    """Measure the base and write its card, with what its students did; returns the card."""
    from bases.batches import PROMPT_WEIGHT

    table = probe.rendered(probe.measure(folder, n, seed))
    filled = {"prompt": PROMPT_WEIGHT, "n": n, "probe_seed": seed, "table": table}
    filled |= {"after": adapted(after["results"]), "command": after["command"]}
    text = CARD.format(**facts(folder), **filled)
    part = folder / ".README.md.part"
    part.write_text(text)
    part.replace(folder / "README.md")
    return text


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", type=Path, default=Path("bases/nano"))
    parser.add_argument("--n", type=int, default=200, help="chats of each kind")
    parser.add_argument("--after", type=Path, required=True, help="benchmarks.students' output")
    args = parser.parse_args()
    last = args.after.read_text().splitlines()[-1]
    print(write(args.base, args.n, json.loads(last)))


if __name__ == "__main__":
    main()
