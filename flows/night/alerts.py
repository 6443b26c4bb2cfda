"""Alerts: a sentence to wherever the team reads, by the URLs of `watch.alerts` (see Apprise)."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence

log = logging.getLogger("flywheel")


def send(urls: Sequence[str], title: str, body: str) -> bool:
    """Send a message to all addresses; return whether each took it. One that fails is logged.

    `$NAME` in an address is a variable of the environment: tokens stay out of the params file.
    """
    if not urls:
        return True
    from apprise import Apprise

    sender = Apprise()
    added = [bool(sender.add(os.path.expandvars(url))) for url in urls]
    sent = bool(len(sender)) and bool(sender.notify(title=title, body=body))
    if not sent or not all(added):
        log.error("an alert of watch.alerts in the params file could not be sent: %s", title)
    return sent and all(added)
