"""The socket that a server of ours listens on."""

from __future__ import annotations

import socket

from tasks.core.stage import Refused

BACKLOG = 2_048  # connections that wait to be accepted


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
