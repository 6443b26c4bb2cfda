"""What a person reads in the terminal while a night runs."""

from __future__ import annotations

import pytest

from flows import console
from flows.night.outcome import Outcome

WON = Outcome("route-1", 3, passed=True, reason="It answers 86% of the calls by itself.")
LOST = Outcome("extract-2", None, passed=False, reason="No threshold is certified.")


@pytest.mark.parametrize(
    ("tasks", "outcomes", "broken", "said"),
    [
        (2, [WON, LOST], [], "1 of 2 students passed"),
        (2, [WON], ["RuntimeError: no memory"],
         "1 of 2 students passed; 1 of 2 failed: RuntimeError: no memory"),
        (0, [], [], "No student passed tonight: no task was found, too few calls are alike "
         "(`cluster.min_calls` in params.yaml)"),
        (3, [], [], "No student passed tonight: of 3 tasks found, none has data to learn from yet "
         "(see `dataset` above)"),
        (3, [LOST], [], "No student passed tonight: extract-2: No threshold is certified."),
        (3, [LOST], ["KeyError: x"], "No student passed tonight: extract-2: No threshold is "
         "certified.; 1 of 2 failed: KeyError: x"),
    ],
)  # fmt: skip
def test_a_night_says_what_it_came_to(
    tasks: int, outcomes: list[Outcome], broken: list[str], said: str
) -> None:
    """How many students passed, or why there is none: never silence."""
    assert console.night(tasks, outcomes, broken) == said
