"""Adapters: the folder that a training leaves, its digest, and the student that it makes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from tasks.records import digest
from tasks.students.encoder import NAME
from tasks.students.filler import FORMS, HEAD, EncoderStudent
from tasks.students.student import ADAPTER_FILES, Student, adapter_base

Kind = Literal["encoder", "causal"]
FILES: dict[Kind, tuple[str, ...]] = {
    "causal": ADAPTER_FILES,
    "encoder": (*ADAPTER_FILES, FORMS, HEAD),
}


def kind_of(adapter: Path) -> Kind:
    """Whether an adapter belongs to the encoder or to a causal base model."""
    config = json.loads((adapter / ADAPTER_FILES[0]).read_text())
    return "encoder" if config.get("base_model_name_or_path") == NAME else "causal"


def revision_of(adapter: Path) -> str:
    """The digest of the base that an adapter was trained on."""
    config = json.loads((adapter / ADAPTER_FILES[0]).read_text())
    return str(config.get("revision") or "")


def adapter_digest(folder: Path) -> str:
    """The name of an adapter's bytes."""
    return digest(*((folder / name).read_bytes() for name in FILES[kind_of(folder)]))


def open_student(adapter: Path) -> Student | EncoderStudent:
    """The student that an adapter makes. Raises Refused when its base is not here any more."""
    if kind_of(adapter) == "encoder":
        return EncoderStudent.load(adapter)
    return Student.load(adapter_base(adapter), adapter)
