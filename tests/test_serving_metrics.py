"""What Prometheus reads of a gateway is what the dashboard asks for."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from served import client, gateway, route, write_routes
from test_serving_evidence import ASKED, contrary

pytestmark = pytest.mark.anyio
DASHBOARD = Path(__file__).parents[1] / "infra" / "grafana.json"
CALL = re.compile(r"(flywheel_\w+)(?:\{([^}]*)\})?")


def asked() -> list[str]:
    """Every query of the dashboard."""
    panels = msgspec.json.decode(DASHBOARD.read_bytes())["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def samples(text: str) -> dict[str, set[str]]:
    """The names in a text of metrics, each with its labels."""
    found: dict[str, set[str]] = {}
    for line in text.splitlines():
        if match := re.match(r"(\w+)(?:\{(.*)\})? ", line):
            found.setdefault(match[1], set()).update(re.findall(r"(\w+)=", match[2] or ""))
    return found


async def test_a_gateways_metrics_fill_the_dashboard(tmp_path: Path) -> None:
    """Each name and label that it asks for is there, once students served, failed and stopped."""
    write_routes(tmp_path, route("route"))
    built = gateway(tmp_path, contrary, audit=1.0)
    async with client(built) as agent:
        for request in ASKED[:12]:
            await agent.post("/v1/chat/completions", json=request)
            await built.audits.finish(10)
        found = samples((await agent.get("/metrics")).text)
    assert len(asked()) > 10
    for query in asked():
        for name, filters in CALL.findall(query):
            assert name in found, query
            grouped = re.findall(r"by \(([^)]*)\)", query)
            wanted = {label.strip() for group in grouped for label in group.split(",")}
            assert wanted | set(re.findall(r"(\w+)[=!]", filters)) <= found[name], query


def test_prometheus_would_understand_it() -> None:
    """Every parenthesis of a query closes; every panel says its unit and has a place of its own."""
    panels = msgspec.json.decode(DASHBOARD.read_bytes())["panels"]
    assert all(query.count("(") == query.count(")") for query in asked())
    assert len({(p["gridPos"]["x"], p["gridPos"]["y"]) for p in panels}) == len(panels)
    assert all(panel["fieldConfig"]["defaults"]["unit"] for panel in panels)
