"""The training loop. Weights compute in the base's type, float32 masters of them move.

What is measured and kept is a running mean of the masters: it learns sooner and knows better when
it is right (Morales-Brotons et al. 2024, arXiv 2411.18704). Batches hold rows of similar length.
The same examples, params and seed give the same weights on the same machine; a checkpoint lets a
killed training go on.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.core.params import Train
from tasks.core.training import Mark
from tasks.train.distributed import Team
from tasks.train.optimizers import optimizers, rate

if TYPE_CHECKING:
    import torch

Progress = Callable[[int, int, float], None]
Objective = Callable[[Any, Sequence[Any]], "tuple[torch.Tensor, torch.Tensor]"]
WEIGHTS = "state.pt"
MEMORY = 8  # the mean is of about the last eighth of the steps so far
PERFECT = 3  # marks in a row without a mistake: the validation rows have no more to say


class Diverged(Exception):  # noqa: N818 - it says what the loss did
    """The loss became infinite or grew far beyond where it began."""


@dataclass(slots=True)
class Run:
    """A training on its way: all that a checkpoint has to hold.

    `seconds` is what it has taken so far, `earlier` the part that former processes took.
    """

    seconds: float = 0.0
    earlier: float = 0.0
    step: int = 0
    tokens: int = 0
    losses: list[tuple[int, float]] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    best: list[torch.Tensor] = field(default_factory=list)

    @property
    def best_mark(self) -> Mark:
        """The mark to beat: most exact answers, then the lowest loss."""
        return max(self.marks, key=lambda mark: (mark.exact, -mark.loss))


class Fitter:
    """A model with an adapter, the examples it learns from and those it is measured on.

    `objective` gives the losses of examples (which have `ids`) and which of them are right.
    `fingerprint` names all that a checkpoint must have been made from to be gone on with. A `team`
    of processes shares out each batch and the validation rows; its sums are those of one process.
    """

    def __init__(
        self,
        model: Any,
        examples: Sequence[Any],
        validation: Sequence[Any],
        params: Train,
        fingerprint: str,
        objective: Objective,
        team: Team,
    ) -> None:
        self.model, self.params, self.fingerprint = model, params, fingerprint
        self.objective, self.team = objective, team
        self.examples, self.validation = examples, validation
        learned = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.names, self.weights = list(learned), list(learned.values())
        self.masters = [p.detach().float().clone() for p in self.weights]
        self.means = [master.clone() for master in self.masters]

    def fit(
        self,
        deadline: float,
        progress: Progress | None,
        checkpoint: Path | None,
        share: float = 1.0,
    ) -> Run:
        """Train until the steps (or a `share` of them), the patience or the time are used up.

        Raises Diverged.
        """
        params = self.params
        batches = -(-len(self.examples) // params.batch)
        steps = math.ceil(share * min(self._affordable(), params.epochs * batches))
        every = max(1, -(-steps // params.marks))
        moved_by = optimizers(zip(self.names, self.masters, strict=True), params)
        moving = [*self.masters, *self.means]
        run = _resume(checkpoint, self.fingerprint, moving, moved_by) or Run()
        began = time.monotonic() - run.earlier
        deadline -= run.earlier
        self._publish(self.masters)
        if not run.marks:
            self._mark(run)
        self.model.train()
        for batch in self._stream(run.step):
            if run.step >= steps or self._stale(run, steps):
                break
            if self.team.any(time.monotonic() > deadline):
                break
            for group in chain.from_iterable(one.param_groups for one in moved_by):
                group["lr"] = params.rate() * rate(run.step, steps, params.warmup)
            loss = self._step(batch, moved_by)
            run.step += 1
            self._remember(run.step)
            run.tokens += sum(len(self.examples[i].ids) for i in batch)
            run.losses.append((run.step, round(loss, 5)))
            check(run.losses, run.marks[0].loss)
            if progress and self.team.main:
                progress(run.step, steps, loss)
            if run.step % every == 0 or run.step == steps:
                self._mark(run)
                if checkpoint and self.team.main:
                    run.seconds = time.monotonic() - began
                    _keep(checkpoint, self.fingerprint, run, moving, moved_by)
        if run.marks[-1].step != run.step:
            self._mark(run)
        return run

    def _affordable(self) -> int:
        """Return how many steps the token budget pays for."""
        mean = sum(len(example.ids) for example in self.examples) / len(self.examples)
        return max(1, round(self.params.tokens / (mean * self.params.batch)))

    def _stale(self, run: Run, steps: int) -> bool:
        """Return whether the last marks brought nothing, or were perfect."""
        since = [mark for mark in run.marks if mark.step > run.best_mark.step]
        hopeless = 2 * run.marks[-1].step >= steps and run.best_mark.exact == 0
        learned = len(run.marks) > PERFECT and all(m.exact == 1 for m in run.marks[-PERFECT:])
        return hopeless or learned or len(since) >= self.params.patience

    def _stream(self, step: int) -> Iterator[list[int]]:
        """Batches of rows, epoch after epoch, from `step` on."""
        for epoch in count():
            rng = random.Random(f"{self.params.seed} {epoch}")
            stream = batches(self.examples, self.params.batch, rng)
            skipped = min(step, len(stream))
            step -= skipped
            yield from stream[skipped:]

    def _step(self, batch: Sequence[int], moved_by: Sequence[torch.optim.Optimizer]) -> float:
        import torch

        mine = [self.examples[i] for i in self.team.share(batch)]
        losses = self.objective(self.model, mine)[0] if mine else torch.zeros(0)
        terms = self.team.sum(torch.tensor(float(len(losses))))
        loss = losses.sum() / terms.to(losses.device)
        if mine:
            loss.backward()  # type: ignore[no-untyped-call]  # torch types it not
        for master, weight in zip(self.masters, self.weights, strict=True):
            master.grad = weight.grad.float() if weight.grad is not None else None
            weight.grad = None
        self._pool()
        torch.nn.utils.clip_grad_norm_(self.masters, 1.0)
        for optimizer in moved_by:
            optimizer.step()
        self._publish(self.masters)
        return float(self.team.sum(loss.detach()))

    def _pool(self) -> None:
        """Give each master the sum of its gradients over the team, all in one message."""
        import torch

        if self.team.size == 1:
            return
        parts = [m.grad if m.grad is not None else torch.zeros_like(m) for m in self.masters]
        whole = self.team.sum(torch.cat([part.flatten() for part in parts]))
        sums = torch.split(whole, [part.numel() for part in parts])
        for master, total in zip(self.masters, sums, strict=True):
            master.grad = total.view_as(master)

    def _remember(self, step: int) -> None:
        """Move the means: their memory grows with the steps (Karras et al. 2024, 2312.02696)."""
        import torch

        torch._foreach_lerp_(self.means, self.masters, min(1.0, MEMORY / step))

    def _publish(self, values: Sequence[torch.Tensor]) -> None:
        """Copy the masters or their means into the weights that compute."""
        import torch

        with torch.no_grad():
            torch._foreach_copy_(self.weights, list(values))

    def _mark(self, run: Run) -> None:
        """Measure the means on the validation rows; keep them when they are the best so far."""
        import torch

        self.model.eval()
        self._publish(self.means)
        mine = self.team.share(sorted(self.validation, key=lambda example: len(example.ids)))
        sums = torch.zeros(3, dtype=torch.float64)  # of the losses, their number, the exact answers
        with torch.inference_mode():
            for start in range(0, len(mine), 32):
                losses, right = self.objective(self.model, mine[start : start + 32])
                sums += torch.tensor([float(losses.sum()), len(losses), int(right.sum())])
        total, terms, exact = self.team.sum(sums).tolist()
        rows = len(self.validation)
        mark = Mark(step=run.step, loss=round(total / terms, 5), exact=round(exact / rows, 4))
        run.marks.append(mark)
        if run.best_mark is mark:
            run.best = [weight.detach().clone() for weight in self.weights]
        self._publish(self.masters)
        self.model.train()

    def restore(self, run: Run) -> None:
        """Put the best weights back into the model."""
        self._publish(run.best)


def batches(examples: Sequence[Any], size: int, rng: random.Random) -> list[list[int]]:
    """All examples once, by index, in batches of similar length and random order."""
    order = list(range(len(examples)))
    rng.shuffle(order)
    pools = [order[i : i + 8 * size] for i in range(0, len(order), 8 * size)]
    order = [i for pool in pools for i in sorted(pool, key=lambda i: len(examples[i].ids))]
    result = [order[i : i + size] for i in range(0, len(order), size)]
    rng.shuffle(result)
    return result


def check(losses: Sequence[tuple[int, float]], before: float) -> None:
    """Raise Diverged when the last loss is infinite, or the last ten are far above `before`."""
    step, last = losses[-1]
    if not math.isfinite(last):
        raise Diverged(f"the loss was {last} at step {step}")
    if len(losses) >= 20:
        now = sum(loss for _, loss in losses[-10:]) / 10
        if now > 1.5 * before + 1:
            raise Diverged(f"the loss rose from {before:.2f} to {now:.2f} by step {step}")


def _keep(
    folder: Path,
    fingerprint: str,
    run: Run,
    masters: Sequence[torch.Tensor],
    optimizers: Sequence[torch.optim.Optimizer],
) -> None:
    """Write a checkpoint."""
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    state = {
        "fingerprint": fingerprint,
        "run": asdict(run),
        "masters": list(masters),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
    }
    torch.save(state, folder / f".{WEIGHTS}")
    (folder / f".{WEIGHTS}").replace(folder / WEIGHTS)


def _resume(
    folder: Path | None,
    fingerprint: str,
    masters: Sequence[torch.Tensor],
    optimizers: Sequence[torch.optim.Optimizer],
) -> Run | None:
    """Read a checkpoint of the same training, or nothing."""
    import torch

    if folder is None or not (folder / WEIGHTS).exists():
        return None
    state = torch.load(folder / WEIGHTS, weights_only=True)
    if state["fingerprint"] != fingerprint:
        return None  # of other rows or params
    for master, saved in zip(masters, state["masters"], strict=True):
        master.copy_(saved)
    for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    run = Run(**state["run"])
    run.earlier = run.seconds
    run.marks = [Mark(**mark) for mark in run.marks]  # type: ignore[arg-type]
    return run
