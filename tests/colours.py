"""A student that names colours, trained in a second, and a teacher that knows one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import students
import tiny

from tasks.core.params import Train
from tasks.core.task import Task
from tasks.core.template import Pattern, Slot, Template, form_of, toolset
from tasks.train.train import train

PROMPT = "item 3: what colour is the apple"


def subject(name: str) -> Task:
    """A task whose calls begin with its name, and are about colours."""
    asks = Pattern((f"{name}: ", ""), (Slot(name="message"),))
    forms = {"tools": (toolset({}),), "formats": (form_of({}),)}
    template = Template(first=(asks,), **forms)
    return students.task(name, template=template, contract=students.COLOUR)


def call(name: str) -> dict[str, Any]:
    return {"model": "large", "messages": [{"role": "user", "content": f"{name}: {PROMPT}"}]}


def trained(folder: Path) -> Path:
    """A tiny base in `tiny`, and in `trained` a student of the encoder that names colours."""
    tiny.base(folder / "tiny")
    things = list(tiny.COLOURS)
    pairs = [(f"item {i}: what colour is the {things[i % 3]}", i % 3) for i in range(60)]
    rows = [(prompt, tiny.COLOURS[things[n]]) for prompt, n in pairs]
    parts = {"train": rows[:42], "validation": rows[42:48], "test": rows[54:]}
    data = tiny.dataset(folder / "data", students.COLOUR, parts | {"calibration": rows[48:54]})
    train(data, folder / "trained", Train(epochs=1), rung="linear")
    return folder


def large(request: httpx.Request) -> httpx.Response:
    """A teacher that knows one colour."""
    choice = {"message": {"role": "assistant", "content": "red"}, "finish_reason": "stop"}
    return httpx.Response(200, json={"model": "large", "choices": [choice]})
