"""Optimizers: what moves the weights, and how fast at each step."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from tasks.core.params import Train

if TYPE_CHECKING:
    import torch


def optimizers(
    named: Iterable[tuple[str, torch.Tensor]], params: Train
) -> list[torch.optim.Optimizer]:
    """Adam for all weights or, with `params.muon`, Muon for the adapter's matrices.

    Muon (Jordan et al. 2024) makes every direction of a step equally long. Scaled to steps as
    large as Adam's (Liu et al. 2025, arXiv 2502.16982), it takes Adam's rate.
    """
    import torch

    rest, matrices = list[torch.Tensor](), list[torch.Tensor]()
    for name, weight in named:
        (matrices if params.muon and "lora_" in name and weight.ndim == 2 else rest).append(weight)
    result: list[torch.optim.Optimizer] = []
    if matrices:
        muon = torch.optim.Muon(
            matrices, lr=params.rate(), weight_decay=0.0, adjust_lr_fn="match_rms_adamw"
        )
        result.append(muon)
    if rest:
        adam = torch.optim.AdamW(
            rest, lr=params.rate(), betas=(0.9, 0.99), weight_decay=0.0, fused=True
        )
        result.append(adam)
    return result


def rate(step: int, steps: int, warmup: float) -> float:
    """Linear warm-up over a share of the steps, then a cosine down to a twentieth."""
    rising = max(1, round(warmup * steps))
    if step < rising:
        return (step + 1) / rising
    done = (step - rising) / max(1, steps - rising)
    return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * done))
