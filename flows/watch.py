"""Keep the certificates: every minute, what the audits of all gateways say about the champions.

A gateway stops a breached student by itself, with the next call. Here the registry follows: the
alias `champion` moves back or goes, the ledger and the registry say why, and people are told. Run
it with `flywheel watch`.
"""

from __future__ import annotations

from pathlib import Path

from prefect import flow

from flows import artifacts, console, steps
from flows.night.folders import registry_of


@flow(name="watch", flow_run_name="certificates are kept")
def watch(home: str = ".flywheel/live") -> list[str]:
    """Take out what broke its certificate, and let the pool follow; raises Refused."""
    registry_of(Path(home).resolve()).reach()
    sentences: list[str] = steps.watch(home)
    for sentence in sentences:
        console.say(f"  {sentence}")
    if sentences:
        artifacts.revoked(sentences)
        steps.promote(home)
    return sentences
