"""A check that a server answers, and lets us in, before anything waits for it."""

from __future__ import annotations

import base64
import os
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from tasks.core.stage import Refused

REACH_SECONDS = 6.0
SEARCH = "/api/2.0/mlflow/registered-models/search?max_results=1"  # its database must answer, too


def reach(uri: str) -> None:
    """Raise Refused where the registry's server does not answer; a database is always there."""
    if uri.startswith(("http://", "https://")):
        answer("MLflow", uri.rstrip("/") + SEARCH, uri, _authorization())
    elif uri and "://" not in uri:
        raise Refused(f"MLFLOW_TRACKING_URI is {uri!r}; set it to http://… or sqlite:///…")


def _authorization() -> str:
    """What MLflow's client sends by the environment; empty where that says nothing."""
    names = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
    user, password, token = (os.environ.get(name, "") for name in names)
    if user and password:
        return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"
    return f"Bearer {token}" if token else ""


def answer(name: str, url: str, uri: str, authorization: str = "") -> None:
    """Ask a server that people know by a URI.

    Raises Refused where it does not answer, or not to who comes with this authorization.
    """
    headers = {"authorization": authorization} if authorization else {}
    try:
        with urlopen(Request(url, headers=headers), timeout=REACH_SECONDS):
            return
    except HTTPError as error:
        if error.code in (401, 403) and authorization:
            raise Refused(f"{name} at {uri} does not take this user and password") from None
        if error.code < 500:
            return  # it answers, and may know us by other means
        reason = f"HTTP {error.code}"
    except (OSError, HTTPException, ValueError) as error:
        reason = " ".join(str(getattr(error, "reason", error)).split())
    raise Refused(f"{name} at {uri} cannot be reached ({reason})")
