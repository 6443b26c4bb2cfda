"""A check that a server answers, before anything waits for it."""

from __future__ import annotations

from http.client import HTTPException
from urllib.error import HTTPError
from urllib.request import urlopen

from tasks.core.stage import Refused

REACH_SECONDS = 6.0
SEARCH = "/api/2.0/mlflow/registered-models/search?max_results=1"  # its database must answer, too


def reach(uri: str) -> None:
    """Raise Refused where the registry's server does not answer; a database is always there."""
    if uri.startswith(("http://", "https://")):
        answer("MLflow", uri.rstrip("/") + SEARCH, uri)
    elif uri and "://" not in uri:
        raise Refused(f"MLFLOW_TRACKING_URI is {uri!r}; set it to http://… or sqlite:///…")


def answer(name: str, url: str, uri: str) -> None:
    """Ask a server that people know by a URI. Raises Refused where it does not answer."""
    try:
        with urlopen(url, timeout=REACH_SECONDS):
            return
    except HTTPError as error:
        if error.code < 500:
            return  # it answers, and may want a password
        reason = f"HTTP {error.code}"
    except (OSError, HTTPException, ValueError) as error:
        reason = " ".join(str(getattr(error, "reason", error)).split())
    raise Refused(f"{name} at {uri} cannot be reached ({reason})")
