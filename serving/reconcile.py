"""Make the pool and the gateway match the registry: the registry is the truth, the pool follows.

A champion is fetched, loaded under its own immutable name, asked a few test questions, and only
then written into `home/routes.json`, which the gateway watches. The adapter that served before
stays loaded for one more round, so that answers under way are not cut off.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from registry import ledger, rulings
from registry.bundle import read
from registry.store import Aliases, Store, Version
from serving.audit_history import raised
from serving.pool import Pool, PoolError
from serving.taking_over import Rollouts
from tasks.core.certificate import Certificate, load_certificate
from tasks.core.contract import agree
from tasks.core.records import Json, digest
from tasks.core.stage import Refused, manifest, write_atomic
from tasks.core.task import Task, load_one
from tasks.students.adapters import kind_of, stale

CANARY_SECONDS = 30.0
CANARY_TOKENS = 256
NIGHTS = 14  # newest ones that are asked what is usual
AT_ONCE = Rollouts()


@dataclass(frozen=True, slots=True)
class Changes:
    """The outcome of a round of reconciling, by adapter; `refused` has reasons by bundle."""

    serving: tuple[str, ...]
    loaded: tuple[str, ...]
    unloaded: tuple[str, ...]
    refused: dict[str, str]


def routes(home: Path) -> list[Json]:
    """The routes that the gateway serves now."""
    path = home / "routes.json"
    try:
        return list(msgspec.json.decode(path.read_bytes())["routes"])
    except (FileNotFoundError, msgspec.DecodeError, KeyError, TypeError):
        return []  # they are made anew from the registry


def _route(home: Path, version: Version, bundle: Path, shadow: bool) -> dict[str, object]:
    """Return what the gateway is to know of a version.

    Raises Refused where the gate or its proof does not stand behind a champion.
    """
    if (name := load_one(bundle).id) != version.name:
        raise Refused(f"its bundle is of the task {name}")
    certificate = load_certificate(bundle / "certificate.json")
    if not shadow:
        _stands(version, certificate)
    return {
        "task": read(bundle, "task"),
        "adapter": version.adapter,
        "version": version.number,
        "kind": kind_of(bundle / "adapter"),
        "threshold": 0.0 if isinstance(certificate, str) else certificate.threshold,
        "certificate": read(bundle, "certificate"),
    }


def usual(home: Path) -> dict[str, list[str]]:
    """What the calls of each task have by design, as the newest night knows that saw some.

    It may change while a champion serves, as where a team moves to another model.
    """
    found: dict[str, list[str]] = {}
    for night in sorted((home / "nights").glob("????-??-??"))[-NIGHTS:]:
        tasks = (manifest(night / "dataset") or {}).get("tasks", {})
        found |= {name: about["usual"] for name, about in tasks.items() if about.get("usual")}
    return found


def _as_usual(route: Json, settings: Mapping[str, Sequence[str]]) -> Json:
    """A route, and the one that it takes over from, with what is usual in their task."""
    known, former = settings.get(route["task"]["id"]), route.get("former")
    return {**route, "usual": known, "former": former and {**former, "usual": known}}


def _stands(version: Version, certificate: Certificate | str) -> None:
    """Raise Refused for a champion that the gate refused, or that its certificate is not of."""
    if isinstance(certificate, str):
        raise Refused(f"it has no certificate: {certificate}")
    proven = certificate.task, certificate.adapter_digest
    if proven != (version.name, version.adapter_digest):
        raise Refused(f"its certificate is of the adapter {proven[1]} of {proven[0]}")
    if not version.passed:
        raise Refused("the gate has not let it pass")


def checked(
    store: Store, home: Path, version: Version, base: str, *, shadow: bool = False
) -> tuple[Path, dict[str, object]]:
    """Return a version's bundle and its route. Raises Refused where it may not serve.

    A `shadow`, which answers nobody, needs no certificate.
    """
    try:
        bundle = store.fetch(version, home / "adapters" / version.bundle)
        if stale(bundle / "adapter", base):  # vLLM would load it where the shapes are the same
            raise Refused(f"{version.adapter} was trained on another base than {base}")
        return bundle, _route(home, version, bundle, shadow)
    except Refused:
        raise
    except Exception as error:  # whatever is wrong with a bundle costs its own task alone
        raise Refused(f"its bundle cannot be served ({type(error).__name__}: {error})") from error


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
    pools: Mapping[str, Pool],
    store: Store,
    home: Path,
    version: Version,
    loaded: dict[str, Pool],
    serving: bool,
    base: str,
    shadow: bool = False,
) -> tuple[dict[str, object] | None, str | None]:
    """The route of a champion, or what is wrong with it; an adapter loaded here joins `loaded`.

    Tasks of a domain share an adapter, and each asks its own questions unless it is `serving`; a
    `shadow` is asked none.
    """
    try:
        bundle, route = checked(store, home, version, base, shadow=shadow)
        pool = pools[kind_of(bundle / "adapter")]
        if version.adapter not in loaded:
            await pool.load(version.adapter, bundle / "adapter")
            loaded[version.adapter] = pool
        problem = None if serving or shadow else await _canary(pool, version, bundle)
        return (None, problem) if problem else (route, None)
    except (PoolError, Refused) as error:
        return None, str(error)
    except Exception as error:  # whatever is wrong with a bundle costs its own task alone
        return None, f"its bundle cannot be served ({type(error).__name__}: {error})"


async def _shadows(
    pools: Mapping[str, Pool],
    store: Store,
    home: Path,
    loaded: dict[str, Pool],
    base: str,
    refused: dict[str, str],
    aliases: Aliases,
) -> list[dict[str, object]]:
    """The routes of the shadows; what is wrong with one joins `refused` and concerns no caller."""
    routes: list[dict[str, object]] = []
    for version in store.shadows(aliases):
        route, problem = await _bring_up(
            pools, store, home, version, loaded, serving=False, base=base, shadow=True
        )
        if problem:
            refused[version.bundle] = problem
        routes += [route] if route else []
    return routes


async def _found(pools: Mapping[str, Pool]) -> tuple[dict[str, Pool], set[str]]:
    """The adapters that are loaded, and the kinds whose server cannot be reached.

    Raises PoolError when none can.
    """
    by_kind: dict[str, Pool] = {}
    away: dict[str, PoolError] = {}
    for kind, pool in pools.items():
        try:
            by_kind |= dict.fromkeys(await pool.loaded(), pool)
        except PoolError as error:
            away[kind] = error
    if away and len(away) == len(pools):
        raise next(iter(away.values()))
    return by_kind, set(away)


def _same(home: Path, version: Version, former: Json | None, loaded: Collection[str]) -> bool:
    """Return whether a champion serves already, and was checked when it was loaded."""
    return (
        former is not None
        and (former["adapter"], former["version"]) == (version.adapter, version.number)
        and version.adapter in loaded
        and (home / "adapters" / version.bundle).is_dir()
    )


async def reconcile(
    home: Path,
    store: Store,
    aliases: Aliases,
    pools: Mapping[str, Pool],
    base: str,
    rollouts: Rollouts = AT_ONCE,
) -> Changes:
    """Load the champions, prove them, switch the routes, and unload what served long ago.

    `aliases` are the registry's, `pools` has the server of each kind of student, `base` is that of
    the causal ones; `rollouts` say how a new champion takes over. One that cannot be brought up
    leaves its task's former route in place. Raises PoolError when no server can be reached.
    """
    known = {route["task"]["id"]: route for route in routes(home)}
    reachable, away = await _found(pools)
    # A route whose adapter is not there any more, in a pool that was started anew, is none.
    before = {
        route["task"]["id"]: route
        for route in known.values()
        if route["adapter"] in reachable or route["kind"] in away
    }
    loaded = dict(reachable)
    rates, entries, settings = raised(home), ledger.entries(home), usual(home)
    after: dict[str, Json] = {}
    refused: dict[str, str] = {}
    for version in store.champions(aliases):
        former = before.get(version.name)
        serving = former is not None and former["adapter"] == version.adapter
        route, problem = former if _same(home, version, former, reachable) else None, None
        if route is None:
            route, problem = await _bring_up(pools, store, home, version, loaded, serving, base)
        if problem:
            refused[version.bundle] = problem
        if route:
            since = rulings.overruled(entries, version.name, version.number)
            route = {**route, "audit": rates.get(version.name, 0.0), "since": since}
            route |= rollouts.of(route, known.get(version.name), loaded)
        if route := route or former:
            after[version.name] = _as_usual(route, settings)
    shadows = await _shadows(pools, store, home, loaded, base, refused, aliases)
    shadows = [_as_usual(route, settings) for route in shadows]
    body = msgspec.json.encode([list(after.values()), shadows])
    entry = {"routes": list(after.values()), "shadows": shadows, "digest": digest(body)}
    write_atomic(home / "routes.json", msgspec.json.encode(entry))
    named = {route["adapter"] for route in after.values()}
    formers = [former for route in after.values() if (former := route.get("former"))]
    kept = named | {route["adapter"] for route in (*before.values(), *shadows, *formers)}
    obsolete = sorted(loaded.keys() - kept)
    for name in obsolete:
        await loaded[name].unload(name)
    return Changes(
        tuple(sorted(named)), tuple(sorted(named - reachable.keys())), tuple(obsolete), refused
    )
