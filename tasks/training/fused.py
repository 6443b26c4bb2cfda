"""Fused: the same sums in fewer passes over memory, for training small models on a CPU.

At a few million parameters an activation costs as much to read as to multiply, so PEFT's separate
multiply, scale and add, and the seven steps of a root-mean-square norm, cost more than the
matrices. On the bundled base this trains 1.6 times as many tokens a second; the results are the
same up to rounding.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

_NORMS = ("Qwen2RMSNorm", "Qwen3RMSNorm", "LlamaRMSNorm")  # those that scale by the plain weight


def fuse(model: Any) -> None:
    """Give a PEFT model's LoRA layers and norms their fused forms.

    Layers with DoRA stay, and those whose weights are packed bits or lie on their side (GPT-2).
    """
    for module in model.modules():
        if type(module).__name__ in _NORMS:
            module.forward = partial(_norm, module)
        elif (
            "default" in getattr(module, "lora_A", ())
            and not module.use_dora["default"]
            and module.base_layer.weight.is_floating_point()
            and not module.fan_in_fan_out
        ):
            module.forward = partial(_adapted, module)


def _adapted(layer: Any, x: torch.Tensor) -> torch.Tensor:
    """One multiplication with W + scale · B · A, which is far smaller than the activations."""
    import torch
    from torch.nn import functional

    down, up = (part["default"].weight for part in (layer.lora_A, layer.lora_B))
    base = layer.base_layer
    weight = torch.addmm(base.weight, up, down, alpha=layer.scaling["default"])
    return functional.linear(x, weight, base.bias)


def _norm(norm: Any, x: torch.Tensor) -> torch.Tensor:
    from torch.nn import functional

    return functional.rms_norm(x, (x.shape[-1],), norm.weight, norm.variance_epsilon)
