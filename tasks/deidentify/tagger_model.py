"""The tagger's trained weights and its forward pass, without transformers: it starts at once.

What transformers' BertModel does for this encoder, operation by operation, so that each score has
the same bits (`tests/test_deidentify_tagger.py`); queries, keys and values are made in one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tasks.core.stage import Refused
from tasks.students.minilm import encoder_folder

if TYPE_CHECKING:
    import torch

    Weights = dict[str, torch.Tensor]


class TaggerModel:
    """Label scores of tokens, from frozen weights."""

    def __init__(self, adapter: Path) -> None:
        import torch

        fast = torch.cpu._is_avx512_bf16_supported()
        self.type = torch.bfloat16 if fast else torch.float32
        weights = {name: part.to(self.type) for name, part in _weights(adapter).items()}
        config = msgspec.json.decode((encoder_folder() / "config.json").read_bytes())
        self._heads, self._eps = config["num_attention_heads"], config["layer_norm_eps"]
        self._outer = weights
        self._layers = list(_layers(weights, config["num_hidden_layers"]))

    def __call__(self, ids: torch.Tensor, mask: torch.Tensor, cases: torch.Tensor) -> torch.Tensor:
        """Scores [rows, tokens, labels]; `mask` is true where a token is."""
        from torch.nn.functional import linear

        w = self._outer
        states = w["embeddings.word_embeddings.weight"][ids] + w["case.weight"][cases]
        states = states + w["embeddings.token_type_embeddings.weight"][0]
        states = states + w["embeddings.position_embeddings.weight"][: ids.shape[1]]
        states = self._normal(states, w, "embeddings.LayerNorm")
        for layer in self._layers:
            states = self._layer(layer, states, mask[:, None, None, :])
        return linear(states, w["head.weight"], w["head.bias"])

    def _layer(self, w: Weights, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        from torch.nn.functional import gelu, linear, scaled_dot_product_attention

        rows, tokens, size = states.shape
        parts = linear(states, w["all.weight"], w["all.bias"])
        query, key, value = parts.view(rows, tokens, 3, self._heads, size // self._heads).permute(
            2, 0, 3, 1, 4
        )
        seen = scaled_dot_product_attention(query, key, value, attn_mask=mask)
        seen = seen.transpose(1, 2).reshape(rows, tokens, size)
        seen = linear(seen, w["attention.output.dense.weight"], w["attention.output.dense.bias"])
        states = self._normal(seen + states, w, "attention.output.LayerNorm")
        inner = gelu(linear(states, w["intermediate.dense.weight"], w["intermediate.dense.bias"]))
        inner = linear(inner, w["output.dense.weight"], w["output.dense.bias"])
        return self._normal(inner + states, w, "output.LayerNorm")

    def _normal(self, states: torch.Tensor, w: Weights, name: str) -> torch.Tensor:
        from torch.nn.functional import layer_norm

        scale, shift = w[f"{name}.weight"], w[f"{name}.bias"]
        return layer_norm(states, scale.shape, scale, shift, self._eps)


def _weights(adapter: Path) -> Weights:
    """The encoder's weights with the adapter's LoRA merged as peft does, `case` and `head`."""
    from safetensors.torch import load_file

    if not (adapter / "head.safetensors").exists():
        raise Refused(f"{adapter} holds no tagger; train it: python -m bases.tagger.train")
    weights: Weights = load_file(encoder_folder() / "model.safetensors")
    config = msgspec.json.decode((adapter / "adapter_config.json").read_bytes())
    scale = config["lora_alpha"] / config["r"]
    lora = load_file(adapter / "adapter_model.safetensors")
    for name in [name for name in lora if ".lora_A." in name]:
        up, down = lora[name.replace(".lora_A.", ".lora_B.")].float(), lora[name].float()
        layer = name.removeprefix("base_model.model.").partition(".lora_A.")[0]
        weights[f"{layer}.weight"] += (up @ down) * scale
    return weights | load_file(adapter / "head.safetensors")


def _layers(weights: Weights, count: int) -> Iterator[Weights]:
    """Each layer's weights by their names inside it."""
    import torch

    for number in range(count):
        start = f"encoder.layer.{number}."
        own = {k.removeprefix(start): v for k, v in weights.items() if k.startswith(start)}
        for part in ("weight", "bias"):
            three = [own.pop(f"attention.self.{n}.{part}") for n in ("query", "key", "value")]
            own[f"all.{part}"] = torch.cat(three)
        yield own
