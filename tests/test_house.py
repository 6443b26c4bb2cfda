"""The house rules: who may import whom, one home for each tool, one name for each hop."""

from __future__ import annotations

import ast
import re
import tomllib
from collections import defaultdict
from functools import cache
from pathlib import Path

import msgspec
import pytest
import yaml

from tasks.core.params import Params, load
from tasks.core.stage import HOPS, Refused

ROOT = Path(__file__).parents[1]
ROOMS = ("flows", "serving", "registry", "tasks")  # each may import itself and those after it
HOMES = {
    "prefect": {"flows"},
    "mlflow": {"registry/store.py", "registry/mlflow_run.py"},
    "matplotlib": {"registry/plots.py"},
    "dvc": {"registry/ledger.py"},
    "great_expectations": {"tasks/validate/expectations.py"},
    "presidio_analyzer": {"tasks/deidentify/detectors.py"},
    "presidio_anonymizer": {"tasks/deidentify/cleaner.py"},
    "peft": {
        *(f"tasks/train/{name}.py" for name in ("causal", "encoder")),
        *(f"tasks/students/{name}.py" for name in ("causal", "encoder")),
        "tasks/deidentify/tagger.py",
    },
    "accelerate": {"tasks/train/distributed.py"},
    "llguidance": {"tasks/students/causal.py"},
    "sqlglot": {"tasks/evaluate/sql.py"},
    "apprise": {"flows/night/alerts.py"},
    "re2": {"tasks/core/schema_check.py"},
    "cryptography": {"tasks/core/encryption.py"},
    "datasketch": {"tasks/dataset/dataset.py"},
    "starlette": {"serving", "examples/teacher.py"},
    "openai": {"examples", "flows/cli/demo.py"},
}


def sources(*rooms: str) -> list[Path]:
    return [path for room in rooms for path in sorted((ROOT / room).rglob("*.py"))]


@cache
def parsed(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text())))


@cache
def imports(path: Path) -> frozenset[str]:
    """The packages that a file imports."""
    return frozenset(name.split(".")[0] for name in modules(path))


@cache
def modules(path: Path) -> frozenset[str]:
    """The modules that a file imports, `from a import b` as `a.b`."""
    nodes = [node for node in parsed(path) if node not in _types_only(path)]
    names = [a.name for node in nodes if isinstance(node, ast.Import) for a in node.names]
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module:
            names += [f"{node.module}.{a.name}" for a in node.names]
    return frozenset(names)


@cache
def _types_only(path: Path) -> frozenset[ast.AST]:
    """What stands under `if TYPE_CHECKING`: nothing is imported there when the program runs."""
    blocks = [
        n for n in parsed(path) if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.dump(n.test)
    ]
    return frozenset(child for block in blocks for child in ast.walk(block))


