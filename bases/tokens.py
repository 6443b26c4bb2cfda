"""The tokenizer of the nano base: byte-level BPE, single digits, one spelling per word.

Used by `bases.pretrain`. A word has the same tokens wherever it stands (after a space, in
quotes, at the start), so that copying a value from a text into JSON is copying tokens. Only
very common short words take their space along.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROLES = ("system", "user", "assistant", "tool")
END, PAD = "<|end|>", "<|pad|>"
SPECIAL = [PAD, END, *(f"<|{role}|>" for role in ROLES)]
COMMON = """a about all an and are as at be but by can could did do does for from had has have he how i
if in is it its me my not of on one or our she should so some that the their them they this to
was we were what when where which who will with would you your""".split()
SIGNS = "#$€£¥@"
PATTERN = (
    rf"\p{{N}}| (?:{'|'.join(COMMON)})(?!\p{{L}})|\p{{L}}+(?:'(?:t|s|m|d|re|ve|ll)(?!\p{{L}}))?"
    rf"|[{SIGNS}]|[^\p{{L}}\p{{N}}{SIGNS}]+"
)
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
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
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


def load(folder: Path) -> Any:
    """The tokenizer of a saved base."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
