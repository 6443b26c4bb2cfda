"""The docs tell the truth: links lead somewhere, commands exist, params load."""

from __future__ import annotations

import re
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer.main
import yaml

from flows.cli.main import app
from serving import escalate
from tasks.core.params import Params

ROOT = Path(__file__).parents[1]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *(p for p in sorted((ROOT / "docs").rglob("*.md")) if "experiments" not in p.parts),
    *sorted((ROOT / "infra").glob("*.md")),
    *sorted((ROOT / "bases").rglob("*.md")),
]
MADE = {"docs/reference/params.md", "docs/reference/commands.md", "docs/index.md"}
CODE = re.compile(r"```(?:\w*)\n(.*?)```|`([^`\n]+)`", re.S)
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))


def code(page: Path) -> list[str]:
    """Every line of code on a page, in blocks and between backticks."""
    spans = (block or span for block, span in CODE.findall(page.read_text()))
    return [line.strip() for span in spans for line in span.splitlines()]


@each_page
def test_every_link_leads_somewhere(page: Path) -> None:
    """A relative link names a file of the repository or a page that the site makes."""
    for target in re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", page.read_text()):
        at = (page.parent / target).resolve()
        assert at.exists() or str(at.relative_to(ROOT)) in MADE, target


@each_page
def test_every_command_exists(page: Path) -> None:
    """`flywheel …`, `make …` and `python -m …` in the docs can be typed as they stand."""
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M))
    for line in code(page):
        words = line.split()
        if words[:1] == ["make"] and len(words) > 1:
            assert words[1] in targets, line
        elif words[:1] == ["flywheel"] and len(words) > 1 and words[1].isalpha():
            _typed(typer.main.get_command(app), words[1:], line)
        elif words[:2] == ["python", "-m"] and re.match(r"(benchmarks|tasks)\.[a-z]+$", words[2]):
            stem = ROOT / words[2].replace(".", "/")
            assert stem.with_suffix(".py").exists() or (stem / "__main__.py").exists(), line


def _typed(command: Any, words: list[str], line: str) -> None:
    """Follow the words of a command line into subcommands; its options must exist."""
    while hasattr(command, "commands") and words:
        assert words[0] in command.commands, line
        command, words = command.commands[words[0]], words[1:]
    known = set(chain(*(p.opts + p.secondary_opts for p in command.params)))
    options = {w.split("=")[0] for w in words if re.match(r"--[a-z]", w)}
    assert options <= known | {"--help"}, line


@each_page
def test_every_params_snippet_loads(page: Path) -> None:
    """YAML with a section of params.yaml has keys and types that `load` takes."""
    snippets = re.findall(r"```yaml\n(.*?)```", page.read_text(), re.S)
    inline = [line for line in code(page) if re.match(r"\w+: \{.+\}$", line)]
    for text in (*snippets, *inline):
        body = yaml.safe_load(text)
        if set(body) <= set(Params.__struct_fields__):
            msgspec.convert(body, Params)


def test_troubleshooting_quotes_what_the_code_says() -> None:
    """Each sentence in docs/troubleshooting.md stands in the code, or is msgspec's."""
    source = " ".join(
        re.sub(r'"\s*f?"', "", path.read_text())
        for room in ("flows", "serving", "registry", "tasks")
        for path in (ROOT / room).rglob("*.py")
    )
    quoted = re.findall(r"^\| … (.+?) … \|", (ROOT / "docs/troubleshooting.md").read_text(), re.M)
    assert len(quoted) > 10
    assert not [q for q in quoted if q not in source and not q.startswith("Object contains")]


def test_every_page_is_in_the_menu() -> None:
    """mkdocs.yml lists each page under docs/."""
    menu = (ROOT / "mkdocs.yml").read_text()
    pages = (p.relative_to(ROOT / "docs") for p in (ROOT / "docs").rglob("*.md"))
    assert not [page for page in pages if str(page) not in menu]


def test_every_reason_of_an_escalation_is_explained() -> None:
    """Whoever reads one in a header or in the journal finds it in the table."""
    table = (ROOT / "docs" / "troubleshooting.md").read_text()
    reasons = {v for k, v in vars(escalate).items() if k.isupper() and isinstance(v, str)}
    assert not [one for one in reasons - {escalate.SERVED} if f"`{one}`" not in table]
