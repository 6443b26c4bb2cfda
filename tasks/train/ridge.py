"""Kernel ridge regression, with what each row would get from a head that had not learned it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.students.kernel_head import Floats


@dataclass(frozen=True, slots=True)
class Solved:
    """Weights of a head's rows, and what each row gets without its group [rows, values]."""

    weights: Floats
    without: Floats


def solve(kernel: Floats, goals: Floats, stiffness: Floats, groups: Sequence[str]) -> Solved:
    """Kernel ridge regression, and its answers without each row's own group.

    Blockwise leave-one-out in closed form (An, Liu and Venkatesh 2007, Pattern Recognition 40).
    """
    return solved_with(inverted(kernel, stiffness), goals, groups)


def inverted(kernel: Floats, stiffness: Floats) -> NDArray[np.float64]:
    """The inverse that the ridge regressions of all choices of the same rows share."""
    return np.asarray(np.linalg.inv(kernel.astype(np.float64) + np.diag(stiffness)))


def solved_with(inverse: NDArray[np.float64], goals: Floats, groups: Sequence[str]) -> Solved:
    """The regression of some goals, by the inverse that all of the same rows share."""
    weights = inverse @ goals
    without = goals - weights / np.diag(inverse)[:, None]
    members: defaultdict[str, list[int]] = defaultdict(list)
    for place, group in enumerate(groups):
        members[group].append(place)
    for same in members.values():
        if len(same) > 1:
            block = np.linalg.solve(inverse[np.ix_(same, same)], weights[same])
            without[same] = goals[same] - block
    return Solved(weights.astype(np.float32), without.astype(np.float32))
