"""A team: the processes that train one student together, started by `accelerate launch`.

Every process sees the same batches, takes its share of each, and gets the same sums back: so all
take the same step and the same decisions, and only the main one writes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import torch

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Team:
    """The processes of a training, which one this is, and what they reduce with.

    A team of one, the default, passes everything through.
    """

    size: int = 1
    place: int = 0
    state: Any = None

    @property
    def main(self) -> bool:
        """Return whether this process writes and tells for all."""
        return self.place == 0

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """Return what this process does of a list.

        Empty when there are fewer items than processes.
        """
        return items[self.place :: self.size]

    def sum(self, part: torch.Tensor) -> torch.Tensor:
        """The sum over all processes, the same bits in each."""
        if self.size == 1:
            return part
        from accelerate.utils import reduce

        whole: torch.Tensor = reduce(part.to(self.state.device), "sum").to(part.device)
        return whole

    def any(self, mine: bool) -> bool:
        """Return whether it is so in any process: what each decides by its own clock, all do."""
        import torch

        return bool(self.sum(torch.tensor(float(mine))) > 0)

    def wait(self) -> None:
        """Go on when all are here."""
        if self.size > 1:
            self.state.wait_for_everyone()


def joined() -> Team:
    """The team that `accelerate launch` made this process a part of, or this process alone.

    On GPUs each process takes its own.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return Team()
    import torch
    from accelerate import PartialState

    state = PartialState(cpu=not torch.cuda.is_available())
    return Team(state.num_processes, state.process_index, state)
