"""The pool follows the registry: whom a person or the gate made champion is loaded and serves."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from filelock import FileLock

from flows.night.folders import registry_of
from registry import ledger
from registry.store import CHAMPION, numbers
from serving.client import Client
from serving.pool import PoolError, pools
from serving.reconcile import Changes, reconcile
from serving.taking_over import rollouts
from tasks.core import stage
from tasks.core.params import load


def promote(home: str | Path) -> Changes | None:
    """Make the pool at `$POOL_URL` match the registry; None when no pool is running.

    A champion that a person moved in the UI is written into the ledger. One at a time: others wait.
    Raises Refused where the registry or the pool cannot be reached; what serves goes on.
    """
    home = Path(home).resolve()
    store, params = registry_of(home), load()
    aliases: dict[str, dict[str, int]] = {}

    def serving() -> dict[str, int]:
        aliases.update(store.aliases())
        return numbers(aliases, CHAMPION)

    async def act() -> Changes:
        async with Client() as client:
            base, alarm = params.train.base, params.watch.audits_per_false_alarm
            steps = rollouts(home, sorted(params.serve.rollout), alarm)
            return await reconcile(home, store, aliases, pools(os.environ, client), base, steps)

    stage.private(home)
    with FileLock(home / ".promote.lock"):
        store.reach()
        ledger.observe(home, serving, time.time())
        if not os.environ.get("POOL_URL"):
            return None
        try:
            return asyncio.run(act())
        except PoolError as error:
            raise stage.Refused(f"the pool cannot be reached ({error}); who serves stays") from None
