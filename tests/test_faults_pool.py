"""A pool dies in traffic; its server is real, as is the one beside it."""

from __future__ import annotations

import asyncio
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from pathlib import Path

import httpx
import pytest
import served
from colours import call, large, subject, trained
from test_faults import died, patient
from unattended import until

from flows.cli import processes
from flows.cli import stack as local
from flows.cli.credentials import credentials
from serving.client import Client
from serving.pool import Pool
from serving.route import Route

pytestmark = pytest.mark.flow
__all__ = ["patient"]  # a fixture


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student that names colours, and its base."""
    return trained(tmp_path_factory.mktemp("colours"))


def test_a_pool_that_is_killed_costs_no_call_and_no_other_pool_anything(
    student: Path, tmp_path: Path
) -> None:
    """The teacher answers its tasks until it is back and has its students again."""
    home, (kept, lost) = tmp_path / "home", ("a-1", "b-2")
    adapter = shutil.copytree(student / "trained" / "adapter", home / "adapters" / "x" / "adapter")
    services = [
        replace(local.pool_server(home, local.free_port(), str(student / "tiny")), name=name)
        for name in (kept, lost)
    ]
    each = {"version": 1, "threshold": -9.0}
    served.write_routes(
        home,
        Route(task=subject(kept), adapter=kept, kind="causal", **each),
        Route(task=subject(lost), adapter=lost, kind="encoder", **each),
    )
    built = served.gateway(home, None, large, student_timeout=60.0)  # a machine may do much beside
    token = credentials(home).pool_token
    pools = [Pool(one.url, built.teacher.client, token) for one in services]
    built.students.pools = dict(zip(("causal", "encoder"), pools, strict=True))

    async def load(*names: int) -> None:
        async with Client() as client:
            for n in names:
                await Pool(services[n].url, client, token).load((kept, lost)[n], adapter)

    answers: list[tuple[str, str]] = []
    sent = count()

    def send(number: int) -> None:
        if next(sent) == 60:
            died(f"--port {services[1].port}", home)
        name = (kept, lost)[number % 2]
        reply = httpx.post(f"{url}/v1/chat/completions", json=call(name), timeout=30)
        assert reply.status_code == 200
        assert reply.json()["choices"][0]["message"]["content"] == "red"
        answers.append((name, reply.headers["x-flywheel-reason"]))

    with processes.running(services, home) as look, served.running(built) as url:
        asyncio.run(load(0, 1))
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(send, range(160)))
        assert {why for name, why in answers if name == kept} == {"served"}
        whys = {why for name, why in answers if name == lost}
        assert whys <= {"served", "pool error", "circuit open"}
        assert len(whys) >= 2
        until(lambda: look(0.0) + look(60.0))
        until(lambda: httpx.get(f"{services[1].url}/health").is_success, 600)
        send(1)
        assert answers[-1][1] in ("pool refused", "circuit open")  # it has no students yet
        asyncio.run(load(1))
        until(lambda: send(1) or answers[-1][1] == "served", 60)
