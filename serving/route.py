"""The route of a request to a student, if any: the templates of the tasks that have a champion.

`home/routes.json` says what is served; `promote` replaces it, and `RouteFile` notices.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tasks.core.certificate import Risk
from tasks.core.records import Json, text_of
from tasks.core.stage import Refused
from tasks.core.task import Task

log = logging.getLogger("flywheel.route")

NO_TASK = "no task"
PROMPT_CHANGED = "prompt changed"
FAMILIAR = 40  # characters of a constant that show that a prompt was once a task's


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """A certificate's word on the risk (see `tasks.core.certificate`)."""

    alpha: float = 0.05
    risk: Risk = "selective"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A task, the adapter that serves it and its kind, and the confidence that may answer.

    `since` is when a person put a revoked version back (seconds since the epoch), else 0; `audit`
    is the least share of its answers that is audited. `rollout` are the steps in which it takes its
    traffic over (see `tasks.core.rollout`), `share` is what all gateways' audits allow at least and
    `done` the steps behind it; `former` answers the rest, or the teacher. `usual` are the settings
    that calls of the task have by design (see `tasks.dataset.steering`); None where nobody knows.
    """

    task: Task
    adapter: str
    version: int
    threshold: float
    kind: str = "causal"
    certificate: Promise = Promise()
    since: float = 0.0
    audit: float = 0.0
    rollout: tuple[tuple[float, int], ...] = ()
    share: float = 1.0
    done: int = 0
    former: Route | None = None
    usual: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Match:
    """A request's route and the text that the student reads."""

    route: Route
    prompt: str


class _File(msgspec.Struct):
    routes: list[Route]
    shadows: list[Route] = []
    digest: str = ""


class Router:
    """Finds the route of a request; of several that match, the one that says most about it."""

    def __init__(
        self, routes: Sequence[Route] = (), digest: str = "", shadows: Sequence[Route] = ()
    ) -> None:
        self.routes = sorted(routes, key=_closeness)
        self.digest = digest
        self.shadows = Router(shadows) if shadows else None  # asked in the background only
        self._signs = [sign for route in self.routes for sign in _signs(route)]

    @classmethod
    def from_file(cls, path: Path) -> Router:
        """Read routes.json; a file that is not there means no routes yet. Raises Refused."""
        try:
            file = msgspec.json.decode(path.read_bytes(), type=_File)
        except FileNotFoundError:
            return cls()
        except (msgspec.ValidationError, msgspec.DecodeError) as error:
            raise Refused(f"{path}: {error}") from None
        return cls(file.routes, file.digest, file.shadows)

    @property
    def answering(self) -> list[Route]:
        """All routes that may answer: the champions', and those that they take over from."""
        return [*self.routes, *(route.former for route in self.routes if route.former)]

    def find(self, request: Json) -> Match | None:
        """The route of a request; None when it belongs to no task or its prompt has changed."""
        for route in self.routes:
            if match := match_of(route, request):
                return match
        return None

    def miss(self, request: Json) -> str:
        """Return why `find` gave None: a prompt that reads like a task's has changed."""
        messages = request.get("messages")
        if not self._signs or not isinstance(messages, list):
            return NO_TASK
        texts = [text_of(m.get("content")) for m in messages[:2] if isinstance(m, dict)]
        changed = any(sign in text for sign in self._signs for text in texts)
        return PROMPT_CHANGED if changed else NO_TASK


def _closeness(route: Route) -> tuple[int, int, str]:
    """Most constant text first, then fewest tool sets: a task that was split from another."""
    template = route.task.template
    return -template.characters, len(template.tools), route.task.id


def match_of(route: Route, request: Json) -> Match | None:
    """Match a request with a route; None where it does not belong to its task."""
    payload = route.task.template.payload(request)
    return None if payload is None else Match(route, route.task.template.prompt(payload))


def _signs(route: Route) -> list[str]:
    """The two ends of a template's longest constant: a small edit leaves one of them alone."""
    template = route.task.template
    patterns = [p for head in template.heads for p in head.patterns] + list(template.first)
    longest = max((c for p in patterns for c in p.constants), key=len, default="")
    return [longest[:FAMILIAR], longest[-FAMILIAR:]] if len(longest) >= FAMILIAR else []


class RouteFile:
    """The router of a routes.json, read again when the file changes (one `stat` per call)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, ...] = ()
        self._router = Router()

    def current(self) -> Router:
        """Today's router. A file that cannot be read leaves the former routes in place."""
        seen = self._stamp()
        if seen != self._seen:
            self._seen = seen
            try:
                self._router = Router.from_file(self._path)
            except (Refused, OSError) as error:
                log.error("the routes stay as they were: %s", error)
        return self._router

    def _stamp(self) -> tuple[int, ...]:
        try:
            stat = self._path.stat()
        except OSError:
            return ()
        return stat.st_mtime_ns, stat.st_size, stat.st_ino
