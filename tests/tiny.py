"""A tiny random base model and a dataset folder in seconds: real libraries, nothing pretrained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.core.contract import Contract
from tasks.core.task import Task, save
from tasks.core.template import Template

CHAT = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
MIXER = {"mamba_num_heads": 4, "mamba_head_dim": 12, "ssm_state_size": 8, "n_groups": 2}
COLOURS = {"apple": "red", "grass": "green", "sea": "blue"}


def base(folder: Path, *, seed: int = 0, width: int = 48, kind: str = "qwen2") -> Path:
    """Write a random two-layer model with a byte-level tokenizer that splits digits."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

    words = Tokenizer(models.BPE())
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    digits = pre_tokenizers.Digits(individual_digits=True)
    words.pre_tokenizer = pre_tokenizers.Sequence([digits, byte_level])
    words.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=360,
        special_tokens=["<|pad|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=byte_level.alphabet(),
        show_progress=False,
    )
    text = ["what colour is the apple grass sea", '{"colour": "red green blue", "n": 12}']
    words.train_from_iterator(text * 20, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, eos_token="<|im_end|>", pad_token="<|pad|>", chat_template=CHAT
    )
    torch.manual_seed(seed)
    config = AutoConfig.for_model(
        kind,
        **(MIXER if kind == "nemotron_h" else {}),
        vocab_size=384,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        initializer_range=0.3,
        pad_token_id=0,
        eos_token_id=2,
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def dataset(
    folder: Path,
    contract: Contract,
    parts: Mapping[str, Sequence[tuple[str, str]]],
    *,
    name: str = "colour-0",
) -> Path:
    """Write one task's folder: the given (prompt, answer) pairs of each part."""
    folder.mkdir(parents=True)
    for part, pairs in parts.items():
        rows = [
            {
                "id": f"{name}-{part}-{i}",
                "at": float(i),
                "group": f"g{i}",
                "prompt": prompt,
                "answer": answer,
                "weight": 1.0,
            }
            for i, (prompt, answer) in enumerate(pairs)
        ]
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{part}.parquet")
    task = Task(
        id=name,
        name="Colour",
        description="Name the colour of a thing.",
        category="classification",
        family="",
        template=Template(),
        contract=contract,
        size=len(parts["train"]),
        share=1.0,
    )
    save(folder / "task.json", task)
    return folder


def colours(folder: Path, *, rows: int = 48) -> Path:
    """A task that a tiny model learns: the colour of a thing, as JSON."""
    pairs = [
        (f"item {i}: what colour is the {thing}", f'{{"colour": "{COLOURS[thing]}"}}')
        for i in range(rows * 2)
        for thing in [list(COLOURS)[i % len(COLOURS)]]
    ]
    third = rows // 3
    rest = pairs[rows:]
    parts = {
        "train": pairs[:rows],
        "validation": rest[:third],
        "calibration": rest[third : 2 * third],
        "test": rest[2 * third :],
    }
    return dataset(folder, colour_contract(), parts)


def colour_contract() -> Contract:
    """The contract of `colours`."""
    form = {"type": "string", "enum": sorted(COLOURS.values())}
    schema = {
        "type": "object",
        "properties": {"colour": form},
        "required": ["colour"],
        "additionalProperties": False,
    }
    return Contract(kind="json", schema=schema)
