"""A circuit breaker: what keeps failing is left alone for a while, then tried again by one call."""

from __future__ import annotations

import time
from dataclasses import dataclass

FAILURES = 3  # in a row open the circuit
OPEN_SECONDS = 5.0


@dataclass(slots=True)
class CircuitBreaker:
    """Closed while calls succeed; open for `OPEN_SECONDS` after `FAILURES` in a row.

    The first call after that is the trial: while it runs the circuit stays open for the others;
    if it succeeds the circuit is closed, else it is open for as long again.
    """

    failures: int = 0
    open_until: float = 0.0

    def allows(self) -> bool:
        """Return whether a call may be made now."""
        now = time.monotonic()
        if now < self.open_until:
            return False
        if self.failures >= FAILURES:
            self.open_until = now + OPEN_SECONDS
        return True

    def succeeded(self) -> None:
        """Close the circuit."""
        self.failures, self.open_until = 0, 0.0

    def failed(self) -> None:
        """Count a failure, which may open the circuit."""
        self.failures += 1
        if self.failures >= FAILURES:
            self.open_until = time.monotonic() + OPEN_SECONDS