@pytest.mark.parametrize("path", sources(*ROOMS), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_one_way(path: Path) -> None:
    """A room imports itself and the rooms below it: flows → serving → registry → tasks."""
    room = path.relative_to(ROOT).parts[0]
    allowed = set(ROOMS[ROOMS.index(room) :])
    assert imports(path) & set(ROOMS) <= allowed


# Inside tasks/: each room may import itself and those before it.
HALL = ("core", "students", *HOPS, "report")


@pytest.mark.parametrize("path", sources("tasks"), ids=lambda p: str(p.relative_to(ROOT)))
def test_a_hop_imports_the_vocabulary_and_the_hops_before_it(path: Path) -> None:
    """Inside tasks/, imports point from later rooms to earlier ones: no circles of folders."""
    room = path.relative_to(ROOT / "tasks").parts[0]
    if room != "__init__.py":
        allowed = HALL[: HALL.index(room) + 1]
        assert {m.split(".")[1] for m in modules(path) if m.startswith("tasks.")} <= set(allowed)


FLOORS = (  # flows/: the command line over the flows over what a night does
    {"cli", "schedule", "deploy"},
    {"nightly", "promote", "watch", "steps"},
    {"artifacts", "dead_runs"},
    {"night"},
    {"console"},
)


@pytest.mark.parametrize("path", sources("flows"), ids=lambda p: str(p.relative_to(ROOT)))
def test_flows_has_no_circles(path: Path) -> None:
    """The command line imports flows, flows import what a night does, never the other way."""
    room = path.relative_to(ROOT / "flows").with_suffix("").parts[0]
    if room != "__init__":
        floor = next(i for i, rooms in enumerate(FLOORS) if room in rooms)
        below = set().union(*FLOORS[floor:])
        assert {m.split(".")[1] for m in modules(path) if m.startswith("flows.")} <= below


def test_a_night_knows_no_prefect() -> None:
    """What a night does is plain functions: only flows beside it know the orchestrator."""
    assert not [p for p in sources("flows/night") if "prefect" in imports(p)]


def test_one_class_per_name() -> None:
    """A class is found by its name: no two classes of the four packages share one."""
    homes = defaultdict[str, list[str]](list)
    for path in sources(*ROOMS):
        for node in parsed(path):
            if isinstance(node, ast.ClassDef):
                homes[node.name].append(str(path.relative_to(ROOT)))
    assert not {name: files for name, files in homes.items() if len(files) > 1}


@pytest.mark.parametrize("tool", HOMES)
def test_each_tool_is_imported_in_one_place(tool: str) -> None:
    """A third-party tool can be exchanged by changing the one place that imports it."""
    users = {
        str(path.relative_to(ROOT)) for path in sources(*ROOMS, "examples") if tool in imports(path)
    }
    homes = HOMES[tool]
    strays = {user for user in users if user not in homes and user.split("/")[0] not in homes}
    assert users
    assert not strays


def test_a_hop_has_one_name_everywhere() -> None:
    """Hop = module = section of params.yaml = DVC stage = Prefect task."""
    from flows import steps

    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    sections = yaml.safe_load((ROOT / "params.yaml").read_text())
    for hop in HOPS:
        assert (ROOT / "tasks" / hop / f"{hop}.py").exists()
        assert hop in sections
        assert hop in Params.__struct_fields__
        assert stages[hop]["cmd"].split()[-1] == f"tasks.{hop}"
        assert getattr(steps, hop).name == hop
    assert set(stages) == set(HOPS)


def test_the_params_file_states_every_default() -> None:
    """params.yaml shows each number that can be set, at its default value."""
    written = yaml.safe_load((ROOT / "params.yaml").read_text())
    defaults = msgspec.json.decode(msgspec.json.encode(Params()))
    for name, section in written.items():
        assert set(section) == set(defaults[name])
        assert section == defaults[name]


def test_every_line_of_the_params_file_says_what_it_does() -> None:
    """Each key of params.yaml has a comment beside it."""
    keys = re.compile(r"^ {0,2}\w+:")
    lines = (ROOT / "params.yaml").read_text().splitlines()
    assert not [line for line in lines if keys.match(line) and "  # " not in line]


def test_no_answer_is_served_that_no_certificate_knows(tmp_path: Path) -> None:
    """Answers longer than those that were measured are refused, and so is nothing to learn from."""
    path = tmp_path / "params.yaml"
    path.write_text("evaluate: {max_tokens: 64}")
    with pytest.raises(Refused, match=r"serve.answer_tokens is 256, more than .*max_tokens, 64"):
        load(path)
    path.write_text("train: {marks: 0}")
    with pytest.raises(Refused, match="marks"):
        load(path)


def test_every_dependency_is_pinned() -> None:
    """The constraints name a version for each dependency in pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {
        *project["dependencies"],
        *(d for x in project["optional-dependencies"].values() for d in x),
    }
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in lines if "==" in line}
    named = {w.lower().replace("_", "-") for w in wanted if not w.startswith("flywheel")}
    assert named <= pinned


@pytest.mark.parametrize(
    "path", sources(*ROOMS, "bases", "examples"), ids=lambda p: str(p.relative_to(ROOT))
)
def test_files_and_functions_stay_short(path: Path) -> None:
    """A file has at most 320 lines and a function at most 60."""
    assert len(path.read_text().splitlines()) <= 320
    for node in parsed(path):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, node.name


def test_the_nightly_flow_reads_as_one_page() -> None:
    """flows/nightly.py has at most 80 lines."""
    assert len((ROOT / "flows" / "nightly.py").read_text().splitlines()) <= 80
