"""The OpenAPI descriptions in docs/ are those of the servers, and hold what they promise."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import served
import yaml
from starlette.routing import Route

from serving import engine, pages
from serving.gateway import app

DOCS = Path(__file__).parents[1] / "docs" / "openapi"


def described(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DOCS / f"{name}.yaml").read_text())
    return found


def paths(application: Any) -> dict[str, set[str]]:
    """The routes of a Starlette application, with their methods."""
    return {
        route.path: {method.lower() for method in route.methods or ()} - {"head"}
        for route in application.routes
        if isinstance(route, Route)
    }


def test_the_engine_is_described_as_it_is() -> None:
    """Each of its routes and methods, and no other."""
    told = {path: set(one) for path, one in described("engine")["paths"].items()}
    assert told == paths(engine.app(None))  # type: ignore[arg-type]


def test_the_gateways_own_pages_are_described(tmp_path: Path) -> None:
    """Health, state and metrics; the rest is the API's."""
    own = paths(pages.pages(served.gateway(tmp_path, None)))
    told = described("gateway")["paths"]
    assert {p: set(told[p]) for p in told if not p.startswith("/v1")} == own


@pytest.mark.parametrize("path", ["/healthz", "/", "/metrics"])
def test_the_gateways_own_pages_hold_what_is_promised(tmp_path: Path, path: str) -> None:
    """Content type and required fields."""

    async def get() -> httpx.Response:
        transport = httpx.ASGITransport(app(served.gateway(tmp_path, None)))
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            return await client.get(path)

    answer = asyncio.run(get())
    (kind, content), *_ = described("gateway")["paths"][path]["get"]["responses"]["200"][
        "content"
    ].items()
    assert answer.headers["content-type"].startswith(kind)
    if needed := content["schema"].get("required"):
        assert set(needed) <= msgspec.json.decode(answer.content).keys()
