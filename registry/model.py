"""A registered student as MLflow loads it: a column `prompt` in, a list of answers out.

mlflow.pyfunc.load_model("models:/<task>@champion").predict(DataFrame({"prompt": [...]}))
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tasks.students.adapters import open_student

if TYPE_CHECKING:
    from pandas import DataFrame


class _Model:
    """One student, open."""

    def __init__(self, folder: Path) -> None:
        self._student = open_student(folder / "adapter")

    def predict(self, frame: DataFrame, params: dict[str, object] | None = None) -> list[str]:
        """The answers to a frame's prompts; MLflow's optional `params` are not used."""
        answers = self._student.answer(list(frame["prompt"]))
        return [answer.text for answer in answers]


def _load_pyfunc(path: str) -> _Model:
    """The name that MLflow looks for."""
    return _Model(Path(path))
