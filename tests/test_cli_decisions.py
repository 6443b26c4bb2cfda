"""Commands of a person move the alias only to a version that can serve."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from test_serving_reconcile import Desk, registered

from flows.cli import decisions
from registry import ledger
from registry.store import Store
from tasks.core.stage import Refused

__all__ = ["registered"]  # a fixture


@pytest.fixture
def desk(registered: Desk, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """A home whose registry is its own file, with the first version of `a-1` serving."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("FLYWHEEL_PII_KEY", "key")
    registered.store.set_champion("a-1", 1)
    yield registered
    registered.store.set_champion("a-1", None)


def test_what_could_not_serve_is_not_promoted(desk: Desk) -> None:
    """The sentence says why, the alias stays, and the ledger has who tried what."""
    stranger = Store(desk.store.uri, b"a guess")
    tried = {
        desk.register("a-1", store=stranger, seed=81): "does not have this flywheel's signature",
        desk.register("a-1", seed=82, passed=False): "the gate has not let it pass",
        desk.register("a-1", seed=83, adapter_digest="00c0ffee"): "its certificate is of the ada",
    }
    for version, why in tried.items():
        said = f"a-1: v{version.number} cannot serve: .*{why}.*; v1 stays"
        with pytest.raises(Refused, match=said):
            decisions.promote(desk.home, "a-1", version.number)
        assert desk.store.champion("a-1") == 1
        entry = ledger.entries(desk.home)[-1]
        assert (entry.before, entry.after, entry.moved) == (1, 1, False)
        assert entry.who.endswith(", by command")
        assert why in entry.reason


def test_what_can_serve_is_promoted(desk: Desk) -> None:
    """Nothing but the alias is looked at where all fits."""
    good = desk.register("a-1", seed=84)
    decisions.promote(desk.home, "a-1", good.number)
    assert desk.store.champion("a-1") == good.number
    assert ledger.entries(desk.home)[-1].moved


def test_no_other_version_than_the_named_one_is_promoted(desk: Desk) -> None:
    """Where there is none of that number the alias stays, and the candidate waits."""
    with pytest.raises(Refused, match="has no version 0 of a-1"):
        decisions.promote(desk.home, "a-1", 0)
    assert desk.store.champion("a-1") == 1


def test_rolling_back_to_what_cannot_serve_gives_the_task_to_the_teacher(desk: Desk) -> None:
    """Who is rolled back stops, whatever the one before is; the ledger says why nobody serves."""
    forged = desk.register("a-1", store=Store(desk.store.uri, b"a guess"), seed=85)
    desk.store.set_champion("a-1", forged.number)
    ledger.observe(desk.home, desk.store.serving, 1.0)
    decisions.promote(desk.home, "a-1", 1)
    decisions.rollback(desk.home, "a-1")
    assert desk.store.champion("a-1") is None
    entry = ledger.entries(desk.home)[-1]
    assert (entry.before, entry.after, entry.moved) == (1, None, True)
    assert f"v{forged.number} cannot serve: " in entry.reason
