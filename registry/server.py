"""Whether the registry's server answers, asked before anything waits for it."""

from __future__ import annotations

from http.client import HTTPException
from urllib.error import HTTPError
from urllib.request import urlopen

from tasks.core.stage import Refused

REACH_SECONDS = 6.0
SEARCH = "/api/2.0/mlflow/registered-models/search?max_results=1"  # as its database must, too


def reach(uri: str) -> None:
    """Raise Refused where the registry's server does not answer; a database is always there."""
    if not uri.startswith("http"):
        return
    try:
        with urlopen(uri.rstrip("/") + SEARCH, timeout=REACH_SECONDS):
            return
    except HTTPError as error:
        if error.code < 500:
            return  # it answers, and may want a password
        reason = f"HTTP {error.code}"
    except (OSError, HTTPException) as error:
        reason = " ".join(str(getattr(error, "reason", error)).split())
    raise Refused(f"MLflow at {uri} cannot be reached ({reason})")
