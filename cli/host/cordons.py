"""`corral host cordon` and its kin: whether a host takes new VMs."""

from __future__ import annotations

from typing import Any

import click

from cli.remote import completion
from cli.remote.output import show_one
from cli.remote.session import Session, fleet_command

_NAME = click.argument("name", shell_complete=completion.hosts)
_REASON = click.option("--reason", metavar="TEXT", help="Why; everyone who sees the host can read it.")


@click.command()
@_NAME
@_REASON
@fleet_command
def cordon(session: Session, name: str, reason: str | None) -> None:
    """Let a host take no new VMs; what is there goes on. For administrators."""
    _tell(session, session.client.hosts.cordon(name, reason))


@click.command()
@_NAME
@_REASON
@fleet_command
def uncordon(session: Session, name: str, reason: str | None) -> None:
    """End a host's cordon. For administrators."""
    _tell(session, session.client.hosts.uncordon(name, reason))


@click.command()
@_NAME
@_REASON
@fleet_command
def activate(session: Session, name: str, reason: str | None) -> None:
    """Let a host take VMs again, whatever kept it from that. For administrators."""
    _tell(session, session.client.hosts.activate(name, reason))


def _tell(session: Session, host: dict[str, Any]) -> None:
    if session.output != "table":
        show_one(session, host)
    else:
        session.tell(f"Host '{host['name']}' is {host['standing']['state']}.")
