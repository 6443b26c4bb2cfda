"""What the containers of infra/ start, as processes on this machine in the containers' roles."""

from __future__ import annotations

import json
import re
from pathlib import Path


def command(dockerfile: Path) -> list[str]:
    """What an image runs."""
    joined = dockerfile.read_text().replace("\\\n", " ")
    found = re.search(r"^CMD (\[.+\])$", joined, re.MULTILINE)
    assert found, dockerfile
    words: list[str] = json.loads(found[1])
    return words


def image_name(dockerfile: Path) -> str:
    """The name that the head of a Dockerfile gives its image."""
    found = re.search(r"^#.*docker build .* -t (\S+) \.$", dockerfile.read_text(), re.MULTILINE)
    assert found, dockerfile
    return found[1]
