"""Pages of the site that are made from code: `reference/params.md` and `reference/commands.md`.

A hook of mkdocs (`mkdocs.yml`); nothing is written into the source tree.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import typer.main
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
LINE = re.compile(r"^  (\w+): ?(.*?)  # (.*)$")
SECTION = re.compile(r"^(\w+):  # (.*)$")


def params() -> str:
    """Return params.yaml as Markdown: a table for each section, from its own comments."""
    page = ["# params.yaml", "", "Every number that can be set, with its default."]
    for line in (ROOT / "params.yaml").read_text().splitlines():
        if section := SECTION.match(line):
            page += ["", f"## {section[1]}", "", f"{section[2]}", ""]
            page += ["| key | default | is |", "|---|---|---|"]
        elif key := LINE.match(line):
            value = key[2].replace("|", "\\|") or " "
            page.append(f"| `{key[1]}` | `{value}` | {key[3].replace('|', chr(92) + '|')} |")
    return "\n".join(page) + "\n"


def commands() -> str:
    """Return the help of `flywheel` and its commands as Markdown."""
    from flows.cli.main import app

    page = ["# Commands", ""]
    _describe(typer.main.get_command(app), "flywheel", page)
    return "\n".join(page) + "\n"


def _describe(command: Any, name: str, page: list[str]) -> None:
    if hasattr(command, "commands"):
        for child in sorted(command.commands):
            _describe(command.commands[child], f"{name} {child}", page)
        return
    page += [f"## {name}", "", (command.help or "").strip(), ""]
    page += ["| option | default | is |", "|---|---|---|"]
    for option in command.params:
        if option.name != "help":
            named = ", ".join(f"`{o}`" for o in option.opts)
            page.append(
                f"| {named} | {_default(option.default)} | {getattr(option, 'help', '') or ''} |"
            )
    page.append("")


def _default(value: object) -> str:
    return "" if value in (None, "") else f"`{value}`"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages and README as the site's front page."""
    readme = (ROOT / "README.md").read_text().replace("](docs/", "](")
    readme = re.sub(
        r"\]\((?!https?:|#)((?:infra|bases|benchmarks|LICENSE|CONTRIBUTING|SECURITY|CHANGELOG)[^)]*)\)",
        lambda m: f"]({config.repo_url}/blob/main/{m[1]})",
        readme,
    )
    for path, text in (
        ("index.md", readme),
        ("reference/params.md", params()),
        ("reference/commands.md", commands()),
    ):
        files.append(File.generated(config, path, content=text))
    return files
