"""A new champion takes over in steps: real students, pool, gateway and registry."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from sqlalchemy import Engine, event
from test_night_revocation import asked, gateway, night_of, printed, reasons, registered
from test_night_shadow_plan import TASK, question, teacher

from flows.cli import decisions, processes, stack, status
from flows.night import pool_update, revocation
from flows.night.folders import Night
from registry import ledger, plots, rulings
from serving.reconcile import routes

pytestmark = pytest.mark.flow  # trainings, a pool and a registry
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    """A home with a running pool and three versions: a good one, a bad one, the good one again."""
    event.listen(Engine, "connect", lambda database, _: database.execute("PRAGMA synchronous=OFF"))
    home = tmp_path_factory.mktemp("home")
    found = yaml.safe_load((ROOT / "params.yaml").read_text())
    found["serve"]["rollout"] = [[0.25, 5], [0.5, 10]]
    (home / "params.yaml").write_text(yaml.safe_dump(found))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "plots", lambda *_: {})
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("FLYWHEEL_PARAMS", str(home / "params.yaml"))
        good = night_of(home, rename=False)
        registered(good, good)
        registered(good, night_of(tmp_path_factory.mktemp("other"), rename=True))
        service = stack.pool_server(home, stack.free_port(), "bundled")
        with processes.running([service], home):
            patch.setenv("POOL_URL", service.url)
            patch.setenv("POOL_TOKEN", service.env["POOL_TOKEN"])
            yield good


def champion(night: Night, number: int) -> None:
    """Move the alias, and let the pool follow."""
    night.store.set_champion(TASK, number)
    pool_update.promote(night.home)


def test_a_first_champion_takes_over_step_by_step(night: Night) -> None:
    """The teacher answers the rest; at the end nobody but the student answers."""
    champion(night, 1)
    (route,) = routes(night.home)
    assert (route["share"], route["former"]) == (0.25, None)
    assert re_status(night) == ", of 25% of the conversations"
    found = reasons(asked(gateway(night, teacher), range(100, 160)))
    assert found[:10].count("roll-out") >= 5
    assert found[-10:].count("served") >= 8
    pool_update.promote(night.home)
    assert routes(night.home)[0]["share"] == 1.0
    assert re_status(night) == ""
    (*_, step) = ledger.entries(night.home)
    assert (step.who, step.after, step.moved) == ("roll-out", 1, False)


def re_status(night: Night) -> str:
    """What the screen says of the champion's share."""
    line = next(one for one in printed(lambda: status.show(night.home)).split("\n") if TASK in one)
    return ", of 25% of the conversations" if "25% of" in line else ""


def test_a_bad_one_is_taken_back_and_the_former_goes_on(night: Night) -> None:
    """Two wrong answers at a quarter of the calls; nobody else is asked to stand for it."""
    champion(night, 2)
    (route,) = routes(night.home)
    assert (route["version"], route["share"], route["former"]["version"]) == (2, 0.25, 1)
    found = asked(gateway(night, teacher), range(200, 240))
    wrong = sum(said != question(n)[1] for n, (_, said) in zip(range(200, 240), found, strict=True))
    assert 2 <= wrong <= 3
    assert reasons(found)[-10:].count("served") >= 8
    (said,) = revocation.watch(night.home)
    assert "Revoked in its roll-out: 2 of 2 audited answers wrong" in said
    assert "version 1 goes on serving" in said
    assert night.store.champion(TASK) == 1
    assert rulings.changes(ledger.entries(night.home)) == {}
    pool_update.promote(night.home)
    (route,) = routes(night.home)
    assert (route["version"], route["share"], route["former"]) == (1, 1.0, None)


def test_one_command_aborts(night: Night) -> None:
    """`flywheel rollback` gives all calls back to the former champion at once."""
    night.store.set_shadow(TASK, None)
    champion(night, 2)  # a person overrules the watch: no roll-out
    assert routes(night.home)[0]["share"] == 1.0
    decisions.rollback(night.home, TASK)
    pool_update.promote(night.home)
    (route,) = routes(night.home)
    assert (route["version"], route["share"]) == (1, 1.0)
