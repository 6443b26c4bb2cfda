"""Make the pool and the gateway match the registry: the registry is the truth, the pool follows.

A champion is fetched, loaded under its own immutable name, asked a few test questions, and only
then written into `home/routes.json`, which the gateway watches. The adapter that served before
stays loaded for one more round, so that answers under way are not cut off.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from registry.store import Store, Version
from serving.pool import Pool, PoolError
from tasks.adapters import kind_of
from tasks.contract import agree
from tasks.records import digest
from tasks.stage import write_atomic
from tasks.task import Task

CANARY_SECONDS = 30.0
CANARY_TOKENS = 256


@dataclass(frozen=True, slots=True)
class Changes:
    """What a round of reconciling did, by adapter name; `refused` carries the reason."""

    serving: tuple[str, ...]
    loaded: tuple[str, ...]
    unloaded: tuple[str, ...]
    refused: dict[str, str]


def routes(home: Path) -> list[dict[str, Any]]:
    """The routes that the gateway serves now."""
    path = home / "routes.json"
    return list(msgspec.json.decode(path.read_bytes())["routes"]) if path.exists() else []


def _route(version: Version, bundle: Path) -> dict[str, Any]:
    certificate = msgspec.json.decode((bundle / "certificate.json").read_bytes())
    return {
        "task": msgspec.json.decode((bundle / "task.json").read_bytes()),
        "adapter": version.adapter,
        "version": version.number,
        "kind": kind_of(bundle / "adapter"),
        "threshold": certificate["threshold"],
        "certificate": certificate,
    }


async def _canary(pool: Pool, version: Version, bundle: Path) -> str | None:
    """Ask the loaded adapter questions whose answers are on record; None, or what is wrong."""
    task = msgspec.json.decode((bundle / "task.json").read_bytes(), type=Task)
    questions = msgspec.json.decode((bundle / "canary.json").read_bytes())
    same = 0
    for question in questions:
        prompt = question["prompt"]
        answer = await pool.answer(version.adapter, prompt, CANARY_TOKENS, CANARY_SECONDS)
        same += agree(answer.text, question["answer"], task.contract)
    if 2 * same <= len(questions):
        return f"only {same} of {len(questions)} canary answers match the evaluation's"
    return None


async def _bring_up(
    pools: Mapping[str, Pool], store: Store, home: Path, version: Version, loaded: Collection[str]
) -> tuple[dict[str, Any] | None, str | None]:
    bundle = store.fetch(version, home / "adapters" / version.adapter)
    pool = pools[kind_of(bundle / "adapter")]
    try:
        if version.adapter not in loaded:
            await pool.load(version.adapter, bundle / "adapter")
            problem = await _canary(pool, version, bundle)
            if problem:
                await pool.unload(version.adapter)
                return None, problem
    except PoolError as error:
        return None, str(error)
    return _route(version, bundle), None


async def reconcile(home: Path, store: Store, pools: Mapping[str, Pool]) -> Changes:
    """Load the champions, prove them, switch the routes, and unload what served long ago.

    `pools` has the server of each kind of student. A champion that cannot be brought up leaves its
    task's former route in place. Raises PoolError when a pool cannot be reached at all.
    """
    before = {route["task"]["id"]: route for route in routes(home)}
    loaded = {name: pool for pool in set(pools.values()) for name in await pool.loaded()}
    after: dict[str, dict[str, Any]] = {}
    refused: dict[str, str] = {}
    for version in store.champions():
        route, problem = await _bring_up(pools, store, home, version, loaded)
        if problem:
            refused[version.adapter] = problem
            route = before.get(version.name)
        if route and (route["adapter"] in loaded or not problem):
            after[version.name] = route
    body = msgspec.json.encode(list(after.values()))
    write_atomic(
        home / "routes.json",
        msgspec.json.encode({"routes": list(after.values()), "digest": digest(body)}),
    )
    serving = {route["adapter"] for route in after.values()}
    kept = serving | {route["adapter"] for route in before.values()}
    obsolete = sorted(loaded.keys() - kept)
    for name in obsolete:
        await loaded[name].unload(name)
    return Changes(
        tuple(sorted(serving)), tuple(sorted(serving - loaded.keys())), tuple(obsolete), refused
    )
