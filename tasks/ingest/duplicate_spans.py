"""Model calls that two instruments recorded, one span within the other, wherever the two stand."""

from __future__ import annotations

from collections import OrderedDict

from tasks.core.records import Json
from tasks.ingest.wire import traces

RECENT = 1 << 16  # spans remembered; a call's two spans end within seconds of one another


class Nested:
    """Tells of each call's span whether the span below or above it was taken already."""

    def __init__(self) -> None:
        self._taken: OrderedDict[str, None] = OrderedDict()
        self._wrapping: OrderedDict[str, None] = OrderedDict()

    def repeats(self, span: Json) -> str:
        """Return why this call is no call of its own; empty when it is. It is taken then."""
        own, parent = traces.own(span), traces.parent(span)
        trace = traces.trace_of(span)
        if not own:
            return ""
        if f"{trace} {own}" in self._wrapping:
            return "wraps another model call"
        if parent and f"{trace} {parent}" in self._taken:
            return "repeats the span above it"
        _remember(self._taken, f"{trace} {own}")
        if parent:
            _remember(self._wrapping, f"{trace} {parent}")
        return ""


def _remember(keys: OrderedDict[str, None], key: str) -> None:
    keys[key] = None
    if len(keys) > RECENT:
        keys.popitem(last=False)
