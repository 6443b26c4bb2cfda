"""How much of a task one client sent, and how much of its training set that client may be.

Clients are the names of the gateway's own keys. What a caller says about itself counts for nothing;
where the gateway asks for no keys there is nothing to tell clients apart by, and nothing is capped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tasks.core.records import digest
from tasks.core.rows import Candidate

REASON = "client's share"
ENOUGH = 200  # rows of a client that train in any case: a small client beside it costs it none


def shares(candidates: Sequence[Candidate]) -> dict[str, float]:
    """Return each client's share of a task's calls, the largest first; empty without keys."""
    counts = Counter(candidate.client for candidate in candidates)
    total = counts.total()
    return {name: round(n / total, 4) for name, n in counts.most_common() if name}


def above(candidates: Sequence[Candidate], share: float) -> set[str]:
    """Return the ids of those training rows that one client has above its share.

    Which ones is drawn by their ids, so that they are of all times. Alone, a client may have all.
    """
    counts = Counter(candidate.client for candidate in candidates)
    largest, most = next(iter(counts.most_common(1)), ("", 0))
    others = counts.total() - most
    if not largest or not others or share >= 1:
        return set()
    allowed = max(ENOUGH, int(share / (1 - share) * others))
    ids = [c.row.id for c in candidates if c.client == largest]
    return set(sorted(ids, key=lambda one: digest(one, "client"))[allowed:])
