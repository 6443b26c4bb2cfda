"""The tokenizer of the nano base: byte-level BPE, single digits, one spelling per word.

Used by `bases.pretrain`. Loaders (transformers 5 for one) give every Qwen2-type model the splitting
rule of Qwen2, whatever tokenizer.json says; so this is that rule. The merges are learned on finer
pieces, which keep letters apart from the space or quote before them: a word has the same tokens
wherever it stands, and copying a value from a text into JSON is copying tokens.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROLES = ("system", "user", "assistant", "tool")
END, PAD = "<|end|>", "<|endoftext|>"  # Qwen2 loaders expect the second name to exist
SPECIAL = [PAD, END, *(f"<|{role}|>" for role in ROLES)]
QWEN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SIGNS = "#$€£¥@"
FINER = rf"'(?i:s|t|re|ve|m|ll|d)(?!\p{{L}})|\p{{L}}+|\p{{N}}|[{SIGNS}]|[^\p{{L}}\p{{N}}{SIGNS}]+"
# The replace keeps text from forging a role: "<|" inside a message becomes "< |".
TEMPLATE = """\
{%- macro safe(text) -%}{{ (text or '') | replace('<|', '< |') }}{%- endmacro -%}
{%- if tools %}{{ '<|system|>tools:' }}{% for tool in tools %}{% set f = tool.function or tool %}
{{- '\\n' }}{{ safe(f.name) }}({{ safe((f.parameters.properties or {}) | join(', ')) }})
{%- if f.description %}: {{ safe(f.description) }}{% endif %}{% endfor %}{{ '<|end|>' }}{% endif -%}
{%- for message in messages -%}
{%- if message.role not in ['system', 'user', 'assistant', 'tool'] -%}
{{ raise_exception('unknown role: ' ~ message.role) }}
{%- endif -%}
{{ '<|' ~ message.role ~ '|>' }}
{%- if message.tool_calls -%}
{{ '{"tool_calls": [' }}{% for call in message.tool_calls %}{% set f = call.function or call %}
{{- '{"name": ' }}{{ safe(f.name | tojson) }}, "arguments": {{ safe(f.arguments
if f.arguments is string else f.arguments | tojson) }}{{ '}' if loop.last else '}, ' }}
{%- endfor %}{{ ']}' }}
{%- elif message.content is string or not message.content -%}
{{ safe(message.content) }}
{%- else -%}
{% for part in message.content %}{{ safe(part.text) }}{% endfor %}
{%- endif -%}
{{ '<|end|>' }}
{%- endfor -%}
{%- if add_generation_prompt %}{{ '<|assistant|>' }}{% endif -%}
"""


def train(texts: Iterable[str], size: int) -> Any:
    """A `tokenizers.Tokenizer` learned from the texts; the same one for the same texts."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(QWEN), "isolated")
    finer = pre_tokenizers.Split(Regex(FINER), "isolated")
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, finer, byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])
    return tokenizer


def wrap(tokenizer: Any) -> Any:
    """The same as a transformers tokenizer, with the chat template."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=[f"<|{role}|>" for role in ROLES],
        chat_template=TEMPLATE,
        model_max_length=2048,
        clean_up_tokenization_spaces=False,
    )


def save(tokenizer: Any, folder: Path) -> None:
    """With a tokenizer_config.json that transformers 4 and 5 both read, so that vLLM does too."""
    tokenizer.save_pretrained(folder)
    settings = {
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
        "bos_token": None,
        "eos_token": END,
        "pad_token": PAD,
        "additional_special_tokens": [f"<|{role}|>" for role in ROLES],
        "model_max_length": 2048,
        "clean_up_tokenization_spaces": False,
    }
    text = json.dumps(settings, indent=2) + "\n"
    (folder / "tokenizer_config.json").write_text(text)


def load(folder: Path) -> Any:
    """The tokenizer of a saved base."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
