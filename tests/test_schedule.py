"""When the flows run: their times in a person's time zone, dead runs, and a silent scheduler."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings
from unattended import until

from flows import dead_runs, schedule
from flows.cli import processes, stack
from flows.cli.credentials import credentials, prefect_auth
from flows.cli.up import silence
from tasks.core.params import Schedule
from tasks.core.stage import Refused

pytestmark = [pytest.mark.flow, pytest.mark.timeout(300)]
SLEEPER = """
import time
from prefect import flow

@flow(name="promote")
def sleeper():
    print("asleep", flush=True)
    time.sleep(600)

sleeper()
"""


def nights(params: Schedule, begin: str, days: int) -> list[str]:
    """When nights begin, in UTC."""
    from prefect.server.schemas.schedules import CronSchedule

    times = schedule.night_times(params)
    on_server = CronSchedule(cron=times.cron, timezone=times.timezone)
    start = datetime.fromisoformat(begin).replace(tzinfo=UTC)
    found = asyncio.run(on_server.get_dates(start=start, end=start + timedelta(days=days)))
    return [at.astimezone(UTC).strftime("%d %H:%M") for at in found]


def test_nights_begin_by_the_clock_of_a_time_zone() -> None:
    """At three in Berlin, an hour earlier in UTC from the last Sunday of March on."""
    berlin = Schedule(nightly="0 3 * * *", timezone="Europe/Berlin")
    assert nights(berlin, "2026-03-28", 3) == ["28 02:00", "29 01:00", "30 01:00"]
    assert nights(berlin, "2026-10-24", 3) == ["24 01:00", "25 02:00", "26 02:00"]
    assert nights(Schedule(), "2026-03-28", 2) == ["28 02:00", "29 02:00"]


def test_no_night_is_left_out_or_doubled_where_the_clock_is_changed() -> None:
    """Half past two does not exist on one day of a year, and exists twice on another."""
    berlin = Schedule(nightly="30 2 * * *", timezone="Europe/Berlin")
    for begin in ("2026-03-28", "2026-10-24"):
        days = [at.split()[0] for at in nights(berlin, begin, 4)]
        assert len(days) == len(set(days)) == 4


@pytest.mark.parametrize(
    "given",
    [Schedule(nightly="at two"), Schedule(timezone="Europe/Atlantis"), Schedule(nightly="")],
)
def test_times_that_are_none_are_refused(given: Schedule) -> None:
    """One sentence names the section of the params file."""
    with pytest.raises(Refused, match="schedule in the params file: "):
        schedule.night_times(given)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The API of a Prefect server whose scheduler is switched off."""
    home = tmp_path_factory.mktemp("home")
    server = stack.prefect_server(home, stack.free_port())
    off = {**server.env, "PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED": "false"}
    silent = processes.Service(server.name, server.command, server.port, server.ready, off)
    given = credentials(home).clients["PREFECT_API_AUTH_STRING"]
    settings = {PREFECT_API_URL: f"{server.url}/api", PREFECT_API_AUTH_STRING: given}
    with (
        pytest.MonkeyPatch.context() as patch,
        temporary_settings(settings),
        processes.running([silent], home),
    ):
        patch.setenv("PREFECT_API_AUTH_STRING", given)
        yield f"{server.url}/api"


def ask(api: str, method: str, path: str, body: Any) -> httpx.Response:
    """What Prefect's server answers who may ask it; 503 is for asking again, as its client does."""
    for _ in range(10):
        answer = httpx.request(method, f"{api}/{path}", json=body, auth=prefect_auth())
        if answer.status_code != 503:
            break
    return answer


def test_a_silent_scheduler_is_noticed(api: str) -> None:
    """No run is planned, one is late, or the next is far off: a sentence; none when paused."""
    now, hour = datetime.now(UTC), timedelta(hours=1)
    flow = ask(api, "POST", "flows/", {"name": "promote"}).json()["id"]
    times = [{"schedule": {"interval": 60}, "active": True}]
    body = {"name": "promote", "flow_id": flow, "schedules": times}
    made = ask(api, "POST", "deployments/", body).raise_for_status().json()["id"]
    assert "no run of promote is planned" in silence(api, now - hour, now)
    assert silence(api, now, now) == ""
    soon = (now + timedelta(minutes=1)).isoformat()
    state = {"type": "SCHEDULED", "state_details": {"scheduled_time": soon}}
    run = ask(api, "POST", f"deployments/{made}/create_flow_run", {"state": state})
    run.raise_for_status()
    assert silence(api, now - hour, now) == ""
    late = now + 2 * hour
    assert "has not begun" in silence(api, now - hour, late)
    assert "as if the clock had been set back" in silence(api, now - 2 * hour, now - hour)
    ask(api, "PATCH", f"deployments/{made}", {"paused": True}).raise_for_status()
    assert silence(api, now - hour, late) == ""


def test_a_run_whose_process_is_gone_is_marked_within_two_minutes(api: str, tmp_path: Path) -> None:
    """Kill -9 says nothing to Prefect; missing heartbeats do, also where there was none yet."""
    for _ in range(2):
        asyncio.run(dead_runs.watch())
    found = ask(api, "POST", "automations/filter", {}).json()
    assert [one["name"] for one in found] == [dead_runs.NAME]
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    env = {**os.environ, "PREFECT_API_URL": api, "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}
    command = [sys.executable, "sleeper.py"]
    run = subprocess.Popen(command, cwd=tmp_path, env=env, stdout=subprocess.PIPE)
    assert run.stdout
    assert run.stdout.readline() == b"asleep\n"
    run.send_signal(signal.SIGKILL)
    run.communicate()
    killed = time.monotonic()
    body = {"flows": {"name": {"any_": ["promote"]}}}

    def crashed() -> bool:
        runs = ask(api, "POST", "flow_runs/filter", body).json()  # planned ones, too
        return any(run["state_type"] == "CRASHED" for run in runs)

    until(crashed, 150)
    took = time.monotonic() - killed
    print(f"marked as crashed {took:.0f} s after kill -9")
    assert took < 120
