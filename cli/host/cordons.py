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


@click.command()
@_NAME
@_REASON
@click.option("--force", is_flag=True, help="Even while it is online: it is cut off at once, and its VMs with it.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@fleet_command
def fence(session: Session, name: str, reason: str | None, force: bool, yes: bool) -> None:
    """Say that a host is dead, and have its VMs created again elsewhere where they ask for that. For administrators.

    Power it off first: what it runs can't be stopped from here, and a VM would run twice. Should it be alive, or come
    back, it powers off what runs there before it may be a host again, which `corral host activate` lets it.
    """
    if not yes and session.is_terminal:
        click.confirm(f"Fence host {name}? Its VMs are lost, and it must be powered off", abort=True, err=True)
    _tell(session, session.client.hosts.fence(name, reason, force=force))


def _tell(session: Session, host: dict[str, Any]) -> None:
    if session.output != "table":
        show_one(session, host)
    else:
        session.tell(f"Host '{host['name']}' is {host['scheduling']['state']}.")
