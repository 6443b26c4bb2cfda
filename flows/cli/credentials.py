"""The credentials of a home's own services: who only reaches their ports gets nothing from them.

Prefect runs what it is told and MLflow says who answers, so both ask for a user and a password, and
the pool for a token. They are made with the home and stay in `home/credentials.json`.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

import msgspec

from tasks.core.stage import Refused, private, write_secret

FILE, USER = "credentials.json", "flywheel"
MLFLOW_USERS = "mlflow-users.db"
# Each password is hashed at length once an hour, not with every request.
MLFLOW_AUTH = """[mlflow]
default_permission = NO_PERMISSIONS
database_uri = sqlite:///{users}
auth_cache_ttl_seconds = 3600
"""
# An address, and what goes with it: they come from one place, so that no server gets another's.
BELONGS = {
    "PREFECT_API_URL": ("PREFECT_API_AUTH_STRING",),
    "MLFLOW_TRACKING_URI": ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"),
    "POOL_URL": ("POOL_TOKEN",),
}


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """The password of `flywheel` at Prefect and MLflow, the pool's token, MLflow's form key."""

    password: str
    pool_token: str
    form_key: str

    @property
    def clients(self) -> dict[str, str]:
        """The variables that the services' clients read."""
        return {
            "PREFECT_API_AUTH_STRING": f"{USER}:{self.password}",
            "MLFLOW_TRACKING_USERNAME": USER,
            "MLFLOW_TRACKING_PASSWORD": self.password,
            "POOL_TOKEN": self.pool_token,
        }


def credentials(home: Path) -> Credentials:
    """A home's credentials, made where there are none. Raises Refused where others can read them.

    Without the file MLflow's users are made anew as well: nobody knows their passwords.
    """
    path = home / FILE
    if not path.exists():
        private(home)
        (home / MLFLOW_USERS).unlink(missing_ok=True)
        made = Credentials(
            password=secrets.token_urlsafe(24),
            pool_token=secrets.token_urlsafe(24),
            form_key=secrets.token_urlsafe(24),
        )
        write_secret(path, msgspec.json.encode(made))
    if path.stat().st_mode & 0o077:
        raise Refused(f"{path} can be read by others; run `chmod 600 {path}`")
    try:
        return msgspec.json.decode(path.read_bytes(), type=Credentials)
    except msgspec.DecodeError as error:
        raise Refused(f"{path}: {error}; remove it, and new ones are made") from None


def join(home: Path, addresses: Mapping[str, str]) -> None:
    """Use a home's services at their addresses, but those that the environment names itself.

    A service that the environment names gets the environment's credentials, and no others.
    """
    if not addresses:
        return
    clients = credentials(home).clients
    for name, value in addresses.items():
        if os.environ.setdefault(name, value) == value:
            os.environ.update((one, clients[one]) for one in BELONGS.get(name, ()))


def prefect_auth() -> tuple[str, str] | None:
    """The user and the password that Prefect's server asks for, as httpx takes them."""
    user, colon, password = os.environ.get("PREFECT_API_AUTH_STRING", "").partition(":")
    return (user, password) if colon else None
