"""Services of this machine are reached directly, whatever proxy the way to the teacher takes."""

from __future__ import annotations

from collections.abc import Mapping

HERE = ("localhost", "127.0.0.1", "::1")


def direct(env: Mapping[str, str]) -> dict[str, str]:
    """The variables that keep proxies out of the way to this machine, beside those already set."""
    set_before = ",".join(filter(None, (env.get("no_proxy"), env.get("NO_PROXY"))))
    hosts_before = [host.strip() for host in set_before.split(",") if host.strip()]
    hosts = ",".join(dict.fromkeys([*hosts_before, *HERE]))
    return {"no_proxy": hosts, "NO_PROXY": hosts}  # libraries read one or the other
