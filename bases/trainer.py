"""One run of pretraining: what decides it, and one step of it."""

from dataclasses import dataclass
from typing import Any

from bases import batches

EMBEDDINGS = "model.embed_tokens.weight"


@dataclass(frozen=True, slots=True)
class Config:
    """All that decides the result of a run."""

    steps: int = 6600
    rows: int = 256
    width: int = 512
    hidden: int = 256
    layers: int = 8
    inner: int = 640
    heads: int = 4
    vocab: int = 16_384
    known: int = 8000  # of the encoder's words that are tokens; the commoner half capitalised too
    lr: float = 2.5e-3
    muon_lr: float = 0.006
    embed_lr: float = 1e-3
    pull: float = 1.0  # of embeddings, back to where they began: rare words keep their meaning
    warmup: int = 100
    decay: float = 0.4
    seed: int = 11
    texts: int = 60_000  # that the tokenizer learns from
    begin: str = ""  # a finished base to warm-start from, whose rate has fallen and rises again


def rate(config: Config, step: int) -> float:
    """Warm-up, plateau, linear fall: a checkpoint on the plateau is already of use."""
    start = config.steps * (1 - config.decay)
    fall = (config.steps - step) / max(config.steps - start, 1)
    return min((step + 1) / config.warmup, 1.0, max(fall, 0.02))


class Trainer:
    """bfloat16 weights that compute, float32 copies that learn."""

    def __init__(self, config: Config, model: Any, device: str, fuse: bool = False) -> None:
        import torch

        self.config, self.device = config, device
        self.master = {
            n: p.detach().clone().float().to(device) for n, p in model.named_parameters()
        }
        self.model = model.to(device=device, dtype=torch.bfloat16)
        if fuse:  # fused eager attention: twice as fast as the SDPA kernels of the CPU
            self.model.config._attn_implementation = "eager" if device == "cpu" else "sdpa"
            self.model.model.compile(dynamic=False)
        self.embeddings = self.master[EMBEDDINGS]
        self.start = self.embeddings.clone()
        matrix = [p for n, p in self.master.items() if p.ndim == 2 and n != EMBEDDINGS]
        vector = [p for p in self.master.values() if p.ndim == 1]
        groups = [
            {"params": vector, "lr": config.lr},
            {"params": [self.embeddings], "lr": config.embed_lr, "weight_decay": 0.0},
        ]
        self.optimizers: list[Any] = [
            torch.optim.Muon(
                matrix, lr=config.muon_lr, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"
            )
            if config.muon_lr
            else torch.optim.AdamW(matrix, lr=config.lr, betas=(0.9, 0.95)),
            torch.optim.AdamW(groups, betas=(0.9, 0.95), weight_decay=0.01, fused=True),
        ]
        self.base = [group["lr"] for o in self.optimizers for group in o.param_groups]

    def loss(self, batch: batches.Batch, generator: Any) -> Any:
        """Answers count 1, prompts 0.2: a fifth of the prompt tokens is drawn, which is cheaper."""
        import torch
        from torch.nn.functional import cross_entropy

        ids = torch.from_numpy(batch.ids).to(self.device)
        weight = torch.from_numpy(batch.weight)
        take = (torch.rand(weight.shape, generator=generator) < weight).to(self.device)
        hidden = self.model.model(input_ids=ids, use_cache=False).last_hidden_state
        target = torch.roll(ids, -1, dims=1)[take]
        logits = self.model.lm_head(hidden[take])
        return cross_entropy(logits.float(), target)

    def step(self, batch: batches.Batch, number: int) -> float:
        """One update; returns the loss before it."""
        import torch

        generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + number)
        loss = self.loss(batch, generator)
        loss.backward()
        for name, weight in self.model.named_parameters():
            self.master[name].grad = weight.grad.float()
            weight.grad = None
        torch.nn.utils.clip_grad_norm_(list(self.master.values()), 1.0)
        factor = rate(self.config, number)
        groups = [g for o in self.optimizers for g in o.param_groups]
        for group, base in zip(groups, self.base, strict=True):
            group["lr"] = base * factor
        for optimizer in self.optimizers:
            optimizer.step()
        self.embeddings.lerp_(self.start, self.config.embed_lr * factor * self.config.pull)
        with torch.no_grad():
            for name, weight in self.model.named_parameters():
                weight.copy_(self.master[name])
        return float(loss.detach())

    def state(self) -> dict[str, Any]:
        """Return what a resumed run needs."""
        kept = {"master": self.master, "start": self.start}
        return {**kept, "optimizers": [o.state_dict() for o in self.optimizers]}

    def restore(self, state: dict[str, Any]) -> None:
        """Resume from a saved state."""
        import torch

        self.start.copy_(state["start"])
        with torch.no_grad():
            for name, weight in self.model.named_parameters():
                self.master[name].copy_(state["master"][name])
                weight.copy_(self.master[name])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
