"""The socket that a server of ours listens on, and how the gateway's listens there."""

from __future__ import annotations

import os
import socket

import uvicorn
from starlette.types import ASGIApp

from serving.lenient import Requests
from tasks.core.stage import Refused

BACKLOG = 2_048  # connections that wait to be accepted
SHUTDOWN_SECONDS = int(os.environ.get("SHUTDOWN_SECONDS", "5"))  # for calls under way
KEEP_ALIVE_SECONDS = 75  # longer than clients keep idle connections, so that they close first


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises Refused."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named TCP, the event loop turns Nagle's algorithm off: it would hold small replies for 40 ms.
    place = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        place.bind((host, port))
    except OSError as error:
        place.close()
        raise Refused(f"cannot listen on {host}:{port}: {error.strerror}") from None
    place.listen(BACKLOG)
    return place


def server(app: ASGIApp) -> uvicorn.Server:
    """The gateway's server: nothing of its own is added to a reply."""
    config = uvicorn.Config(
        app,
        http=Requests,
        loop="uvloop",
        ws="none",
        proxy_headers=False,
        server_header=False,  # the teacher's own go back
        date_header=False,
        log_level="warning",
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    return uvicorn.Server(config)
