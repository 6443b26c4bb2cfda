"""Adapters: the folder that a training leaves, its digest, and the student that it makes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from tasks.core.records import digest
from tasks.core.stage import Refused
from tasks.students.causal import ADAPTER_FILES, Student, adapter_base, base_digest, base_path
from tasks.students.encoder import FORMS, HEAD, EncoderStudent
from tasks.students.minilm import DIGEST, NAME

Kind = Literal["encoder", "causal"]
FILES: dict[Kind, tuple[str, ...]] = {
    "causal": ADAPTER_FILES,
    "encoder": (*ADAPTER_FILES, FORMS, HEAD),
}


def kind_of(adapter: Path) -> Kind:
    """Return whether an adapter belongs to the encoder or to a causal base model."""
    config = json.loads((adapter / ADAPTER_FILES[0]).read_text())
    return "encoder" if config.get("base_model_name_or_path") == NAME else "causal"


def stale(adapter: Path, base: str) -> bool:
    """Return whether an adapter is of another base than `base`, or than the encoder.

    Where the base is not on this machine nobody knows, and it is not.
    """
    config = json.loads((adapter / ADAPTER_FILES[0]).read_text())
    if kind_of(adapter) == "encoder":
        return bool(config.get("revision", DIGEST) != DIGEST)
    try:
        wanted = base_digest(base_path(base))
    except Refused:
        return False
    return bool(config.get("revision", wanted) != wanted)


def adapter_digest(folder: Path) -> str:
    """The name of an adapter's bytes."""
    return digest(*((folder / name).read_bytes() for name in FILES[kind_of(folder)]))


def open_student(adapter: Path) -> Student | EncoderStudent:
    """The student that an adapter makes. Raises Refused when its base is not here any more."""
    if kind_of(adapter) == "encoder":
        return EncoderStudent.load(adapter)
    return Student.load(adapter_base(adapter), adapter)
